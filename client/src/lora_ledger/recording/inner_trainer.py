"""Finds the trainer among the processes of a command that only wraps it, such as `bash train.sh`. Linux alone."""

import os

from ..trainers import recognise
from ..trainers.launch import find_config

SHELLS = {"bash", "sh", "zsh", "dash", "ksh", "fish", "make", "just"}
# So many bytes of a process's command line are read.
LONGEST = 256 * 1024


def wraps(command):
    """Whether the command is a shell script or the like, so that the trainer is one of the processes it starts."""
    program = os.path.basename(str(command[0])) if command else ""
    if program in SHELLS or program.endswith(".sh"):
        return os.path.isdir("/proc/self")
    try:
        with open(command[0], "rb") as file:
            first = file.readline(200)
    except (OSError, IndexError):
        return False
    words = first[2:].split() if first.startswith(b"#!") else []
    return any(os.path.basename(os.fsdecode(word)) in SHELLS for word in words)


class Scout:
    """Looks at the processes of one session. `read(path)` gives the text of a configuration file, or None."""

    def __init__(self, leader, typed, output_dir, read):
        self._leader = leader
        self._typed = [str(word) for word in typed]
        self._output_dir = output_dir
        self._read = read
        self._seen = set()

    def look(self):
        """(command, working folder, configuration path, trainer) once a known trainer runs, else None."""
        try:
            pids = sorted(int(name) for name in os.listdir("/proc") if name.isdigit())
        except OSError:
            return None
        for pid in pids:
            found = self._look_at(pid)
            if found:
                return found
        return None

    def _look_at(self, pid):
        try:
            if os.getsid(pid) != self._leader:
                return None
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read(LONGEST).split(b"\0")[:-1]
            cwd = os.readlink(f"/proc/{pid}/cwd")
        except OSError:
            # Gone already, or another user's.
            return None
        command = [os.fsdecode(word) for word in words]
        # A process is looked at again once it runs another program.
        mark = (pid, tuple(command))
        if not command or mark in self._seen or command == self._typed:
            return None
        self._seen.add(mark)
        config = find_config(command)
        path = os.path.join(cwd, config) if config else None
        trainer = recognise(command, self._read(path) if path else None, cwd, self._output_dir)
        return (command, cwd, path, trainer) if trainer.name else None
