"""The trainer's process: started unchanged in a group of its own, its output passed on byte for byte."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from typing import IO, Any, Callable

from ..core import terminal

WINDOWS = os.name == "nt"
# After so few bytes, output is gathered for so long before the next reading.
SMALL = 4096
GATHER_SECONDS = 0.02


class Process:
    """A running trainer in the given environment. `feed(name, data)` gets each chunk of "stdout" and "stderr" after it
    was passed on."""

    def __init__(self, command: list[str], feed: Callable[[str, bytes], None], environment: dict[str, str]) -> None:
        self.feed = feed
        self.returncode: int | None = None
        self.outlasting = False
        self._escalating = False
        self._heard = time.monotonic()
        # A group of its own, so that a signal reaches the trainer with all that it has started.
        options: dict[str, Any] = (
            {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}
            if WINDOWS
            else {"start_new_session": True}
        )
        self._process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env=environment,
            **options,
        )
        self.pid = self._process.pid
        self._over = threading.Event()
        threading.Thread(target=self._await, name="ledger-wait", daemon=True).start()
        self._pumps = [
            threading.Thread(target=self._pump, args=(name, stream, target), name=f"ledger-{name}", daemon=True)
            for name, stream, target in (
                ("stdout", self._process.stdout, 1),
                ("stderr", self._process.stderr, 2),
            )
        ]

    def start_reading(self) -> None:
        """Starts passing output on."""
        for pump in self._pumps:
            pump.start()

    def _pump(self, name: str, stream: IO[bytes] | None, target: int) -> None:
        """Reads until the end whatever happens to our own output, so that the trainer is never kept waiting."""
        sys.stdout.flush()
        open_target = True
        if stream is None:
            return
        source = stream.fileno()
        while True:
            try:
                data = os.read(source, 65_536)
            except OSError:
                return
            if not data:
                return
            self._heard = time.monotonic()
            if open_target:
                open_target = terminal.write_stderr(data) if target == 2 else self._write(target, data)
            try:
                self.feed(name, data)
            except Exception as error:
                terminal.trouble(error)
            if len(data) < SMALL:
                # A bar writes a little many times a second; a loud trainer's full pipe is read at once.
                time.sleep(GATHER_SECONDS)

    @staticmethod
    def _write(target: int, data: bytes) -> bool:
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(target, view) :]
        except OSError:
            return False
        return True

    def wait(self, seconds: float) -> int | None:
        """The exit code once the trainer ended within the given time, else None; negative for a signal."""
        return self.returncode if self._over.wait(seconds) else None

    def _await(self) -> None:
        # Popen.wait with a time limit looks twenty times a second; this sleeps until the very end.
        self.returncode = self._process.wait()
        self._over.set()

    def finish_reading(self, seconds: float = 3.0) -> None:
        """Waits for the output's end, but not for long: a process that the trainer left behind may hold the pipes."""
        deadline = time.monotonic() + seconds
        for pump in self._pumps:
            pump.join(max(0.1, deadline - time.monotonic()))

    def quiet_seconds(self) -> float:
        """Seconds since the last output."""
        return time.monotonic() - self._heard

    def left_behind(self) -> bool:
        """Whether processes of the trainer's group live on, or hold its output open."""
        if any(pump.is_alive() for pump in self._pumps):
            return True
        if WINDOWS:
            return False
        try:
            os.killpg(self.pid, 0)
        except OSError:
            return False
        return True

    def send(self, number: int) -> None:
        """Sends a signal to the trainer's whole group."""
        try:
            if WINDOWS:
                if number == signal.SIGINT:
                    self._process.send_signal(getattr(signal, "CTRL_BREAK_EVENT", 1))
                else:
                    self._process.terminate()
            else:
                os.killpg(self.pid, number)
        except (OSError, ValueError):
            pass

    def _gone(self) -> bool:
        return self._over.is_set() and not (self.outlasting and self.left_behind())

    def stop(self, signals: list[int], grace: float) -> None:
        """Sends the signals one after another, `grace` seconds apart, until the trainer has ended. Returns at once."""
        if self._escalating:
            return
        self._escalating = True

        def escalate() -> None:
            for number in signals:
                if self._gone():
                    return
                self.send(number)
                deadline = time.monotonic() + grace
                while time.monotonic() < deadline and not self._gone():
                    time.sleep(0.1)

        threading.Thread(target=escalate, name="ledger-stop", daemon=True).start()

    def owns(self, pid: int) -> bool | None:
        """Whether the process is the trainer or below it: True, False, or None when it is gone or nobody can tell."""
        if WINDOWS:
            return None
        if pid == self.pid:
            return True
        try:
            if os.getsid(pid) == self.pid:
                return True
        except (OSError, AttributeError, OverflowError):
            return None
        for _ in range(64):
            try:
                with open(f"/proc/{pid}/stat", "rb") as file:
                    pid = int(file.read().rpartition(b")")[2].split()[1])
            except (OSError, ValueError, IndexError):
                return None
            if pid == self.pid:
                return True
            if pid <= 1:
                return False
        return None


def shell_code(returncode: int) -> int:
    """An exit code as shells give it: 128 + n for signal n."""
    return 128 - returncode if returncode < 0 else returncode
