"""A run's archive, as `GET /api/tasks/ID/archive` gives it, read back as the run that it was.

An archive may come from anywhere, so nothing in it is believed: how many files it has, how large each becomes and how
much that is of the archive itself are bounded, and all but its ledger.json is read piece by piece.
"""

from __future__ import annotations

import base64
import hashlib
import heapq
import os
import shutil
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from ..core import terminal
from ..core.api import Api, patiently
from ..core.errors import NoArchiveError
from ..core.journal import Upload
from ..core.language import t
from ..core.reading import lines, loads, open_file
from ..core.text import metric_name
from ..core.uploads import FileUpload
from ..recording.points import MOST_STEP, iso, number
from . import wandb
from .fields import FIELDS
from .run import PastRun

FORMAT = "lora-ledger run"
# A ledger lists at most 5,000 weights and 1,000 attempts of a run.
MOST_ENTRIES = 10_000
MOST_DIRECTORY = 4_000_000
MOST_ABOUT = 16_000_000
# The trainer's own files; a ledger keeps 4 MB of them.
MOST_FILE = 16_000_000
# A line of points is a chunk of a ledger's database.
MOST_LINE = 4_000_000
MOST_LATE = 64_000_000
MOST_VALUES = 1_000_000_000
# Ledgers store files as they are, and points pack to a tenth; beyond the first GB, no archive unpacks to more of
# itself.
MOST_RATIO = 50
FREE_BYTES = 1_000_000_000
BLOCK = 1 << 20
_ATTEMPT = (
    "attempt status started_at heartbeat_at finished_at duration_sec cost from_step gpu_info cuda_version hourly_price "
    "exit_code failure_reason error_message node_info tail"
).split()
_FACTS = "name source_path image_count repeats tag_distribution content_hash".split()
_DAMAGED = (KeyError, zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, zlib.error, struct.error)


def _check_directory(file: IO[bytes], size: int) -> None:
    """Raises NoArchiveError where the list of files is too long to be read at all: zipfile reads it whole."""
    file.seek(max(0, size - 65_557))
    tail = file.read(65_557)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < 22:
        raise NoArchiveError(t("it is no archive of a run (it is no zip)"))
    entries, length = struct.unpack_from("<HL", tail, at + 10)
    # The wider form stands right before its locator, and that right before the end.
    if at >= 76 and tail[at - 20 : at - 16] == b"PK\x06\x07" and tail[at - 76 : at - 72] == b"PK\x06\x06":
        entries, length = struct.unpack_from("<QQ", tail, at - 76 + 32)
    if length > MOST_DIRECTORY or (entries > MOST_ENTRIES and entries != 0xFFFF):
        raise NoArchiveError(
            t("it holds more than {most_entries} files, which no archive of a run does", most_entries=MOST_ENTRIES)
        )
    file.seek(0)


def _check_entries(entries: list[zipfile.ZipInfo], size: int) -> None:
    """Raises NoArchiveError unless the files lie beside each other, under names of their own, and unpack to what is
    likely."""
    if len(entries) > MOST_ENTRIES:
        raise NoArchiveError(
            t("it holds more than {most_entries} files, which no archive of a run does", most_entries=MOST_ENTRIES)
        )
    if len({entry.filename for entry in entries}) < len(entries):
        raise NoArchiveError(t("it holds two files of one name"))
    end = total = 0
    for entry in sorted(entries, key=lambda e: e.header_offset):
        if entry.header_offset < end:
            raise NoArchiveError(t("its files lie within each other"))
        end = entry.header_offset + 30 + entry.compress_size
        total += entry.file_size
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or entry.flag_bits & 1:
            raise NoArchiveError(
                t("its {filename!r} is packed or encrypted as no ledger does it", filename=entry.filename[:200])
            )
    if total > FREE_BYTES + MOST_RATIO * size:
        raise NoArchiveError(
            t(
                "it would unpack to {total}, more than {most_ratio} times its own size; where it is a run's all the "
                "same, unpack it and pack it again without compression",
                total=terminal.size_text(total),
                most_ratio=MOST_RATIO,
            )
        )


class Archive:
    """An open archive: `about` is its ledger.json. Raises NoArchiveError or OSError."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        file = open_file(path)
        try:
            size = os.fstat(file.fileno()).st_size
            _check_directory(file, size)
            self.zip = zipfile.ZipFile(file)
            _check_entries(self.zip.infolist(), size)
            if "ledger.json" not in self.zip.namelist():
                raise NoArchiveError(t("it is no archive of a run (it has no ledger.json)"))
            self.about = loads(self._read("ledger.json", MOST_ABOUT))
        except (*_DAMAGED, ValueError, OSError) as error:
            file.close()
            if isinstance(error, (NoArchiveError, OSError)):
                raise
            raise NoArchiveError(t("it is no archive of a run ({error})", error=error)) from error
        self._file_of_all = file
        self._check_about()

    def close(self) -> None:
        """Lets go of the file."""
        self.zip.close()
        self._file_of_all.close()

    def _check_about(self) -> None:
        if not isinstance(self.about, dict) or self.about.get("format") != FORMAT:
            raise NoArchiveError(t("it is no archive of a run"))
        if self.about.get("version") != 1:
            raise NoArchiveError(
                t(
                    "it is of a newer kind (version {version}); update this client",
                    version=str(self.about.get("version"))[:20],
                )
            )

    def run(self) -> PastRun:
        """The PastRun. Raises NoArchiveError."""
        task = self.about.get("task")
        if not isinstance(task, dict) or not self.about.get("identity"):
            raise NoArchiveError(t("its ledger.json names no run"))
        fields = {name: task.get(name) for name in FIELDS if name not in ("config_snapshot", "additional_args")}
        fields["created_at"] = task.get("created_at")
        if task.get("status") in ("pending", "running"):
            # It went on after the archive was made; what is known is that here nobody follows it.
            fields.update(status="failed", failure_reason="lost", finished_at=self.about.get("exported_at"))
            terminal.warn(
                t(
                    "{path}: the run was {status} when the archive was made; it is imported as lost",
                    path=self.path,
                    status=task["status"],
                )
            )
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
        if isinstance(self.about.get("dialect"), str):
            past.whole["dialect"] = self.about["dialect"]
        if "config" not in past.whole and self.about.get("config_snapshot") is not None:
            past.settings = self.about["config_snapshot"]
        past.past = {name: task[name] for name in ("defaulted_fields", "progress") if task.get(name) is not None}
        attempts = [a for a in self._list("attempts") if isinstance(a.get("attempt"), int)]
        past.past["attempts"] = [self._attempt(a) for a in attempts]
        past.exact = True
        for attempt in attempts:
            if attempt.get("logs"):
                past.curves[attempt["attempt"]] = lambda attempt=attempt: self._entries(attempt["logs"])
        return past

    def _list(self, name: str) -> list[dict[str, Any]]:
        value = self.about.get(name)
        return [v for v in value if isinstance(v, dict)] if isinstance(value, list) else []

    def _attempt(self, attempt: dict[str, Any]) -> dict[str, Any]:
        known = {k: attempt[k] for k in _ATTEMPT if attempt.get(k) is not None}
        if known.get("status") in ("pending", "running"):
            known.update(status="failed", failure_reason="lost")
        return known

    def _file(self, about: dict[str, Any]) -> dict[str, str] | None:
        if not isinstance(about, dict) or not about.get("file"):
            return None
        content = {"base64": base64.b64encode(self._read(about["file"], MOST_FILE)).decode()}
        for name in ("path", "format"):
            if about.get(name):
                content[name] = about[name]
        return content

    def _open(self, name: str) -> tuple[IO[bytes], int]:
        """(a file of the archive, its size as the archive has it). Raises NoArchiveError; reading raises one of
        _DAMAGED."""
        try:
            entry = self.zip.getinfo(str(name))
            return self.zip.open(entry), entry.file_size
        except _DAMAGED as error:
            raise NoArchiveError(
                t("its {short} is missing or damaged ({error})", short=_short(name), error=error)
            ) from error

    def _read(self, name: str, most: int) -> bytes:
        file, size = self._open(name)
        if size > most:
            raise NoArchiveError(
                t(
                    "its {short} has {size}; at most {most} are read",
                    short=_short(name),
                    size=terminal.size_text(size),
                    most=terminal.size_text(most),
                )
            )
        try:
            with file:
                return file.read(most)
        except _DAMAGED as error:
            raise NoArchiveError(
                t("its {short} is missing or damaged ({error})", short=_short(name), error=error)
            ) from error

    def _segments(self, name: str) -> Iterator[tuple[Any, int]]:
        """(segment, the length of its line) of a file of points. Raises NoArchiveError."""
        file, _ = self._open(name)
        try:
            with file:
                for line in lines(file, MOST_LINE):
                    if line is None:
                        raise NoArchiveError(
                            t(
                                "its {short} has a line of more than {most_line}",
                                short=_short(name),
                                most_line=terminal.size_text(MOST_LINE),
                            )
                        )
                    segments = loads(line)
                    for segment in segments:
                        if not isinstance(segment["q"], int):
                            raise ValueError(t("a number is none"))
                        yield segment, len(line) // len(segments)
        except NoArchiveError:
            raise
        except (*_DAMAGED, ValueError, TypeError) as error:
            raise NoArchiveError(
                t("its {short} is missing or damaged ({error})", short=_short(name), error=error)
            ) from error

    def _in_order(self, name: str) -> Iterator[Any]:
        """Segments by their heartbeat's number. Those that came late are held in memory, as few runs have them."""
        late, held, high = [], 0, 0
        for segment, length in self._segments(name):
            if segment["q"] < high:
                late.append(segment)
                held += length
                if held > MOST_LATE:
                    raise NoArchiveError(
                        t(
                            "its {short} has more than {most_late} of points out of order",
                            short=_short(name),
                            most_late=terminal.size_text(MOST_LATE),
                        )
                    )
            high = max(high, segment["q"])

        def on_time() -> Iterator[Any]:
            high = 0
            for segment, _ in self._segments(name):
                if segment["q"] >= high:
                    yield segment
                high = max(high, segment["q"])

        late.sort(key=lambda segment: segment["q"])
        return heapq.merge(on_time(), late, key=lambda segment: segment["q"])

    def _entries(self, name: str) -> Iterator[dict[str, Any]]:
        """Log entries in the order of their heartbeats, of which a later one holds for a step that came twice."""
        count = 0
        for segment in self._in_order(name):
            try:
                names = [metric_name(metric) for metric in segment["m"]]
                for step, epoch, ms, *values in segment["p"]:
                    count += len(values)
                    if count > MOST_VALUES:
                        raise NoArchiveError(
                            t(
                                "its {short} has more than {most_values} values",
                                short=_short(name),
                                most_values=MOST_VALUES,
                            )
                        )
                    if not isinstance(step, int) or not 0 <= step <= MOST_STEP:
                        continue
                    entry = {"step": step, "metrics": {m: _value(v) for m, v in zip(names, values) if v is not None}}
                    if epoch is not None:
                        entry["epoch"] = epoch
                    if ms is not None:
                        entry["time"] = iso(ms / 1000)
                    yield entry
            except (KeyError, TypeError, ValueError) as error:
                if isinstance(error, NoArchiveError):
                    raise
                raise NoArchiveError(t("its {short} is damaged ({error})", short=_short(name), error=error)) from error

    def upload_weights(self, api: Api, task: int, folder: Path) -> int:
        """Stores the files that the archive holds as the run's; those that are there already are not sent. Their
        number."""
        sent = 0
        for weight in self._list("weights"):
            if not weight.get("file"):
                continue
            path = Path(folder) / "weight"
            size = self._unpack(weight["file"], path)
            told = {k: weight.get(k) for k in ("filename", "kind", "epoch", "step", "prompt", "seed", "group")}
            item = Upload.of({"path": str(path), **told})
            attempt = max([1, *(a["attempt"] for a in self._list("attempts") if isinstance(a.get("attempt"), int))])
            name = _short(weight.get("filename"))
            bar = terminal.Progress(t("uploading {name}", name=name), size)
            upload = FileUpload(
                api.ledger,
                task,
                attempt,
                item,
                {},
                lambda: None,
                lambda done, _, bar=bar: bar.show(done),
                lambda: False,
            )
            verified = patiently(upload.run)
            bar.end(
                t(
                    "{name}: {size} stored, checked by {verified}",
                    name=name,
                    size=terminal.size_text(size),
                    verified=verified,
                )
            )
            sent += 1
        return sent

    def _unpack(self, name: str, path: Path) -> int:
        """Writes a file of the archive to the path, whatever its own name is; its size. Raises NoArchiveError or
        OSError."""
        file, size = self._open(name)
        free = shutil.disk_usage(path.parent).free
        if size > free:
            raise NoArchiveError(
                t(
                    "its {short} needs {size} on {parent}, where {free} are free; TMPDIR names another disk",
                    short=_short(name),
                    size=terminal.size_text(size),
                    parent=path.parent,
                    free=terminal.size_text(free),
                )
            )
        try:
            with file, open(path, "wb") as target:
                shutil.copyfileobj(file, target, BLOCK)
        except _DAMAGED as error:
            raise NoArchiveError(
                t("its {short} is missing or damaged ({error})", short=_short(name), error=error)
            ) from error
        return size


def _short(name: Any) -> str:
    return "".join(c if c.isprintable() else "?" for c in str(name))[:200]


def _value(value: Any) -> Any:
    return value if isinstance(value, str) else number(value)


def export_mark(task_id: Any, created_at: Any) -> str:
    """What a run of a ledger's own CSV or JSON Lines is known by for good."""
    return "export:" + hashlib.sha256(f"{task_id} {created_at}".encode()).hexdigest()[:40]


def json_runs(path: Path) -> tuple[list[PastRun], list[tuple[str, str]]] | None:
    """(PastRuns, [(place, why it is left out)]) of JSON: a ledger's own JSON Lines, or W&B's. None: neither.
    OSError."""
    objects, wrong = wandb.objects(path)
    if not objects or not all("task_name" in o and "created_at" in o for o in objects):
        return wandb.json_runs(path, objects, wrong)
    runs = []
    for place, task in enumerate(objects, 1):
        where = f"{path} run {place}"
        if task.get("status") in ("pending", "running"):
            wrong.append(
                (where, t("it is {status}: a run that is not over yet cannot be imported", status=task["status"]))
            )
            continue
        extra = task.get("additional_args")
        fields = {name: task.get(name) for name in FIELDS if name not in ("config_snapshot", "additional_args")}
        source = export_mark(task.get("id"), task["created_at"])
        past = PastRun(where, source, fields, extra if isinstance(extra, dict) else {}, task.get("config_snapshot"))
        if task.get("defaulted_fields"):
            past.past["defaulted_fields"] = task["defaulted_fields"]
        runs.append(past)
    return runs, wrong
