"""`run` and `sync` with what `safe` needs to know afterwards: which runs this box had, and where they wrote."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from ..core import terminal
from ..core.errors import UsageError
from ..core.language import t
from ..core.reading import open_file
from ..core.redact import redact_command
from ..core.settings import Settings
from ..core.types import StrPath
from ..recording.run import RunCommand
from ..trainers import Table, recognise
from ..trainers.launch import find_config
from . import safe
from .box_records import Record
from .dialects import dialect_of
from .options import ENVIRONMENT, add_guard, add_ledger_options, add_trackers, tag

RUN_EXAMPLES = (
    t("""
examples:
  Put it before the command that you use today:
    lora-ledger run -- accelerate launch train_network.py --config_file my_lora.toml

  Name the run and compare it with others later:
    lora-ledger run --name aki-v3 --group aki --tag kind=style --hourly-price 0.44 -- accelerate launch …

  Go on after a lost box, as the next attempt of task 42:
    lora-ledger run --resume-task 42 -- accelerate launch train_network.py --config_file my_lora.toml \\
        --resume output/aki-000004-state

how it ends:
  The exit code is the trainer's own (128 + n after signal n). Ctrl-C stops the trainer and records `cancelled`; a second
  Ctrl-C kills it. SIGTERM, which clouds send when they reclaim a box, records `failed`, reason `preempted`.
  When the ledger cannot be reached, training goes on and the record waits on disk: `lora-ledger sync` sends it.
""")  # noqa: E501
    + ENVIRONMENT
)


def output_folders(
    command: list[str], config: StrPath | None, output_dir: str | None, dialect: Table | None = None
) -> list[Path]:
    """The folders that a command will write to, as its trainer's module finds them; none when nobody can tell."""
    try:
        path = config or find_config(command)
        text = None
        if path:
            with open_file(path) as file:
                text = file.read(4 * 1024 * 1024).decode("utf-8", "replace")
        return recognise(command, text, os.getcwd(), output_dir, dialect).folders()
    except Exception as error:
        # Without it every file found later counts as this run's, which errs on the safe side.
        terminal.trouble(error)
        return []


def record(
    settings: Settings, options: argparse.Namespace, command: list[str], extra: dict[str, Any] | None = None
) -> int:
    """Runs a trainer and records it; returns the trainer's exit code. Says at the end whether the box may go."""
    own = dialect_of(settings, options.dialect)
    options.table = own[0] if own else None
    runner = RunCommand(settings, options, command, {**(extra or {}), **({"dialect": own[1]} if own else {})})
    folders = output_folders(command, options.config, options.output_dir, options.table)
    record = Record(settings.spool, redact_command(command), folders)
    record.begin(runner)
    try:
        return runner.run()
    finally:
        record.end(runner)
        # A box that is being reclaimed has no time left for questions.
        if not (runner.stopping.preempted or runner.stopping.superseded):
            safe.tell_at_end(settings, runner)


def claimed(text: str) -> dict[str, int]:
    """TASK:ATTEMPT:SEQ of a run that an agent has claimed and has begun to report on."""
    task, attempt, seq = (int(part) for part in text.split(":"))
    return {"task_id": task, "attempt": attempt, "seq": seq}


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Adds the command to the command line."""
    parser = commands.add_parser(
        "run",
        epilog=RUN_EXAMPLES,
        help=t("run a trainer and record it"),
        usage=t("lora-ledger run [options] -- COMMAND…"),
        description=t(
            "Starts the trainer unchanged, passes its output through, and records the run in the background."
        ),
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        help=t("the trainer's configuration (default: the command's --config_file or --config)"),
    )
    parser.add_argument(
        "--dialect",
        metavar="FILE|NAME",
        help=t("how the trainer is read: a file of your own, or the name of one on the ledger (see `dialect`)"),
    )
    parser.add_argument("--name", metavar="NAME", help=t("the task's name (default: from the configuration)"))
    parser.add_argument("--group", metavar="GROUP", help=t("the experiment group"))
    parser.add_argument("--tag", metavar="K=V", type=tag, action="append", default=[], help=t("a tag; may be repeated"))
    parser.add_argument("--notes", metavar="TEXT", help=t("notes for people"))
    parser.add_argument(
        "--output-dir", metavar="DIR", help=t("where the weights will appear (default: from the configuration)")
    )
    parser.add_argument(
        "--upload-state",
        action="store_true",
        help=t("upload the folders that training can be resumed from, too (large)"),
    )
    parser.add_argument("--hourly-price", metavar="PRICE", type=float, help=t("what this box costs an hour"))
    parser.add_argument("--resume-task", metavar="ID", type=int, help=t("record as the next attempt of this task"))
    parser.add_argument(
        "--from-step",
        metavar="N",
        type=int,
        help=t("the step that a resumed run goes on from (default: found from --resume)"),
    )
    # TASK:ATTEMPT:SEQ of a run that an agent has claimed and has begun to report on.
    parser.add_argument("--claimed", type=claimed, help=argparse.SUPPRESS)
    # What an agent, or `reproduce`, has found out: another user's run, and the variables that were filled in.
    parser.add_argument("--not-own", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--allow-secret", action="append", default=[], help=argparse.SUPPRESS)
    parser.add_argument("--filled", action="append", default=[], help=argparse.SUPPRESS)
    parser.add_argument(
        "--stop-grace",
        metavar="SECONDS",
        type=float,
        default=30.0,
        help=t("between SIGINT, SIGTERM and SIGKILL when the run has to stop (default: 30)"),
    )
    add_guard(parser)
    add_trackers(parser)
    add_ledger_options(parser)
    parser.add_argument(
        "command",
        nargs=argparse.REMAINDER,
        metavar="-- COMMAND…",
        help=t("the trainer's command, as you would type it"),
    )


def parse(words: list[str]) -> argparse.Namespace:
    """The options of `run` for the words, each with its default."""
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers(required=True))
    return parser.parse_args(["run", *words])


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Runs and records the command behind `--`; the exit code is the trainer's own. Raises UsageError."""
    if not options.command:
        raise UsageError(t("run needs the trainer's command: lora-ledger run [options] -- COMMAND…"))
    options.tags = dict(options.tag)
    return record(settings, options, options.command)
