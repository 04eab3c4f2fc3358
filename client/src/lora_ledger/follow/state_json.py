"""Reads transformers' trainer_state.json: what a run logged up to a checkpoint, for runs that print nothing."""

from ..core.reading import loads, read_file

LIMIT = 64 * 1024 * 1024


def read_history(path):
    """[(step, epoch, {name: number}), …] of `log_history`; empty where the file cannot be read."""
    try:
        document = loads(read_file(path, LIMIT))
        rows = document["log_history"]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    found = []
    for row in rows if isinstance(rows, list) else []:
        if not isinstance(row, dict) or not isinstance(row.get("step"), int):
            continue
        values = {
            name: value
            for name, value in row.items()
            if name not in ("step", "epoch") and isinstance(value, (int, float)) and not isinstance(value, bool)
        }
        epoch = row.get("epoch")
        found.append((row["step"], epoch if isinstance(epoch, (int, float)) else None, values))
    return found
