"""`lora-ledger queue`: puts configurations into the queue for boxes to pull, or shows what waits there."""

import os
import time
import uuid

from ..core import terminal
from ..recording.run import read_config
from ..trainers import recognise
from ..core.transport import backoff
from ..core.api import Api, Plain, moment, printable, put, table

HEADS = ("PLACE", "ID", "NAME", "USER", "STATE", "PRIORITY", "LABELS", "ATTEMPTS", "SINCE")
TRIES = 5


def queue(settings, options):
    """Queues each file as a task; without files lists the queue. The exit code: 1 when a file could not be queued."""
    api = Api(settings)
    if not options.files:
        return _show(api, options)
    wanted = {
        "priority": options.priority,
        "labels": [part.strip() for part in options.labels.split(",") if part.strip()] if options.labels else None,
        "min_gpu_memory_gb": options.min_gpu_memory,
        "max_attempts": options.max_attempts,
        "not_before": options.not_before,
        "depends_on": options.after,
    }
    wanted = {name: value for name, value in wanted.items() if value is not None}
    failed = 0
    for path in options.files:
        try:
            task = _add(api, path, options, wanted)
            put(f"{path}: task {task['id']} ({printable(task['task_name'])})")
        except Plain as error:
            terminal.warn(f"{path}: not queued: {error}")
            failed += 1
    return 1 if failed else 0


def _add(api, path, options, wanted):
    config, text = read_config(path)
    if config is None:
        raise Plain("there is no configuration to read")
    fields = {"config": config, "queue": wanted}
    separate = recognise(["trainer", "--config_file", path], text, os.getcwd(), None).dataset_file()
    dataset = read_config(str(separate))[0] if separate else None
    more = {
        "dataset_file": dataset,
        "experiment_group": options.group,
        "tags": dict(options.tag) or None,
        "task_name": options.name,
        "notes": options.notes,
    }
    fields.update({name: value for name, value in more.items() if value is not None})
    key = {"Idempotency-Key": str(uuid.uuid4())}
    for tries in range(TRIES):
        try:
            # The ledger takes the files' secrets out itself: only the marks it made are filled on another's box.
            answer = api.ask("POST", "/api/tasks", fields, key, keep=("config", "dataset_file"))
            for warning in answer.get("warnings") or []:
                terminal.notice(f"{path}: {warning.get('message')}")
            return answer["task"]
        except Plain as error:
            # None: no answer came, so that asking again with the same key queues nothing twice.
            if getattr(error, "status", 0) is not None or tries == TRIES - 1:
                raise
            time.sleep(backoff(tries))
    raise Plain("the ledger did not answer")


def _why(item):
    waits = item.get("waits_for") or {}
    parts = [f"not before {moment(waits['not_before'])}"] if waits.get("not_before") else []
    parts += [f"after {task['task_id']} ({task.get('status') or 'deleted'})" for task in waits.get("tasks") or []]
    return f"{item['state']}: {', '.join(parts)}" if parts else item["state"]


def _show(api, options):
    user = "me" if options.mine else None
    items = list(api.pages("/api/queue", options.limit, user=user))
    if not items:
        put("nothing waits in the queue")
        return 0
    rows = [
        (
            item["position"],
            item["task_id"],
            item["task_name"],
            item["user"],
            _why(item),
            item["priority"],
            ",".join(item["labels"]) or "-",
            f"{item['attempt']}/{item['max_attempts']}",
            moment(item["created_at"]),
        )
        for item in items
    ]
    for line in table(HEADS, rows, flexible=2):
        put(line)
    return 0
