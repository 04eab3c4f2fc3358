"""Runs out of Weights & Biases: an offline run's folder, and JSON of runs or of one run's history."""

from __future__ import annotations

import hashlib
import json
import math
import os
from pathlib import Path
from typing import Any, BinaryIO

from ..core.errors import TooMuchError
from ..core.language import t
from ..core.reading import folders, lines, open_file, read_start
from ..core.terminal import size_text
from ..core.types import section
from ..core.yaml_reader import read_yaml
from ..follow import wandb_file as log
from ..follow.wandb_file import DAMAGE, WandbFile, flat, load, settings_of
from ..recording.points import iso
from . import fields as names
from .run import Curves, PastRun, entries_of, fields_of_settings

_STATES = {"finished": "success", "crashed": "failed", "failed": "failed", "killed": "cancelled", "preempted": "failed"}
MOST_BYTES = 2_000_000_000
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


class Log:
    """What a `.wandb` file says: `run`, `config`, `summary` (dicts), `rows` ({step: row}), `exit_code` (None: no
    end)."""

    def __init__(self, path: Path) -> None:
        self.run, self.config, self.summary, self.rows = {}, {}, {}, {}
        self.exit_code = None
        self.newest = None
        self._values = 0
        file = WandbFile(path)
        if os.path.getsize(path) > MOST_BYTES:
            raise TooMuchError(t("it is larger than {most_bytes}", most_bytes=size_text(MOST_BYTES)))
        if not file.starts_well():
            raise ValueError(t("it is no W&B log"))
        try:
            for record in file.records():
                for number, message in log.parts(record):
                    self._take(number, message)
        except DAMAGE as error:
            if not self.run or isinstance(error, TooMuchError):
                raise ValueError(t("it cannot be read ({error})", error=error)) from error

    def _take(self, number: int, message: bytes) -> None:
        if number == log.HISTORY:
            self._history(log.history(message))
        elif number == log.SUMMARY:
            self.summary.update(flat(log.items(message)))
        elif number == log.CONFIG:
            self.config.update(log.items(message))
        elif number == log.RUN:
            run = log.run_of(message)
            self.config.update(run.pop("config"))
            self.run.update(run)
        elif number == log.EXIT:
            self.exit_code = log.exit_code(message)

    def _history(self, row: dict[str, Any]) -> None:
        if isinstance(row.get("_timestamp"), (int, float)):
            self.newest = max(self.newest or 0, row["_timestamp"])
        self._values += sum(1 for _ in flat(row))
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
    step = log.step_of(row) if "_step" in row else len(rows)
    if step is None:
        return
    kept = rows.setdefault(step, {"metrics": {}})
    when = log.time_of(row)
    if when is not None:
        kept["time"] = iso(when)
    kept["metrics"].update(log.values_of(row))
    epoch = log.epoch_of(kept["metrics"])
    if epoch is not None:
        kept["epoch"] = epoch


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
    told = Log(log_path) if log_path else None
    config = read_yaml(read_start(files / "config.yaml", MOST_TEXT)) or (told.config if told else {})
    summary = load(read_start(files / "wandb-summary.json", MOST_TEXT) or "null") or (told.summary if told else {})
    metadata = load(read_start(files / "wandb-metadata.json", MOST_TEXT) or "null")
    metadata = metadata if isinstance(metadata, dict) else {}
    run = told.run if told else {}
    run_id = run.get("id") or path.name.rpartition("-")[2]
    ended = told.newest if told else None
    state = None if told and told.exit_code is None else "success" if not (told and told.exit_code) else "failed"
    fields = {
        "status": state or "failed",
        "exit_code": told.exit_code if told else None,
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
    rows = told.rows if told else {}
    return _past(str(path), about, fields, rows)


def _past(where: str, about: dict[str, Any], fields: dict[str, Any], rows: Any) -> PastRun:
    """A PastRun of what W&B says: id, name, group, notes, tags, config, summary; `fields` go before what these tell."""
    settings = settings_of(about.get("config"))
    found = fields_of_settings(dict(flat(settings)))
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
        if rest and isinstance(load(_bare(first)), dict):
            return _json_lines(path, file)
        if size > MOST_WHOLE_JSON:
            raise TooMuchError(
                t(
                    "it is one JSON text larger than {most_whole_json}: write it as JSON Lines, a run a line",
                    most_whole_json=size_text(MOST_WHOLE_JSON),
                )
            )
        whole = load(_bare(file.read()), MOST_VALUES)
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
        value = load(line) if line.startswith(b"{") else {} if not line else None
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
            about = {**about, name: load(about[name]) or {}}
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
