"""What the client's tests share: temporary folders, a small trainer to run, and the client as a process of its own."""

import os
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

from tests.ledger_server import KEY, Server

# Whoever's machine this is: tests read the client's English, but those of its Chinese.
os.environ["LORA_LEDGER_LANG"] = "en"
ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "client" / "src"
EXAMPLE = ROOT / "examples" / "first-run"


class TemporaryCase(unittest.TestCase):
    """A test with a folder of its own."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)


class ClientCase(TemporaryCase):
    """A test that runs the client against the strict server."""

    def setUp(self):
        super().setUp()
        self.server = None
        self.spool = self.folder / "spool"

    def serve(self, **options):
        self.server = Server(**options)
        self.addCleanup(self.server.close)
        return self.server

    def environment(self, **extra):
        clean = {k: v for k, v in os.environ.items() if not k.startswith("LEDGER_")}
        url = self.server.url if self.server else "http://127.0.0.1:9"
        return {
            **clean,
            "LEDGER_URL": url,
            "LEDGER_KEY": KEY,
            "LEDGER_SPOOL": str(self.spool),
            "PYTHONPATH": str(SOURCE),
            **extra,
        }

    def client(self, *arguments, cwd=None, env=None, **options):
        """A started client process with its output piped."""
        process = subprocess.Popen(
            [sys.executable, "-m", "lora_ledger", *map(str, arguments)],
            cwd=cwd or self.folder,
            env={**self.environment(), **(env or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **options,
        )
        self.addCleanup(self.end, process)
        return process

    @staticmethod
    def end(process):
        if process.poll() is None:
            process.kill()
        process.communicate()

    def run_client(self, *arguments, timeout=150, **options):
        """(exit code, stdout, stderr) of a client that ran to its end."""
        process = self.client(*arguments, **options)
        out, err = process.communicate(timeout=timeout)
        return process.returncode, out, err.decode("utf-8", "replace")

    def trainer(self, *more, steps=20, sleep=0.005, logs=True):
        """The example trainer's command, with its output in the test's folder."""
        command = [
            sys.executable,
            str(EXAMPLE / "train_network.py"),
            "--config_file",
            str(EXAMPLE / "my_lora.toml"),
            "--train_data_dir",
            str(EXAMPLE / "dataset"),
            "--output_dir",
            str(self.folder / "out"),
            "--network_dim",
            "2",
            "--sleep",
            str(sleep),
            "--max_train_epochs",
            "0",
            "--max_train_steps",
            str(steps),
        ]
        command += ["--logging_dir", str(self.folder / "logs") if logs else ""]
        return [*command, *map(str, more)]

    def script(self, text):
        """A command that runs the given Python text as a trainer."""
        path = self.folder / "trainer.py"
        path.write_text(text)
        return [sys.executable, str(path)]

    def wait_for(self, condition, seconds=60.0, what="the condition"):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if condition():
                return
            time.sleep(0.03)
        self.fail(f"waited {seconds} s for {what}")


def without_notices(stderr):
    """The trainer's own part of what appeared on stderr."""
    return "".join(line for line in stderr.splitlines(True) if not line.startswith("[ledger] "))
