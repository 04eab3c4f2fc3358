"""`lora-ledger reproduce`: a run's original configuration in a new folder, what differs here, and the run once more."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..core import terminal
from ..core.api import Api
from ..core.errors import CommandError
from ..core.language import t
from ..core.output import prompt_for, put
from ..core.redact import MARK
from ..core.settings import Settings
from ..core.terminal import printable
from ..core.types import StrPath, section
from ..core.uploads import sha256_of
from ..recording import host
from ..recording.guard import read_guard
from ..trainers import datasets, recognise
from . import run as record_run
from .filling import Filling, allowed_names, fill_command, marks_in_command
from .kept_files import KeptFile
from .options import add_allow_secret, add_command, add_ledger_options


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Adds the command to the command line."""
    parser = add_command(
        commands,
        "reproduce",
        t("a run's original configuration, and the run once more"),
        t(
            "Writes the original configuration byte for byte into a new folder and says what differs here: GPU, CUDA, "
            "torch, the trainer's commit, the data, the base model. --run runs the recorded command with it, in this "
            "folder, as a child of the run; it asks before a command that another user or a box wrote. Secrets are "
            "never kept: where [redacted] is the whole value of a secret key, the environment has to give the value, "
            "under the key's name in capitals (wandb_api_key: WANDB_API_KEY) or LEDGER_SECRET_WANDB_API_KEY."
        ),
        "  lora-ledger reproduce 42 -o again\n  WANDB_API_KEY=… lora-ledger reproduce 42 --run",
    )
    parser.add_argument("task", type=int, metavar="ID")
    parser.add_argument("-o", "--output", metavar="DIR", help=t("the new folder (default: task-ID-again)"))
    parser.add_argument("--run", action="store_true", help=t("run it again"))
    parser.add_argument("--yes", action="store_true", help=t("do not ask before a command of others runs"))
    add_allow_secret(parser)
    parser.add_argument("--hourly-price", metavar="PRICE", type=float, help=t("what this box costs an hour"))
    add_ledger_options(parser)


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Writes the files and says what differs; with --run ends with the trainer's exit code. Raises CommandError."""
    try:
        allowed = allowed_names(options.allow_secret)
    except ValueError as error:
        raise CommandError(str(error), 2) from error
    api = Api(settings)
    found = api.get(f"/api/tasks/{options.task}/reproduce")
    task = api.get(f"/api/tasks/{options.task}")
    words = found.get("command")
    command = [str(word) for word in words] if isinstance(words, list) else []
    folder = Path(options.output or f"task-{options.task}-again").expanduser()
    kept = [KeptFile(role, found[role]) for role in ("config", "dataset_file") if found.get(role)]
    if kept:
        _make(folder)
    for file in kept:
        file.write(folder)
        put(t("wrote {written} ({count} bytes, as they were)", written=printable(file.written), count=len(file.data)))
    main = next((file for file in kept if file.role == "config"), None)
    if not main:
        put(t("task {task} has no configuration file; its command line is all there is", task=options.task))
    again, unnamed = with_files(command, kept, task.get("trainer"))
    if command:
        put(t("command: {command}", command=printable(shlex.join(again))))
    for file in unnamed:
        if file.role == "dataset_file":
            put(
                t(
                    "  the configuration itself names the dataset file: copy {written} to {path}",
                    written=printable(file.written),
                    path=printable(file.path),
                )
            )
    text = main.data.decode("utf-8", "replace") if main else None
    own_dialect = found.get("dialect") if isinstance(found.get("dialect"), str) else None
    dialect = folder / "dialect.toml" if own_dialect else None
    if dialect and own_dialect:
        _make(folder)
        dialect.write_text(own_dialect, "utf-8")
        put(t("wrote {path}, the dialect that it was read by", path=printable(dialect)))
    differences = list(compare(api, found, task, again, text))
    put(t("what differs here:") if differences else t("nothing that was recorded differs here"))
    for line in differences:
        put(t("  {line}", line=printable(line)))
    own = found.get("own") is True
    filling = Filling(own, allowed, settings.key)
    marks = marks_in_command(found.get("command_secrets"), again)
    for file in kept:
        filling.look(file.name, file.marks, file.data.count(MARK.encode()))
    filling.look(t("the command"), marks, sum(word.count(MARK) for word in again))
    for line in filling.explain():
        put(t("  a secret was left out: {line}", line=printable(line)))
    for line in filling.left:
        put(t("  {line}", line=printable(line)))
    if not options.run:
        return 0
    if filling.refused:
        raise CommandError(t("not run: {reason}", reason=next(filling.explain())))
    if filling.unset:
        raise CommandError(
            t(
                "not run: {unset} must come from the environment, since no ledger keeps secrets",
                unset=", ".join(filling.unset),
            )
        )
    if not command:
        raise CommandError(t("not run: the command was not recorded"))
    if main and main in unnamed:
        raise CommandError(
            t(
                "not run: the command does not name the configuration; put {written} into it and use `lora-ledger run`",
                written=main.written,
            )
        )
    if not options.yes and (not own or found.get("from_box") is True):
        _ask(
            t("task {task} is another user's", task=options.task)
            if not own
            else t("a box has recorded task {task}", task=options.task)
        )
    # The trainer gets copies with the secrets; nothing that is recorded of them holds one.
    filling.know()
    for file in kept:
        if any(filling.fills(mark) for mark in file.marks):
            before, after = file.written, file.fill(filling)
            again = [word.replace(str(before), str(after)) for word in again]
    again = fill_command(again, marks, filling)
    return _run(settings, options, again, main.written if main else None, task, filling, dialect)


def _ask(whose: str) -> None:
    """Asks whether a command that others may have written may run here. Raises CommandError unless the answer is
    yes."""
    theirs = t("{whose}, so its command and its configuration may be anybody's", whose=whose)
    if not (sys.stdin and sys.stdin.isatty()):
        raise CommandError(t("not run: {theirs}; read them, then add --yes", theirs=theirs))
    sys.stdout.flush()
    terminal.warn(t("{theirs}; they run with all that you may do here", theirs=theirs))
    try:
        answer = prompt_for(t("Run it? y(es), n(o): "))
    except EOFError:
        answer = ""
    if answer.strip().lower() not in ("y", "yes", "是"):
        raise CommandError(t("not run"))


def _run(
    settings: Settings,
    options: argparse.Namespace,
    command: list[str],
    written: Path | None,
    task: dict[str, Any],
    filling: Filling,
    dialect: Path | None,
) -> int:
    # Which settings name files to upload is said by a dialect, so another user's is not followed.
    words = ["--dialect", str(dialect)] if dialect and filling.own else []
    runs = record_run.parse([*words, "--config", str(written)] if written else words)
    runs.name, runs.group, runs.tags = task.get("task_name"), task.get("experiment_group"), task.get("tags") or {}
    try:
        runs.stop_on_nan = read_guard(task.get("guard"))
    except ValueError as error:
        terminal.warn(t("task {number} runs without its guard: {error}", number=options.task, error=error))
    runs.hourly_price, runs.quiet = options.hourly_price, options.quiet
    runs.not_own, runs.allow_secret, runs.filled = not filling.own, sorted(filling.allowed), sorted(filling.values)
    return record_run.record(settings, runs, command, {"parent_task_id": options.task})


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise CommandError(t("{folder} is not empty; choose a new folder with -o", folder=folder))
    except OSError as error:
        raise CommandError(t("{folder} cannot be written ({error})", folder=folder, error=error.strerror)) from error


# Trainers that take the dataset file from their command line as well, which goes before their configuration.
_TAKE_DATASET = ("kohya", "lora-scripts", "musubi-tuner")


def with_files(command: list[str], kept: list[KeptFile], trainer: str | None) -> tuple[list[str], list[KeptFile]]:
    """(the command with each kept file's new path, the files that it could not be told of)."""
    unnamed = []
    for file in kept:
        command, replaced = with_config(command, file.path, file.written)
        if not replaced and file.role == "dataset_file" and trainer in _TAKE_DATASET and command:
            command = [*command, "--dataset_config", str(file.written)]
        elif not replaced:
            unnamed.append(file)
    return command, unnamed


def with_config(command: list[str], before: str, after: StrPath | None) -> tuple[list[str], bool]:
    """(the command with the configuration's path replaced, whether it was found there)."""
    if not before or after is None:
        return command, False
    name = re.split(r"[\\/]", before)[-1]
    replaced, result = False, []
    for word in command:
        option, equals, value = word.partition("=") if word.startswith("-") else ("", "", word)
        if value == before or (value and re.split(r"[\\/]", value)[-1] == name):
            word, replaced = f"{option}{equals}{after}", True
        result.append(word)
    return result, replaced


def compare(
    api: Api, found: dict[str, Any], task: dict[str, Any], command: list[str], text: str | None
) -> Iterator[str]:
    """A line for each recorded thing that is another here, or cannot be told."""
    # Another user's command names no program that is asked for its versions here.
    here = host.facts(command if command and found.get("own") is True else ["python"], os.getcwd())
    software = section(found, "software")
    mine: dict[str, Any] = here.get("node_info") or {}
    for label, then, now in (
        ("GPU", found.get("gpu_info"), here.get("gpu_info")),
        ("CUDA", found.get("cuda_version"), here.get("cuda_version")),
        ("Python", software.get("python"), mine.get("python")),
        (t("the trainer's commit"), found.get("git_commit"), here.get("git_commit")),
    ):
        if then and then != now:
            yield t("{label}: {then} then, {now} here", label=label, then=then, now=now or t("not found"))
    if software.get("git_dirty"):
        yield t("the trainer's code had changes then that no commit holds")
    packages = section(software, "packages")
    for name, then in sorted(packages.items(), key=lambda pair: (pair[0] != "torch", pair[0])):
        now = (mine.get("packages") or {}).get(name)
        if now != then:
            yield t("{name}: {then} then, {now} here", name=name, then=then, now=now or t("not installed"))
    yield from _compare_data(found, command, text)
    yield from _compare_base(api, found, task)


def _compare_data(found: dict[str, Any], command: list[str], text: str | None) -> Iterator[str]:
    recorded_sets = [d for d in found.get("datasets") or [] if d.get("content_hash")]
    if not recorded_sets:
        return
    try:
        facts = datasets.collect(recognise(command, text, os.getcwd(), None).datasets(), 60.0)
    except Exception as error:
        terminal.trouble(error)
        facts = []
    here = {fact.get("name"): fact for fact in facts}
    for then in recorded_sets:
        now = here.get(then["name"])
        if now is None:
            yield t(
                "data {name}: not found here ({source_path})",
                name=then["name"],
                source_path=then.get("source_path") or t("its folder was not recorded"),
            )
        elif now.get("content_hash") != then["content_hash"]:
            counts = t(
                "{then} images then, {now} here",
                then=then.get("image_count"),
                now=now.get("image_count"),
            )
            yield t("data {name}: other content here ({counts})", name=then["name"], counts=counts)


def base_hash(api: Api, task: dict[str, Any]) -> str | None:
    """SHA-256 of the base model, where the settings or a final weight's metadata (`new_sd_model_hash`) tell it."""
    snapshot = task.get("config_snapshot")
    for value in (
        (snapshot.get("ss_new_sd_model_hash"), (snapshot.get("adapter") or {}).get("base_model_sha256"))
        if isinstance(snapshot, dict) and isinstance(snapshot.get("adapter", {}), dict)
        else ()
    ):
        if isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value):
            return value
    for weight in api.pages("/api/weights", 1, task_id=task["id"], kind="final", state="complete"):
        metadata = api.get(f"/api/weights/{weight['id']}").get("metadata") or {}
        value = metadata.get("ss_new_sd_model_hash")
        if isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value):
            return value
    return None


def _compare_base(api: Api, found: dict[str, Any], task: dict[str, Any]) -> Iterator[str]:
    path = found.get("base_model")
    if not path:
        return
    local = Path(path).expanduser()
    if not local.exists():
        if re.fullmatch(r"[\w.-]+/[\w.-]+", path) and not local.suffix:
            return
        yield t("base model {path}: not found here", path=path)
        return
    then = base_hash(api, task)
    if then and local.is_file():
        started = time.monotonic()
        now = sha256_of(local)
        if now != then:
            yield t(
                "base model {path}: another file here ({now}… instead of {then}…)",
                path=path,
                now=now[:12],
                then=then[:12],
            )
        elif time.monotonic() - started > 5:
            terminal.notice(t("base model {path}: the same, by its hash", path=path))
