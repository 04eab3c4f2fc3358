"""`lora-ledger ls`: a table of runs, filtered in the ledger's own language."""

import json

from ..core.api import Api, figure, length, moment, put, table

HEADS = ("ID", "NAME", "STATUS", "RANK", "ALPHA", "LR", "STEPS", "LOSS", "TOOK", "CREATED")


def row_of(task):
    """One run's cells."""
    progress = task.get("progress") if isinstance(task.get("progress"), dict) else {}
    step, total = progress.get("step"), progress.get("total_steps")
    status = str(task.get("status"))
    if task.get("failure_reason") and task["failure_reason"] != "error":
        status += f" ({task['failure_reason']})"
    return (
        task.get("id"),
        task.get("task_name"),
        status,
        figure(task.get("lora_rank")),
        figure(task.get("lora_alpha")),
        figure(task.get("learning_rate")),
        f"{step}/{total}" if step is not None and total else figure(step),
        figure(task.get("final_loss")),
        length(task.get("total_duration_sec")),
        moment(task.get("created_at")),
    )


def ls(settings, options):
    """Prints the runs, newest first unless ordered otherwise; with --json one JSON object a line."""
    words = " ".join(options.filter).strip() or None
    items = Api(settings).pages("/api/tasks", options.limit, filter=words, order_by=options.order_by)
    if options.json:
        for task in items:
            put(json.dumps(task, ensure_ascii=False))
        return 0
    rows = [row_of(task) for task in items]
    if not rows:
        put("no runs match" if words else "no runs yet")
        return 0
    for line in table(HEADS, rows):
        put(line)
    return 0
