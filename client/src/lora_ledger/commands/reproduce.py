"""`lora-ledger reproduce`: a run's original configuration in a new folder, what differs here, and the run once more."""

import base64
import os
import re
import time
from pathlib import Path

from .. import datasets, host, say
from ..redact import MARK
from ..run import RunCommand
from ..trainers import recognise
from ..uploads import sha256_of
from . import recorded
from .common import Api, Plain, printable, put

_KEY = re.compile(r"""["']?([A-Za-z_][\w.-]*)["']?\s*[:=]\s*(?:["'\[]|- )?\s*$""")


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
    api = Api(settings)
    found = api.get(f"/api/tasks/{options.task}/reproduce")
    task = api.get(f"/api/tasks/{options.task}")
    command = [str(word) for word in found.get("command") or []]
    folder = Path(options.output or f"task-{options.task}-again").expanduser()
    kept = [Kept(role, found[role]) for role in ("config", "dataset_file") if found.get(role)]
    if kept:
        _make(folder)
    for file in kept:
        file.write(folder)
        put(f"wrote {file.written} ({len(file.data)} bytes, as they were)")
    main = next((file for file in kept if file.role == "config"), None)
    if not main:
        put(f"task {options.task} has no configuration file; its command line is all there is")
    again, unnamed = with_files(command, kept, task.get("trainer"))
    if command:
        put(f"command: {printable(' '.join(again))}")
    for file in unnamed:
        if file.role == "dataset_file":
            put(f"  the configuration itself names the dataset file: copy {file.written} to {printable(file.path)}")
    text = main.data.decode("utf-8", "replace") if main else None
    differences = list(compare(api, found, task, again, text))
    put("what differs here:" if differences else "nothing that was recorded differs here")
    for line in differences:
        put(f"  {printable(line)}")
    secrets = list(dict.fromkeys([*(name for file in kept for name in missing_in_text(file.text)), *missing_in_command(again)]))
    values = {name: value_of(name) for name in secrets}
    lacking = [name for name in secrets if not values[name]]
    for name in lacking:
        put(f"  a secret was left out: set {name} (or LEDGER_SECRET_{name}) in the environment")
    if not options.run:
        return 0
    if lacking:
        raise Plain(f"not run: {', '.join(lacking)} must come from the environment, since no ledger keeps secrets")
    if not command:
        raise Plain("not run: the command was not recorded")
    if main in unnamed:
        raise Plain(f"not run: the command does not name the configuration; put {main.written} into it and use `lora-ledger run`")
    # The trainer gets copies with the secrets; what the ledger records of them is redacted again.
    for file in kept:
        if MARK in file.text:
            before, after = file.written, file.fill(values)
            again = [word.replace(str(before), str(after)) for word in again]
    again = fill_command(again, values)
    return _run(settings, options, again, main.written if main else None, task)


class Kept:
    """A file that the ledger kept of a run. `role` is config or dataset_file, `path` where the trainer looked for it."""

    def __init__(self, role, answer):
        self.role = role
        self.path = answer.get("path") or ""
        self.data = base64.b64decode(answer["base64"])
        self.text = self.data.decode("utf-8", "replace")
        name = re.split(r"[\\/]", self.path)[-1]
        self.name = name if name not in ("", ".", "..") and "\0" not in name else f"{role}.{answer.get('format') or 'txt'}"
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

    def fill(self, values):
        """Writes a copy with the secrets put in, for this user alone; returns its path."""
        filled = self.written.with_name(f"{self.written.stem}-with-secrets{self.written.suffix}")
        text = fill_text(self.data.decode("utf-8", "surrogateescape"), values)
        with os.fdopen(os.open(filled, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(text.encode("utf-8", "surrogateescape"))
        self.written = filled
        return filled


def _run(settings, options, command, written, task):
    # Read as `run` itself reads it, so that every option has its default.
    from ..cli import build_parser

    words = ["run"] + (["--config", str(written)] if written else [])
    runs = build_parser().parse_args(words)
    runs.name, runs.group, runs.tags = task.get("task_name"), task.get("experiment_group"), task.get("tags") or {}
    runs.hourly_price, runs.quiet = options.hourly_price, options.quiet
    return recorded.run(settings, runs, command, lambda *a: ChildRun(*a, options.task))


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


def _name_of(word):
    return re.sub(r"\W", "_", word.lstrip("-")).upper()


def _marks(text):
    """(where it stands, the secret's name) of each `[redacted]`: its key in capitals, or SECRET_n where it has none."""
    unnamed = 0
    for match in re.finditer(re.escape(MARK), text):
        line = text[text.rfind("\n", 0, match.start()) + 1 : match.start()]
        key = _KEY.search(line)
        if key:
            yield match.start(), _name_of(key[1].rpartition(".")[2])
        else:
            unnamed += 1
            yield match.start(), f"SECRET_{unnamed}"


def missing_in_text(text):
    """Names of the secrets that were left out of a configuration's text."""
    return [name for _, name in _marks(text)]


def _command_marks(command):
    """(index, name) of each word that holds a `[redacted]`."""
    for at, word in enumerate(command):
        if MARK not in word:
            continue
        option, equals, _ = word.partition("=")
        if equals and MARK not in option:
            yield at, _name_of(option)
        elif at and command[at - 1].startswith("-"):
            yield at, _name_of(command[at - 1])
        else:
            yield at, f"SECRET_ARGUMENT_{at}"


def missing_in_command(command):
    """Names of the secrets that were left out of a command."""
    return [name for _, name in _command_marks(command)]


def value_of(name):
    """LEDGER_SECRET_<NAME>, else <NAME> itself, as trainers' own variables are called (WANDB_API_KEY, HF_TOKEN)."""
    return os.environ.get(f"LEDGER_SECRET_{name}") or os.environ.get(name) or None


def fill_text(text, values):
    """The text with every secret put in, escaped where it stands within double quotes."""
    parts, last = [], 0
    for at, name in _marks(text):
        value = values[name]
        if text[last:at].rpartition("\n")[2].count('"') % 2:
            value = value.replace("\\", "\\\\").replace('"', '\\"')
        parts += [text[last:at], value]
        last = at + len(MARK)
    return "".join(parts) + text[last:]


def fill_command(command, values):
    """The command with every secret put in."""
    result = list(command)
    for at, name in _command_marks(command):
        result[at] = result[at].replace(MARK, values[name])
    return result


def compare(api, found, task, command, text):
    """A line for each recorded thing that is another here, or cannot be told."""
    here = host.facts(command or ["python"], os.getcwd())
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
        say.trouble(error)
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
    for value in (snapshot.get("ss_new_sd_model_hash"), (snapshot.get("adapter") or {}).get("base_model_sha256")) if isinstance(snapshot, dict) and isinstance(snapshot.get("adapter", {}), dict) else ():
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
            say.notice(f"base model {path}: the same, by its hash")
