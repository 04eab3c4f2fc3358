"""`track()`: records a training loop written in Python."""

import os
import sys
import threading
import time

from . import host

from ..core import terminal, settings
from ..follow import gpu
from .points import Points
from .recorder import Recorder
from ..core.redact import redact_command, redact_text
from .run import GPU_SECONDS, read_config


class Run:
    """A run being recorded. Nothing here raises for the ledger's sake or waits for it."""

    def __init__(self, recorder):
        self._recorder = recorder
        self._step = 0
        self._cancel = threading.Event()
        if recorder:
            recorder.on_cancel = self._cancel.set
            recorder.on_superseded = self._cancel.set

    @property
    def task_id(self):
        """The task's number once the ledger gave it, else None."""
        return self._recorder.task_id if self._recorder else None

    @property
    def cancel_requested(self):
        """True once the ledger wants this run to stop; the loop decides when."""
        return self._cancel.is_set()

    def log(self, metrics=None, step=None, epoch=None, **more):
        """Records numbers at a step: `run.log(step=10, loss=0.1, lr=1e-4)` or `run.log({"loss/current": 0.1}, step=10)`.

        Without `step` the next one is taken. What is no number is left out.
        """
        try:
            self._step = int(step) if step is not None else self._step + 1
            values = {}
            for name, value in {**(metrics or {}), **more}.items():
                try:
                    values[str(name)] = float(value)
                except (TypeError, ValueError):
                    terminal.warn_once(f"metric-{name}", f"the metric {name} is no number and is left out")
            if self._recorder:
                self._recorder.points.put(self._step, values, epoch=epoch)
                self.progress(step=self._step, epoch=epoch)
        except Exception as error:
            terminal.trouble(error)
            terminal.warn_once("log", f"a log call could not be recorded: {error}")

    def progress(self, step=None, total_steps=None, epoch=None, total_epochs=None, eta_sec=None):
        """Tells how far training is; what is not given stays as it was."""
        if not self._recorder:
            return
        progress = self._recorder.progress
        given = dict(step=step, total_steps=total_steps, epoch=epoch, total_epochs=total_epochs, eta_sec=eta_sec)
        progress.update({k: v for k, v in given.items() if v is not None})
        if progress.get("step") is not None and progress.get("total_steps"):
            progress["percent"] = round(100 * progress["step"] / progress["total_steps"], 2)

    def save(self, path, kind="final", epoch=None, step=None):
        """Has a finished file uploaded: kind is final, checkpoint, state, sample or config."""
        try:
            from pathlib import Path

            path = Path(path).absolute()
            item = {"path": str(path), "filename": path.name, "kind": kind, "epoch": epoch, "step": step}
            if self._recorder:
                self._recorder.add_file({k: v for k, v in item.items() if v is not None})
        except Exception as error:
            terminal.trouble(error)
            terminal.warn_once("save", f"a file could not be recorded: {error}")


class track:
    """Records the `with` block as one run: success at its end, failed on an exception, cancelled on Ctrl-C.

    `config` is the path of a configuration file; `fields` are the task's columns (task_name, experiment_group,
    lora_rank, …). `url`, `key` and `spool` default to LEDGER_URL, LEDGER_KEY and LEDGER_SPOOL.
    """

    def __init__(self, config=None, *, url=None, key=None, spool=None, flush_timeout=None, **fields):
        self._config = config
        self._fields = fields
        self._settings = dict(url=url, key=key, spool=spool, flush_timeout=flush_timeout)
        self._recorder = None
        self._over = threading.Event()

    def __enter__(self):
        config = None
        try:
            config, _ = read_config(self._config)
            self._recorder = Recorder(settings.resolve(**self._settings), Points(loss_tag=None))
            self._recorder.begin(lambda: self._describe(config))
            threading.Thread(target=self._sample_gpu, name="ledger-gpu", daemon=True).start()
        except Exception as error:
            terminal.trouble(error)
            terminal.warn(f"this run cannot be recorded: {error}")
            self._recorder = None
        run = Run(self._recorder)
        if self._recorder and self._config and not config and os.path.isfile(self._config):
            run.save(self._config, kind="config")
        return run

    def _describe(self, config):
        fields = {
            "command": redact_command([sys.executable, *sys.argv]),
            **host.facts(sys.argv[:1], os.getcwd()),
            **self._fields,
        }
        if config:
            fields["config"] = config
        elif "task_name" not in fields:
            fields["task_name"] = os.path.splitext(os.path.basename(sys.argv[0] or "run"))[0] or "run"
        return fields, {}

    def _sample_gpu(self):
        while not self._over.is_set():
            metrics = gpu.sample()
            if not metrics:
                return
            self._recorder.points.put(self._recorder.progress.get("step") or 0, metrics, time.time())
            self._over.wait(GPU_SECONDS)

    def __exit__(self, kind, error, _traceback):
        self._over.set()
        if not self._recorder:
            return False
        try:
            if kind is None:
                self._recorder.finish("success", exit_code=0)
            elif issubclass(kind, KeyboardInterrupt):
                self._recorder.finish("cancelled", error_message="interrupted by Ctrl-C")
            elif issubclass(kind, SystemExit) and error.code in (None, 0):
                self._recorder.finish("success", exit_code=0)
            else:
                message = redact_text(f"{kind.__name__}: {error}")[:2000]
                oom = kind is MemoryError or "OutOfMemory" in kind.__name__ or "out of memory" in message
                self._recorder.finish(
                    "failed", error_message=message, failure_reason="oom" if oom else "error", exit_code=1
                )
            self._recorder.flush()
        except Exception as fault:
            terminal.trouble(fault)
            terminal.warn(f"the end of this run could not be recorded: {fault}; `lora-ledger sync` sends what is kept")
        return False
