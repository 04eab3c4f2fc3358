"""`lora-ledger run`: records a trainer that knows nothing about the ledger."""

import base64
import os
import signal
import threading
import time

from . import datasets, host, say
from .console import Console
from .follow import gpu
from .follow.bar import read_bar
from .follow.tensorboard import EventFolder
from .points import Points
from .process import Process, shell_code
from .recorder import Recorder
from .redact import redact_command
from .trainers import recognise
from .watch import Watch

CONFIG_LIMIT = 4 * 1024 * 1024
# torch's SummaryWriter flushes every 120 seconds: so long the bar's loss waits for the exact one.
TENSORBOARD_DELAY = 150.0
GPU_SECONDS = 15.0


def find_config(command):
    """The configuration file that a trainer's command names, or None."""
    for index, argument in enumerate(command):
        for option in ("--config_file", "--config"):
            if argument == option and index + 1 < len(command):
                return command[index + 1]
            if argument.startswith(option + "="):
                return argument[len(option) + 1 :]
    return None


def read_config(path):
    """(the `config` field for the ledger, the text for recognising); (None, None) when there is nothing to read."""
    if not path:
        return None, None
    try:
        with open(path, "rb") as file:
            data = file.read(CONFIG_LIMIT + 1)
    except OSError as error:
        say.warn(
            f"the configuration {path} cannot be read ({error.strerror}); the run is recorded without it"
        )
        return None, None
    if len(data) > CONFIG_LIMIT:
        say.warn(f"the configuration {path} is larger than 4 MB; the run is recorded without it")
        return None, None
    try:
        text = data.decode("utf-8")
        return {"text": text, "path": str(path)}, text
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode(), "path": str(path)}, data.decode(
            "gb18030", "replace"
        )


class Offset:
    """Where one source's own step count stands in the task's: after a resume it may begin anew or go on."""

    def __init__(self, from_step):
        self.from_step = from_step or 0
        self.value = None

    def step(self, own):
        """The task's step for the source's own; its first step decides."""
        if self.value is None:
            self.value = 0 if own > self.from_step else self.from_step
        return own + self.value


class Follower:
    """Turns a trainer's lines and event files into points and progress."""

    def __init__(self, trainer, points, progress, from_step, events):
        self.trainer = trainer
        self.points = points
        self.progress = progress
        self.events = events
        self.started = threading.Event()
        self.saw_marker = False
        self._bar_offset = Offset(from_step)
        self._event_offset = Offset(from_step)
        self._bar_point = None
        self._epochs = []

    def line(self, line):
        """Takes a line or a state of a bar."""
        bar = read_bar(line)
        if bar is not None:
            self._bar(bar)
            return
        if self.trainer.success_marker and self.trainer.success_marker in line:
            self.saw_marker = True
        epoch = self.trainer.epoch_line(line.strip())
        if epoch:
            step = self.progress.get("step") or 0
            self._epochs.append((step, epoch[0]))
            self.progress["epoch"], self.progress["total_epochs"] = epoch

    def _bar(self, bar):
        if self.trainer.bar_desc is not None and bar.desc != self.trainer.bar_desc:
            return
        loss = next((bar.values[name] for name in self.trainer.bar_loss if name in bar.values), None)
        if loss is None and (self.trainer.bar_desc is None or bar.step == 0):
            return
        self.started.set()
        step = (
            self._bar_offset.step(bar.step)
            if loss is not None or self._bar_offset.value is not None
            else bar.step
        )
        total = bar.total + (self._bar_offset.value or 0)
        self.progress.update(
            step=step,
            total_steps=total,
            percent=round(100 * step / total, 2) if total else None,
            eta_sec=bar.eta,
        )
        if loss is None:
            return
        if self._bar_point and self._bar_point[0] != step:
            self.points.bar(*self._bar_point)
        # tqdm shows a new step with the old loss first: only the last state of a step counts.
        self._bar_point = (step, loss, time.time(), self.progress.get("epoch"))

    def poll(self):
        """Reads what the event files have got since the last call."""
        if self.events is None:
            return
        for when, step, tag, value in self.events.read():
            if tag.startswith("hparam") or tag.startswith("_hparams_"):
                continue
            step = self._event_offset.step(step) if step > 0 or self._event_offset.value is not None else step
            if not tag.startswith("loss/epoch"):
                self.progress["step"] = max(self.progress.get("step") or 0, step)
            self.points.add(tag, step, value, when or time.time(), self._epoch_of(step))

    def _epoch_of(self, step):
        for start, epoch in reversed(self._epochs):
            if step > start:
                return epoch
        return self._epochs[0][1] if self._epochs else None

    def end(self):
        """The last reading, after the trainer ended."""
        self.poll()
        if self._bar_point:
            self.points.bar(*self._bar_point)
            self._bar_point = None

    @property
    def offset(self):
        """How far the trainer's own steps lie behind the task's."""
        return self._bar_offset.value or self._event_offset.value or 0


class RunCommand:
    """One run from launch to exit code. `options` are the command line's (see cli)."""

    def __init__(self, settings, options, command):
        self.settings = settings
        self.options = options
        self.command = command
        self.cwd = os.getcwd()
        self.cancelled = None
        self.preempted = False
        self.superseded = False
        self.process = None
        self.recorder = None
        self._interrupts = 0
        self._ended = threading.Event()
        self._stop_waiting = False

    def run(self):
        """Runs the trainer and returns the exit code to end with."""
        self.config_path = self.options.config or find_config(self.command)
        config, text = read_config(self.config_path)
        self.trainer = recognise(self.command, text, self.cwd, self.options.output_dir)
        watch = Watch(self.trainer)
        logs = self.trainer.log_folder()
        events = EventFolder(logs, lambda pid: self.process.owns(pid)) if logs else None
        from_step = self._from_step()
        # Signals that come while the trainer is being started wait for it.
        self._catch_signals()
        waiting = []
        try:
            self.process = Process(self.command, lambda name, data: console.feed(name, data))
        except FileNotFoundError:
            say.warn(f"{self.command[0]}: there is no such command")
            return 127
        except OSError as error:
            say.warn(f"{self.command[0]} cannot be started: {error.strerror}")
            return 126
        points = Points(self.trainer.loss_tag, TENSORBOARD_DELAY if events else 0.0)
        self.recorder = Recorder(self.settings, points)
        follower = Follower(self.trainer, points, self.recorder.progress, from_step, events)
        console = Console(self.recorder.spool.folder / "console.log.gz", follower.line)
        self.recorder.tail = console.tail
        self.recorder.on_cancel = self._cancel
        self.recorder.on_superseded = self._give_up
        self.process.start_reading()
        resume = None
        if self.options.resume_task:
            resume = {
                "task_id": self.options.resume_task,
                "body": {"from_step": from_step} if from_step else {},
            }
        self.recorder.begin(lambda: self._describe(config), resume)
        for path in self.trainer.extra_configs():
            if path.is_file():
                self.recorder.add_file(
                    {"path": str(path.absolute()), "filename": path.name, "kind": "config"}
                )
        for work in (
            lambda: self._follow(follower, watch),
            self._sample_gpu,
            lambda: self._collect_datasets(follower),
        ):
            thread = threading.Thread(target=work, name="ledger-follow", daemon=True)
            thread.start()
            waiting.append(thread)
        while self.process.wait(0.2) is None:
            pass
        self.process.finish_reading()
        self._ended.set()
        for thread in waiting:
            thread.join(15.0)
        kept = console.close()
        follower.end()
        for item in watch.poll(ended=True):
            self._add_weight(item, follower)
        if kept:
            self.recorder.add_file(
                {"path": str(kept), "filename": "console.log.gz", "kind": "state", "group": "console"}
            )
        outcome = self._outcome(console, follower, watch)
        if not self.superseded:
            self.recorder.finish(**outcome)
        self.recorder.flush(lambda: self._stop_waiting)
        if not self.superseded and self.recorder.task_id:
            say.notice(
                f"task {self.recorder.task_id}: {outcome['status']}"
                + (f" ({outcome['failure_reason']})" if outcome.get("failure_reason") else "")
            )
        return shell_code(self.process.returncode)

    def _from_step(self):
        if not self.options.resume_task:
            return None
        if self.options.from_step is not None:
            return self.options.from_step
        step, source = self.trainer.resume_step()
        if step:
            say.notice(f"the curve goes on from step {step} ({source})")
        elif step == 0:
            say.notice(
                "the command resumes from no saved state, so the curve starts at step 0 again; --from-step says otherwise"
            )
        else:
            say.notice("where the trainer goes on is not known; --from-step N says it")
        return step

    def _describe(self, config):
        facts = host.facts(self.command, self.cwd)
        more = {k: v for k, v in facts.items() if k in ("gpu_info", "node_info", "cuda_version")}
        fields = {"command": redact_command(self.command), **facts}
        if config:
            fields["config"] = config
        for name, value in (
            ("task_name", self.options.name),
            ("experiment_group", self.options.group),
            ("notes", self.options.notes),
            ("hourly_price", self.options.hourly_price),
            ("tags", self.options.tags or None),
            ("output_dir", self.options.output_dir),
        ):
            if value is not None:
                fields[name] = value
        if "config" not in fields and "task_name" not in fields:
            fields["task_name"] = self.trainer.task_name()
        if self.options.hourly_price is not None:
            more["hourly_price"] = self.options.hourly_price
        return fields, more

    def _follow(self, follower, watch):
        next_look = 0.0
        while not self._ended.wait(0.5):
            try:
                follower.poll()
                if time.monotonic() >= next_look:
                    for item in watch.poll():
                        self._add_weight(item, follower)
                    next_look = time.monotonic() + 1.0
            except Exception as error:
                say.trouble(error)

    def _add_weight(self, item, follower):
        if "step" in item:
            item["step"] += follower.offset
        self.recorder.add_file(item)

    def _sample_gpu(self):
        while not self._ended.is_set():
            try:
                metrics = gpu.sample()
            except Exception as error:
                say.trouble(error)
                return
            if not metrics:
                return
            progress = self.recorder.progress
            self.recorder.points.put(progress.get("step") or 0, metrics, epoch=progress.get("epoch"))
            self._ended.wait(GPU_SECONDS)

    def _collect_datasets(self, follower):
        """Once the first step shows: lora-scripts moves images into their folders at launch."""
        deadline = time.monotonic() + 30.0
        while not follower.started.wait(0.2) and time.monotonic() < deadline and not self._ended.is_set():
            pass
        try:
            self.recorder.add_datasets(datasets.collect(self.trainer.dataset_folders()))
        except Exception as error:
            say.trouble(error)

    def _outcome(self, console, follower, watch):
        code = self.process.returncode
        result = {"exit_code": shell_code(code)}
        if self.cancelled:
            return {**result, "status": "cancelled", "error_message": self.cancelled}
        if self.preempted:
            return {
                **result,
                "status": "failed",
                "failure_reason": "preempted",
                "urgent": True,
                "error_message": "the box was reclaimed (SIGTERM)",
            }
        if code == 0:
            if watch.found_final or follower.saw_marker or self.trainer.output_folder() is None:
                return {**result, "status": "success"}
            return {
                **result,
                "status": "failed",
                "failure_reason": "error",
                "error_message": "the trainer ended with exit code 0 but wrote no final weights",
            }
        message = console.last_exception()
        if console.out_of_memory():
            return {
                **result,
                "status": "failed",
                "failure_reason": "oom",
                "error_message": message or "out of memory",
            }
        if code in (-9, 137):
            return {
                **result,
                "status": "failed",
                "failure_reason": "oom",
                "error_message": message
                or "the trainer was killed (SIGKILL), mostly for using too much memory",
            }
        if not message:
            message = f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return {**result, "status": "failed", "failure_reason": "error", "error_message": message}

    def _catch_signals(self):
        if threading.current_thread() is not threading.main_thread():
            return
        signal.signal(signal.SIGINT, self._on_interrupt)
        signal.signal(signal.SIGTERM, self._on_terminate)
        hangup = getattr(signal, "SIGHUP", None)
        if hangup is not None and signal.getsignal(hangup) != signal.SIG_IGN:
            signal.signal(hangup, self._on_hangup)

    def _running(self):
        return self.process is not None and self.process.returncode is None

    def _on_interrupt(self, *_):
        self._interrupts += 1
        if not self._running():
            self._stop_waiting = self.process is not None
            return
        self.cancelled = "interrupted by Ctrl-C"
        self.process.send(
            signal.SIGINT if self._interrupts == 1 else getattr(signal, "SIGKILL", signal.SIGTERM)
        )

    def _on_terminate(self, *_):
        if not self._running():
            self._stop_waiting = True
            return
        if not self.cancelled:
            self.preempted = True
        self.process.stop(
            [signal.SIGTERM, getattr(signal, "SIGKILL", signal.SIGTERM)], self.options.stop_grace
        )

    def _on_hangup(self, *_):
        if self._running():
            self.cancelled = self.cancelled or "the terminal was closed"
            self.process.send(signal.SIGHUP)

    def _stop_politely(self):
        signals = [signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGKILL", signal.SIGTERM)]
        self.process.stop(signals, self.options.stop_grace)

    def _cancel(self):
        if self._running():
            self.cancelled = "cancelled in the ledger"
            say.notice("the ledger asks to cancel this run; stopping the trainer")
            self._stop_politely()

    def _give_up(self):
        self.superseded = True
        if self._running():
            self._stop_politely()
