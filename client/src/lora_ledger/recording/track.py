"""`track()`: records a training loop written in Python, in a script or in a notebook."""

from __future__ import annotations

import builtins
import json
import os
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

from ..core import settings, terminal
from ..core.journal import Upload
from ..core.language import t
from ..core.redact import redact_command, redact_text
from ..core.types import StrPath
from . import attach, host, namespace
from .callback import Callback, make_callback
from .config_file import read_config
from .guard import Guard, read_guard
from .machine_watch import MachineWatch, watch_machine
from .points import Points
from .recorder import Recorder

if TYPE_CHECKING:
    from .watch import Watch

# So long a run waits for its training to begin before it is registered with the settings that are there by then.
PATIENCE = 300.0
# What settings that were found are recorded as.
FOUND_FILE = "notebook.json"


class Run:
    """A run being recorded. Nothing here raises for the ledger's sake or waits for it."""

    def __init__(
        self,
        recorder: Recorder | None,
        on_begin: Callable[[Any, Any], None] = lambda *_: None,
        over: int | None = None,
    ) -> None:
        self._recorder = recorder
        self._on_begin = on_begin
        self._step = 0
        self._cancel = threading.Event()
        self._told = False
        # Why its guard wants the run to stop; None while it does not.
        self._lost: str | None = None
        self._watches: dict[str, Watch] = {}
        self._saved: set[tuple[str, int, int]] = set()
        self._with_files = True
        self.ended = recorder is None
        if recorder:
            if over:
                recorder.points.guard = Guard(over, self._end_lost)
            recorder.on_cancel = self._cancel.set
            recorder.on_superseded = self._cancel.set

    @property
    def task_id(self) -> int | None:
        """The task's number once the ledger gave it, else None."""
        return self._recorder.task_id if self._recorder else None

    @property
    def cancel_requested(self) -> bool:
        """True once the ledger or the run's guard wants this run to stop; the loop decides when."""
        self._told = self._told or self._cancel.is_set()
        return self._told

    @property
    def guarded(self) -> bool:
        """Whether the run ends by itself once its loss is lost."""
        return self._recorder is not None and self._recorder.points.guard is not None

    def _end_lost(self, why: str) -> None:
        """The run's guard asks for its end, as a cancel in the ledger does."""
        if not self.ended and not self._cancel.is_set():
            self._lost = why
            self._cancel.set()
            terminal.notice(t("{why}; the loop stops when it looks at run.cancel_requested", why=why))

    def callback(self) -> Callback:
        """A callback for a Trainer of transformers that gets none by itself: `Trainer(callbacks=[run.callback()])`."""
        return make_callback(self)

    def log(
        self, metrics: dict[str, Any] | None = None, step: int | None = None, epoch: float | None = None, **more: Any
    ) -> None:
        """Records numbers at a step: `run.log(step=10, loss=0.1, lr=1e-4)` or `run.log({"loss/current": 0.1},
        step=10)`.

        Without `step` the next one is taken. What is no number is left out.
        """
        try:
            values = {}
            for name, value in {**(metrics or {}), **more}.items():
                try:
                    values[str(name)] = float(value)
                except (TypeError, ValueError):
                    terminal.warn_once(f"metric-{name}", t("the metric {name} is no number and is left out", name=name))
            self.record(int(step) if step is not None else self._step + 1, values, epoch)
        except Exception as error:
            terminal.trouble(error)
            terminal.warn_once("log", t("a log call could not be recorded: {error}", error=error))

    def record(self, step: int, values: dict[str, float], epoch: float | None) -> None:
        """Records numbers at a step."""
        self._step = step
        if self._recorder and not self.ended:
            self._on_begin(None, None)
            self._recorder.points.put(step, values, epoch=epoch)
            self.progress(step=step, epoch=epoch)

    def progress(
        self,
        step: int | None = None,
        total_steps: int | None = None,
        epoch: float | None = None,
        total_epochs: int | None = None,
        eta_sec: float | None = None,
    ) -> None:
        """Tells how far training is; what is not given stays as it was."""
        if not self._recorder:
            return
        progress = self._recorder.progress
        given = {
            "step": step,
            "total_steps": total_steps,
            "epoch": epoch,
            "total_epochs": total_epochs,
            "eta_sec": eta_sec,
        }
        progress.update({k: v for k, v in given.items() if v is not None})
        if progress.get("step") is not None and progress.get("total_steps"):
            progress["percent"] = round(100 * progress["step"] / progress["total_steps"], 2)

    def save(self, path: StrPath, kind: str = "final", epoch: float | None = None, step: int | None = None) -> None:
        """Has a finished file uploaded: kind is final, checkpoint, state, sample or config."""
        try:
            file = Path(path).absolute()
            self._add(Upload(str(file), file.name, kind, epoch=epoch, step=step))
        except Exception as error:
            terminal.trouble(error)
            terminal.warn_once("save", t("a file could not be recorded: {error}", error=error))

    def _add(self, item: Upload) -> None:
        if not self._recorder or self.ended:
            return
        self._on_begin(None, None)
        try:
            stat = os.stat(item.path)
            state = (item.path, stat.st_size, stat.st_mtime_ns)
        except OSError:
            state = (item.path, -1, -1)
        # The same file may be named by the loop and found in the output folder too.
        if state not in self._saved:
            self._saved.add(state)
            self._recorder.add_file(item)

    def watch(self, folder: str, adapters_only: bool = False) -> None:
        """Has what appears in the folder from now on uploaded when `look_for_files` is called."""
        if self._recorder and self._with_files and folder not in self._watches:
            # Brings all trainers along, which an import of the client does not wait for.
            from .folders import watch_folder

            self._watches[folder] = watch_folder(folder, adapters_only)

    def watched_folders(self) -> list[str]:
        """The folders whose files are uploaded."""
        return list(self._watches)

    def look_for_files(self) -> None:
        """Has the files uploaded that the watched folders have gained; nothing may be writing to them."""
        for watch in self._watches.values():
            for item in watch.poll(ended=True):
                self._add(item)

    def training_begins(self, arguments: Any, model: Any) -> None:
        """A Trainer begins to train the model with these arguments."""
        self._on_begin(arguments, model)
        folder = getattr(arguments, "output_dir", None)
        if isinstance(folder, (str, os.PathLike)) and os.fspath(folder):
            self.watch(os.path.abspath(os.path.expanduser(str(os.fspath(folder)))), adapters_only=True)


class track:  # noqa: N801 - it is used like a function
    """Records the `with` block as one run: success at its end, failed on an exception, cancelled on Ctrl-C.

    `config` is the path of a configuration file, or the settings themselves: TrainingArguments, a dataclass, a dict
    that may hold such objects. Without it they are looked for among the caller's variables; `variables=False` leaves
    plain variables out. `fields` are the task's columns (task_name, experiment_group, lora_rank, …). `url`, `key`
    and `spool` default to LEDGER_URL, LEDGER_KEY and LEDGER_SPOOL. `guard={"nan": "stop", "over": 5}`, or 5, sets
    `run.cancel_requested` once five losses in a row are NaN or infinite; Trainers of transformers stop then.

    transformers' Trainers that train within the block report their numbers and their checkpoints.
    """

    def __init__(
        self,
        config: Any = None,
        *,
        url: str | None = None,
        key: str | None = None,
        spool: StrPath | None = None,
        flush_timeout: float | None = None,
        variables: bool = True,
        guard: Mapping[str, Any] | int | None = None,
        **fields: Any,
    ) -> None:
        is_path = isinstance(config, (str, os.PathLike))
        self._path = config if is_path else None
        self._fields = fields
        self._over: int | None = None
        try:
            self._over = read_guard(guard)
        except ValueError as error:
            terminal.warn(t("this run has no guard: {error}", error=error))
        if self._over:
            fields["guard"] = {"nan": "stop", "over": self._over}
        self._settings: dict[str, Any] = {"url": url, "key": key, "spool": spool, "flush_timeout": flush_timeout}
        self._with_variables = variables
        caller = sys._getframe(1)
        # The caller's variables, as they are when they are asked for.
        self._namespace: Callable[[], Mapping[str, Any]] | None = None
        if config is None:
            self._namespace = lambda: {**caller.f_globals, **caller.f_locals}
        elif not is_path:
            given = dict(config) if isinstance(config, Mapping) else {"config": config}
            self._namespace = lambda: given
        self._given = config is not None
        self._in_notebook = hasattr(builtins, "get_ipython")
        self._with_files = True
        self._output_dir: str | None = None
        self._recorder: Recorder | None = None
        self._run = Run(None)
        self._callback: Callback | None = None
        self._machine: MachineWatch | None = None
        self._guard = threading.Lock()
        self._found: dict[str, Any] = {}
        self._registered = False
        # Set once the settings are what they are recorded as.
        self._settled = threading.Event()

    def in_notebook(self, variables: Callable[[], Mapping[str, Any]], output_dir: str | None, with_files: bool) -> None:
        """Makes this the record of a notebook's cell; call before it is entered.

        `variables()` is the user's namespace, `output_dir` a folder whose weights are uploaded at the end; without
        `with_files` no folder is looked into.
        """
        self._in_notebook = True
        self._namespace = variables
        self._output_dir, self._with_files = output_dir, with_files

    def __enter__(self) -> Run:
        config = None
        try:
            config, _ = read_config(self._path)
            self._recorder = Recorder(settings.resolve(**self._settings), Points(loss_tag=None))
            self._run = Run(self._recorder, self._settle, self._over)
            self._run._with_files = self._with_files
            if self._output_dir:
                self._run.watch(os.path.abspath(os.path.expanduser(self._output_dir)))
            if self._namespace is None:
                self._settled.set()
            self._recorder.begin(lambda: self._describe(config))
            recorder = self._recorder
            self._machine = watch_machine(recorder, lambda: recorder.progress.get("step") or 0, self._output_folder)
        except Exception as error:
            terminal.trouble(error)
            terminal.warn(t("this run cannot be recorded: {error}", error=error))
            self._recorder = None
            self._run = Run(None)
            return self._run
        try:
            self._callback = make_callback(self._run)
            attach.attach(self._callback)
        except Exception as error:
            terminal.trouble(error)
            terminal.warn(t("Trainers of transformers are not followed by themselves: {error}", error=error))
        if self._path and not config and os.path.isfile(self._path):
            self._run.save(self._path, kind="config")
        return self._run

    def _settle(self, arguments: Any = None, model: Any = None) -> None:
        """Takes the settings as they are at the first sign of training, or at the end; a Trainer's own come in later
        too."""
        if self._namespace is None or (self._settled.is_set() and arguments is None):
            return
        with self._guard:
            if self._settled.is_set() and "training_arguments" in self._found:
                return
            try:
                self._found = namespace.collect(self._namespace(), arguments, model, self._with_variables, self._given)
            except Exception as error:
                terminal.trouble(error)
                terminal.warn(t("the settings of this run could not be read: {error}", error=error))
            self._settled.set()
            late = self._registered
        if late and self._recorder:
            # The ledger reads settings when a run is registered, and never again.
            path = self._recorder.spool.folder / FOUND_FILE
            path.write_text(json.dumps(self._found, indent=1), "utf-8")
            self._recorder.add_file(Upload(str(path), FOUND_FILE, "config"))
            terminal.notice(
                t(
                    "training began after this run was registered; its settings are kept in the file {found_file}",
                    found_file=FOUND_FILE,
                )
            )

    def _describe(self, config: dict[str, Any] | None) -> tuple[dict[str, Any], dict[str, Any]]:
        fields = host.facts(sys.argv[:1], os.getcwd())
        if not self._in_notebook:
            fields["command"] = redact_command([sys.executable, *sys.argv])
        if not self._settled.wait(PATIENCE):
            self._settle()
        with self._guard:
            self._registered = True
            found = self._found
        fields.update(self._fields)
        if found.get("library"):
            fields.setdefault("trainer", found["library"])
        if config or found:
            text = json.dumps(found, indent=1)
            fields["config"] = config or {"text": text, "format": "json", "path": FOUND_FILE}
        if not config and not self._in_notebook:
            fields.setdefault("task_name", os.path.splitext(os.path.basename(sys.argv[0] or "run"))[0] or "run")
        elif not config and not found:
            fields.setdefault("task_name", "notebook")
        return fields, {}

    def _output_folder(self) -> Path | None:
        """Where checkpoints are likely to come, until the first of them shows it."""
        folder = next(iter(self._run.watched_folders()), None)
        return Path(folder) if folder else None

    def __exit__(self, kind: type | None, error: BaseException | None, _traceback: Any) -> bool:
        if self._machine:
            self._machine.stop()
        if self._callback:
            attach.detach(self._callback)
        if self._recorder:
            # What is interrupted here is left to `sync`; what the block came to is recorded all the same.
            self._try(self._settle)
            self._try(self._run.look_for_files)
            self._run.ended = True
            self._try(lambda: self._end(self._outcome(kind, error)))
        self._namespace = None
        return False

    def _try(self, work: Callable[[], Any]) -> None:
        try:
            work()
        except Exception as fault:
            terminal.trouble(fault)
            terminal.warn(
                t(
                    "the end of this run could not be recorded: {fault}; `lora-ledger sync` sends what is kept",
                    fault=fault,
                )
            )
        except KeyboardInterrupt:
            terminal.warn(
                t("interrupted while the end of this run was recorded; `lora-ledger sync` sends what is kept")
            )

    def _end(self, outcome: dict[str, Any]) -> None:
        recorder = self._recorder
        if recorder:
            try:
                recorder.finish(**outcome)
                recorder.flush()
            except KeyboardInterrupt:
                recorder.close()
                raise

    def _outcome(self, kind: type | None, error: BaseException | None) -> dict[str, Any]:
        """What became of the block, as `Recorder.finish` takes it."""
        if kind is None or (isinstance(error, SystemExit) and error.code in (None, 0)):
            if self._run._told:
                return {"status": "cancelled", "error_message": self._run._lost or t("cancelled in the ledger")}
            return {"status": "success", "exit_code": 0}
        if issubclass(kind, KeyboardInterrupt):
            return {"status": "cancelled", "error_message": t("interrupted by Ctrl-C")}
        message = redact_text(f"{kind.__name__}: {error}")[:2000]
        oom = kind is MemoryError or "OutOfMemory" in kind.__name__ or "out of memory" in message
        return {
            "status": "failed",
            "error_message": message,
            "failure_reason": "oom" if oom else "error",
            "exit_code": 1,
        }
