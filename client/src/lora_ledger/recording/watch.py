"""Notices files that this run wrote (weights, samples, training state), each once it is complete on disk."""

import os
import re
import time

from ..core import terminal
from .points import MOST_STEP
from ..core.safetensors import Incomplete, read_header

STABLE_SECONDS = 3.0


class Watch:
    """Polls a trainer's output folder. Make it before the trainer starts: what is there then is an older run's.

    Training state is given only with `upload_state`, since it is large and of use to none but the same trainer.
    """

    def __init__(self, trainer, upload_state=False, clock=time.monotonic, since=None):
        self.trainer = trainer
        self.found_final = False
        self.newest_checkpoint = []
        self._upload_state = upload_state
        self._clock = clock
        self._before = {path: self._state(path) for path, _ in trainer.scan()}
        if since is not None:
            # Made while the trainer runs already: what was written since (a Unix time) is its own.
            self._before = {p: state for p, state in self._before.items() if state and state[1] < since * 1e9}
        self._given = dict(self._before)
        self._seen = {}

    @staticmethod
    def _state(path):
        try:
            stat = os.stat(path)
            return stat.st_size, stat.st_mtime_ns
        except OSError:
            return None

    def poll(self, ended=False):
        """The weight items that became complete since the last call. `ended` says that no trainer writes any more."""
        items = []
        for path, saved in self.trainer.scan():
            if saved.kind == "state" and not self._upload_state:
                continue
            state = self._state(path)
            if state is None or state == self._given.get(path):
                continue
            if not ended:
                since = self._seen.get(path)
                if since is None or since[0] != state:
                    self._seen[path] = (state, self._clock())
                    continue
                if self._clock() - since[1] < STABLE_SECONDS:
                    continue
            item = self._item(path, saved, ended)
            if item is None:
                continue
            self._given[path] = state
            if saved.kind == "final":
                self.found_final = True
            elif saved.kind == "checkpoint":
                same = [i for i in self.newest_checkpoint if saved.group and i.get("group") == saved.group]
                self.newest_checkpoint = [*same, item]
            items.append(item)
        return items

    def _item(self, path, saved, ended):
        metadata = {}
        if path.suffix == ".safetensors":
            try:
                metadata = read_header(path).get("__metadata__") or {}
            except Incomplete as error:
                if ended:
                    terminal.warn(f"{path.name} is not complete ({error}) and is not uploaded")
                    self._given[path] = self._state(path)
                return None
            except OSError:
                return None
        item = {"path": str(path.absolute()), "filename": saved.filename or path.name, "kind": saved.kind}
        for name in ("epoch", "step", "group", "prompt", "seed"):
            value = getattr(saved, name)
            if value is not None and not (isinstance(value, int) and value > MOST_STEP):
                item[name] = value
        for name in ("epoch", "step"):
            value = metadata.get("ss_steps" if name == "step" else "ss_epoch")
            if name not in item and isinstance(value, str) and re.fullmatch("[0-9]{1,10}", value):
                item[name] = int(value)
        return item

    def is_new(self, path):
        """Whether this run wrote the file."""
        return self._state(path) != self._before.get(path)

    def promote(self):
        """The newest checkpoint's files as final weights, for trainers whose last checkpoint that is."""
        self.found_final = bool(self.newest_checkpoint)
        return [{**item, "kind": "final"} for item in self.newest_checkpoint]
