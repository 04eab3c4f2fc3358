"""The command `lora-ledger`: lists the commands, and runs one."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from . import __version__
from .commands import (
    agent,
    cancel,
    config_for,
    credentials,
    dialects,
    diff,
    doctor,
    enrol,
    export,
    import_runs,
    log,
    login,
    logs,
    ls,
    pull,
    push,
    queue,
    reproduce,
    run,
    safe,
    show,
    status,
    sync,
)
from .commands.options import ENVIRONMENT
from .commands.parser import Parser
from .core import settings, terminal
from .core.errors import CommandError, UsageError
from .core.language import t

TOP = (
    t("""
A first run:
  lora-ledger login
  lora-ledger run -- accelerate launch train_network.py --config_file my_lora.toml
  lora-ledger ls

`lora-ledger COMMAND --help` explains each command.
""")
    + ENVIRONMENT
)

# In the order of the help.
COMMANDS = {
    "run": run,
    "log": log,
    "sync": sync,
    "queue": queue,
    "enrol": enrol,
    "agent": agent,
    "login": login,
    "status": status,
    "doctor": doctor,
    "ls": ls,
    "show": show,
    "logs": logs,
    "pull": pull,
    "push": push,
    "cancel": cancel,
    "safe": safe,
    "reproduce": reproduce,
    "diff": diff,
    "export": export,
    "import": import_runs,
    "config": config_for,
    "dialect": dialects,
}


def build_parser() -> argparse.ArgumentParser:
    """The command line of every command."""
    parser = Parser(
        prog="lora-ledger",
        epilog=TOP,
        description=t("Records LoRA training runs in a LoRA Ledger: settings, data facts, loss, hardware, weights."),
    )
    parser.add_argument(
        "--version",
        action="version",
        version=f"lora-ledger {__version__}",
        help=t("show program's version number and exit"),
    )
    commands = parser.add_subparsers(dest="command_name", metavar="COMMAND", required=True)
    for command in COMMANDS.values():
        command.add_parser(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    trailing = None
    if argv[:1] == ["run"] and "--" in argv:
        at = argv.index("--")
        argv, trailing = argv[:at], argv[at + 1 :]
    parser = build_parser()
    options = parser.parse_args(argv)
    if trailing is not None:
        options.command = trailing
    url, key = credentials.complete(options.url, options.key)
    found = settings.resolve(url, key, options.spool, options.flush_timeout, options.quiet)
    _take_price(options)
    try:
        code = COMMANDS[options.command_name].run(found, options)
        sys.stdout.flush()
        return code
    except UsageError as error:
        parser.error(str(error))
    except CommandError as error:
        terminal.warn(str(error))
        return error.code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Nobody reads our output any more (`| head`): Python must not complain about it at its end either.
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        except OSError:
            pass
        return 141
    except Exception as error:
        if terminal.debugging():
            raise
        terminal.warn(
            t(
                "this should not have happened: {kind}: {error}; LEDGER_DEBUG=1 shows where",
                kind=type(error).__name__,
                error=error,
            )
        )
        return 1


def _take_price(options: argparse.Namespace) -> None:
    """What this box costs an hour, from the environment where no flag says it."""
    if getattr(options, "hourly_price", 0) is None and os.environ.get("LEDGER_HOURLY_PRICE"):
        try:
            options.hourly_price = float(os.environ["LEDGER_HOURLY_PRICE"])
        except ValueError:
            terminal.warn(t("LEDGER_HOURLY_PRICE is no number and is left out"))


if __name__ == "__main__":
    sys.exit(main())
