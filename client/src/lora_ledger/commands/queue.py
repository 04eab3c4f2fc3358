"""`lora-ledger queue`: puts configurations into the queue for boxes to pull, or shows what waits there."""

from __future__ import annotations

import argparse
import os
import time
import uuid
from typing import Any

from ..core import terminal
from ..core.api import Api
from ..core.errors import CommandError
from ..core.language import join_texts, t
from ..core.output import moment, put, table
from ..core.settings import Settings
from ..core.terminal import printable
from ..core.transport import backoff
from ..core.types import StrPath
from ..recording.config_file import read_config
from ..trainers import recognise
from .dialects import dialect_of
from .options import add_command, add_guard, add_ledger_options, count, tag

HEADS = ("PLACE", "ID", "NAME", "USER", "STATE", "PRIORITY", "LABELS", "ATTEMPTS", "SINCE")
TRIES = 5


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Adds the command to the command line."""
    parser = add_command(
        commands,
        "queue",
        t("queue runs for boxes to pull, or show what waits"),
        t(
            "Registers each configuration as a run that a box may pull (`lora-ledger agent`). Without files it shows "
            "what waits, for what, and where in line."
        ),
        "  lora-ledger queue night/*.toml --labels sdxl --group night\n"
        "  lora-ledger queue big.toml --labels sdxl --min-gpu-memory 40 --priority 5 --after 42\n"
        "  lora-ledger queue",
    )
    parser.add_argument(
        "--dialect", metavar="FILE|NAME", help=t("how the files are read: a file of your own, or one on the ledger")
    )
    parser.add_argument("files", nargs="*", metavar="FILE", help=t("configurations; one run each"))
    parser.add_argument("--labels", metavar="A,B", help=t("what a box must offer to get them"))
    parser.add_argument("--min-gpu-memory", metavar="GB", type=float, help=t("the least GPU memory"))
    parser.add_argument("--priority", type=int, metavar="N", help=t("higher comes first among your own (default: 0)"))
    parser.add_argument(
        "--after", metavar="ID", type=int, action="append", help=t("only once this run has succeeded; may be repeated")
    )
    parser.add_argument("--not-before", metavar="TIME", help=t("ISO 8601, such as 2026-05-01T22:00:00Z"))
    parser.add_argument(
        "--max-attempts", metavar="N", type=count, help=t("after so many lost boxes a run has failed (default: 3)")
    )
    parser.add_argument("--name", metavar="NAME", help=t("the runs' name (default: from each configuration)"))
    parser.add_argument("--group", metavar="GROUP", help=t("the experiment group"))
    parser.add_argument("--tag", metavar="K=V", type=tag, action="append", default=[], help=t("a tag; may be repeated"))
    parser.add_argument("--notes", metavar="TEXT", help=t("notes for people"))
    add_guard(parser)
    parser.add_argument("--mine", action="store_true", help=t("show your own runs alone"))
    parser.add_argument("--limit", type=count, default=50, metavar="N", help=t("show at most so many (default: 50)"))
    add_ledger_options(parser)


def run(settings: Settings, options: argparse.Namespace) -> int:
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
    dialect = dialect_of(settings, options.dialect)
    failed = 0
    for path in options.files:
        try:
            task = _add(api, path, options, wanted, dialect)
            put(t("{path}: task {id} ({task_name})", path=path, id=task["id"], task_name=printable(task["task_name"])))
        except CommandError as error:
            terminal.warn(t("{path}: not queued: {error}", path=path, error=error))
            failed += 1
    return 1 if failed else 0


def _add(
    api: Api,
    path: StrPath,
    options: argparse.Namespace,
    wanted: dict[str, Any],
    dialect: tuple[dict[str, Any], str] | None,
) -> Any:
    config, text = read_config(path)
    if config is None:
        raise CommandError(t("there is no configuration to read"))
    fields = {"config": config, "queue": wanted}
    table = dialect[0] if dialect else None
    separate = recognise(["trainer", "--config_file", str(path)], text, os.getcwd(), None, table).dataset_file()
    dataset = read_config(str(separate))[0] if separate else None
    more = {
        "dataset_file": dataset,
        "experiment_group": options.group,
        "tags": dict(options.tag) or None,
        "task_name": options.name,
        "notes": options.notes,
        "dialect": dialect[1] if dialect else None,
        "guard": {"nan": "stop", "over": options.stop_on_nan} if options.stop_on_nan else None,
    }
    fields.update({name: value for name, value in more.items() if value is not None})
    key = {"Idempotency-Key": str(uuid.uuid4())}
    for tries in range(TRIES):
        try:
            # The ledger takes the files' secrets out itself: only the marks it made are filled on another's box.
            answer = api.ask("POST", "/api/tasks", fields, key, keep=("config", "dataset_file"))
            for warning in answer.get("warnings") or []:
                terminal.notice(t("{path}: {message}", path=path, message=warning.get("message")))
            return answer["task"]
        except CommandError as error:
            # None: no answer came, so that asking again with the same key queues nothing twice.
            if not error.unanswered or tries == TRIES - 1:
                raise
            time.sleep(backoff(tries))
    raise CommandError(t("the ledger did not answer"))


def _why(item: dict[str, Any]) -> str:
    waits = item.get("waits_for") or {}
    parts = [t("not before {not_before}", not_before=moment(waits["not_before"]))] if waits.get("not_before") else []
    parts += [
        t("after {task} ({status})", task=task["task_id"], status=task.get("status") or t("deleted"))
        for task in waits.get("tasks") or []
    ]
    return t("{state}: {why}", state=item["state"], why=join_texts(", ", parts)) if parts else item["state"]


def _show(api: Api, options: argparse.Namespace) -> int:
    user = "me" if options.mine else None
    items = list(api.pages("/api/queue", options.limit, user=user))
    if not items:
        put(t("nothing waits in the queue"))
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
