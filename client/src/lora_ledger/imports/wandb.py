"""Runs out of Weights & Biases: an offline run's folder, and JSON of runs or of one run's history.

An offline folder's `run-ID.wandb` is a header of 7 bytes and LevelDB's log format (blocks of 32 kB; records of CRC-32C,
length, type and data, in pieces), each record a `Record` of wandb/proto/wandb_internal.proto.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, BinaryIO

from ..core.errors import TooMuchError
from ..core.language import t
from ..core.reading import MOST_CONTAINERS, folders, lines, loads, open_file, read_start
from ..core.terminal import size_text
from ..core.types import section
from ..core.yaml_reader import read_yaml
from ..follow.tensorboard import _fields
from ..recording.points import iso
from . import fields as names
from .run import Curves, PastRun, entries_of, fields_of_settings

BLOCK = 32_768
HEADER = 7
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_STATES = {"finished": "success", "crashed": "failed", "failed": "failed", "killed": "cancelled", "preempted": "failed"}
MOST_BYTES = 2_000_000_000
MOST_RECORD = 16_000_000
# A step's values take some hundred bytes of memory each.
MOST_VALUES = 10_000_000
MOST_STEPS = 2_000_000
MOST_ENTRIES = 1_000_000
MOST_JSON = 500_000_000
MOST_WHOLE_JSON = 200_000_000
MOST_LINE = 64_000_000
MOST_WRONG = 10_000
MOST_TEXT = 4_000_000
# What a file of another tool may hold where it is none that the tool wrote.
ODD = (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError)


def records(file: IO[bytes]) -> Iterator[bytes]:
    """The log's records as bytes, read block by block. What was cut off at the end (a killed run) ends it quietly."""
    file.seek(HEADER)
    room = BLOCK - HEADER
    pieces, length = None, 0
    while True:
        block = file.read(room)
        at, room = 0, BLOCK
        while at + 7 <= len(block):
            size, kind = struct.unpack_from("<HB", block, at + 4)
            piece = block[at + 7 : at + 7 + size]
            if len(piece) < size or kind == 0:
                return
            at += 7 + size
            if kind == _FULL:
                yield piece
            elif kind == _FIRST:
                pieces, length = [piece], size
            elif pieces is not None and kind in (_MIDDLE, _LAST):
                pieces.append(piece)
                length += size
                if length > MOST_RECORD:
                    # A table or a picture, of which nothing is recorded here.
                    pieces = None
                elif kind == _LAST:
                    yield b"".join(pieces)
                    pieces = None
        if not block:
            return


def _item(data: bytes) -> tuple[str, Any]:
    """(key, value) of a HistoryItem, ConfigItem or SummaryItem. A nested key is joined with points."""
    key, nested, value = "", [], None
    for number, wire, raw in _fields(data):
        if number == 1 and wire == 2:
            key = raw.decode("utf-8", "replace")
        elif number == 2 and wire == 2:
            nested.append(raw.decode("utf-8", "replace"))
        elif number == 4 and wire == 0:
            value = bool(raw)
        elif number == 5 and wire == 0:
            value = (raw >> 1) ^ -(raw & 1)
        elif number == 6 and wire == 1:
            value = struct.unpack("<d", raw)[0]
        elif number == 7 and wire == 2:
            value = raw.decode("utf-8", "replace")
        elif number in (8, 16) and wire == 2:
            value = _loads(raw)
    return key or ".".join(nested), value


def _loads(raw: Any, most: int = MOST_CONTAINERS) -> Any:
    try:
        return loads(raw, most)
    except ValueError:
        return None


def _text(raw: Any) -> Any:
    return raw.decode("utf-8", "replace")


class Log:
    """What a `.wandb` file says: `run`, `config`, `summary` (dicts), `rows` ({step: row}), `exit_code` (None: no
    end)."""

    def __init__(self, path: Path) -> None:
        self.run, self.config, self.summary, self.rows = {}, {}, {}, {}
        self.exit_code = None
        self.newest = None
        self._values = 0
        with open_file(path) as file:
            if os.fstat(file.fileno()).st_size > MOST_BYTES:
                raise TooMuchError(t("it is larger than {most_bytes}", most_bytes=size_text(MOST_BYTES)))
            if file.read(4) != b":W&B":
                raise ValueError(t("it is no W&B log"))
            try:
                for record in records(file):
                    for number, wire, value in _fields(record):
                        if wire == 2:
                            self._take(number, value)
            except (IndexError, ValueError, struct.error) as error:
                if not self.run or isinstance(error, TooMuchError):
                    raise ValueError(t("it cannot be read ({error})", error=error)) from error

    def _take(self, number: int, value: Any) -> None:
        if number == 2:
            self._history(value)
        elif number in (3, 5):
            target = self.summary if number == 3 else self.config
            target.update(_item(v) for n, w, v in _fields(value) if n == 1 and w == 2)
        elif number == 17:
            self._run(value)
        elif number == 18:
            # A code of 0 is not written at all.
            self.exit_code = next((v for n, w, v in _fields(value) if n == 1 and w == 0), 0)

    def _run(self, data: bytes) -> None:
        texts = {1: "id", 3: "project", 6: "group", 8: "name", 9: "notes", 13: "host"}
        for number, wire, value in _fields(data):
            if number in texts and wire == 2:
                self.run[texts[number]] = _text(value)
            elif number == 10 and wire == 2:
                self.run.setdefault("tags", []).append(_text(value))
            elif number == 4 and wire == 2:
                self.config.update(_item(v) for n, w, v in _fields(value) if n == 1 and w == 2)
            elif number == 17 and wire == 2:
                self.run["started"] = next((v for n, w, v in _fields(value) if n == 1 and w == 0), None)
            elif number == 21 and wire == 2:
                self.run["commit"] = next((_text(v) for n, w, v in _fields(value) if n == 2 and w == 2), None)

    def _history(self, data: bytes) -> None:
        row, step = {}, None
        for number, wire, value in _fields(data):
            if number == 1 and wire == 2:
                key, found = _item(value)
                row[key] = found
            elif number == 2 and wire == 2:
                step = next((v for n, w, v in _fields(value) if n == 1 and w == 0), 0)
        if step is not None:
            row.setdefault("_step", step)
        if isinstance(row.get("_timestamp"), (int, float)):
            self.newest = max(self.newest or 0, row["_timestamp"])
        self._values += len(row)
        if self._values > MOST_VALUES or len(self.rows) > MOST_STEPS:
            raise TooMuchError(
                t(
                    "its history has more than {most_values} values or {most_steps} steps",
                    most_values=MOST_VALUES,
                    most_steps=MOST_STEPS,
                )
            )
        _add(self.rows, row)


def _add(rows: Any, row: dict[str, Any]) -> None:
    """Puts a history row's numbers to its step."""
    step = row.get("_step", len(rows))
    if isinstance(step, float) and math.isfinite(step) and step == int(step):
        step = int(step)
    if isinstance(step, bool) or not isinstance(step, int):
        return
    kept = rows.setdefault(step, {"metrics": {}})
    stamp = row.get("_timestamp")
    if isinstance(stamp, (int, float)) and stamp > 0:
        kept["time"] = iso(stamp / 1000 if stamp > 1e11 else stamp)
    for key, value in _flat(row):
        # JSON of W&B writes what is no number as a word.
        value = (
            {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}.get(value, value)
            if isinstance(value, str)
            else value
        )
        if isinstance(value, (int, float)) and not key.startswith("_"):
            kept["metrics"][key] = value
    epoch = kept["metrics"].get("epoch", kept["metrics"].get("train/epoch"))
    if isinstance(epoch, (int, float)) and math.isfinite(epoch) and epoch >= 0:
        kept["epoch"] = epoch


def _flat(row: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in row.items():
        if isinstance(value, dict) and "_type" not in value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + str(key), value


def settings_of(config: Any) -> dict[str, Any]:
    """A configuration without W&B's own entries; `{"value": …}` around values, as files have it, taken off."""
    plain = {}
    for key, value in config.items() if isinstance(config, dict) else ():
        if key.startswith("_") or key == "wandb_version":
            continue
        plain[key] = (
            value["value"]
            if isinstance(value, dict) and "value" in value and set(value) <= {"value", "desc"}
            else value
        )
    return plain


def _final_loss(summary: Any) -> int | float | None:
    for name in ("loss", "train/loss", "train_loss", "loss/average", "loss/current"):
        value = summary.get(name)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
            return value
    return None


def _words(values: Any) -> dict[str, str] | None:
    return {str(v)[:100]: "yes" for v in values[:100] if str(v)} if isinstance(values, list) else None


def is_run(folder: Path) -> bool:
    """Whether the folder is a run of W&B's: `run-…` or `offline-run-…`, with its log or its files."""
    return folder.is_dir() and (any(folder.glob("run-*.wandb")) or (folder / "files" / "wandb-summary.json").is_file())


def runs(folder: Path) -> tuple[list[PastRun], list[tuple[str, str]]]:
    """(PastRuns, [(path, why it is left out)]) of all run folders below, oldest first."""
    found, left = [], []
    for at, below, _ in folders(folder, MOST_ENTRIES):
        path = Path(at)
        # `latest-run` is a link to one of the others.
        if is_run(path) and not path.is_symlink():
            below[:] = []
            try:
                found.append(_folder(path))
            except ODD as error:
                left.append((path, str(error)))
    return sorted(found, key=lambda r: r.fields.get("started_at") or ""), left


def _folder(path: Path) -> PastRun:
    files = path / "files"
    log_path = next(iter(sorted(path.glob("run-*.wandb"))), None)
    log = Log(log_path) if log_path else None
    config = read_yaml(read_start(files / "config.yaml", MOST_TEXT)) or (log.config if log else {})
    summary = _loads(read_start(files / "wandb-summary.json", MOST_TEXT) or "null") or (log.summary if log else {})
    metadata = _loads(read_start(files / "wandb-metadata.json", MOST_TEXT) or "null")
    metadata = metadata if isinstance(metadata, dict) else {}
    run = log.run if log else {}
    run_id = run.get("id") or path.name.rpartition("-")[2]
    ended = log.newest if log else None
    state = None if log and log.exit_code is None else "success" if not (log and log.exit_code) else "failed"
    fields = {
        "status": state or "failed",
        "exit_code": log.exit_code if log else None,
        "error_message": None
        if state
        else t("The run's record ends without its end: it was killed, or its machine was lost."),
        "started_at": iso(run["started"]) if run.get("started") else _when(metadata.get("startedAt")),
        "finished_at": iso(ended) if ended else None,
        "gpu_info": _gpu(metadata),
        "git_commit": run.get("commit") or _get(metadata, "git", "commit"),
    }
    about = {
        **{
            "id": run_id,
            "name": run.get("name"),
            "group": run.get("group") or run.get("project"),
            "notes": run.get("notes"),
        },
        **{"tags": run.get("tags"), "config": config, "summary": summary},
    }
    rows = log.rows if log else {}
    return _past(str(path), about, fields, rows)


def _past(where: str, about: dict[str, Any], fields: dict[str, Any], rows: Any) -> PastRun:
    """A PastRun of what W&B says: id, name, group, notes, tags, config, summary; `fields` go before what these tell."""
    settings = settings_of(about.get("config"))
    found = fields_of_settings(dict(_flat(settings)))
    found.update({k: v for k, v in fields.items() if v is not None})
    run_id = str(about.get("id") or "")
    found["task_name"] = str(about.get("name") or run_id or "W&B run")[:300]
    if about.get("group"):
        found.setdefault("experiment_group", str(about["group"])[:200])
    if about.get("notes"):
        found["notes"] = str(about["notes"])[:50_000]
    if about.get("tags"):
        found["tags"] = _words(about["tags"])
    summary = section(about, "summary")
    has_curve = any(row["metrics"] for row in rows.values())
    if not has_curve:
        found.setdefault("final_loss", _final_loss(summary))
    curves: Curves = {1: lambda: entries_of(rows)} if has_curve else {}
    return PastRun(where, f"wandb:{run_id}"[:400], found, settings=settings or None, curves=curves)


def _get(value: Any, *path: Any) -> Any:
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, str) else None


def _gpu(metadata: Any) -> str | None:
    for value in (metadata.get("gpu"), metadata.get("gpu_type")):
        if isinstance(value, str) and value:
            return value[:500]
    return None


def _when(text: Any) -> str | None:
    try:
        return names.time(text) if text else None
    except ValueError:
        return None


def json_runs(path: Path, objects: Any, left: Any) -> tuple[list[PastRun], list[tuple[str, str]]] | None:
    """(PastRuns, [(place, why it is left out)]) of runs as wandb.Api gives them, or one run's history; None:
    neither."""
    if objects and all("_step" in o for o in objects):
        return [_history(path, objects)], left
    found = []
    for at, about in enumerate(objects, 1):
        known = {"config", "summary", "summary_metrics", "summaryMetrics", "history"} & set(about)
        if not known:
            return None
        try:
            found.append(_object(f"{path} run {at}", about))
        except ODD as error:
            left.append((t("{path} run {at}", path=path, at=at), str(error)))
    return (found, left) if found or left else None


def _history(path: Path, rows_of_file: Any) -> PastRun:
    """One run by its history alone, known by what it holds."""
    rows = {}
    for row in rows_of_file:
        _add(rows, row)
    content = json.dumps([sorted((k, str(v)) for k, v in row.items()) for row in rows_of_file])
    mark = "history:" + hashlib.sha256(content.encode()).hexdigest()[:40]
    return _past(str(path), {"id": mark, "name": path.stem}, {"status": "success"}, rows)


def history_of(sheet: Any) -> PastRun | None:
    """The run whose history a CSV is (it has a column `_step`), or None."""
    if not any(column.header == "_step" for column in sheet.columns):
        return None
    rows = []
    for _, cells in sheet.rows:
        row = {}
        for column, text in zip(sheet.columns, cells):
            try:
                row[column.header] = names.number(text)
            except ValueError:
                continue
        if "_step" in row:
            rows.append(row)
    return _history(sheet.path, rows)


def objects(path: Path) -> tuple[list[dict[str, Any]], list[tuple[str, str]]]:
    """(the JSON objects of a file, [(line, what is wrong)]). Raises OSError or TooMuchError."""
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > MOST_JSON:
            raise TooMuchError(t("it is larger than {most_json}: split it", most_json=size_text(MOST_JSON)))
        first = file.readline(MOST_LINE)
        rest = file.read(1)
        file.seek(0)
        if rest and isinstance(_loads(_bare(first)), dict):
            return _json_lines(path, file)
        if size > MOST_WHOLE_JSON:
            raise TooMuchError(
                t(
                    "it is one JSON text larger than {most_whole_json}: write it as JSON Lines, a run a line",
                    most_whole_json=size_text(MOST_WHOLE_JSON),
                )
            )
        whole = _loads(_bare(file.read()), MOST_VALUES)
        if isinstance(whole, dict) and isinstance(whole.get("runs"), list):
            whole = whole["runs"]
        if isinstance(whole, list):
            return [o for o in whole if isinstance(o, dict)], []
        if isinstance(whole, dict):
            return [whole], []
        file.seek(0)
        return _json_lines(path, file)


def _bare(data: bytes) -> Any:
    return data[3:] if data.startswith(b"\xef\xbb\xbf") else data


def _json_lines(path: Path, file: BinaryIO) -> tuple[list[dict[str, Any]], list[tuple[str, str]]]:
    found, wrong = [], []
    for number, line in enumerate(lines(file, MOST_LINE), 1):
        if line is None:
            wrong.append(
                (
                    t("{path} line {number}", path=path, number=number),
                    t("it is longer than {most_line}", most_line=size_text(MOST_LINE)),
                )
            )
            continue
        line = _bare(line).strip()
        value = _loads(line) if line.startswith(b"{") else {} if not line else None
        if isinstance(value, dict):
            found.append(value) if value else None
        elif len(wrong) < MOST_WRONG:
            wrong.append((t("{path} line {number}", path=path, number=number), t("it is no JSON object")))
    return found, wrong if found else []


def _object(where: str, about: dict[str, Any]) -> PastRun:
    """A run as wandb.Api has it: id, name or displayName, state, createdAt, config, summary, tags, notes, group,
    history."""
    for name in ("config", "summary", "summary_metrics", "summaryMetrics"):
        if isinstance(about.get(name), str):
            about = {**about, name: _loads(about[name]) or {}}
    run_id = about.get("id") or about.get("run_id")
    name = about.get("display_name") or about.get("displayName") or about.get("name")
    if not run_id and not name:
        raise ValueError(t("it has neither an id nor a name"))
    state = str(about.get("state") or "finished").casefold()
    if state not in _STATES:
        raise ValueError(t("it is {state}: a run that is not over yet cannot be imported", state=state))
    summary = about.get("summary") or about.get("summary_metrics") or about.get("summaryMetrics") or {}
    runtime = summary.get("_runtime") if isinstance(summary, dict) else None
    fields = {
        "status": _STATES[state],
        "failure_reason": "preempted" if state == "preempted" else None,
        "started_at": _when(about.get("created_at") or about.get("createdAt")),
        "total_duration_sec": runtime if isinstance(runtime, (int, float)) and runtime >= 0 else None,
        "finished_at": iso(summary["_timestamp"])
        if isinstance(summary, dict) and isinstance(summary.get("_timestamp"), (int, float))
        else None,
    }
    rows = {}
    history = about.get("history")
    for row in history if isinstance(history, list) else ():
        if isinstance(row, dict):
            _add(rows, row)
    plain = {
        **{
            "id": run_id or name,
            "name": name,
            "group": about.get("group") or about.get("project"),
            "notes": about.get("notes"),
        },
        **{"tags": about.get("tags"), "config": about.get("config"), "summary": summary},
    }
    return _past(where, plain, fields, rows)
