"""The trainer's process: started unchanged in a group of its own, its output passed on byte for byte."""

import os
import signal
import subprocess
import sys
import threading
import time

from ..core import terminal

WINDOWS = os.name == "nt"
# After so few bytes, output is gathered for so long before the next reading.
SMALL = 4096
GATHER_SECONDS = 0.02


class Process:
    """A running trainer in the given environment. `feed(name, data)` gets each chunk of "stdout" and "stderr" after it was passed on."""

    def __init__(self, command, feed, environment):
        self.feed = feed
        self.returncode = None
        self.outlasting = False
        self._escalating = False
        self._heard = time.monotonic()
        options = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP} if WINDOWS else {"start_new_session": True}
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

    def start_reading(self):
        """Starts passing output on."""
        for pump in self._pumps:
            pump.start()

    def _pump(self, name, stream, target):
        """Reads until the end whatever happens to our own output, so that the trainer is never kept waiting."""
        sys.stdout.flush()
        open_target = True
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
    def _write(target, data):
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(target, view) :]
        except OSError:
            return False
        return True

    def wait(self, seconds):
        """The exit code once the trainer ended within the given time, else None; negative for a signal."""
        return self.returncode if self._over.wait(seconds) else None

    def _await(self):
        # Popen.wait with a time limit looks twenty times a second; this sleeps until the very end.
        self.returncode = self._process.wait()
        self._over.set()

    def finish_reading(self, seconds=3.0):
        """Waits for the output's end, but not for long: a process that the trainer left behind may hold the pipes."""
        deadline = time.monotonic() + seconds
        for pump in self._pumps:
            pump.join(max(0.1, deadline - time.monotonic()))

    def quiet_seconds(self):
        """Seconds since the last output."""
        return time.monotonic() - self._heard

    def left_behind(self):
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

    def send(self, number):
        """Sends a signal to the trainer's whole group."""
        try:
            if WINDOWS:
                if number == signal.SIGINT:
                    self._process.send_signal(signal.CTRL_BREAK_EVENT)
                else:
                    self._process.terminate()
            else:
                os.killpg(self.pid, number)
        except (OSError, ValueError):
            pass

    def _gone(self):
        return self._over.is_set() and not (self.outlasting and self.left_behind())

    def stop(self, signals, grace):
        """Sends the signals one after another, `grace` seconds apart, until the trainer has ended. Returns at once."""
        if self._escalating:
            return
        self._escalating = True

        def escalate():
            for number in signals:
                if self._gone():
                    return
                self.send(number)
                deadline = time.monotonic() + grace
                while time.monotonic() < deadline and not self._gone():
                    time.sleep(0.1)

        threading.Thread(target=escalate, name="ledger-stop", daemon=True).start()

    def owns(self, pid):
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


def shell_code(returncode):
    """An exit code as shells give it: 128 + n for signal n."""
    return 128 - returncode if returncode < 0 else returncode
