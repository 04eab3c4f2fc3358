"""Runs out of MLflow's file store: `mlruns/<experiment>/<run>/` with meta.yaml, params/, metrics/ and tags/.

Layout: mlflow/store/tracking/file_store.py. A metric's file has a line a value, `timestamp_ms value step`; names with a
slash are folders.
"""

import os
from pathlib import Path

from ..points import iso
from ..yaml_reader import read_yaml
from .run import PastRun, entries_of, fields_of_settings

# RunStatus of mlflow/protos/service.proto.
_STATUS = {3: "success", 4: "failed", 5: "cancelled", "FINISHED": "success", "FAILED": "failed", "KILLED": "cancelled"}
LONGEST = 1_000_000


def is_run(folder):
    """Whether the folder is a run of a file store."""
    return (folder / "meta.yaml").is_file() and ((folder / "metrics").is_dir() or (folder / "params").is_dir())


def runs(folder):
    """(PastRuns, [(path, why it is left out)]) of all runs below the folder, oldest first."""
    found, left = [], []
    for at, folders, names in os.walk(folder):
        folders.sort()
        if ".trash" in folders:
            folders.remove(".trash")
        path = Path(at)
        if "meta.yaml" in names and is_run(path):
            folders[:] = []
            try:
                found.append(_run(path))
            except (OSError, ValueError) as error:
                left.append((path, str(error)))
    return sorted((r for r in found), key=lambda r: r.fields.get("started_at") or ""), left


def _run(path):
    meta = read_yaml((path / "meta.yaml").read_text(encoding="utf-8", errors="replace"))
    if not isinstance(meta, dict) or not meta.get("run_id", meta.get("run_uuid")):
        raise ValueError("its meta.yaml names no run")
    if meta.get("lifecycle_stage") == "deleted":
        raise ValueError("it was deleted in MLflow")
    status = _STATUS.get(meta.get("status"))
    if status is None:
        raise ValueError("it is not over yet")
    run_id = str(meta.get("run_id", meta.get("run_uuid")))
    params, tags = _texts(path / "params"), _texts(path / "tags")
    experiment = read_yaml(_text(path.parent / "meta.yaml")) or {}
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
    curves = {1: lambda: entries_of(_metrics(path / "metrics"))} if any(_files(path / "metrics")) else {}
    return PastRun(str(path), f"mlflow:{run_id}"[:400], fields, settings=params or None, curves=curves)


def _files(folder):
    """(name, path) of the files below; a name's slashes are folders."""
    for at, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(at) / name
            yield path.relative_to(folder).as_posix(), path


def _text(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(LONGEST)
    except OSError:
        return ""


def _texts(folder):
    return {name: _text(path).rstrip("\n") for name, path in _files(folder)}


def _time(ms):
    return iso(ms / 1000) if isinstance(ms, (int, float)) and ms > 0 else None


def _metrics(folder):
    """{step: {"time", "metrics"}} of all series; of a step that came twice the later line holds."""
    rows = {}
    for name, path in _files(folder):
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                parts = line.split()
                try:
                    ms, value, step = float(parts[0]), float(parts[1]), int(parts[2]) if len(parts) > 2 else 0
                except (ValueError, IndexError):
                    # A line that was cut off while it was written.
                    continue
                row = rows.setdefault(step, {"time": _time(ms), "metrics": {}})
                row["metrics"][name] = value
    return rows
