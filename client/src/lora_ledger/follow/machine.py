"""What the machine does besides its GPUs: processor, memory, network and disks, out of /proc and the control groups.

In a container the limits count, not the machine around it. Another system than Linux gives the disks alone.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from pathlib import Path
from typing import Callable

from ..core.types import StrPath

# A control group without a limit on memory shows a number near 2^63.
_NO_LIMIT = 1 << 60
# Groups of groups, from the process's own up.
_DEPTH = 16
MOST_BYTES = 1_000_000
# Interfaces whose traffic another one carries too, or that lead nowhere.
_INNER = re.compile(r"^(lo|docker|br-|veth|virbr|cni|flannel|cali|bond|team|dummy|tun|tap|wg|ifb)")
# Every name that this client gives a figure of the machine. `src/shared/system-metrics.ts` has the same.
_SYSTEM = re.compile(
    r"gpu\.\d{1,3}\.(?:util|mem_mb|power_w|temp_c)"
    r"|sys\.(?:cpu|mem_mb|mem_total_mb|disk_free_gb|spool_free_gb|net_in_mb_s|net_out_mb_s)"
)


def is_system(name: str) -> bool:
    """Whether a series is a figure of the machine, not one of training."""
    return _SYSTEM.fullmatch(name) is not None


def _text(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            return file.read(MOST_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""


def _whole(text: str) -> int | None:
    word = text.strip()
    return int(word) if word.isdigit() and len(word) < 20 else None


def _field(text: str, name: str) -> int | None:
    found = re.search(rf"^{name}:?\s+(\d{{1,19}})", text, re.MULTILINE)
    return int(found[1]) if found else None


class Groups:
    """The control groups that this process is in, of version 1 and of version 2."""

    def __init__(self, root: Path) -> None:
        own: dict[str, str] = {}
        for line in _text(root / "proc/self/cgroup").splitlines()[:64]:
            parts = line.split(":", 2)
            if len(parts) == 3:
                own.update(dict.fromkeys(parts[1].split(","), parts[2]))
        top = root / "sys/fs/cgroup"
        # Not Path.exists: it raises where the folder may not be searched.
        self.is_v2 = os.path.exists(top / "cgroup.controllers")
        self.cpu = self._chain(top if self.is_v2 else self._of(top, "cpu"), own.get("" if self.is_v2 else "cpu", "/"))
        self.usage = self.cpu if self.is_v2 else self._chain(self._of(top, "cpuacct"), own.get("cpuacct", "/"))
        self.memory = self._chain(
            top if self.is_v2 else self._of(top, "memory"), own.get("" if self.is_v2 else "memory", "/")
        )

    @staticmethod
    def _of(top: Path, controller: str) -> Path:
        both = top / "cpu,cpuacct"
        single = top / controller
        return both if controller.startswith("cpu") and os.path.exists(both) and not os.path.exists(single) else single

    @staticmethod
    def _chain(top: Path, path: str) -> list[Path]:
        """The folders of the group and of those around it. In a container the path may be the one outside: what is
        mounted is the container's own group then."""
        parts = [part for part in path.split("/") if part]
        if len(parts) > _DEPTH or ".." in parts or not os.path.isdir(top.joinpath(*parts)):
            parts = []
        return [top.joinpath(*parts[:n]) for n in range(len(parts), -1, -1)]

    def memory_used(self) -> tuple[int, int] | None:
        """(bytes used, bytes allowed) of the tightest limit, without files that the kernel may drop; None without."""
        names = ("memory.max", "memory.current") if self.is_v2 else ("memory.limit_in_bytes", "memory.usage_in_bytes")
        best: tuple[int, Path] | None = None
        for folder in self.memory:
            limit = _whole(_text(folder / names[0]))
            if limit is not None and limit < _NO_LIMIT and (best is None or limit < best[0]):
                best = limit, folder
        if best is None:
            return None
        limit, folder = best
        used = _whole(_text(folder / names[1]))
        dropped = _field(_text(folder / "memory.stat"), "inactive_file" if self.is_v2 else "total_inactive_file")
        return None if used is None else (max(0, used - (dropped or 0)), limit)

    def cpu_used(self) -> tuple[float, float] | None:
        """(seconds of processor used, processors allowed) of the tightest quota; None without one."""
        best: tuple[float, Path] | None = None
        for at, folder in enumerate(self.cpu):
            if self.is_v2:
                quota, _, period = _text(folder / "cpu.max").partition(" ")
            else:
                quota, period = _text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us")
            allowed, each = _whole(quota), _whole(period)
            if allowed and each and (best is None or allowed / each < best[0]):
                best = allowed / each, folder if self.is_v2 else self.usage[min(at, len(self.usage) - 1)]
        if best is None:
            return None
        cores, folder = best
        micro = _field(_text(folder / "cpu.stat"), "usage_usec") if self.is_v2 else None
        nano = None if self.is_v2 else _whole(_text(folder / "cpuacct.usage"))
        used = micro / 1e6 if micro is not None else nano / 1e9 if nano is not None else None
        return None if used is None else (used, cores)


def free_space(path: StrPath) -> tuple[int, int] | None:
    """(number of the file system, bytes free to this user) around a path that may not exist yet; None where nobody
    knows."""
    place = Path(os.path.abspath(path))
    for folder in (place, *place.parents):
        try:
            return os.stat(folder).st_dev, shutil.disk_usage(folder).free
        except (OSError, ValueError):
            continue
    return None


class Machine:
    """Figures of the machine since the sample before; what a system does not tell is left out."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, root: StrPath = "/") -> None:
        self._clock = clock
        self._root = Path(root)
        self._groups = Groups(self._root)
        self._before: dict[str, tuple[float, float]] = {}

    def _rate(self, name: str, total: float, at: float) -> float | None:
        """How fast a count has grown since it was last given, each second; None the first time and where it fell."""
        before = self._before.get(name)
        self._before[name] = (total, at)
        if before is None or at <= before[1] or total < before[0]:
            return None
        return (total - before[0]) / (at - before[1])

    def _cpu(self, now: float) -> float | None:
        """Percent of the processors that this process may use."""
        limited = self._groups.cpu_used()
        if limited:
            rate = self._rate("quota", limited[0], now)
            return None if rate is None else 100 * rate / limited[1]
        lines = re.findall(r"^cpu(\d*) +([\d ]+)$", _text(self._root / "proc/stat"), re.MULTILINE)
        own = self._allowed()
        counts = [[int(n) for n in rest.split()] for name, rest in lines if name and int(name) in own]
        counts = counts or [[int(n) for n in rest.split()] for name, rest in lines if not name]
        if not counts or any(len(one) < 5 for one in counts):
            return None
        # user nice system idle iowait irq softirq steal; guest time is within user time.
        total = sum(sum(one[:8]) for one in counts)
        idle = sum(one[3] + one[4] for one in counts)
        spent, all_of_it = self._rate("busy", total - idle, now), self._rate("total", total, now)
        return 100 * spent / all_of_it if spent is not None and all_of_it else None

    @staticmethod
    def _allowed() -> set[int]:
        try:
            return os.sched_getaffinity(0)
        except (AttributeError, OSError):
            return set()

    def _memory(self) -> tuple[float, float] | None:
        """(used, there) in MiB."""
        limited = self._groups.memory_used()
        text = _text(self._root / "proc/meminfo")
        total, free = _field(text, "MemTotal"), _field(text, "MemAvailable")
        if limited and (total is None or limited[1] <= total * 1024):
            return limited[0] / 1024**2, limited[1] / 1024**2
        return None if total is None or free is None else ((total - free) / 1024, total / 1024)

    def _network(self, now: float) -> tuple[float | None, float | None]:
        """Megabytes a second in and out, over the interfaces that lead outside."""
        came = went = 0
        lines = re.findall(r"^\s*([^\s:]+):\s*([\d ]+)$", _text(self._root / "proc/net/dev"), re.MULTILINE)
        for name, rest in lines:
            counts = rest.split()
            if len(counts) >= 9 and not _INNER.match(name):
                came, went = came + int(counts[0]), went + int(counts[8])
        if not lines:
            return None, None
        into, out = self._rate("in", came, now), self._rate("out", went, now)
        return (None if into is None else into / 1e6), (None if out is None else out / 1e6)

    def sample(self, output: StrPath, spool: StrPath) -> dict[str, float]:
        """The figures now, by the names of docs/record.md: of the disk of the output folder, and of that of the spool
        where it is another one."""
        now = self._clock()
        memory = self._memory()
        into, out = self._network(now)
        disk, other = free_space(output), free_space(spool)
        figures = {
            "sys.cpu": self._cpu(now),
            "sys.mem_mb": memory and memory[0],
            "sys.mem_total_mb": memory and memory[1],
            "sys.disk_free_gb": disk and disk[1] / 1024**3,
            "sys.spool_free_gb": other[1] / 1024**3 if other and disk and other[0] != disk[0] else None,
            "sys.net_in_mb_s": into,
            "sys.net_out_mb_s": out,
        }
        return {name: round(value, 3) for name, value in figures.items() if value is not None}
