"""`lora-ledger reproduce`: a run's original configuration in a new folder, what differs here, and the run once more."""

import base64
import os
import re
import shlex
import sys
import time
from pathlib import Path

from ..trainers import datasets

from ..recording import host

from ..core import terminal
from ..core.redact import MARK
from ..recording.run import RunCommand
from ..trainers import recognise
from ..core.uploads import sha256_of
from . import run
from ..core.api import Api, Plain, printable, put
from .filling import Filling, allowed_names, fill_command, fill_file, marks_in_command, marks_in_file


class ChildRun(RunCommand):
    """A run that is registered as the child of another task."""

    def __init__(self, settings, options, command, parent):
        super().__init__(settings, options, command)
        self.parent = parent

    def _describe(self):
        fields, more = super()._describe()
        return {**fields, "parent_task_id": self.parent}, more


def reproduce(settings, options):
    """Writes the files and says what differs; with --run ends with the trainer's exit code. Raises Plain."""
    try:
        allowed = allowed_names(options.allow_secret)
    except ValueError as error:
        raise Plain(str(error), 2) from error
    api = Api(settings)
    found = api.get(f"/api/tasks/{options.task}/reproduce")
    task = api.get(f"/api/tasks/{options.task}")
    words = found.get("command")
    command = [str(word) for word in words] if isinstance(words, list) else []
    folder = Path(options.output or f"task-{options.task}-again").expanduser()
    kept = [Kept(role, found[role]) for role in ("config", "dataset_file") if found.get(role)]
    if kept:
        _make(folder)
    for file in kept:
        file.write(folder)
        put(f"wrote {printable(file.written)} ({len(file.data)} bytes, as they were)")
    main = next((file for file in kept if file.role == "config"), None)
    if not main:
        put(f"task {options.task} has no configuration file; its command line is all there is")
    again, unnamed = with_files(command, kept, task.get("trainer"))
    if command:
        put(f"command: {printable(shlex.join(again))}")
    for file in unnamed:
        if file.role == "dataset_file":
            put(
                f"  the configuration itself names the dataset file: copy {printable(file.written)} to {printable(file.path)}"
            )
    text = main.data.decode("utf-8", "replace") if main else None
    differences = list(compare(api, found, task, again, text))
    put("what differs here:" if differences else "nothing that was recorded differs here")
    for line in differences:
        put(f"  {printable(line)}")
    own = found.get("own") is True
    filling = Filling(own, allowed, settings.key)
    marks = marks_in_command(found.get("command_secrets"), again)
    for file in kept:
        filling.look(file.name, file.marks, file.data.count(MARK.encode()))
    filling.look("the command", marks, sum(word.count(MARK) for word in again))
    for line in filling.explain():
        put(f"  a secret was left out: {printable(line)}")
    for line in filling.left:
        put(f"  {printable(line)}")
    if not options.run:
        return 0
    if filling.refused:
        raise Plain(f"not run: {next(filling.explain())}")
    if filling.unset:
        raise Plain(
            f"not run: {', '.join(filling.unset)} must come from the environment, since no ledger keeps secrets"
        )
    if not command:
        raise Plain("not run: the command was not recorded")
    if main in unnamed:
        raise Plain(
            f"not run: the command does not name the configuration; put {main.written} into it and use `lora-ledger run`"
        )
    if not options.yes and (not own or found.get("from_box") is True):
        _ask(f"task {options.task} is another user's" if not own else f"a box has recorded task {options.task}")
    # The trainer gets copies with the secrets; nothing that is recorded of them holds one.
    filling.know()
    for file in kept:
        if any(filling.fills(mark) for mark in file.marks):
            before, after = file.written, file.fill(filling)
            again = [word.replace(str(before), str(after)) for word in again]
    again = fill_command(again, marks, filling)
    return _run(settings, options, again, main.written if main else None, task, filling)


def _ask(whose):
    """Asks whether a command that others may have written may run here. Raises Plain unless the answer is yes."""
    theirs = f"{whose}, so its command and its configuration may be anybody's"
    if not (sys.stdin and sys.stdin.isatty()):
        raise Plain(f"not run: {theirs}; read them, then add --yes")
    sys.stdout.flush()
    terminal.warn(f"{theirs}; they run with all that you may do here")
    try:
        answer = input("Run it? y(es), n(o): ")
    except EOFError:
        answer = ""
    if answer.strip().lower() not in ("y", "yes"):
        raise Plain("not run")


class Kept:
    """A file that the ledger kept of a run. `role` is config or dataset_file, `path` where the trainer looked for it."""

    def __init__(self, role, answer):
        self.role = role
        if not isinstance(answer, dict) or not isinstance(answer.get("base64"), str):
            raise Plain(f"the ledger's {role} is no file")
        self.path = str(answer.get("path") or "")
        try:
            self.data = base64.b64decode(answer["base64"], validate=True)
        except ValueError as error:
            raise Plain(f"the ledger's {role} cannot be read ({error})") from error
        self.text = self.data.decode("utf-8", "replace")
        self.marks = marks_in_file(answer.get("secrets"), self.data)
        # A name that begins with a dash would be an option of the trainer's.
        name = re.sub(r"^-|[\x00-\x1f\x7f-\x9f]", "_", re.split(r"[\\/]", self.path)[-1])
        form = answer.get("format") if re.fullmatch(r"[a-z]{1,8}", str(answer.get("format"))) else "txt"
        self.name = name if name not in ("", ".", "..") and len(os.fsencode(name)) <= 200 else f"{role}.{form}"
        self.written = None

    def write(self, folder):
        """Writes it byte for byte into the new folder."""
        path = folder / self.name
        if path.exists():
            path = folder / f"{self.role}-{self.name}"
        try:
            path.write_bytes(self.data)
        except OSError as error:
            raise Plain(f"{path} cannot be written ({error.strerror})") from error
        self.written = path

    def fill(self, filling):
        """Writes a copy with the secrets put in, for this user alone; returns its path."""
        filled = self.written.with_name(f"{self.written.stem}-with-secrets{self.written.suffix}")
        with os.fdopen(os.open(filled, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(fill_file(self.data, self.marks, filling))
        self.written = filled
        return filled


def _run(settings, options, command, written, task, filling):
    # Read as `run` itself reads it, so that every option has its default.
    from ..cli import build_parser

    words = ["run"] + (["--config", str(written)] if written else [])
    runs = build_parser().parse_args(words)
    runs.name, runs.group, runs.tags = task.get("task_name"), task.get("experiment_group"), task.get("tags") or {}
    runs.hourly_price, runs.quiet = options.hourly_price, options.quiet
    runs.not_own, runs.allow_secret, runs.filled = not filling.own, sorted(filling.allowed), sorted(filling.values)
    return run.run(settings, runs, command, lambda *a: ChildRun(*a, options.task))


def _make(folder):
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise Plain(f"{folder} is not empty; choose a new folder with -o")
    except OSError as error:
        raise Plain(f"{folder} cannot be written ({error.strerror})") from error


# Trainers that take the dataset file from their command line as well, which goes before their configuration.
_TAKE_DATASET = ("kohya", "lora-scripts", "musubi-tuner")


def with_files(command, kept, trainer):
    """(the command with each kept file's new path, the files that it could not be told of)."""
    unnamed = []
    for file in kept:
        command, replaced = with_config(command, file.path, file.written)
        if not replaced and file.role == "dataset_file" and trainer in _TAKE_DATASET and command:
            command = [*command, "--dataset_config", str(file.written)]
        elif not replaced:
            unnamed.append(file)
    return command, unnamed


def with_config(command, before, after):
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


def compare(api, found, task, command, text):
    """A line for each recorded thing that is another here, or cannot be told."""
    # Another user's command names no program that is asked for its versions here.
    here = host.facts(command if command and found.get("own") is True else ["python"], os.getcwd())
    software = found.get("software") if isinstance(found.get("software"), dict) else {}
    mine = here.get("node_info") or {}
    for label, then, now in (
        ("GPU", found.get("gpu_info"), here.get("gpu_info")),
        ("CUDA", found.get("cuda_version"), here.get("cuda_version")),
        ("Python", software.get("python"), mine.get("python")),
        ("the trainer's commit", found.get("git_commit"), here.get("git_commit")),
    ):
        if then and then != now:
            yield f"{label}: {then} then, {now or 'not found'} here"
    if software.get("git_dirty"):
        yield "the trainer's code had changes then that no commit holds"
    packages = software.get("packages") if isinstance(software.get("packages"), dict) else {}
    for name, then in sorted(packages.items(), key=lambda pair: (pair[0] != "torch", pair[0])):
        now = (mine.get("packages") or {}).get(name)
        if now != then:
            yield f"{name}: {then} then, {now or 'not installed'} here"
    yield from _compare_data(found, command, text)
    yield from _compare_base(api, found, task)


def _compare_data(found, command, text):
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
            yield f"data {then['name']}: not found here ({then.get('source_path') or 'its folder was not recorded'})"
        elif now.get("content_hash") != then["content_hash"]:
            yield f"data {then['name']}: other content here ({then.get('image_count')} images then, {now.get('image_count')} here)"


def base_hash(api, task):
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


def _compare_base(api, found, task):
    path = found.get("base_model")
    if not path:
        return
    local = Path(path).expanduser()
    if not local.exists():
        if re.fullmatch(r"[\w.-]+/[\w.-]+", path) and not local.suffix:
            return
        yield f"base model {path}: not found here"
        return
    then = base_hash(api, task)
    if then and local.is_file():
        started = time.monotonic()
        now = sha256_of(local)
        if now != then:
            yield f"base model {path}: another file here ({now[:12]}… instead of {then[:12]}…)"
        elif time.monotonic() - started > 5:
            terminal.notice(f"base model {path}: the same, by its hash")
