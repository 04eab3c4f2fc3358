"""One run of the past on its way into the ledger: registered once by its source, then its curve."""

import re
import threading

from ..core import terminal
from ..core.api import Plain
from ..recording.points import number
from ..core.text import metric_name
from ..core.transport import Denied, Later, Refused, Superseded, backoff
from .fields import ENDED, FIELDS, arch_of, candidates, parse

# A request stays well below the ledger's 1 MB.
ENTRIES, VALUES = 1000, 10_000


class PastRun:
    """`where` names it to people, `source` for good to the ledger; `fields` are a run's columns as the ledger takes them
    (`ENDED` ones too), `extra` what has no column, `settings` the tool's own configuration.

    `curves` is {attempt: function that gives its log entries in order}.
    """

    def __init__(self, where, source, fields, extra=None, settings=None, datasets=None, curves=None):
        self.where = where
        self.source = source
        self.fields = fields
        self.extra = extra or {}
        self.settings = settings
        self.datasets = datasets or []
        self.curves = curves or {}
        # Parts of the registration, and of what it says of the past, that are ready as they are.
        self.whole = {}
        self.past = {}
        # Whether a field without a value stays so, whatever the trainer's own file says.
        self.exact = False
        # The open archive that it comes from.
        self.archive = None

    def body(self):
        """The registration."""
        fields = {k: v for k, v in self.fields.items() if v is not None and k not in ENDED}
        ended = {k: v for k, v in self.fields.items() if v is not None and k in ENDED}
        extra = {k: v for k, v in self.extra.items() if v is not None}
        body = {**fields, **self.whole, "import": {"source": self.source, **ended, **self.past}}
        if extra:
            body["import"]["additional_args"] = extra
        if self.settings:
            body["config_snapshot"] = self.settings
        if self.datasets:
            body["datasets"] = self.datasets
        return body


def record(api, run):
    """(the task, whether it is new). Raises Plain."""
    answer = patiently(lambda: api.ledger.ask("POST", "/api/tasks", run.body()))
    task, fresh = answer["task_id"], is_fresh(answer)
    if run.exact and fresh:
        shown = answer.get("task") or {}
        empty = {
            name: None
            for name, value in run.fields.items()
            if value is None and shown.get(name) is not None and name not in ENDED
        }
        if empty:
            patiently(lambda: api.ledger.ask("PATCH", f"/api/tasks/{task}", empty))
    for attempt, entries in sorted(run.curves.items()):
        send_curve(api, task, attempt, entries())
    return task, fresh


def is_fresh(answer):
    """Whether a registration was the first from its source."""
    return not any(w.get("code") == "already-imported" for w in answer.get("warnings") or [])


def send_curve(api, task, attempt, entries):
    """Sends log entries as numbered parts; those that are there already are passed over. The number of entries sent."""
    sent = seq = there = 0
    for batch in batches(entries):
        seq += 1
        if seq <= there:
            continue
        body = {"seq": seq, "logs": batch}
        path = f"/api/tasks/{task}/attempts/{attempt}/logs"
        answer = patiently(lambda body=body, path=path: api.ledger.ask("POST", path, body))
        # What a broken import had sent before keeps its numbers, so that nothing is there twice.
        there = answer.get("last_seq") or 0
        sent += len(batch) if there == seq else 0
    return sent


def batches(entries):
    """Parts of at most 1,000 entries and 10,000 values."""
    batch, values = [], 0
    for entry in entries:
        if batch and (len(batch) >= ENTRIES or values + len(entry["metrics"]) > VALUES):
            yield batch
            batch, values = [], 0
        batch.append(entry)
        values += len(entry["metrics"])
    if batch:
        yield batch


def patiently(call, tries=6):
    """The call's result; what may pass is tried again. Raises Plain with the HTTP `status` where there was one."""
    for attempt in range(tries):
        try:
            return call()
        except Later as error:
            if attempt == tries - 1:
                raise _plain(f"the ledger did not answer: {error}", None) from error
            threading.Event().wait(error.delay if error.delay is not None else backoff(attempt))
        except (Denied, Refused, Superseded) as error:
            raise _plain(str(error), getattr(error, "status", 409)) from error
    return None


def _plain(text, status):
    error = Plain(text)
    error.status = status
    return error


def entries_of(rows):
    """Log entries, by step, of {step: {"time", "epoch", "metrics"}} as trackers' exports give them."""
    for step in sorted(rows):
        row = rows[step]
        if not row["metrics"] or not 0 <= step <= 9_999_999_999:
            continue
        entry = {"step": step, "metrics": {metric_name(k): number(v) for k, v in row["metrics"].items()}}
        for name in ("time", "epoch"):
            if row.get(name) is not None:
                entry[name] = row[name]
        yield entry


def fields_of_settings(settings):
    """Columns that a tracker's parameters tell, by their many names; what does not fit its column is passed over."""
    found = {}
    for name, value in settings.items():
        if isinstance(value, (dict, list)) or value is None or value == "":
            continue
        # `train/lr` and `optimizer.lr` are called by their last part.
        for called in (name, re.split(r"[/.]", str(name))[-1]):
            known = [f for f in candidates(called)[0] if f not in ENDED and FIELDS[f][0] != "json"]
            if known and known[0] not in found:
                try:
                    found[known[0]] = parse(known[0], str(value))
                except ValueError as error:
                    terminal.trouble(error)
                break
    if "base_arch" not in found and found.get("base_model_path"):
        found["base_arch"] = arch_of(re.split(r"[/\\]", found["base_model_path"])[-1])
    if found.get("base_arch") and "model_type" not in found:
        found["model_type"] = "llm" if found["base_arch"] == "llm" else "stable-diffusion"
    return found
