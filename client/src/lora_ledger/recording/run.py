"""`lora-ledger run`: records a trainer that knows nothing about the ledger."""

import base64
import os
import signal
import threading
import time

from ..trainers import datasets

from . import host

from ..core import terminal, withhold
from .console import Console
from ..follow import gpu
from ..follow.follower import FIRST_FILE, Follower, ranks
from ..follow.state_json import read_history
from ..follow.tensorboard import EventFolder
from .points import Points
from .process import Process, shell_code
from .recorder import Recorder
from ..core.reading import open_file
from ..core.redact import redact_command, redact_text
from .inner_trainer import Scout, wraps
from ..trainers import Generic, recognise
from ..trainers.launch import find_config
from .watch import Watch

# The ledger takes 4 MB for both files together; larger ones are uploaded like weights.
CONFIG_LIMIT = 3 * 1024 * 1024
DATASET_LIMIT = 512 * 1024
GPU_SECONDS = 15.0
# So long is registering held back for a trainer that a wrapping script has yet to start.
SCOUT_SECONDS = 60.0
# Between two looks for new event files.
LOOK_SECONDS = 1.0
# A trainer that forked and exited is followed until its processes end, or were silent for so long.
FORK_SILENCE = 300.0


def read_config(path):
    """(the `config` field for the ledger, the text for recognising); (None, None) when there is nothing to read."""
    if not path:
        return None, None
    try:
        with open_file(path) as file:
            data = file.read(CONFIG_LIMIT + 1)
    except (OSError, ValueError) as error:
        terminal.warn(
            f"the configuration {path} cannot be read ({getattr(error, 'strerror', None) or error}); the run is recorded without it"
        )
        return None, None
    if len(data) > CONFIG_LIMIT:
        terminal.warn(
            f"the configuration {path} is larger than 3 MB; it is stored as a file, and no setting is read from it"
        )
        return None, None
    data = withhold.from_bytes(data)
    try:
        text = data.decode("utf-8")
        return {"text": text, "path": str(path)}, text
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode(), "path": str(path)}, data.decode("gb18030", "replace")


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
        self.scout = None
        # The typed command, where that only wraps the one that trains.
        self.wrapper = None
        # Set once the trainer is known, or nothing is left to wait for.
        self._known = threading.Event()
        self._interrupts = 0
        self._ended = threading.Event()
        self._stop_waiting = False

    def _environment(self):
        """The trainer's environment. Which secrets are in it, or in its files, is known from here on."""
        options = self.options
        environment, kept = withhold.trainer_environment(not options.not_own, options.allow_secret)
        withhold.know({name: withhold.value_of(name) or "" for name in options.filled}, filled=True)
        withhold.know_environment(environment)
        if kept:
            terminal.notice(
                f"this is another user's run, so these variables are kept from the trainer: {', '.join(kept)}; "
                "`--allow-secret NAME` gives it one"
            )
        return environment

    def run(self):
        """Runs the trainer and returns the exit code to end with."""
        environment = self._environment()
        self.config_path = self.options.config or find_config(self.command)
        self.config, text = read_config(self.config_path)
        self._text = text or ""
        self.trainer = recognise(self.command, text, self.cwd, self.options.output_dir)
        try:
            self.watch = Watch(self.trainer, self.options.upload_state)
            readers, resumed_at, from_step = self._readers(), self.trainer.resume_step()[0] or 0, self._from_step()
        except Exception as error:
            # Settings that nobody expects keep no trainer from starting.
            terminal.trouble(error)
            self.trainer = Generic(self.command, self.cwd, self.options.output_dir)
            self.watch = Watch(self.trainer, self.options.upload_state)
            readers, resumed_at, from_step = self._readers(), 0, self.options.from_step
        # Signals that come while the trainer is being started wait for it.
        self._catch_signals()
        waiting = []
        try:
            self.process = Process(self.command, lambda name, data: console.feed(name, data), environment)
        except FileNotFoundError:
            terminal.warn(f"{self.command[0]}: there is no such command")
            return 127
        except OSError as error:
            terminal.warn(f"{self.command[0]} cannot be started: {error.strerror}")
            return 126
        self.begun = time.time()
        points = Points(ranks(readers), FIRST_FILE if readers else 0.0)
        self.recorder = Recorder(self.settings, points)
        self.follower = Follower(self.trainer, points, self.recorder.progress, from_step, readers, resumed_at)
        follower = self.follower
        console = Console(self.recorder.spool.folder / "console.log.gz", follower.line)
        self.recorder.tail = console.tail
        self.recorder.on_cancel = self._cancel
        self.recorder.on_superseded = self._give_up
        self.process.start_reading()
        resume = self.options.claimed
        if self.options.resume_task:
            resume = {
                "task_id": self.options.resume_task,
                "body": {"from_step": from_step} if from_step else {},
            }
        if self.trainer.name is None and not self.config and wraps(self.command):
            self.scout = Scout(self.process.pid, self.command, self.options.output_dir, lambda p: read_config(p)[1])
        else:
            self._known.set()
        self.recorder.begin(self._describe, resume)
        self._add_configs()
        for work in (self._follow, self._sample_gpu, self._collect_datasets):
            thread = threading.Thread(target=work, name="ledger-follow", daemon=True)
            thread.start()
            waiting.append(thread)
        while self.process.wait(1.0) is None:
            pass
        self.process.finish_reading()
        self._outlast()
        self._ended.set()
        self._known.set()
        for thread in waiting:
            thread.join(20.0)
        kept = console.close()
        follower.end()
        watch = self.watch
        for item in watch.poll(ended=True):
            self._add_weight(item)
        follower.seen.final = watch.found_final
        if not points.held_any:
            self._read_history()
        if kept:
            self.recorder.add_file(
                {"path": str(kept), "filename": "console.log.gz", "kind": "state", "group": "console"}
            )
        outcome = self._outcome(console, follower.seen)
        if outcome["status"] == "success" and self.trainer.last_is_final and not watch.found_final:
            for item in watch.promote():
                self._add_weight(item)
        if not self.superseded:
            self.recorder.finish(**outcome)
        self.recorder.flush(lambda: self._stop_waiting)
        if not self.superseded and self.recorder.task_id:
            terminal.notice(
                f"task {self.recorder.task_id}: {outcome['status']}"
                + (f" ({outcome['failure_reason']})" if outcome.get("failure_reason") else "")
            )
        return shell_code(self.process.returncode)

    def _adopt(self, command, cwd, config_path, trainer):
        """Takes over what the scout found: the trainer that a wrapping command has started."""
        terminal.notice(f"the command has started {trainer.task_name()} ({trainer.name}); following that")
        self.wrapper, self.command, self.cwd, self.trainer = self.command, command, cwd, trainer
        self.config_path = config_path
        self.config, _ = read_config(config_path)
        self.watch = Watch(trainer, self.options.upload_state, since=self.begun)
        readers = self._readers()
        points = self.recorder.points
        points.loss_tags = ranks(readers)
        points.hold = FIRST_FILE if readers else 0.0
        self.follower.follow(trainer, readers, self._from_step(), trainer.resume_step()[0] or 0)
        self._known.set()
        self._add_configs()

    def _add_configs(self):
        """Has the files stored that a repeat needs besides those that registering takes.

        None of another user's run: its configuration could name any file of this box.
        """
        if self.options.not_own:
            return
        scripts = [os.path.abspath(word) for word in self.wrapper or () if word.endswith((".sh", ".bash"))]
        large = None if self.config else self.config_path
        for path in [*map(str, self.trainer.extra_configs()), self._dataset_file()[1], large, *scripts]:
            if path and os.path.isfile(path):
                self.recorder.add_file(
                    {"path": os.path.abspath(path), "filename": os.path.basename(path), "kind": "config"}
                )

    def _readers(self):
        """What reads the loss from files, best first; made before the start, so that older runs' files are known."""
        readers = self.trainer.readers()
        logs = self.trainer.log_folder()
        if logs:
            readers.append(
                EventFolder(logs, lambda pid: self.process.owns(pid), LOOK_SECONDS, loss_tags=self.trainer.loss_tags)
            )
        return readers

    def _outlast(self):
        """Goes on following the processes of a trainer that forked and exited without having come to its end."""
        if self.process.returncode != 0 or self.cancelled or self.preempted or not self.process.left_behind():
            return
        busy = self.process.quiet_seconds() < 3.0 and self.recorder.progress.get("step")
        if not busy and (self.watch.found_final or self.trainer.fault(self.follower.seen) is None):
            return
        terminal.notice("the command has ended, but processes that it started go on; following them until they end")
        self.process.outlasting = True
        stopping = None
        while self.process.left_behind():
            if self.cancelled or self.preempted or self.superseded:
                # Until the last of the signals has had its time; what survives that is out of reach.
                stopping = stopping or time.monotonic()
                if time.monotonic() - stopping > 2 * self.options.stop_grace + 5.0:
                    break
            elif self.process.quiet_seconds() > FORK_SILENCE:
                terminal.warn("the processes left behind say nothing any more; the record ends here")
                break
            time.sleep(0.2)
        self.process.outlasting = False
        self.process.finish_reading()

    def _read_history(self):
        """The loss of a run that told it nowhere else, from the newest checkpoint's trainer_state.json."""
        states = [
            (saved.step or 0, path)
            for path, saved in self.trainer.scan()
            if path.name == "trainer_state.json" and self.watch.is_new(path)
        ]
        if states:
            self.follower.history(read_history(max(states)[1]))

    def _from_step(self):
        if not (self.options.resume_task or self.options.claimed):
            return None
        if self.options.from_step is not None:
            return self.options.from_step
        step, source = self.trainer.resume_step()
        if step:
            terminal.notice(f"the curve goes on from step {step} ({source})")
        elif self.options.claimed:
            pass
        elif step == 0:
            terminal.notice(
                "the command resumes from no saved state, so the curve starts at step 0 again; --from-step says otherwise"
            )
        else:
            terminal.notice("where the trainer goes on is not known; --from-step N says it")
        return step

    def _dataset_file(self):
        """(what registering takes of the separate dataset file, the path where it is too large for that)."""
        path = self.trainer.dataset_file()
        try:
            if not path or not os.path.isfile(path):
                return None, None
            if os.path.getsize(path) > DATASET_LIMIT:
                return None, path
        except OSError:
            return None, None
        return read_config(path)[0], None

    def _describe(self):
        self._known.wait(SCOUT_SECONDS)
        config, dataset_file = self.config, self._dataset_file()[0]
        facts = host.facts(self.command, self.cwd)
        more = {k: v for k, v in facts.items() if k in ("gpu_info", "node_info", "cuda_version")}
        fields = {"command": redact_command(self.command), **facts}
        if self.wrapper:
            fields["started_by"] = redact_command(self.wrapper)
        if config:
            fields["config"] = config
        if dataset_file:
            fields["dataset_file"] = dataset_file
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

    def _follow(self):
        next_look = 0.0
        while not self._ended.wait(0.5):
            try:
                self._look_for_trainer()
                self.follower.poll()
                if time.monotonic() >= next_look:
                    for item in self.watch.poll():
                        self._add_weight(item)
                    next_look = time.monotonic() + 1.0
            except Exception as error:
                terminal.trouble(error)

    def _look_for_trainer(self):
        if not self.scout:
            return
        found = self.scout.look()
        if found:
            self._adopt(*found)
        if found or self.follower.started.is_set():
            # What trains without being known is followed by what it prints.
            self.scout = None
            self._known.set()

    def _add_weight(self, item):
        if "step" in item:
            item["step"] += self.follower.offset
        if self.options.not_own and str(item.get("prompt")) not in self._text:
            # Read from a file of this box that another user's configuration names.
            item.pop("prompt", None)
        self.recorder.add_file(item)

    def _sample_gpu(self):
        while not self._ended.is_set():
            try:
                metrics = gpu.sample()
            except Exception as error:
                terminal.trouble(error)
                return
            if not metrics:
                return
            progress = self.recorder.progress
            self.recorder.points.put(progress.get("step") or 0, metrics, epoch=progress.get("epoch"))
            self._ended.wait(GPU_SECONDS)

    def _collect_datasets(self):
        """Once the first step shows: lora-scripts moves images into their folders at launch."""
        self._known.wait(SCOUT_SECONDS)
        deadline = time.monotonic() + 30.0
        while not self.follower.started.wait(0.2) and time.monotonic() < deadline and not self._ended.is_set():
            pass
        try:
            self.recorder.add_datasets(self._dataset_facts(self.trainer.datasets()))
        except Exception as error:
            terminal.trouble(error)

    def _dataset_facts(self, sources):
        if not self.options.not_own:
            return datasets.collect(sources, ended=self._ended)
        # A file of captions may be any file that another user's configuration names: its words stay here.
        facts = datasets.collect([source for source in sources if not source.is_file], ended=self._ended)
        listed = datasets.collect([source for source in sources if source.is_file], ended=self._ended)
        return facts + [{k: v for k, v in fact.items() if k != "tag_distribution"} for fact in listed]

    def _outcome(self, console, seen):
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
            fault = self.trainer.fault(seen)
            if fault is None:
                return {**result, "status": "success"}
            message = console.last_exception()
            if message:
                fault += f" ({message})"
            return {**result, "status": "failed", "failure_reason": "error", "error_message": redact_text(fault)}
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
                "error_message": message or "the trainer was killed (SIGKILL), mostly for using too much memory",
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
        return self.process is not None and (self.process.returncode is None or self.process.outlasting)

    def _on_interrupt(self, *_):
        self._interrupts += 1
        if not self._running():
            self._stop_waiting = self.process is not None
            return
        self.cancelled = "interrupted by Ctrl-C"
        self.process.send(signal.SIGINT if self._interrupts == 1 else getattr(signal, "SIGKILL", signal.SIGTERM))

    def _on_terminate(self, *_):
        if not self._running():
            self._stop_waiting = True
            return
        if not self.cancelled:
            self.preempted = True
        self.process.stop([signal.SIGTERM, getattr(signal, "SIGKILL", signal.SIGTERM)], self.options.stop_grace)

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
            terminal.notice("the ledger asks to cancel this run; stopping the trainer")
            self._stop_politely()

    def _give_up(self):
        self.superseded = True
        if self._running():
            self._stop_politely()
