"""A run's archive, as `GET /api/tasks/ID/archive` gives it, read back as the run that it was."""

import base64
import hashlib
import json
import shutil
import zipfile
from pathlib import Path

from .. import say
from ..points import iso
from ..uploads import Upload
from .fields import FIELDS
from . import wandb
from .run import PastRun, patiently

FORMAT = "lora-ledger run"
MOST_ABOUT = 64_000_000
_ATTEMPT = (
    "attempt status started_at heartbeat_at finished_at duration_sec cost from_step gpu_info cuda_version hourly_price "
    "exit_code failure_reason error_message node_info tail"
).split()
_FACTS = "name source_path image_count repeats tag_distribution content_hash".split()


class NoArchive(ValueError):
    """The file is no archive of a run; the message is one plain line."""


class Archive:
    """An open archive: `about` is its ledger.json. Raises NoArchive or OSError."""

    def __init__(self, path):
        self.path = Path(path)
        try:
            self.zip = zipfile.ZipFile(path)
            if self.zip.getinfo("ledger.json").file_size > MOST_ABOUT:
                raise NoArchive("its ledger.json is larger than any run's")
            self.about = json.loads(self.zip.read("ledger.json"))
        except (zipfile.BadZipFile, KeyError, ValueError, RecursionError, NotImplementedError, EOFError) as error:
            if isinstance(error, NoArchive):
                raise
            raise NoArchive(f"it is no archive of a run ({error})") from error
        if not isinstance(self.about, dict) or self.about.get("format") != FORMAT:
            raise NoArchive("it is no archive of a run")
        if self.about.get("version") != 1:
            raise NoArchive(f"it is of a newer kind (version {self.about.get('version')}); update this client")

    def run(self):
        """The PastRun. Raises NoArchive."""
        task = self.about.get("task")
        if not isinstance(task, dict) or not self.about.get("identity"):
            raise NoArchive("its ledger.json names no run")
        fields = {name: task.get(name) for name in FIELDS if name not in ("config_snapshot", "additional_args")}
        fields["created_at"] = task.get("created_at")
        if task.get("status") in ("pending", "running"):
            # It went on after the archive was made; what is known is that here nobody follows it.
            fields.update(status="failed", failure_reason="lost", finished_at=self.about.get("exported_at"))
            say.warn(f"{self.path}: the run was {task['status']} when the archive was made; it is imported as lost")
        additional = task.get("additional_args")
        past = PastRun(
            str(self.path),
            f"archive:{self.about['identity']}"[:400],
            fields,
            extra=additional if isinstance(additional, dict) else {},
            datasets=[{k: d[k] for k in _FACTS if d.get(k) is not None} for d in self._list("datasets")],
        )
        for name, part in (("config", "config"), ("dataset_file", "dataset_file")):
            kept = self._file(self.about.get(part))
            if kept:
                past.whole[name] = kept
        if "config" not in past.whole and self.about.get("config_snapshot") is not None:
            past.settings = self.about["config_snapshot"]
        past.past = {name: task[name] for name in ("defaulted_fields", "progress") if task.get(name) is not None}
        past.past["attempts"] = [self._attempt(a) for a in self._list("attempts")]
        past.exact = True
        for attempt in self._list("attempts"):
            if attempt.get("logs"):
                past.curves[attempt["attempt"]] = lambda attempt=attempt: self._entries(attempt["logs"])
        return past

    def _list(self, name):
        value = self.about.get(name)
        return [v for v in value if isinstance(v, dict)] if isinstance(value, list) else []

    def _attempt(self, attempt):
        known = {k: attempt[k] for k in _ATTEMPT if attempt.get(k) is not None}
        if known.get("status") in ("pending", "running"):
            known.update(status="failed", failure_reason="lost")
        return known

    def _file(self, about):
        if not isinstance(about, dict) or not about.get("file"):
            return None
        content = {"base64": base64.b64encode(self._read(about["file"])).decode()}
        for name in ("path", "format"):
            if about.get(name):
                content[name] = about[name]
        return content

    def _read(self, name):
        try:
            return self.zip.read(name)
        except (KeyError, zipfile.BadZipFile, EOFError) as error:
            raise NoArchive(f"its {name} is missing or damaged ({error})") from error

    def _segments(self, name):
        try:
            with self.zip.open(name) as lines:
                for line in lines:
                    yield from json.loads(line)
        except (KeyError, zipfile.BadZipFile, EOFError, ValueError) as error:
            raise NoArchive(f"its {name} is missing or damaged ({error})") from error

    def _entries(self, name):
        """Log entries in the order of their heartbeats, of which a later one holds for a step that came twice."""
        order = [segment["q"] for segment in self._segments(name)]
        segments = self._segments(name)
        if order != sorted(order):
            # Parts that came late: few runs have them, so these alone are held in memory.
            segments = sorted(segments, key=lambda segment: segment["q"])
        for segment in segments:
            for step, epoch, ms, *values in segment["p"]:
                entry = {"step": step, "metrics": {m: v for m, v in zip(segment["m"], values) if v is not None}}
                if epoch is not None:
                    entry["epoch"] = epoch
                if ms is not None:
                    entry["time"] = iso(ms / 1000)
                yield entry

    def upload_weights(self, api, task, folder):
        """Stores the files that the archive holds as the run's; those that are there already are not sent. Their number."""
        sent = 0
        for weight in self._list("weights"):
            if not weight.get("file"):
                continue
            path = Path(folder) / "weight"
            try:
                with self.zip.open(weight["file"]) as source, open(path, "wb") as target:
                    shutil.copyfileobj(source, target)
            except (KeyError, zipfile.BadZipFile, EOFError) as error:
                raise NoArchive(f"its {weight['file']} is missing or damaged ({error})") from error
            item = {"path": str(path), **{k: weight.get(k) for k in ("filename", "kind", "epoch", "step", "prompt", "seed", "group")}}
            attempt = max([1, *(a.get("attempt") or 1 for a in self._list("attempts"))])
            bar = say.Progress(f"uploading {weight['filename']}", weight["size"])
            upload = Upload(api.ledger, task, attempt, item, {}, lambda: None, lambda done, _: bar.show(done), lambda: False)
            verified = patiently(upload.run)
            bar.end(f"{weight['filename']}: {say.size_text(weight['size'])} stored, checked by {verified}")
            sent += 1
        return sent


def export_mark(task_id, created_at):
    """What a run of a ledger's own CSV or JSON Lines is known by for good."""
    return "export:" + hashlib.sha256(f"{task_id} {created_at}".encode()).hexdigest()[:40]


def json_runs(path):
    """(PastRuns, [(place, why it is left out)]) of JSON: a ledger's own JSON Lines, or W&B's. None: neither. OSError."""
    objects, wrong = wandb.objects(path)
    if not objects or not all("task_name" in o and "created_at" in o for o in objects):
        return wandb.json_runs(path, objects, wrong)
    runs = []
    for number, task in enumerate(objects, 1):
        where = f"{path} run {number}"
        if task.get("status") in ("pending", "running"):
            wrong.append((where, f"it is {task['status']}: a run that is not over yet cannot be imported"))
            continue
        extra = task.get("additional_args")
        fields = {name: task.get(name) for name in FIELDS if name not in ("config_snapshot", "additional_args")}
        source = export_mark(task.get("id"), task["created_at"])
        past = PastRun(where, source, fields, extra if isinstance(extra, dict) else {}, task.get("config_snapshot"))
        if task.get("defaulted_fields"):
            past.past["defaulted_fields"] = task["defaulted_fields"]
        runs.append(past)
    return runs, wrong
