"""The whole ledger as `npm start` runs it, on a free port and with data of its own, for the tests with real trainers."""

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path
from urllib.parse import quote

ROOT = Path(__file__).resolve().parents[3]


def lacking():
    """Why the ledger cannot be started here; empty when it can."""
    if not shutil.which("node"):
        return "node not installed"
    return "" if (ROOT / "node_modules").is_dir() else "`npm ci` was not run"


class Ledger:
    """A started ledger: `url`, an admin's `key`, and what a run left in it."""

    def __init__(self, folder):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://localhost:{port}"
        self.log = folder / "start.log"
        self.home = folder / "local"
        # A newer Node than the system's, as `npm start` itself finds it.
        path = f"{ROOT / 'node_modules' / '.bin'}{os.pathsep}{os.environ.get('PATH', '')}"
        environment = {k: v for k, v in os.environ.items() if not k.startswith("LEDGER_")}
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                ["node", "scripts/run.mjs", "start"],
                cwd=ROOT,
                env={**environment, "PATH": path, "PORT": str(port), "LEDGER_LOCAL": str(self.home)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        end = time.monotonic() + 120
        while "Ctrl-C ends it" not in self.log.read_text("utf-8", "replace"):
            if self.process.poll() is not None or time.monotonic() > end:
                self.close()
                raise RuntimeError(f"the ledger did not start:\n{self.log.read_text('utf-8', 'replace')[-3000:]}")
            time.sleep(0.2)
        self.key = (self.home / "key").read_text().strip()

    def close(self):
        """Ends it and all that it started."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def get(self, path):
        """The JSON of an answer."""
        request = urllib.request.Request(self.url + path, headers={"Authorization": f"Bearer {self.key}"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def newest(self):
        """The run that was registered last, whole."""
        return self.get(f"/api/tasks/{self.get('/api/tasks?limit=1')['items'][0]['id']}")

    def points(self, task, metric):
        """{step: value} of a series."""
        answer = self.get(f"/api/tasks/{task['id']}/logs?metric={quote(metric, safe='')}&max_points=10000")
        return {step: value for step, _, _, value in answer["points"]}

    def files(self, task):
        """Its files by name."""
        return {w["filename"]: w for w in self.get(f"/api/weights?task_id={task['id']}&limit=200")["items"]}

    def holds(self, weight, path):
        """Whether the ledger gives back the very bytes of the local file, and checked them itself."""
        link = self.get(f"/api/weights/{weight['id']}/download?redirect=false")
        with urllib.request.urlopen(link["url"], timeout=60) as answer:
            data = answer.read()
        same = data == path.read_bytes() and hashlib.sha256(data).hexdigest() == weight["sha256"]
        return same and weight["verified"] == "sha256"
