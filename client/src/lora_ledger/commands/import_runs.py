"""`lora-ledger import`: records past runs: weight files, archives, spreadsheets, MLflow, W&B. Again adds nothing."""

from __future__ import annotations

import argparse
import hashlib
import os
import struct
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..core import terminal
from ..core.api import Api, patiently
from ..core.errors import CommandError, NoAdapterError, NoArchiveError, TooMuchError
from ..core.journal import Upload
from ..core.language import t
from ..core.output import figure, prompt_for, put
from ..core.reading import folders
from ..core.settings import Settings
from ..core.text import metric_name
from ..core.uploads import FileUpload, sha256_of
from ..follow.tensorboard import EventFile
from ..imports import mlflow, wandb
from ..imports.adapter import Adapter
from ..imports.archive import Archive, json_runs
from ..imports.run import PastRun, is_fresh, record, send_curve
from ..imports.table import Table
from ..imports.weight_file import WeightFileRun
from ..recording.points import MOST_STEP, iso, number
from .options import add_command, add_ledger_options

WEIGHTS = (".safetensors", ".pt", ".pth", ".ckpt", ".bin")
# So much of both ends, with the size, tells one file from another without reading gigabytes.
IDENTITY = 1 << 20


def identity(path: Path) -> str:
    """Equal for equal files: SHA-256 of size, first and last MB, as hex; where the file lies does not matter.
    OSError."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        digest.update(struct.pack("<Q", size) + file.read(IDENTITY))
        file.seek(max(0, size - IDENTITY))
        digest.update(file.read(IDENTITY))
    return digest.hexdigest()


def named(arguments: list[str]) -> Iterator[Path]:
    """Files and folders that the arguments name; for shells that expand no patterns, these are looked through."""
    for argument in arguments:
        path = Path(argument).expanduser()
        if not path.exists() and any(c in argument for c in "*?["):
            found = sorted(path.parent.glob(path.name))
            if not found:
                yield path
            yield from found
        else:
            yield path


class Tally:
    """Counts what became of each run."""

    def __init__(self) -> None:
        self.added = self.known = self.failed = 0

    def count(self, fresh: bool) -> None:
        self.added += fresh
        self.known += not fresh

    def fail(self, where: Any, error: Exception) -> None:
        """One that was refused or could not be read; a ledger that is away or refuses the key ends it all. Raises
        CommandError."""
        if isinstance(error, CommandError) and error.asked and error.status in (None, 401, 403):
            raise error
        reason = t("cannot be read ({error})", error=error.strerror or error) if isinstance(error, OSError) else error
        terminal.warn(t("{where}: {reason}", where=where, reason=reason))
        self.failed += 1


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Adds the command to the command line."""
    parser = add_command(
        commands,
        "import",
        t("record past runs: weight files, archives, spreadsheets, MLflow, W&B"),
        t(
            "Finds out what it is given: weight files (their metadata and tensors tell the run), archives by `export "
            "ID`, a spreadsheet as CSV, a ledger's own CSV or JSON Lines, MLflow's mlruns/ folder or `mlflow "
            "experiments csv`, W&B's offline runs, its table as CSV, or JSON of its runs or of a history. Curves come "
            "along where the export has them. The same run again adds nothing. Of a spreadsheet it shows first which "
            "column becomes what (names in English or Chinese), and writes nothing until you agree; rows with mistakes "
            "are named with their line and left out."
        ),
        "  lora-ledger import *.safetensors --group old\n"
        "  lora-ledger import aki.safetensors --upload --tensorboard logs/20260501\n"
        "  lora-ledger import run.zip --upload\n"
        '  lora-ledger import runs.csv --map "Time=total_duration_sec:min" --ignore Artist\n'
        "  lora-ledger import mlruns wandb --dry-run",
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help=t("files, or folders to look through"))
    parser.add_argument("--group", metavar="GROUP", help=t("the experiment group"))
    parser.add_argument("--dry-run", action="store_true", help=t("show what would be imported, write nothing"))
    parser.add_argument("--upload", action="store_true", help=t("also store the weight file, or an archive's files"))
    parser.add_argument(
        "--tensorboard", metavar="DIR", help=t("also bring the curve from these event files (one weight file only)")
    )
    sheet = parser.add_argument_group(t("spreadsheets"))
    sheet.add_argument(
        "--map", metavar="COLUMN=FIELD", action="append", help=t("what a column becomes; may be repeated")
    )
    sheet.add_argument("--ignore", metavar="COLUMN", action="append", help=t("leave a column out; may be repeated"))
    sheet.add_argument("--dates", choices=("dmy", "mdy"), help=t("what comes first in 5/1/2026"))
    sheet.add_argument("--strict", action="store_true", help=t("import nothing when a row has a mistake"))
    sheet.add_argument("--yes", action="store_true", help=t("do not ask"))
    add_ledger_options(parser)


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Records what each argument holds. The exit code: 1 when something could not be read or was refused. Raises
    CommandError."""
    api = Api(settings)
    tally = Tally()
    weights = []
    for path in dict.fromkeys(named(options.files)):
        try:
            found = sources(path, options, tally)
            if found is None:
                weights += files_below(path, lambda name: name.endswith(".safetensors")) if path.is_dir() else [path]
                continue
            runs, left = found
        except (NoArchiveError, TooMuchError, OSError) as error:
            tally.fail(path, error)
            continue
        for where, why in left:
            tally.fail(where, ValueError(why))
        import_past(api, runs, options, tally)
    weights = list(dict.fromkeys(weights))
    if options.tensorboard and len(weights) > 1:
        raise CommandError(t("--tensorboard brings the curve of one run: import that file by itself"))
    for at, path in enumerate(weights, 1):
        if len(weights) > 10 and sys.stderr.isatty():
            terminal.count(at, len(weights))
        try:
            tally.count(import_one(api, path, options))
        except (NoAdapterError, OSError, CommandError) as error:
            tally.fail(path, error)
    if not (tally.added or tally.known or tally.failed):
        raise CommandError(
            t("nothing that can be imported was found there (weight files, archives, CSV, MLflow or W&B runs)")
        )
    if options.dry_run:
        put(t("nothing was written (--dry-run)"))
    else:
        put(
            t(
                "{added} imported, {known} known already, {failed} failed",
                added=tally.added,
                known=tally.known,
                failed=tally.failed,
            )
        )
    return 1 if tally.failed else 0


def sources(path: Path, options: argparse.Namespace, tally: Tally) -> Any:
    """(PastRuns, [(where, why it is left out)]) that the path holds; None: weight files. Raises CommandError,
    NoArchiveError, OSError."""
    ending = path.suffix.lower()
    if path.is_dir():
        for tool in (mlflow, wandb):
            runs, left = tool.runs(path)
            if runs or left:
                return runs, left
        return None
    if ending == ".wandb":
        return wandb.runs(path.parent)
    if ending == ".zip" or (
        ending not in WEIGHTS and path.is_file() and zipfile.is_zipfile(path) and ending != ".xlsx"
    ):
        archive = Archive(path)
        run = archive.run()
        run.archive = archive
        return [run], []
    if ending in (".json", ".jsonl", ".ndjson"):
        found = json_runs(path)
        if found is None:
            raise CommandError(
                t(
                    "{path} is neither a ledger's export nor one of W&B (runs with config and summary, or a history)",
                    path=path,
                )
            )
        return found
    if ending in (".csv", ".tsv", ".txt", ".xlsx", ".xls"):
        return spreadsheet(Table(path), options, tally), []
    return None


def spreadsheet(sheet: Table, options: argparse.Namespace, tally: Tally) -> list[PastRun]:
    """The sheet's runs once it was shown which column becomes what, corrected and agreed to. Raises CommandError."""
    history = wandb.history_of(sheet)
    if history:
        return [history]
    sheet.correct(options.map or [], options.ignore or [], options.dates)
    while True:
        sheet.show()
        runs, mistakes = sheet.runs()
        put(
            t("{path}: {count} runs", path=sheet.path, count=len(runs))
            + (t(", and {count} rows that cannot be imported as they are:", count=len(mistakes)) if mistakes else "")
        )
        for line, why in mistakes[:50]:
            put(t("  line {line}: {why}", line=line, why=why))
        if len(mistakes) > 50:
            put(t("  and {count} more", count=len(mistakes) - 50))
        if mistakes and options.strict and not options.dry_run:
            raise CommandError(t("nothing was imported, since rows have mistakes (--strict)"))
        if options.yes or options.dry_run or not runs:
            break
        if not (sys.stdin and sys.stdin.isatty()):
            raise CommandError(
                t("nothing was imported: look at the table above, correct it with --map and --ignore, then add --yes"),
                2,
            )
        answer = prompt_for(
            t("Import them so? y(es), n(o), or COLUMN=FIELD (COLUMN= leaves it out, COLUMN=+ keeps it): ")
        ).strip()
        if answer.casefold() in ("y", "yes", "j", "是"):
            break
        if answer.casefold() in ("", "n", "no", "q", "否"):
            raise CommandError(t("nothing was imported"))
        try:
            sheet.map(answer)
        except CommandError as error:
            put(str(error))
    tally.failed += len(mistakes)
    return runs


def import_past(api: Api, runs: Any, options: argparse.Namespace, tally: Tally) -> None:
    """Records runs of the past, each by itself. Raises CommandError when the ledger is away."""
    loud = len(runs) <= 50
    for at, run in enumerate(runs, 1):
        if options.group:
            run.fields["experiment_group"] = options.group
        if options.dry_run:
            if loud:
                put(
                    t(
                        "{where}: {task_name}, {status}{said}",
                        where=run.where,
                        task_name=run.fields.get("task_name"),
                        status=run.fields.get("status") or "success",
                        said=_said(run.fields),
                    )
                )
            tally.count(True)
            continue
        if not loud and sys.stderr.isatty():
            terminal.count(at, len(runs))
        try:
            task, fresh = record(api, run)
            if options.upload and run.archive:
                with tempfile.TemporaryDirectory() as folder:
                    run.archive.upload_weights(api, task, folder)
        except (CommandError, ValueError, OSError) as error:
            tally.fail(run.where, error)
            continue
        finally:
            if run.archive:
                run.archive.close()
        tally.count(fresh)
        if loud:
            put(
                t(
                    "{where}: task {task}{known}{said}",
                    where=run.where,
                    task=task,
                    known="" if fresh else t(" (known already)"),
                    said=_said(run.fields),
                )
            )


def _said(fields: dict[str, Any]) -> str:
    """What a run is known by, short."""
    parts = (("rank", "lora_rank"), ("alpha", "lora_alpha"), ("lr", "learning_rate"), ("loss", "final_loss"))
    said = " ".join(f"{label} {figure(fields.get(name))}" for label, name in parts if fields.get(name) is not None)
    return f", {said}" if said else ""


def import_one(api: Api, path: Path, options: argparse.Namespace) -> bool:
    """Registers one file's run and brings what was asked for; True when it is new. Raises NoAdapterError, OSError,
    CommandError."""
    past = WeightFileRun(Adapter(path))
    for note in past.adapter.notes:
        put(f"{path}: {note}")
    if options.dry_run:
        put(t("{path}: {task_name}{said}", path=path, task_name=past.fields.get("task_name"), said=_said(past.fields)))
        return True
    if options.group:
        past.fields["experiment_group"] = options.group
    points = read_curve(options.tensorboard) if options.tensorboard else None
    answer = api.ask("POST", "/api/tasks", past.registration(f"safetensors:{identity(path)[:32]}"))
    task, fresh = answer["task_id"], is_fresh(answer)
    put(
        t(
            "{path}: task {task}{known} {network_algo}{said}",
            path=path,
            task=task,
            known="" if fresh else t(" (known already)"),
            network_algo=past.fields.get("network_algo") or "",
            said=_said(past.fields),
        )
    )
    if options.upload:
        _upload(api, task, path, past)
    if points is not None:
        send_curve(api, task, 1, points)
    return fresh


# Series that are the loss itself, best first: sd-scripts, transformers, OneTrainer, diffusers, ai-toolkit.
LOSSES = ("loss/current", "train/loss", "loss/train_step", "train_loss", "loss")
MOST_VALUES = 10_000_000
MOST_SERIES = 2000
MOST_ENTRIES = 1_000_000


def files_below(folder: Path, wanted: Any) -> list[Path]:
    """Paths of the files below a folder that `wanted(name)` lets through, sorted. Raises CommandError."""
    try:
        return sorted(
            Path(at) / name for at, _, names in folders(folder, MOST_ENTRIES) for name in names if wanted(name)
        )
    except TooMuchError as error:
        raise CommandError(t("{folder}: {error}", folder=folder, error=error)) from error


def read_curve(folder: Path) -> list[dict[str, Any]]:
    """Log entries, by step, of all event files below the folder. Raises CommandError when there are none.

    Values of one series at one step, as they come with gradient accumulation, are averaged.
    """
    files = (
        [Path(folder)]
        if os.path.isfile(folder)
        else files_below(folder, lambda name: name.startswith("events.out.tfevents."))
    )
    rows, count, series = {}, 0, set()
    for path in files:
        for when, step, tag, value in EventFile(path).read():
            if tag.startswith(("hparam", "_hparams_")) or not 0 <= step <= MOST_STEP:
                continue
            series.add(tag)
            if len(series) > MOST_SERIES:
                raise CommandError(
                    t(
                        "{folder} holds more than {most_series} series, which no trainer writes; name one run's folder",
                        folder=folder,
                        most_series=MOST_SERIES,
                    )
                )
            row = rows.setdefault(step, [when, {}])
            total = row[1].setdefault(tag, [0.0, 0])
            total[0] += value
            total[1] += 1
            count += 1
            if count > MOST_VALUES:
                raise CommandError(
                    t(
                        "{folder} holds more than {most_values} values; name one run's folder",
                        folder=folder,
                        most_values=MOST_VALUES,
                    )
                )
    if not count:
        raise CommandError(
            t("{folder} holds no TensorBoard scalars (files named events.out.tfevents.*)", folder=folder)
        )
    loss = next((tag for tag in LOSSES if tag in series), None)
    entries = []
    for step in sorted(rows):
        when, totals = rows[step]
        metrics = {metric_name(tag): number(total / n) for tag, (total, n) in totals.items()}
        if loss in metrics:
            metrics["loss"] = metrics[loss]
        entries.append({"step": step, "time": iso(when), "metrics": metrics})
    return entries


def _upload(api: Api, task: int, path: Path, past: WeightFileRun) -> None:
    """Sends the file as the run's final weight; one that is there already is not sent again."""
    digest = sha256_of(path)
    for weight in api.pages("/api/weights", task_id=task, kind="final", state="complete"):
        if weight.get("sha256") == digest:
            put(t("task {task}: {name} is stored already", task=task, name=Path(path).name))
            return
    step = past.steps if past.steps is not None and past.steps >= 0 else None
    item = Upload(str(Path(path).absolute()), Path(path).name, "final", step=step)
    bar = terminal.Progress(t("uploading {filename}", filename=item.filename), past.adapter.size)
    memo = {}
    upload = FileUpload(api.ledger, task, 1, item, memo, lambda: None, lambda sent, _: bar.show(sent), lambda: False)
    verified = patiently(upload.run)
    bar.end(
        t(
            "{filename}: {size} stored, checked by {verified}",
            filename=item.filename,
            size=terminal.size_text(past.adapter.size),
            verified=verified,
        )
    )
