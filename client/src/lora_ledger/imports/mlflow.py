"""Runs out of MLflow's file store: `mlruns/<experiment>/<run>/` with meta.yaml, params/, metrics/ and tags/.

Layout: mlflow/store/tracking/file_store.py. A metric's file has a line a value, `timestamp_ms value step`; names with a
slash are folders.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..core.errors import TooMuchError
from ..core.language import t
from ..core.reading import folders, lines, open_file, read_start
from ..core.terminal import size_text
from ..core.yaml_reader import read_yaml
from ..recording.points import iso
from .run import Curves, PastRun, entries_of, fields_of_settings
from .wandb import MOST_ENTRIES, MOST_STEPS, MOST_VALUES, ODD

# RunStatus of mlflow/protos/service.proto.
_STATUS = {3: "success", 4: "failed", 5: "cancelled", "FINISHED": "success", "FAILED": "failed", "KILLED": "cancelled"}
LONGEST = 1_000_000
LONGEST_LINE = 1000
MOST_TEXT = 16_000_000
MOST_FILES = 100_000


def is_run(folder: Path) -> bool:
    """Whether the folder is a run of a file store."""
    return (folder / "meta.yaml").is_file() and ((folder / "metrics").is_dir() or (folder / "params").is_dir())


def runs(folder: Path) -> tuple[list[PastRun], list[tuple[str, str]]]:
    """(PastRuns, [(path, why it is left out)]) of all runs below the folder, oldest first."""
    found, left = [], []
    for at, below, names in folders(folder, MOST_ENTRIES):
        if ".trash" in below:
            below.remove(".trash")
        path = Path(at)
        if "meta.yaml" in names and is_run(path):
            below[:] = []
            try:
                found.append(_run(path))
            except ODD as error:
                left.append((path, str(error)))
    return sorted((r for r in found), key=lambda r: r.fields.get("started_at") or ""), left


def _run(path: Path) -> PastRun:
    meta = read_yaml(read_start(path / "meta.yaml", LONGEST))
    if not isinstance(meta, dict) or not meta.get("run_id", meta.get("run_uuid")):
        raise ValueError(t("its meta.yaml names no run"))
    if meta.get("lifecycle_stage") == "deleted":
        raise ValueError(t("it was deleted in MLflow"))
    status = _STATUS.get(meta.get("status"))
    if status is None:
        raise ValueError(t("it is not over yet"))
    run_id = str(meta.get("run_id", meta.get("run_uuid")))
    params, tags = _texts(path / "params"), _texts(path / "tags")
    experiment = read_yaml(read_start(path.parent / "meta.yaml", LONGEST)) or {}
    fields = fields_of_settings(params)
    fields.update(
        task_name=(tags.get("mlflow.runName") or str(meta.get("run_name") or "") or run_id)[:300],
        status=status,
        started_at=_time(meta.get("start_time")),
        finished_at=_time(meta.get("end_time")),
        notes=tags.get("mlflow.note.content"),
        git_commit=(tags.get("mlflow.source.git.commit") or "")[:200] or None,
        tags={k[:100]: v[:1000] for k, v in list(tags.items())[:100] if not k.startswith("mlflow.")} or None,
    )
    if isinstance(experiment, dict) and experiment.get("name") not in (None, "Default"):
        fields.setdefault("experiment_group", str(experiment["name"])[:200])
    curves: Curves = {1: lambda: entries_of(_metrics(path / "metrics"))} if any(_files(path / "metrics")) else {}
    return PastRun(str(path), f"mlflow:{run_id}"[:400], fields, settings=params or None, curves=curves)


def _files(folder: Path) -> Iterator[tuple]:
    """(name, path) of the files below; a name's slashes are folders."""
    for at, _, names in folders(folder, MOST_FILES):
        for name in names:
            path = Path(at) / name
            yield path.relative_to(folder).as_posix(), path


def _texts(folder: Path) -> dict[str, str]:
    found, length = {}, 0
    for name, path in _files(folder):
        found[name] = read_start(path, LONGEST).rstrip("\n")
        length += len(found[name])
        if length > MOST_TEXT:
            raise TooMuchError(
                t("its {name} are larger than {most_text}", name=folder.name, most_text=size_text(MOST_TEXT))
            )
    return found


def _time(ms: Any) -> str | None:
    return iso(ms / 1000) if isinstance(ms, (int, float)) and ms > 0 else None


def _metrics(folder: Path) -> dict[int, dict[str, Any]]:
    """{step: {"time", "metrics"}} of all series; of a step that came twice the later line holds."""
    rows, count = {}, 0
    for name, path in _files(folder):
        with open_file(path) as file:
            for line in lines(file, LONGEST_LINE):
                parts = line.split() if line else []
                try:
                    ms, value, step = float(parts[0]), float(parts[1]), int(parts[2]) if len(parts) > 2 else 0
                except (ValueError, IndexError):
                    # A line that was cut off while it was written.
                    continue
                count += 1
                if count > MOST_VALUES or len(rows) > MOST_STEPS:
                    raise TooMuchError(
                        t(
                            "its metrics have more than {most_values} values or {most_steps} steps",
                            most_values=MOST_VALUES,
                            most_steps=MOST_STEPS,
                        )
                    )
                row = rows.setdefault(step, {"time": _time(ms), "metrics": {}})
                row["metrics"][name] = value
    return rows
