"""`lora-ledger import`: records past runs from their weight files. Importing again adds nothing."""

import hashlib
import os
import struct
import sys
import threading
from pathlib import Path

from .. import say
from ..follow.tensorboard import EventFile
from ..points import iso, number
from ..transport import Denied, Later, Refused, Superseded, backoff
from ..uploads import Upload, sha256_of
from .adapter import Adapter, NoAdapter
from .common import Api, Plain, figure, put
from .past import Past

# So much of both ends, with the size, tells one file from another without reading gigabytes.
IDENTITY = 1 << 20


def identity(path):
    """Equal for equal files: SHA-256 of size, first and last MB, as hex; where the file lies does not matter. OSError."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        digest.update(struct.pack("<Q", size) + file.read(IDENTITY))
        file.seek(max(0, size - IDENTITY))
        digest.update(file.read(IDENTITY))
    return digest.hexdigest()


def weight_files(arguments):
    """Files that the arguments name; folders and, for shells that expand none, patterns are looked through."""
    for argument in arguments:
        path = Path(argument).expanduser()
        if path.is_dir():
            yield from sorted(p for p in path.rglob("*.safetensors") if p.is_file())
        elif not path.exists() and any(c in argument for c in "*?["):
            found = sorted(path.parent.glob(path.name))
            if not found:
                yield path
            yield from found
        else:
            yield path


def import_runs(settings, options):
    """Registers each file's run. The exit code: 1 when a file could not be read or was refused. Raises Plain."""
    api = Api(settings)
    files = list(dict.fromkeys(weight_files(options.files)))
    if not files:
        raise Plain("no .safetensors file was found there")
    if options.tensorboard and len(files) > 1:
        raise Plain("--tensorboard brings the curve of one run: import that file by itself")
    failed = added = known = 0
    for at, path in enumerate(files, 1):
        if len(files) > 10 and sys.stderr.isatty():
            say.write_stderr(f"\r[ledger] {at} of {len(files)} ".encode())
        try:
            if import_one(api, path, options):
                added += 1
            else:
                known += 1
        except NoAdapter as error:
            say.warn(f"{path}: {error}")
            failed += 1
        except OSError as error:
            say.warn(f"{path}: cannot be read ({error.strerror or error})")
            failed += 1
        except Plain as error:
            # A ledger that is away or refuses the key would refuse all the others too.
            if getattr(error, "status", 422) in (None, 401, 403):
                raise
            say.warn(f"{path}: {error}")
            failed += 1
    put(f"{added} imported, {known} known already, {failed} failed")
    return 1 if failed else 0


def import_one(api, path, options):
    """Registers one file's run and brings what was asked for; True when it is new. Raises NoAdapter, OSError, Plain."""
    past = Past(Adapter(path))
    if options.group:
        past.fields["experiment_group"] = options.group
    mark = identity(path)
    points = read_curve(options.tensorboard) if options.tensorboard else None
    source = f"safetensors:{mark[:32]}"
    task = find_import(api, source)
    fresh = task is None
    if fresh:
        body = past.registration(source)
        try:
            task = api.ask("POST", "/api/tasks", body, {"Idempotency-Key": f"import-{mark}"})["task_id"]
        except Plain as error:
            if getattr(error, "status", None) == 422 and "Idempotency-Key" in str(error):
                put(f"{path}: known already (imported before with other words around it)")
                return False
            raise
    said = " ".join(
        f"{label} {figure(past.fields.get(name))}"
        for label, name in (("rank", "lora_rank"), ("alpha", "lora_alpha"), ("lr", "learning_rate"))
        if past.fields.get(name) is not None
    )
    put(f"{path}: task {task}{'' if fresh else ' (known already)'} {past.fields.get('network_algo') or ''} {said}".rstrip())
    if options.upload:
        _upload(api, task, path, past)
    if points is not None:
        _send_curve(api, task, points)
    return fresh


def find_import(api, source):
    """The task that was imported from this very file, or None. The key of a registration is forgotten after 30 days;
    the task's own `import_source` is not."""
    try:
        for task in api.pages("/api/tasks", 1, filter=f"import_source = '{source}'"):
            return task["id"]
    except Plain as error:
        # Box keys may not list; the registration's Idempotency-Key then finds the task again.
        if getattr(error, "status", None) != 403:
            raise
    return None


# Series that are the loss itself, best first: sd-scripts, transformers, OneTrainer, diffusers, ai-toolkit.
LOSSES = ("loss/current", "train/loss", "loss/train_step", "train_loss", "loss")
MOST_VALUES = 10_000_000


def read_curve(folder):
    """Log entries, by step, of all event files below the folder. Raises Plain when there are none.

    Values of one series at one step, as they come with gradient accumulation, are averaged.
    """
    files = [Path(folder)] if os.path.isfile(folder) else sorted(Path(folder).rglob("events.out.tfevents.*"))
    rows, count, series = {}, 0, set()
    for path in files:
        for when, step, tag, value in EventFile(path).read():
            if tag.startswith(("hparam", "_hparams_")) or step < 0:
                continue
            series.add(tag)
            row = rows.setdefault(step, [when, {}])
            total = row[1].setdefault(tag, [0.0, 0])
            total[0] += value
            total[1] += 1
            count += 1
            if count > MOST_VALUES:
                raise Plain(f"{folder} holds more than {MOST_VALUES} values; name one run's folder")
    if not count:
        raise Plain(f"{folder} holds no TensorBoard scalars (files named events.out.tfevents.*)")
    loss = next((tag for tag in LOSSES if tag in series), None)
    entries = []
    for step in sorted(rows):
        when, totals = rows[step]
        metrics = {tag: number(total / n) for tag, (total, n) in totals.items()}
        if loss in metrics:
            metrics["loss"] = metrics[loss]
        entries.append({"step": step, "time": iso(when), "metrics": metrics})
    return entries


def _send_curve(api, task, entries):
    """All points as heartbeats of attempt 1, numbered on from what the ledger has."""
    shown = api.get(f"/api/tasks/{task}")
    first = next((a for a in shown.get("attempts") or [] if a.get("attempt") == 1), {})
    if (first.get("points") or 0) >= len(entries):
        put(f"task {task} has its curve already")
        return
    # A curve that was cut off before is sent again from the start under the same numbers: the ledger drops repeats.
    batches, seq = list(_batches(entries)), 0
    bar = say.Progress("sending the curve", len(entries))
    sent = 0
    for batch in batches:
        seq += 1
        body = {"attempt": 1, "seq": seq, "progress": {}, "logs": batch}
        _patiently(lambda body=body: api.ledger.ask("POST", f"/api/tasks/{task}/heartbeat", body))
        sent += len(batch)
    bar.end(f"task {task}: {sent} steps of the curve")


def _batches(entries):
    """At most 1,000 entries and 10,000 values each, which stays well below the ledger's 1 MB."""
    batch, values = [], 0
    for entry in entries:
        if batch and (len(batch) >= 1000 or values + len(entry["metrics"]) > 10_000):
            yield batch
            batch, values = [], 0
        batch.append(entry)
        values += len(entry["metrics"])
    if batch:
        yield batch


def _patiently(call, tries=6):
    """The call's result; what may pass is tried again. Raises Plain."""
    for attempt in range(tries):
        try:
            return call()
        except Later as error:
            if attempt == tries - 1:
                raise Plain(f"the ledger did not answer: {error}") from error
            threading.Event().wait(error.delay if error.delay is not None else backoff(attempt))
        except (Denied, Refused, Superseded) as error:
            raise Plain(str(error)) from error
    return None


def _upload(api, task, path, past):
    """Sends the file as the run's final weight; one that is there already is not sent again."""
    digest = sha256_of(path)
    for weight in api.pages("/api/weights", task_id=task, kind="final", state="complete"):
        if weight.get("sha256") == digest:
            put(f"task {task}: {Path(path).name} is stored already")
            return
    item = {"path": str(Path(path).absolute()), "filename": Path(path).name, "kind": "final"}
    if past.steps is not None and past.steps >= 0:
        item["step"] = past.steps
    bar = say.Progress(f"uploading {item['filename']}", past.adapter.size)
    memo = {}
    upload = Upload(api.ledger, task, 1, item, memo, lambda: None, lambda sent, _: bar.show(sent), lambda: False)
    verified = _patiently(upload.run)
    bar.end(f"{item['filename']}: {say.size_text(past.adapter.size)} stored, checked by {verified}")
