"""The command `lora-ledger`."""

import argparse
import os
import sys

from . import __version__

from .core import terminal, settings
from .commands import credentials, run
from .commands.agent import agent
from .commands.cancel import cancel
from .core.api import Plain
from .commands.config_for import TRAINERS, config
from .commands.diff import diff
from .commands.enrol import enrol
from .commands.export import export
from .commands.import_runs import import_runs
from .commands.login import login
from .commands.logs import logs
from .commands.ls import ls
from .commands.models import pull_model, push
from .commands.pull import pull
from .commands.queue import queue
from .commands.reproduce import reproduce
from .commands.safe import safe
from .commands.show import show
from .commands.status import status
from .commands.template import PLACEHOLDERS

ENVIRONMENT = """
environment:
  LEDGER_URL     address of the ledger, such as https://ledger.example.workers.dev   (flag: --url)
  LEDGER_KEY     your key; never passed on to the trainer                              (flag: --key)
  LEDGER_SECRET_NAME   what fills [redacted] of a key (wandb_api_key: LEDGER_SECRET_WANDB_API_KEY); never passed on
  LEDGER_ENROL   a box's one-time token, which `agent` exchanges for a key when it has none
  LEDGER_SPOOL   where unsent records wait (default: ~/.cache/lora-ledger/spool)       (flag: --spool)
  LEDGER_LOGIN   where `lora-ledger login` keeps URL and key (default: ~/.config/lora-ledger/login.json)
  LEDGER_FLUSH_TIMEOUT, LEDGER_HOURLY_PRICE              (flags: --flush-timeout, --hourly-price)
  LEDGER_DEBUG   1 shows the details of what went wrong inside the client
"""

RUN_EXAMPLES = (
    """
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
"""
    + ENVIRONMENT
)

TOP = (
    """
A first run:
  lora-ledger login
  lora-ledger run -- accelerate launch train_network.py --config_file my_lora.toml
  lora-ledger ls

`lora-ledger COMMAND --help` explains each command.
"""
    + ENVIRONMENT
)


def _add_repeating(commands, form):
    """The commands that go from a run, or a file, to the next run."""
    again = _add(
        commands,
        form,
        "reproduce",
        "a run's original configuration, and the run once more",
        "Writes the original configuration byte for byte into a new folder and says what differs here: GPU, CUDA, torch, "
        "the trainer's commit, the data, the base model. --run runs the recorded command with it, in this folder, as a child "
        "of the run; it asks before a command that another user or a box wrote. Secrets are never kept: where [redacted] is the whole value of a "
        "secret key, the environment has to give the value, under the key's name in capitals (wandb_api_key: WANDB_API_KEY) or "
        "LEDGER_SECRET_WANDB_API_KEY.",
        "  lora-ledger reproduce 42 -o again\n  WANDB_API_KEY=… lora-ledger reproduce 42 --run",
    )
    again.add_argument("task", type=int, metavar="ID")
    again.add_argument("-o", "--output", metavar="DIR", help="the new folder (default: task-ID-again)")
    again.add_argument("--run", action="store_true", help="run it again")
    again.add_argument("--yes", action="store_true", help="do not ask before a command of others runs")
    _add_allow_secret(again)
    again.add_argument("--hourly-price", metavar="PRICE", type=float, help="what this box costs an hour")
    _common(again)

    diff = _add(
        commands,
        form,
        "diff",
        "what differs between two runs",
        "Compares results, metrics, fields, the trainer's own settings, data, software and command of two runs.",
        "  lora-ledger diff 42 57",
    )
    diff.add_argument("first", type=int, metavar="A")
    diff.add_argument("second", type=int, metavar="B")
    diff.add_argument("--json", action="store_true", help="as one JSON object")
    _common(diff)

    _add_export(commands, form)
    _add_import(commands, form)

    made = _add(
        commands,
        form,
        "config",
        "make a configuration from a weight file or a run",
        "Writes a runnable configuration for a trainer from a safetensors file's metadata and tensors, or from a recorded "
        "run of another trainer. Each value says whether it was read, is the trainer's default, or has to be filled in "
        "because nobody can know it.",
        "  lora-ledger config aki.safetensors --for kohya -o aki.toml\n  lora-ledger config 42 --for onetrainer",
    )
    made.add_argument("source", metavar="FILE|ID", help="a .safetensors file, or a task's number")
    made.add_argument("--for", dest="trainer", choices=TRAINERS, required=True, help="the trainer to write it for")
    made.add_argument("-o", "--output", metavar="FILE", help="write it there (default: print it)")
    made.add_argument("--force", action="store_true", help="write over a file that is there")
    _common(made)


def _add_export(commands, form):
    """Runs on their way out of a ledger."""
    out = _add(
        commands,
        form,
        "export",
        "runs as a file, or one run as an archive",
        "With a number: the run as one zip (settings byte for byte, curves, data facts, list of files) that `lora-ledger import` "
        "reads into another ledger. Else the runs that FILTER lets through, as CSV, JSON Lines or Parquet; --columns takes a "
        "run's columns, user, config.<path>, metrics.<name>, tags.<key>. Parquet comes in further files where one answer does "
        "not hold all: runs.parquet, runs-2.parquet, …",
        "  lora-ledger export 42 -o run.zip --weights\n"
        "  lora-ledger export 'lora_rank >= 32' -o runs.csv --columns id,task_name,final_loss,config.network_module\n"
        "  lora-ledger export -o runs.parquet --limit 20000",
    )
    out.add_argument("what", nargs="*", metavar="ID|FILTER", help="one run's number, or which runs (default: all)")
    out.add_argument(
        "-o", "--output", metavar="FILE", help="write it there (default: standard output; run-ID.zip for a run)"
    )
    out.add_argument("--format", choices=("csv", "jsonl", "parquet"), help="default: by the file's ending, else csv")
    out.add_argument("--columns", metavar="A,B", help="which columns (default: all)")
    out.add_argument("--order-by", metavar="COLUMN", help="sort by a column, such as final_loss or '-created_at'")
    out.add_argument("--limit", type=_count, metavar="N", help="runs an answer (default: 200, at most 20000)")
    out.add_argument("--excel", action="store_true", help="begin CSV with the mark by which Excel knows its encoding")
    out.add_argument("--deleted", action="store_true", help="the trash instead")
    out.add_argument("--weights", action="store_true", help="of one run: the files themselves too")
    _common(out)


def _add_import(commands, form):
    """Runs on their way into a ledger."""
    past = _add(
        commands,
        form,
        "import",
        "record past runs: weight files, archives, spreadsheets, MLflow, W&B",
        "Finds out what it is given: weight files (their metadata and tensors tell the run), archives by `export ID`, a "
        "spreadsheet as CSV, a ledger's own CSV or JSON Lines, MLflow's mlruns/ folder or `mlflow experiments csv`, W&B's "
        "offline runs, its table as CSV, or JSON of its runs or of a history. Curves come along where the export has them. The "
        "same run again adds nothing. Of a spreadsheet it shows first which column becomes what (names in English or Chinese), "
        "and writes nothing until you agree; rows with mistakes are named with their line and left out.",
        "  lora-ledger import *.safetensors --group old\n"
        "  lora-ledger import aki.safetensors --upload --tensorboard logs/20260501\n"
        "  lora-ledger import run.zip --upload\n"
        '  lora-ledger import runs.csv --map "Time=total_duration_sec:min" --ignore Artist\n'
        "  lora-ledger import mlruns wandb --dry-run",
    )
    past.add_argument("files", nargs="+", metavar="FILE", help="files, or folders to look through")
    past.add_argument("--group", metavar="GROUP", help="the experiment group")
    past.add_argument("--dry-run", action="store_true", help="show what would be imported, write nothing")
    past.add_argument("--upload", action="store_true", help="also store the weight file, or an archive's files")
    past.add_argument(
        "--tensorboard", metavar="DIR", help="also bring the curve from these event files (one weight file only)"
    )
    sheet = past.add_argument_group("spreadsheets")
    sheet.add_argument("--map", metavar="COLUMN=FIELD", action="append", help="what a column becomes; may be repeated")
    sheet.add_argument("--ignore", metavar="COLUMN", action="append", help="leave a column out; may be repeated")
    sheet.add_argument("--dates", choices=("dmy", "mdy"), help="what comes first in 5/1/2026")
    sheet.add_argument("--strict", action="store_true", help="import nothing when a row has a mistake")
    sheet.add_argument("--yes", action="store_true", help="do not ask")
    _common(past)


def _add_allow_secret(parser):
    parser.add_argument(
        "--allow-secret",
        metavar="NAME",
        action="append",
        default=[],
        help="a variable that another user's run may have, such as HF_TOKEN; may be repeated (default: none)",
    )


def _tag(text):
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form name=value")
    return name, value


def _count(text):
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return value


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


def _claimed(text):
    task, attempt, seq = (int(part) for part in text.split(":"))
    return {"task_id": task, "attempt": attempt, "seq": seq}


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
    run.add_argument("--tag", metavar="K=V", type=_tag, action="append", default=[], help="a tag; may be repeated")
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
    # TASK:ATTEMPT:SEQ of a run that an agent has claimed and has begun to report on.
    run.add_argument("--claimed", type=_claimed, help=argparse.SUPPRESS)
    # What an agent, or `reproduce`, has found out: another user's run, and the variables that were filled in.
    run.add_argument("--not-own", action="store_true", help=argparse.SUPPRESS)
    run.add_argument("--allow-secret", action="append", default=[], help=argparse.SUPPRESS)
    run.add_argument("--filled", action="append", default=[], help=argparse.SUPPRESS)
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
    sync.add_argument(
        "--again",
        action="store_true",
        help="also send once more what the ledger refused, such as after an update of it",
    )
    _common(sync)
    _add_agent(commands, form)
    _add_reading(commands, form)
    _add_keeping(commands, form)
    _add_repeating(commands, form)
    return parser


def _add(commands, form, name, short, description, examples):
    """A sub-command with examples and the environment in its help."""
    return commands.add_parser(
        name,
        formatter_class=form,
        help=short,
        description=description,
        epilog=f"examples:\n{examples}\n{ENVIRONMENT}",
    )


def _add_reading(commands, form):
    """The commands that look at the ledger."""
    login = _add(
        commands,
        form,
        "login",
        "store the ledger's address and your key",
        "Asks for the address and the key (or takes them from flags and environment), checks them, and stores them in a "
        "file that only you can read. Flags go before the environment, which goes before what is stored.",
        "  lora-ledger login\n  LEDGER_KEY=… lora-ledger login --url https://ledger.example.workers.dev",
    )
    _common(login)

    status = _add(
        commands,
        form,
        "status",
        "the login, what runs now, and what waits on this machine",
        "Shows the ledger and the user, the running tasks, and what has not been sent from this machine.",
        "  lora-ledger status",
    )
    _common(status)

    listing = _add(
        commands,
        form,
        "ls",
        "list runs",
        "A table of runs, newest first. FILTER is the ledger's language: = != < <= > >= like in is null and or not ( ) on "
        "columns, config.<path>, metrics.<name>, tags.<key>, user and dates. Quote it, so that the shell leaves < and > alone.",
        "  lora-ledger ls\n"
        "  lora-ledger ls 'lora_rank = 64 and final_loss < 0.3'\n"
        "  lora-ledger ls \"optimizer in ('adamw', 'lion') or tags.kind = 'style'\" --order-by final_loss\n"
        "  lora-ledger ls 'config.network_args[0] like \"%lokr%\"' --json",
    )
    listing.add_argument("filter", nargs="*", metavar="FILTER", help="which runs (default: all)")
    listing.add_argument(
        "--order-by", metavar="COLUMN", help="sort by a column, such as final_loss or 'created_at desc'"
    )
    listing.add_argument("--limit", type=_count, default=50, metavar="N", help="at most so many (default: 50)")
    listing.add_argument("--json", action="store_true", help="one JSON object a line, all columns")
    _common(listing)

    show = _add(
        commands,
        form,
        "show",
        "all about one run",
        "Shows a run's state, settings, attempts, data and files.",
        "  lora-ledger show 42\n  lora-ledger show 42 --json",
    )
    show.add_argument("task", type=int, metavar="ID")
    show.add_argument("--json", action="store_true", help="everything as one JSON object")
    _common(show)

    logs = _add(
        commands,
        form,
        "logs",
        "a run's loss, or another metric",
        "Prints a metric's curve as lines of step, epoch, time and value, separated by tabs. With -f it stays and prints "
        "what is new until the run ends; when a later attempt takes over, a line beginning with # says from which step on.",
        "  lora-ledger logs 42\n  lora-ledger logs 42 -f --metric lr/unet\n  lora-ledger logs 42 --csv > loss.csv",
    )
    logs.add_argument("task", type=int, metavar="ID")
    logs.add_argument("-f", "--follow", action="store_true", help="stay and print what is new")
    logs.add_argument("--metric", default="loss", metavar="NAME", help="which metric (default: loss)")
    logs.add_argument("--csv", action="store_true", help="as CSV; without -f every point there is")
    logs.add_argument(
        "--max-points",
        type=_count,
        default=1000,
        metavar="N",
        help="thin the curve to so many points, peaks kept (default: 1000)",
    )
    logs.add_argument(
        "--interval", type=float, default=10.0, metavar="SECONDS", help="with -f: ask so often (default: 10)"
    )
    _common(logs)

    pull = _add(
        commands,
        form,
        "pull",
        "download a run's files, or a model",
        "Downloads the files of a run, or a model's version, into a folder and checks each one's SHA-256. What is there "
        "already is left alone, and a download that was cut off goes on where it stopped. A model brings its trigger words "
        "and a preview image with it, in the files that AUTOMATIC1111, Forge, Civitai Helper and ComfyUI's LoRA manager "
        "read; pulled again after its alias moved, it takes the place of the version before.",
        "  lora-ledger pull 42 --kind final -o ~/loras\n"
        "  lora-ledger pull model anime-style:production -o ~/loras\n"
        "  lora-ledger pull model anime-style:3",
    )
    pull.add_argument("what", metavar="ID|model", help="a task's number, or the word model")
    pull.add_argument("model", nargs="?", metavar="NAME:ALIAS", help="the model, and its alias or version's number")
    pull.add_argument(
        "--no-sidecars", action="store_true", help="only the model's file, nothing for other tools beside it"
    )
    pull.add_argument(
        "--kind", choices=("final", "checkpoint", "state", "sample", "config"), help="only files of this kind"
    )
    pull.add_argument("-o", "--output", metavar="DIR", help="where to (default: task-ID, or here for a model)")
    _common(pull)

    push = _add(
        commands,
        form,
        "push",
        "publish a model on the Hugging Face Hub",
        "Sends an approved version's file, its model card and its sample images to a repository of the Hub in one commit, by "
        "the Hub's own client (pip install huggingface_hub) and its login. HF_ENDPOINT names another hub.",
        "  lora-ledger push anime-style:production --repo anna/anime-style --private",
    )
    push.add_argument("model", metavar="NAME:ALIAS", help="the model, and its alias or version's number")
    push.add_argument("--repo", required=True, metavar="USER/NAME", help="the repository; made when new")
    push.add_argument("--private", action="store_true", help="make a new repository private")
    push.add_argument("--message", metavar="TEXT", help="the commit's message")
    _common(push)

    cancel = _add(
        commands,
        form,
        "cancel",
        "end a run",
        "A waiting run is cancelled at once; a running one is told at its next heartbeat and stops its trainer.",
        "  lora-ledger cancel 42",
    )
    cancel.add_argument("task", type=int, metavar="ID")
    _common(cancel)


def _add_keeping(commands, form):
    """The commands about what this machine has."""
    safe = _add(
        commands,
        form,
        "safe",
        "may this box be destroyed?",
        "Answers whether all that this box produced is stored and checked: no run still going, nothing unsent or refused, "
        "every heartbeat there, and every weight and sample in the output folders held by the ledger with the same hash. "
        "Exit code 0 with one line, or 1 with what is missing. When the ledger cannot be asked, the answer is no.",
        "  lora-ledger safe && shutdown-the-box\n"
        "  lora-ledger safe ~/output --task 42      (also check this folder and this run)",
    )
    safe.add_argument("folders", nargs="*", metavar="FOLDER", help="more folders whose files have to be stored")
    safe.add_argument("--task", type=int, action="append", metavar="ID", help="a run to check besides; may be repeated")
    _common(safe)


def _add_agent(commands, form):
    """The commands that queue work and pull it."""
    queued = _add(
        commands,
        form,
        "queue",
        "queue runs for boxes to pull, or show what waits",
        "Registers each configuration as a run that a box may pull (`lora-ledger agent`). Without files it shows what waits, "
        "for what, and where in line.",
        "  lora-ledger queue night/*.toml --labels sdxl --group night\n"
        "  lora-ledger queue big.toml --labels sdxl --min-gpu-memory 40 --priority 5 --after 42\n"
        "  lora-ledger queue",
    )
    queued.add_argument("files", nargs="*", metavar="FILE", help="configurations; one run each")
    queued.add_argument("--labels", metavar="A,B", help="what a box must offer to get them")
    queued.add_argument("--min-gpu-memory", metavar="GB", type=float, help="the least GPU memory")
    queued.add_argument("--priority", type=int, metavar="N", help="higher comes first among your own (default: 0)")
    queued.add_argument(
        "--after", metavar="ID", type=int, action="append", help="only once this run has succeeded; may be repeated"
    )
    queued.add_argument("--not-before", metavar="TIME", help="ISO 8601, such as 2026-05-01T22:00:00Z")
    queued.add_argument(
        "--max-attempts", metavar="N", type=_count, help="after so many lost boxes a run has failed (default: 3)"
    )
    queued.add_argument("--name", metavar="NAME", help="the runs' name (default: from each configuration)")
    queued.add_argument("--group", metavar="GROUP", help="the experiment group")
    queued.add_argument("--tag", metavar="K=V", type=_tag, action="append", default=[], help="a tag; may be repeated")
    queued.add_argument("--notes", metavar="TEXT", help="notes for people")
    queued.add_argument("--mine", action="store_true", help="show your own runs alone")
    queued.add_argument("--limit", type=_count, default=50, metavar="N", help="show at most so many (default: 50)")
    _common(queued)

    enrols = _add(
        commands,
        form,
        "enrol",
        "make the line that lets a rented box pull work",
        "Prints one line for a box's start script. Its token is good once and for minutes; the box exchanges it for a key of "
        "its own, which reads nothing but the runs that it pulled and can be revoked with one call. The box runs your own runs; "
        "an admin's --shared makes one that runs everyone's.",
        "  lora-ledger enrol --labels sdxl,24gb --hourly-price 0.44\n  lora-ledger enrol --shared --labels sdxl",
    )
    enrols.add_argument("--name", metavar="NAME", help="the box's name (default: what it calls itself)")
    enrols.add_argument("--exec", metavar="COMMAND", help="what the line's agent runs (see `lora-ledger agent --help`)")
    enrols.add_argument("--labels", metavar="A,B", help="what the box offers")
    enrols.add_argument("--hourly-price", metavar="PRICE", type=float, help="what the box costs an hour")
    enrols.add_argument("--shared", action="store_true", help="it runs everyone's runs, not your own alone; for admins")
    enrols.add_argument("--days", metavar="N", type=float, help="life of the box's key (default: 3)")
    enrols.add_argument("--minutes", metavar="N", type=float, help="life of the token (default: 15)")
    _common(enrols)

    pulls = _add(
        commands,
        form,
        "agent",
        "pull queued runs and run them on this box",
        "Asks the ledger for queued runs that fit this box, and runs one after another as `run` does. What may run is decided "
        "here: the ledger gives a configuration file, this command line says what is done with it, and no shell stands between.\n\n"
        "placeholders in --exec:\n"
        + "\n".join(f"  {{{name}}}".ljust(16) + meaning for name, meaning in PLACEHOLDERS.items())
        + "\nA word whose placeholder has nothing is left out, with the option before it: `--resume {state}` stands only\n"
        "where an earlier attempt left a state.\n\n"
        "SIGTERM or Ctrl-C: no more work is pulled, and what runs is finished; a second one stops it, and its run goes back to\n"
        "the queue. With --spot the first one does that already, as clouds give 30 seconds or less.\n\n"
        "another user's run (a shared box) gets none of this box's secrets, neither in its files nor in its environment, but\n"
        "for those that --allow-secret names.",
        "  lora-ledger agent --exec 'accelerate launch train_network.py --config_file {config}' --labels sdxl,24gb\n"
        "  lora-ledger agent --exec 'accelerate launch train_network.py --config_file {config} --save_state --resume {state}' \\\n"
        "      --trust-state --gpus all --hourly-price 0.44 --max-idle 20m --on-idle 'sudo shutdown -h now'",
    )
    pulls.add_argument("--exec", required=True, metavar="COMMAND", help="what runs a claimed configuration")
    pulls.add_argument("--labels", metavar="A,B", help="what this box offers; a run's labels must all be among them")
    pulls.add_argument(
        "--gpus", metavar="all|0,1", help="one run a GPU, each seeing its own (default: one run with all GPUs)"
    )
    pulls.add_argument("--once", action="store_true", help="end after one run a GPU")
    pulls.add_argument(
        "--max-idle", metavar="TIME", help="end after so long without work: 90s, 20m, 2h (default: never)"
    )
    pulls.add_argument("--on-idle", metavar="COMMAND", help="then run this, if all that this box produced is stored")
    pulls.add_argument("--spot", action="store_true", help="SIGTERM stops the run at once and gives it back")
    pulls.add_argument(
        "--trust-state",
        action="store_true",
        help="resume from states that hold pickles, too: loading one runs whatever code its uploader put there",
    )
    _add_allow_secret(pulls)
    pulls.add_argument(
        "--no-upload-state", action="store_true", help="keep training states here; another box then begins anew"
    )
    pulls.add_argument("--hourly-price", metavar="PRICE", type=float, help="what this box costs an hour")
    pulls.add_argument("--name", metavar="ID", help="this agent's id, its own among all boxes (default: made once)")
    pulls.add_argument("--work", metavar="DIR", help="where configurations are written (default: beside the spool)")
    _common(pulls)


_COMMANDS = {
    "agent": agent,
    "queue": queue,
    "enrol": enrol,
    "login": lambda found, options: login(options),
    "status": status,
    "ls": ls,
    "show": show,
    "logs": logs,
    "pull": lambda found, options: (pull_model if options.what == "model" else pull)(found, options),
    "push": push,
    "cancel": cancel,
    "safe": safe,
    "reproduce": reproduce,
    "diff": diff,
    "export": export,
    "import": import_runs,
    "config": config,
}


def main(argv=None):
    """Runs the command line; returns the exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    trailing = None
    if argv[:1] == ["run"] and "--" in argv:
        at = argv.index("--")
        argv, trailing = argv[:at], argv[at + 1 :]
    parser = build_parser()
    options = parser.parse_args(argv)
    url, key = credentials.complete(options.url, options.key)
    found = settings.resolve(url, key, options.spool, options.flush_timeout, options.quiet)
    try:
        code = _dispatch(parser, options, found, trailing)
        sys.stdout.flush()
        return code
    except Plain as error:
        terminal.warn(error)
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
        terminal.warn(f"this should not have happened: {type(error).__name__}: {error}; LEDGER_DEBUG=1 shows where")
        return 1


def _dispatch(parser, options, found, trailing):
    if getattr(options, "hourly_price", 0) is None and os.environ.get("LEDGER_HOURLY_PRICE"):
        try:
            options.hourly_price = float(os.environ["LEDGER_HOURLY_PRICE"])
        except ValueError:
            terminal.warn("LEDGER_HOURLY_PRICE is no number and is left out")
    if options.command_name == "run":
        command = trailing if trailing is not None else options.command
        if not command:
            parser.error("run needs the trainer's command: lora-ledger run [options] -- COMMAND…")
        options.tags = dict(options.tag)
        return run.run(found, options, command)
    if options.command_name == "log":
        from .recording.by_hand import log_point, read_metrics

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
    if options.command_name == "sync":
        return run.sync(found, options.again)
    return _COMMANDS[options.command_name](found, options)


if __name__ == "__main__":
    sys.exit(main())
