"""`lora-ledger agent`: pulls queued runs and runs them on this box, one after another, with a command of the
owner's."""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import Any

from ..core import terminal, withhold
from ..core.api import Api
from ..core.errors import CancelledError, CommandError, DeniedError, RefusedError, RetryLaterError, SupersededError
from ..core.language import join_texts, t
from ..core.output import length
from ..core.redact import redact_command
from ..core.settings import Settings
from ..core.transport import backoff
from ..follow import gpu
from ..recording import host
from ..recording.process import WINDOWS
from . import safe
from .enrol import join
from .filling import Filling, allowed_names
from .options import add_allow_secret, add_command, add_ledger_options, add_trackers
from .prepare import Claim, KeepAlive, fetch_earlier, number_in, write_files
from .template import PLACEHOLDERS, Template, split

# The ledger may hold a claim's answer back for so long while nothing fits.
WAIT_SECONDS = 20
# Without another word from the ledger: between two claims, and between the heartbeats before a run begins.
IDLE_SECONDS = 15.0
BEAT_SECONDS = 10.0


def own_program() -> list[str]:
    """The words that start this very client again."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec is not None and spec.name.split(".")[0] == "lora_ledger":
        return [sys.executable, "-m", "lora_ledger"]
    program = os.path.abspath(sys.argv[0])
    return [program] if program.lower().endswith(".exe") else [sys.executable, program]


def identity(spool: Path) -> str:
    """This box's lasting id, so that an agent that starts again asks under the same name for what it had claimed."""
    path = spool.with_name(spool.name + "-agent.json")
    try:
        known = json.loads(path.read_text("utf-8"))["id"]
        if isinstance(known, str) and re.fullmatch(r"[\w.-]{1,100}", known):
            return known
    except (OSError, ValueError, KeyError, TypeError):
        pass
    name = re.sub(r"[^\w.-]", "-", socket.gethostname())[:60] or "box"
    made = f"{name}-{uuid.uuid4().hex[:8]}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"id": made}), "utf-8")
    except OSError as error:
        terminal.warn(
            t(
                "{path} cannot be written ({error}): after a restart this agent gets another id",
                path=path,
                error=error.strerror,
            )
        )
    return made


def seconds_of(text: str) -> float:
    """Seconds of 90, 90s, 30m or 2h. Raises ValueError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text.strip())
    if not match:
        raise ValueError(t("{text!r} is no time: write 90s, 30m or 2h", text=text))
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


def slots_of(gpus: str | None) -> list[int | None]:
    """The GPU of each slot: [None] is one slot that has them all. Raises CommandError."""
    if gpus is None:
        return [None]
    if gpus == "all":
        found: list[int | None] = [card["index"] for card in gpu.read_gpus()]
        if not found:
            raise CommandError(t("--gpus all: no tool shows a GPU here; name them (--gpus 0,1), or leave --gpus out"))
        return found
    if not re.fullmatch(r"\d+(,\d+)*", gpus):
        raise CommandError(t("--gpus takes `all` or numbers with commas, such as 0,1; not {gpus!r}", gpus=gpus), 2)
    return list(dict.fromkeys(int(part) for part in gpus.split(",")))


def why_idle(waiting: Any) -> str:
    """Why the ledger gave no run, from the counts that it answers with, in words."""
    ready, memory, labels = (int(number_in(waiting.get(n), 0, 0, 1e9)) for n in ("ready", "need_memory", "need_labels"))
    if ready:
        parts = [t("{memory} ask for more GPU memory", memory=memory)] if memory else []
        parts += [t("{labels} ask for labels that this agent lacks", labels=labels)] if labels else []
        return t("of {ready} ready runs none fits this box: ", ready=ready) + join_texts(
            ", ", parts or [t("others were quicker")]
        )
    if waiting.get("runs") == "own":
        return t(
            "none of your own runs in the queue is ready; everyone's are for boxes that an admin enrols with "
            "`lora-ledger enrol --shared`"
        )
    return t("nothing in the queue is ready")


class Slot:
    """One place where a run can be: all GPUs, or one. Works in a thread of its own."""

    def __init__(self, agent: Agent, card: int | None) -> None:
        self.agent = agent
        self.gpu = card
        self.id = agent.id if card is None else f"{agent.id}/gpu{card}"
        self.child = None
        self.busy = False
        self.idle_since = time.monotonic()
        self.done = 0
        self.thread = threading.Thread(target=self._work, name=f"ledger-slot-{card}", daemon=True)

    def _work(self) -> None:
        try:
            while not self.agent.draining.is_set():
                task = self._claim()
                if task:
                    self.busy = True
                    self._serve(task)
                    self.done += 1
                    self.idle_since = time.monotonic()
                    self.busy = False
                    if self.agent.options.once:
                        return
        except CommandError as error:
            terminal.warn(str(error))
            self.agent.failed = error.code
            self.agent.draining.set()
        except Exception as error:
            terminal.trouble(error)
            terminal.warn(
                t(
                    "the agent stops: {kind}: {error}; LEDGER_DEBUG=1 shows where",
                    kind=type(error).__name__,
                    error=error,
                )
            )
            self.agent.failed = 1
            self.agent.draining.set()

    def _claim(self) -> Claim | None:
        """The claimed task, or None after waiting for one. Raises CommandError when the ledger will never give any."""
        tries = 0
        while not self.agent.draining.is_set():
            try:
                answer = self.agent.ledger.ask(
                    "POST", "/api/queue/claim", self.agent.offer(self), timeout=WAIT_SECONDS + 30.0
                )
            except RetryLaterError as error:
                # The answer may have been lost on the way: this slot asks again and gets the same task.
                if tries == 3:
                    terminal.warn_once(
                        "claim", t("the ledger cannot be asked for work ({error}); asking until it can", error=error)
                    )
                self.agent.draining.wait(error.delay if error.delay is not None else backoff(tries))
                tries += 1
                continue
            except DeniedError as error:
                raise CommandError(t("this key may pull no work: {error}", error=error)) from error
            except (RefusedError, SupersededError) as error:
                raise CommandError(t("the ledger gives this box no work: {error}", error=error)) from error
            if answer.get("task"):
                return Claim.read(answer, BEAT_SECONDS)
            self.agent.tell_idle(answer.get("waiting"))
            self.agent.draining.wait(number_in(answer.get("retry_after_sec"), IDLE_SECONDS, 0.2, 300.0))
            return None
        return None

    def _serve(self, claim: Claim) -> None:
        agent, number, attempt = self.agent, claim.task, claim.attempt
        terminal.notice(
            t("claimed task {number} ({name}), attempt {attempt}", number=number, name=claim.name, attempt=attempt)
            + ("" if claim.own else t(", another user's"))
        )
        work = agent.work / f"task-{number}-attempt-{attempt}"
        alive = KeepAlive(agent.ledger, number, attempt, claim.interval)
        filling = Filling(claim.own, agent.allowed, agent.settings.key)
        try:
            with alive:
                files = write_files(claim, work, agent.template.dataset, filling)
                earlier, step = fetch_earlier(
                    agent.api, claim, work, agent.template.earlier, alive, agent.options.trust_state
                )
                alive.check()
        except CancelledError as error:
            self._end(number, attempt, alive.seq, {"status": "cancelled", "error_message": str(error)})
            return
        except (SupersededError, RefusedError) as error:
            terminal.notice(
                t("task {number} is not this box's any more ({error}); left alone", number=number, error=error)
            )
            return
        except (CommandError, OSError) as error:
            reason = (
                str(error)
                if isinstance(error, CommandError)
                else t("{work} cannot be written ({error})", work=work, error=error.strerror)
            )
            terminal.warn(t("task {number} cannot begin: {reason}", number=number, reason=reason))
            self._end(
                number, attempt, alive.seq, {"status": "failed", "failure_reason": "error", "error_message": reason}
            )
            return
        values = {**earlier, **files, "task": number, "attempt": attempt, "gpu": self.gpu, "work": work}
        words = ["--claimed", f"{number}:{attempt}:{alive.seq}", "--config", str(files["config"])]
        words += ["--from-step", str(step)] if step else []
        words += [f"--stop-on-nan={claim.stop_on_nan}"] if claim.stop_on_nan else []
        # Which settings name files to upload is said by a dialect, so another user's is not followed.
        if claim.own and claim.dialect:
            dialect = work / "dialect.toml"
            dialect.write_text(claim.dialect, "utf-8")
            words += ["--dialect", str(dialect)]
        words += [f"--filled={name}" for name in filling.values]
        words += [] if claim.own else ["--not-own", *(f"--allow-secret={name}" for name in sorted(agent.allowed))]
        self._run(number, words, agent.template.fill(values), work)

    def _end(self, number: int, attempt: int, seq: int, body: dict[str, Any]) -> None:
        """Reports a run that never began; where that fails, its lease ends by itself."""
        try:
            self.agent.api.ask(
                "POST",
                f"/api/tasks/{number}/finish",
                withhold.from_value({"attempt": attempt, "last_seq": seq, **body}),
            )
        except CommandError as error:
            terminal.warn(
                t(
                    "task {number}: its end could not be reported ({error}); the ledger will notice by itself",
                    number=number,
                    error=error,
                )
            )

    def _run(self, number: int, options: list[str], command: list[str], work: Path) -> None:
        words = [*own_program(), "run", *options, "--spool", str(self.agent.settings.spool)]
        words += [] if self.agent.options.no_upload_state else ["--upload-state"]
        words += [f"--wandb={self.agent.options.wandb}", *["--trackers"][: self.agent.options.trackers]]
        words += ["--quiet"] if self.agent.options.quiet else []
        environment = {**os.environ, "LEDGER_URL": self.agent.api.url, "LEDGER_KEY": self.agent.settings.key or ""}
        if self.gpu is not None:
            # AMD's libraries heed CUDA's variable too.
            environment["CUDA_VISIBLE_DEVICES"] = environment["ASCEND_RT_VISIBLE_DEVICES"] = str(self.gpu)
        # A group of its own: Ctrl-C in a terminal must reach the agent alone, which decides.
        own: dict[str, Any] = (
            {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}
            if WINDOWS
            else {"start_new_session": True}
        )
        output = None
        try:
            if len(self.agent.slots) > 1:
                output = open(work / "console.log", "ab")
                terminal.notice(t("task {number} writes to {name}", number=number, name=output.name))
            self.child = subprocess.Popen(
                [*words, "--", *command], env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, **own
            )
            if self.agent.stopping:
                self.stop()
            code = self.child.wait()
        finally:
            self.child = None
            if output:
                output.close()
        terminal.notice(t("task {number} has ended here with exit code {code}", number=number, code=code))

    def stop(self) -> None:
        """Stops the running trainer at once and returns its run to the queue."""
        child = self.child
        if child is not None:
            try:
                child.terminate()
            except OSError:
                pass


class Agent:
    """All slots of this box, and when they end."""

    def __init__(self, settings: Settings, options: argparse.Namespace) -> None:
        self.settings = settings
        self.options = options
        self.template = Template(options.exec)
        try:
            self.allowed = allowed_names(options.allow_secret)
        except ValueError as error:
            raise CommandError(str(error), 2) from error
        self.on_idle = split(options.on_idle) if options.on_idle else None
        try:
            self.max_idle = seconds_of(options.max_idle) if options.max_idle else None
        except ValueError as error:
            raise CommandError(t("--max-idle: {error}", error=error), 2) from error
        self.labels = [part.strip() for part in (options.labels or "").split(",") if part.strip()]
        self.api = Api(settings)
        self.ledger = self.api.ledger
        self.id = options.name or identity(settings.spool)
        self.work = Path(options.work).expanduser().absolute() if options.work else settings.spool.with_name("agent")
        self.draining = threading.Event()
        self.stopping = False
        self.failed = 0
        # The command as the ledger shows it, without what looks like a secret in it.
        self.shown = withhold.from_text(shlex.join(redact_command(self.template.words)))
        self.facts = host.facts(self.template.words, os.getcwd())
        self.cards = gpu.read_gpus()
        self._told = None
        self._is_idle = False
        self.slots = [Slot(self, card) for card in slots_of(options.gpus)]

    def patience(self) -> float:
        """For how long the ledger may hold back an answer: an agent that has been idle long enough should not wait
        on."""
        if self.max_idle is None or any(slot.busy for slot in self.slots):
            return WAIT_SECONDS
        rest = max(slot.idle_since for slot in self.slots) + self.max_idle - time.monotonic()
        return min(WAIT_SECONDS, max(0.0, rest))

    def offer(self, slot: Slot) -> dict[str, Any]:
        """What a slot says when it asks for work."""
        cards = [card for card in self.cards if slot.gpu is None or card["index"] == slot.gpu]
        memory = [card["memory_mb"] for card in cards if card["memory_mb"]]
        node = self.facts.get("node_info")
        body = {
            "agent": slot.id,
            "labels": self.labels,
            "wait_sec": self.patience(),
            "gpu": {
                "name": cards[0]["name"] if cards else None,
                "memory_gb": min(memory) / 1024 if memory else None,
                "count": len(cards),
            },
            "cuda_version": self.facts.get("cuda_version"),
            "node_info": {**(node if isinstance(node, dict) else {}), "exec": self.shown},
        }
        if self.options.hourly_price is not None:
            body["hourly_price"] = self.options.hourly_price
        return body

    def tell_idle(self, waiting: Any) -> None:
        """Says why there is nothing to do, and again when that changes."""
        if self.draining.is_set():
            return
        why = why_idle(waiting if isinstance(waiting, dict) else {})
        if why != self._told:
            self._told = why
            terminal.notice(t("waiting for work; {why}", why=why))

    def run(self) -> int:
        """Works until it is told to end; returns the exit code."""
        self._catch_signals()
        terminal.notice(
            t("agent {id} pulls work from {url}", id=self.id, url=self.settings.url)
            + (t(" for labels {labels}", labels=", ".join(self.labels)) if self.labels else "")
            + (t(", {count} GPUs, one run each", count=len(self.slots)) if len(self.slots) > 1 else "")
        )
        if self.template.earlier and not self.options.trust_state:
            terminal.notice(
                t(
                    "runs go on from states of safetensors and JSON alone; --trust-state allows those that hold "
                    "pickles, too"
                )
            )
        for slot in self.slots:
            slot.thread.start()
        while any(slot.thread.is_alive() for slot in self.slots):
            if self._idled():
                self.draining.set()
            time.sleep(0.2)
        good = self._say_safe()
        if self.failed:
            return self.failed
        if self.on_idle and self._is_idle:
            if not good:
                terminal.warn(
                    t(
                        "the --on-idle command is not run while this box holds what is not stored; `lora-ledger sync` "
                        "sends it"
                    )
                )
                return 1
            terminal.notice(t("idle: running {on_idle}", on_idle=self.options.on_idle))
            try:
                return subprocess.run(self.on_idle, check=False).returncode
            except OSError as error:
                raise CommandError(
                    t("the --on-idle command cannot be started: {error}", error=error.strerror)
                ) from error
        return 0

    def _idled(self) -> bool:
        if self.max_idle is None or self.draining.is_set():
            return False
        now = time.monotonic()
        if any(slot.busy or now - slot.idle_since < self.max_idle for slot in self.slots):
            return False
        self._is_idle = True
        terminal.notice(t("no work for {max_idle}: the agent ends", max_idle=length(self.max_idle)))
        return True

    def _say_safe(self) -> int | int:
        """Whether this box may be destroyed, said aloud. An agent that ran nothing has nothing to lose."""
        if not any(slot.done for slot in self.slots):
            return True
        check = safe.Check(self.settings, settled=0.0)
        good = check.run()
        if good:
            terminal.notice(
                t(
                    "safe to destroy this box: {runs} runs and {files} files are stored and checked",
                    runs=check.runs,
                    files=check.files,
                )
            )
        else:
            terminal.warn(
                t(
                    "NOT safe to destroy this box yet: {missing} (`lora-ledger safe` shows all)",
                    missing=check.missing[0],
                )
            )
        return good

    def _catch_signals(self) -> None:
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)

    def _on_signal(self, number: int, _frame: Any) -> None:
        first = not self.draining.is_set()
        self.draining.set()
        running = [slot for slot in self.slots if slot.busy]
        if running and first and not self.options.spot:
            terminal.notice(
                t(
                    "the agent pulls no more work and finishes the run that it has first (a second signal stops that "
                    "run and returns it to the queue)"
                )
            )
            return
        self.stopping = True
        for slot in running:
            slot.stop()


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Adds the command to the command line."""
    parser = add_command(
        commands,
        "agent",
        t("pull queued runs and run them on this box"),
        t(
            "Asks the ledger for queued runs that fit this box, and runs one after another as `run` does. This box "
            "decides what may run: the ledger gives a configuration file, this command line names the program that "
            "reads it, and no shell takes part.\n"
            "\nplaceholders in --exec:\n"
        )
        + join_texts("\n", (f"  {{{name}}}".ljust(16) + meaning for name, meaning in PLACEHOLDERS.items()))
        + t(
            "\nA word whose placeholder has no value is left out, with the option before it: the command has `--resume "
            "{{state}}`\n"
            "only where an earlier attempt left a state.\n"
            "\nSIGTERM or Ctrl-C: the agent pulls no more work and finishes the run that it has; a second signal stops "
            "that run and\n"
            "returns it to the queue. With --spot the first signal does so, because clouds give 30 seconds or less.\n"
            "\nA shared box gives another user's run none of its own secrets, neither in files nor in the environment, "
            "but for those\n"
            "that --allow-secret names."
        ),
        "  lora-ledger agent --exec 'accelerate launch train_network.py --config_file {config}' --labels sdxl,24gb\n"
        "  lora-ledger agent --exec 'accelerate launch train_network.py --config_file {config} --save_state --resume "
        "{state}' \\\n"
        "      --trust-state --gpus all --hourly-price 0.44 --max-idle 20m --on-idle 'sudo shutdown -h now'",
    )
    parser.add_argument("--exec", required=True, metavar="COMMAND", help=t("what runs a claimed configuration"))
    parser.add_argument(
        "--labels", metavar="A,B", help=t("what this box offers; a run's labels must all be among them")
    )
    parser.add_argument(
        "--gpus", metavar="all|0,1", help=t("one run a GPU, each seeing its own (default: one run with all GPUs)")
    )
    parser.add_argument("--once", action="store_true", help=t("end after one run a GPU"))
    parser.add_argument(
        "--max-idle", metavar="TIME", help=t("end after so long without work: 90s, 20m, 2h (default: never)")
    )
    parser.add_argument(
        "--on-idle", metavar="COMMAND", help=t("then run this, if all that this box produced is stored")
    )
    parser.add_argument(
        "--spot", action="store_true", help=t("SIGTERM stops the run at once and returns it to the queue")
    )
    parser.add_argument(
        "--trust-state",
        action="store_true",
        help=t("resume from states that hold pickles, too: loading one runs whatever code its uploader put there"),
    )
    add_allow_secret(parser)
    add_trackers(parser)
    parser.add_argument(
        "--no-upload-state", action="store_true", help=t("keep training states here; another box then begins anew")
    )
    parser.add_argument("--hourly-price", metavar="PRICE", type=float, help=t("what this box costs an hour"))
    parser.add_argument("--name", metavar="ID", help=t("this agent's id, its own among all boxes (default: made once)"))
    parser.add_argument("--work", metavar="DIR", help=t("where configurations are written (default: beside the spool)"))
    add_ledger_options(parser)


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Runs the agent; returns its exit code. Raises CommandError."""
    join(settings, options)
    return Agent(settings, options).run()
