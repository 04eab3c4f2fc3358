"""What this machine is: GPUs, CUDA, processor, Python and the trainer's packages, the trainer's commit."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import socket
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..core.reading import loads, output
from ..follow import gpu, gpu_nvidia
from ..follow.cards import Card

PACKAGES = [
    "torch",
    "accelerate",
    "diffusers",
    "transformers",
    "peft",
    "safetensors",
    "xformers",
    "bitsandbytes",
    "lycoris-lora",
    "numpy",
    "tensorboard",
    "library",
    "llamafactory",
    "axolotl",
    "deepspeed",
]
_VERSIONS = (
    "import importlib.metadata as m, json, platform\n"
    "out = {'python': platform.python_version()}\n"
    "for n in %r:\n"
    "    try: out[n] = m.version(n)\n"
    "    except Exception: pass\n"
    "print(json.dumps(out))"
)


def gpu_text(gpus: list[Card]) -> str | None:
    """GPUs as one string: "NVIDIA GeForce RTX 4090 24GB x1"; None without any."""
    kinds = Counter(g["name"] + (f" {round(g['memory_mb'] / 1024)}GB" if g["memory_mb"] else "") for g in gpus)
    return ", ".join(f"{name} x{count}" for name, count in kinds.items()) or None


def cuda_version(versions: dict[str, str]) -> str | None:
    """The CUDA that torch was built for ("12.4"), else the newest that the driver supports; None without either."""
    built = re.search(r"\+cu(\d+)(\d)$", versions.get("torch", ""))
    if built:
        return f"{built[1]}.{built[2]}"
    return gpu_nvidia.cuda_version()


def _interpreter(command: Sequence[str]) -> str | None:
    """The Python that runs the trainer, where the command shows it."""
    if not command:
        return None
    program = shutil.which(command[0])
    if not program:
        return None
    if re.match(r"^python[\d.]*(\.exe)?$", os.path.basename(program)):
        return program
    try:
        with open(program, "rb") as file:
            first = file.readline(512).decode("utf-8", "replace")
    except OSError:
        return None
    match = re.match(r"^#!\s*(\S*python[\d.]*)\s*$", first)
    return match[1] if match else None


def versions(command: Sequence[str]) -> dict[str, str]:
    """Versions of Python and of the packages that matter, in the environment that the trainer runs in."""
    python = _interpreter(command)
    if python and os.path.abspath(python) != os.path.abspath(sys.executable):
        text = output([python, "-c", _VERSIONS % (PACKAGES,)], timeout=20.0)
        try:
            found = loads(text or "")
            if isinstance(found, dict):
                return found
        except ValueError:
            pass
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.lower().startswith(("model name", "hardware")):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _memory_gb() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3, 1)
    except (AttributeError, ValueError, OSError):
        return None


def script_folder(command: Sequence[str], cwd: str) -> Path:
    """The folder of the trainer's script, else the working folder."""
    for argument in command:
        if argument.endswith(".py"):
            script = Path(cwd) / argument
            if script.is_file():
                return script.resolve().parent
    return Path(cwd)


def git_state(folder: Path) -> tuple[str | None, bool | None]:
    """(commit, has uncommitted changes) of the repository around the folder; (None, None) without one."""
    git = shutil.which("git")
    if not git:
        return None, None
    commit = (output([git, "-C", str(folder), "rev-parse", "HEAD"], timeout=5.0) or "").strip() or None
    if not commit:
        return None, None
    changes = output([git, "-C", str(folder), "status", "--porcelain", "--untracked-files=no"], timeout=10.0)
    return commit, None if changes is None else bool(changes.strip())


def facts(command: Sequence[str], cwd: str) -> dict[str, Any]:
    """gpu_info, node_info, cuda_version and git_commit, as registering takes them; what is unknown is left out."""
    gpus = gpu.read_gpus()
    found = versions(command)
    commit, dirty = git_state(script_folder(command, cwd))
    node = {
        "hostname": socket.gethostname(),
        "os": platform.system(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "cpu": _processor(),
        "cores": os.cpu_count(),
        "ram_gb": _memory_gb(),
        "python": found.pop("python", None),
        "packages": found,
        "gpus": [{"name": g["name"], "memory_mb": g["memory_mb"]} for g in gpus],
        "driver": gpus[0]["driver"] if gpus else None,
        "git_dirty": dirty,
    }
    result = {
        "gpu_info": gpu_text(gpus),
        "node_info": {k: v for k, v in node.items() if v not in (None, [], {})},
        "cuda_version": cuda_version(found),
        "git_commit": commit,
    }
    return {k: v for k, v in result.items() if v is not None}
