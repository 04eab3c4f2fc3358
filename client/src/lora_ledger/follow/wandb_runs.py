"""Follows the run that a trainer logs to W&B by the file that W&B writes on this machine, with or without its server.

`$WANDB_DIR/wandb/run-DATE-ID/` or `offline-run-DATE-ID/` holds `run-ID.wandb`, `logs/debug.log`, and media in `files/`.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Callable, NamedTuple

from ..core.reading import read_start
from ..core.types import StrPath
from . import wandb_file as log

# W&B writes every 15 s: so long a line's loss waits for the exact one.
DELAY = 40.0
# So long a run may take to say which process writes it.
OWNER_SECONDS = 10.0
# Entries of one folder that are looked through, records of one look, media of one run.
MOST_ENTRIES = 20_000
MOST_RECORDS = 50_000
MOST_MEDIA = 5000
LONGEST_CAPTION = 4000
_FOLDER = re.compile(r"^(?:offline-)?run-\d{8}_\d{6}-.+$")
# A line of debug.log names its process: `MainThread:1234 [`.
_PID = re.compile(r"^\S+ \S+ \w+ +[^:\n]{1,80}:(\d{1,9}) \[", re.M)
_MEDIA = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".mp4", ".webm", ".wav", ".mp3", ".flac")
# The same figures by the ledger's names, with what one of W&B's units is in the ledger's.
_FIGURES = (
    (re.compile(r"^cpu$"), "sys.cpu", 1.0),
    (re.compile(r"^gpu\.(\d{1,3})\.gpu$"), "gpu.{}.util", 1.0),
    (re.compile(r"^gpu\.(\d{1,3})\.temp$"), "gpu.{}.temp_c", 1.0),
    (re.compile(r"^gpu\.(\d{1,3})\.powerWatts$"), "gpu.{}.power_w", 1.0),
    (re.compile(r"^gpu\.(\d{1,3})\.memoryAllocatedBytes$"), "gpu.{}.mem_mb", 1 / 1024**2),
)


class Media(NamedTuple):
    """A picture, film or sound that was logged: its file, its name among the run's files, its step and its caption."""

    path: Path
    name: str
    step: int
    caption: str | None


def folders_of(environment: Mapping[str, str], *folders: StrPath | None) -> list[Path]:
    """Where W&B may write with such an environment: below WANDB_DIR, else below one of the folders."""
    named = environment.get("WANDB_DIR")
    first = folders[0] if folders else None
    places = [Path(first or ".") / Path(named).expanduser()] if named else []
    return list(dict.fromkeys([*places, *(Path(folder) for folder in folders if folder)]))


def figures_of(message: bytes) -> dict[str, float]:
    """The figures of the machine in a StatsRecord, by the ledger's names. Raises one of `wandb_file.DAMAGE`."""
    found = {}
    for key, value in log.items(message, 3).items():
        one = log.number(value)
        for pattern, name, factor in _FIGURES:
            match = pattern.match(key)
            if match and one is not None:
                found[name.format(*match.groups())] = one * factor
    return found


class WandbRuns:
    """A Reader of the W&B runs that one trainer makes, one after another; of several at a time the first counts.

    Make it before the trainer starts: runs that are there then are older. `owned(pid)` says whether a process belongs
    to the trainer: True, False, or None when nobody can tell any more. `pause` seconds lie between two looks for new
    runs.
    """

    delay = DELAY
    # Most trainers write none: nothing waits for such a file before it is there.
    is_likely = False

    def __init__(
        self,
        places: Iterable[Path],
        owned: Callable[[int], bool | None] = lambda pid: None,
        pause: float = 0.0,
        loss_tags: Sequence[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.loss_tags = loss_tags
        self.files: list[Path] = []
        # Settings of the newest run, its summary, and what it says of itself.
        self.config: dict[str, Any] = {}
        self.summary: dict[str, float] = {}
        self.run: dict[str, Any] = {}
        self._owned, self._pause, self._clock = owned, pause, clock
        self._places: list[Path] = []
        self._past: set[Path] = set()
        self._looked: float | None = None
        self._file: log.WandbFile | None = None
        self._folder = Path()
        self._pid: int | None = None
        self._ended = False
        self._seen: set[str] = set()
        self._media: list[Media] = []
        self._figures: dict[str, float] = {}
        self._media_paths: set[Path] = set()
        # When a run was first seen that does not say yet whose it is.
        self._first_seen: dict[Path, float] = {}
        # The last row's step while all rows were counted by calls alone: 0, 1, 2, …; None once one was not.
        self._calls: int | None = -1
        self.add_places(places)

    def add_places(self, places: Iterable[Path], since: float | None = None) -> None:
        """Looks into further folders. What is in them already is older, but for what was made since (a Unix time)."""
        for place in places:
            if place in self._places:
                continue
            self._places.append(place)
            for folder in self._below(place):
                if since is None or self._made(folder) < since:
                    self._past.add(folder)

    @staticmethod
    def _made(folder: Path) -> float:
        try:
            return os.stat(folder).st_mtime
        except OSError:
            return 0.0

    @staticmethod
    def _below(place: Path) -> list[Path]:
        found = []
        # The hidden one is used where it is there.
        for name in ("wandb", ".wandb"):
            try:
                with os.scandir(place / name) as entries:
                    found += [
                        Path(entry.path)
                        for _, entry in zip(range(MOST_ENTRIES), entries)
                        if _FOLDER.match(entry.name) and entry.is_dir(follow_symlinks=False)
                    ]
            except OSError:
                continue
        return sorted(found, key=lambda folder: folder.name.partition("run-")[2])

    def _new(self, final: bool) -> list[tuple[Path, Path, int | None]]:
        """(folder, file, process) of runs that have come, oldest first; those of other trainers are passed over."""
        if not final and self._looked is not None and self._clock() - self._looked < self._pause:
            return []
        self._looked = self._clock()
        found = []
        for folder in dict.fromkeys(folder for place in self._places for folder in self._below(place)):
            if folder in self._past:
                continue
            file = next(iter(sorted(folder.glob("run-*.wandb"))), None)
            match = _PID.search(read_start(folder / "logs" / "debug.log", 4096))
            since = self._first_seen.setdefault(folder, self._clock())
            if file is None or not (match or final or self._clock() - since > OWNER_SECONDS):
                # Its files are still being made.
                continue
            self._past.add(folder)
            pid = int(match[1]) if match else None
            if pid is None or self._owned(pid) is not False:
                found.append((folder, file, pid))
        return found

    def read(self, final: bool = False) -> Iterator[tuple[float, int, str, float, float | None]]:
        """Yields (time, step, series, value, epoch) of what is new; `final` looks for new runs whatever the pause."""
        new = self._new(final)
        # A run that has ended wrote its end before the next one began.
        yield from self._read_on(final)
        for folder, file, pid in new:
            is_gone = self._pid is not None and not self._owned(self._pid)
            if self._file is not None and not (self._ended or is_gone):
                # Of the same time, such as another process's of one training.
                continue
            self._file, self._folder, self._pid, self._ended = log.WandbFile(file), folder, pid, False
            self.files.append(file)
            yield from self._read_on(final)

    def _read_on(self, final: bool) -> Iterator[tuple[float, int, str, float, float | None]]:
        if self._file is None:
            return
        try:
            # The next look reads on.
            for record in islice(self._file.records(), None if final else MOST_RECORDS):
                try:
                    for number, message in log.parts(record):
                        yield from self._take(number, message)
                except log.DAMAGE:
                    # One record that cannot be read hides none of those behind it.
                    continue
        except OSError:
            return

    def _take(self, number: int, message: bytes) -> Iterator[tuple[float, int, str, float, float | None]]:
        if number == log.HISTORY:
            row = log.history(message)
            step = log.step_of(row)
            values = log.values_of(row)
            if step is None:
                return
            self._count(row, step)
            self._take_media(row, step)
            epoch = log.epoch_of(values)
            when = log.time_of(row) or time.time()
            for key, value in values.items():
                if key not in ("epoch", "train/epoch"):
                    self._seen.add(key)
                    yield when, step, key, value, epoch
        elif number == log.RUN:
            run = log.run_of(message)
            self.config.update(run.pop("config"))
            self.run = {**self.run, **run}
        elif number == log.CONFIG:
            self.config.update(log.items(message))
        elif number == log.SUMMARY:
            self.summary.update(log.values_of(log.items(message)))
        elif number == log.STATS:
            self._figures.update(figures_of(message))
        elif number == log.EXIT:
            self._ended = True

    def _count(self, row: dict[str, Any], step: int) -> None:
        if self._calls is not None:
            self._calls = step if step == row.get("_step") == self._calls + 1 else None

    @property
    def counts_calls(self) -> bool:
        """Whether the steps may be no more than the number of calls, as W&B counts them where it is given none."""
        return self._calls is not None

    def _take_media(self, row: dict[str, Any], step: int) -> None:
        for value in row.values():
            for path, caption in _media_in(value):
                # W&B's own path, below `files/` of the run's folder and nowhere else.
                root = os.path.join(os.path.realpath(self._folder), "files")
                file = Path(os.path.realpath(os.path.join(root, path)))
                inside = str(file).startswith(root + os.sep) and file.suffix.lower() in _MEDIA
                if inside and file not in self._media_paths and len(self._media_paths) < MOST_MEDIA:
                    self._media_paths.add(file)
                    name = file.relative_to(root).as_posix()
                    self._media.append(Media(file, f"wandb/{name}", step, caption))

    def media(self) -> list[Media]:
        """What was logged since the last call."""
        found, self._media = self._media, []
        return found

    def figures(self) -> dict[str, float]:
        """The newest figures of the machine since the last call."""
        found, self._figures = self._figures, {}
        return found

    def settings(self) -> dict[str, Any]:
        """The configuration that the trainer gave W&B."""
        return log.settings_of(self.config)

    def only_in_summary(self) -> dict[str, float]:
        """Numbers that the summary has and no row had, such as the best score."""
        return {key: value for key, value in self.summary.items() if key not in self._seen and not key.startswith("_")}


def _media_in(value: Any, depth: int = 0) -> Iterator[tuple[str, str | None]]:
    """(path, caption) of each file in a logged value: one picture, several, or a list of such objects."""
    if isinstance(value, list) and depth < 3:
        for one in value[:1000]:
            yield from _media_in(one, depth + 1)
    if not isinstance(value, dict):
        return
    if isinstance(value.get("path"), str) and isinstance(value.get("_type"), str):
        yield value["path"], _caption(value.get("caption"))
    elif isinstance(value.get("filenames"), list):
        captions = value.get("captions")
        for at, path in enumerate(value["filenames"][:1000]):
            if isinstance(path, str):
                known = captions if isinstance(captions, list) and at < len(captions) else {}
                yield path, _caption(known[at] if known else None)
    elif depth < 3:
        for one in value.values():
            yield from _media_in(one, depth + 1)


def _caption(value: Any) -> str | None:
    return value[:LONGEST_CAPTION] if isinstance(value, str) and value else None
