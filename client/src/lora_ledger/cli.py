"""The command `lora-ledger`."""

import argparse
import os
import sys

from . import __version__, say, settings

ENVIRONMENT = """
environment:
  LEDGER_URL     address of the ledger, such as https://ledger.example.workers.dev   (flag: --url)
  LEDGER_KEY     your key; never passed on to the trainer                              (flag: --key)
  LEDGER_SPOOL   where unsent records wait (default: ~/.cache/lora-ledger/spool)       (flag: --spool)
  LEDGER_FLUSH_TIMEOUT, LEDGER_HOURLY_PRICE              (flags: --flush-timeout, --hourly-price)
  LEDGER_DEBUG   1 shows the details of what went wrong inside the client
"""

RUN_EXAMPLES = """
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
""" + ENVIRONMENT

TOP = """
A first run:
  export LEDGER_URL=https://… LEDGER_KEY=…
  lora-ledger run -- accelerate launch train_network.py --config_file my_lora.toml

`lora-ledger COMMAND --help` explains each command.
""" + ENVIRONMENT


def _tag(text):
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form name=value")
    return name, value


def _common(parser):
    group = parser.add_argument_group("the ledger")
    group.add_argument("--url", metavar="URL", help="address of the ledger")
    group.add_argument(
        "--key", metavar="KEY", help="your key (LEDGER_KEY is safer: other users of a machine can see flags)"
    )
    group.add_argument("--spool", metavar="DIR", help="where unsent records wait")
    group.add_argument(
        "--flush-timeout",
        metavar="SECONDS",
        type=float,
        help="at the end, give up sending after so long without progress (default: 120)",
    )
    group.add_argument("--quiet", action="store_true", help="show warnings only")


def build_parser():
    """The command line of every command."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="lora-ledger",
        formatter_class=form,
        epilog=TOP,
        description="Records LoRA training runs in a LoRA Ledger: settings, data facts, loss, hardware, weights.",
    )
    parser.add_argument("--version", action="version", version=f"lora-ledger {__version__}")
    commands = parser.add_subparsers(dest="command_name", metavar="COMMAND", required=True)

    run = commands.add_parser(
        "run",
        formatter_class=form,
        epilog=RUN_EXAMPLES,
        help="run a trainer and record it",
        usage="lora-ledger run [options] -- COMMAND…",
        description="Starts the trainer unchanged, passes its output through, and records the run in the background.",
    )
    run.add_argument(
        "--config",
        metavar="FILE",
        help="the trainer's configuration (default: the command's --config_file or --config)",
    )
    run.add_argument("--name", metavar="NAME", help="the task's name (default: from the configuration)")
    run.add_argument("--group", metavar="GROUP", help="the experiment group")
    run.add_argument(
        "--tag", metavar="K=V", type=_tag, action="append", default=[], help="a tag; may be repeated"
    )
    run.add_argument("--notes", metavar="TEXT", help="notes for people")
    run.add_argument(
        "--output-dir", metavar="DIR", help="where the weights will appear (default: from the configuration)"
    )
    run.add_argument(
        "--upload-state",
        action="store_true",
        help="upload the folders that training can be resumed from, too (large)",
    )
    run.add_argument("--hourly-price", metavar="PRICE", type=float, help="what this box costs an hour")
    run.add_argument("--resume-task", metavar="ID", type=int, help="record as the next attempt of this task")
    run.add_argument(
        "--from-step",
        metavar="N",
        type=int,
        help="the step that a resumed run goes on from (default: found from --resume)",
    )
    run.add_argument(
        "--stop-grace",
        metavar="SECONDS",
        type=float,
        default=30.0,
        help="between SIGINT, SIGTERM and SIGKILL when the run has to stop (default: 30)",
    )
    _common(run)
    run.add_argument(
        "command",
        nargs=argparse.REMAINDER,
        metavar="-- COMMAND…",
        help="the trainer's command, as you would type it",
    )

    log = commands.add_parser(
        "log",
        formatter_class=form,
        help="record one point of a task by hand",
        epilog="example:\n  lora-ledger log 42 --step 100 loss=0.093 lr=1e-4\n" + ENVIRONMENT,
        description="Adds metrics at one step to the current attempt of a task that no running client reports on.",
    )
    log.add_argument("task", type=int, metavar="TASK", help="the task's number")
    log.add_argument("--step", type=int, required=True, metavar="N")
    log.add_argument("--epoch", type=float, metavar="E")
    log.add_argument("metrics", nargs="+", metavar="NAME=VALUE", help="such as loss=0.1")
    _common(log)

    sync = commands.add_parser(
        "sync",
        formatter_class=form,
        help="send what could not be sent before",
        epilog=ENVIRONMENT,
        description="Sends the records of all runs that are still in the spool. Nothing is ever recorded twice.",
    )
    _common(sync)
    return parser


def main(argv=None):
    """Runs the command line; returns the exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    trailing = None
    if argv[:1] == ["run"] and "--" in argv:
        at = argv.index("--")
        argv, trailing = argv[:at], argv[at + 1 :]
    parser = build_parser()
    options = parser.parse_args(argv)
    found = settings.resolve(options.url, options.key, options.spool, options.flush_timeout, options.quiet)
    try:
        return _dispatch(parser, options, found, trailing)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 141
    except Exception as error:
        if say.debugging():
            raise
        say.warn(
            f"this should not have happened: {type(error).__name__}: {error}; LEDGER_DEBUG=1 shows where"
        )
        return 1


def _dispatch(parser, options, found, trailing):
    if options.command_name == "run":
        if options.hourly_price is None and os.environ.get("LEDGER_HOURLY_PRICE"):
            try:
                options.hourly_price = float(os.environ["LEDGER_HOURLY_PRICE"])
            except ValueError:
                say.warn("LEDGER_HOURLY_PRICE is no number and is left out")
        from .run import RunCommand

        command = trailing if trailing is not None else options.command
        if not command:
            parser.error("run needs the trainer's command: lora-ledger run [options] -- COMMAND…")
        options.tags = dict(options.tag)
        return RunCommand(found, options, command).run()
    if options.command_name == "log":
        from .hand import log_point, read_metrics

        try:
            metrics = read_metrics(options.metrics)
        except ValueError as error:
            parser.error(str(error))
        epoch = options.epoch
        return log_point(
            found,
            options.task,
            options.step,
            int(epoch) if epoch is not None and epoch == int(epoch) else epoch,
            metrics,
        )
    from .sync import sync

    return sync(found)


if __name__ == "__main__":
    sys.exit(main())
