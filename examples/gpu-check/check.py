"""Records real LoRA trainings on this box's GPU and compares the ledger's record with what the trainer and nvidia-smi say.

    LEDGER_URL=… LEDGER_KEY=… python3 check.py --client ledger.py [--work DIR] [--parts lost,oom,away,sync,main,pairs]

Needs Python 3.11+ with torch, transformers, peft and tensorboard. Each part prints its figures; report.json in the work
folder holds them all. Exit code 1 when something recorded is not true.

lost   kill -9 of client and trainer: the ledger has to find out by itself
oom    a batch that is too large for the GPU
away   a run while no ledger can be reached; `safe` has to say no
sync   sends that run; `safe` has to say yes
main   a run with event files: GPU facts and load, loss, peak memory, weights
pairs  steps per second with the client and without, alternating
"""

import argparse
import hashlib
import json
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

HERE = Path(__file__).resolve().parent
# The service gives up a run 55 seconds after its last word, and looks once a minute.
LOST_SECONDS = 150.0
# Steps that are left out of the rate: kernels are still being chosen then.
WARM_UP = 60
SMI = {"gpu.0.util": "utilization.gpu", "gpu.0.mem_mb": "memory.used", "gpu.0.power_w": "power.draw", "gpu.0.temp_c": "temperature.gpu"}


class Smi:
    """nvidia-smi beside a run, twice a second: [(time, {series: value})] of the first GPU."""

    def __enter__(self):
        fields = ",".join(["timestamp", *SMI.values()])
        query = ["nvidia-smi", "-i", "0", f"--query-gpu={fields}", "--format=csv,noheader,nounits", "-lms", "500"]
        self.process = subprocess.Popen(query, stdout=subprocess.PIPE, text=True)
        self.seen = []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        return self

    def _read(self):
        for line in self.process.stdout:
            when, *values = [cell.strip() for cell in line.split(",")]
            moment = datetime.strptime(when, "%Y/%m/%d %H:%M:%S.%f").timestamp()
            self.seen.append((moment, dict(zip(SMI, map(float, values)))))

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.reader.join(5)


class Check:
    """All parts; `figures` is the report, `faults` what was not true."""

    def __init__(self, options):
        self.options = options
        self.url = os.environ.get("LEDGER_URL", "").rstrip("/")
        self.figures = {}
        self.faults = []
        self.killer = None
        self.work = options.work.absolute()
        self.work.mkdir(parents=True, exist_ok=True)

    def say(self, part, **figures):
        """Prints figures and keeps them."""
        self.figures.setdefault(part, {}).update(figures)
        print(f"{part}: " + json.dumps(figures), flush=True)
        (self.work / "report.json").write_text(json.dumps({"figures": self.figures, "faults": self.faults}, indent=1))

    def claim(self, part, text, true):
        """Notes a fault when something is not true."""
        print(f"{part}: {'ok   ' if true else 'FAULT'} {text}", flush=True)
        if not true:
            self.faults.append(f"{part}: {text}")

    def get(self, path):
        """The JSON of the ledger's answer."""
        request = urllib.request.Request(self.url + path, headers={"Authorization": f"Bearer {os.environ['LEDGER_KEY']}"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def task(self, name):
        """The newest run of that name, whole."""
        found = self.get(f"/api/tasks?limit=1&filter={quote(f'task_name = {json.dumps(name)}'.replace(chr(34), chr(39)))}")["items"]
        return self.get(f"/api/tasks/{found[0]['id']}") if found else None

    def points(self, task, metric):
        """[step, epoch, time, value] of each point of a series."""
        return self.get(f"/api/tasks/{task['id']}/logs?metric={quote(metric, safe='')}&max_points=10000")["points"]

    def trainer(self, part, *more):
        """The trainer's command, with its output below the part's folder."""
        command = [sys.executable, HERE / "train_lora.py", "--config", HERE / "lora.toml", "--output_dir", self.work / part / "out"]
        return [str(word) for word in [*command, *self.options.trainer, *more]]

    def client(self, part, *arguments, **options):
        """The started client, with a spool of its own."""
        folder = self.work / part
        folder.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "LEDGER_SPOOL": str(folder / "spool"), **options.pop("env", {})}
        with open(folder / "client.log", "ab") as log:
            return subprocess.Popen(
                [sys.executable, str(self.options.client.absolute()), *map(str, arguments)],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=options.pop("stdout", log),
                stderr=log,
                cwd=folder,
                **options,
            )

    def run(self, part, *more, **options):
        """The exit code of a recorded training."""
        command = self.trainer(part, *more)
        return self.client(part, "run", "--name", self.name(part), *options.pop("flags", ()), "--", *command, **options).wait()

    def name(self, part):
        """The name under which a part's run is recorded, the same in a later call."""
        return f"gpu-check {part} {self.options.label}"

    def safe(self, part, **options):
        """(exit code, text) of `safe`."""
        asked = self.client(part, "safe", stdout=subprocess.PIPE, text=True, **options)
        out, _ = asked.communicate(timeout=120)
        return asked.returncode, out.strip()

    # ------------------------------------------------------------------------------------------ parts

    def lost(self):
        """Starts a training whose client and trainer are killed in its midst; the next parts go on meanwhile."""
        run = self.client("lost", "run", "--name", self.name("lost"), "--", *self.trainer("lost", "--max_train_steps", 100_000))
        self.killer = threading.Thread(target=self._kill, args=(run,))
        self.killer.start()

    def _kill(self, run):
        log = self.work / "lost" / "client.log"
        until = time.monotonic() + 120
        while b"'loss'" not in log.read_bytes() and time.monotonic() < until:
            time.sleep(0.2)
        time.sleep(self.options.kill_after)
        for pid in (run.pid, *children(run.pid)):
            os.kill(pid, signal.SIGKILL)
        run.wait()
        self._killed = time.monotonic()

    def alone(self):
        """Waits until no other part's training uses the GPU."""
        if self.killer:
            self.killer.join()

    def finish_lost(self):
        """Waits until the ledger says that the killed run is lost."""
        self.alone()
        while (task := self.task(self.name("lost")))["status"] == "running" and time.monotonic() < self._killed + LOST_SECONDS:
            time.sleep(2)
        code, text = self.safe("lost")
        self.say("lost", status=task["status"], reason=task["failure_reason"], error=task.get("error_message"), last_points=len(self.points(task, "loss")), safe=[code, text])
        self.claim("lost", "the ledger found out that the run is lost", (task["status"], task["failure_reason"]) == ("failed", "lost"))
        self.claim("lost", "safe says no", code == 1 and text.startswith("NOT SAFE"))
        sent = self.client("lost", "sync").wait()
        task = self.task(self.name("lost"))
        code, text = self.safe("lost")
        self.say("lost", after_sync=[sent, task["status"], task["failure_reason"], len(self.points(task, "loss")), code, text])
        self.claim("lost", "safe still says no after sync", code == 1)

    def main(self):
        """A run with event files beside nvidia-smi's own numbers."""
        self.alone()
        smi = None
        if self.options.gpu:
            with Smi() as smi:
                code = self.run("main", "--report_to", "tensorboard", "--save_steps", 500)
        else:
            code = self.run("main", "--report_to", "tensorboard", "--save_steps", 500)
        self.claim("main", "the run ended with exit code 0", code == 0)
        task = self.compare("main", exact=True)
        if smi:
            self.compare_gpu(task, smi.seen)
        code, text = self.safe("main")
        self.say("main", safe=[code, text])
        self.claim("main", "safe says yes", code == 0 and text.startswith("SAFE"))

    def compare(self, part, exact):
        """Compares a recorded run with the trainer's own record."""
        task = self.task(self.name(part))
        out = self.work / part / "out"
        own = json.loads((out / "own.json").read_text())
        self.claim(part, "the run is recorded as success", task["status"] == "success")
        for column, series in ((1, "loss"), (2, "train/grad_norm" if exact else "grad_norm"), (3, "train/learning_rate" if exact else "learning_rate")):
            recorded = {step: value for step, _, _, value in self.points(task, series)}
            expected = {line[0]: line[column] for line in own["lines"]}
            worst = max((abs(recorded[s] - v) / (abs(v) or 1.0) for s, v in expected.items() if s in recorded), default=1.0)
            self.say(part, **{series: {"trainer": len(expected), "recorded": len(recorded), "worst_relative": worst}})
            self.claim(part, f"{series}: each of {len(expected)} points, and no other", recorded.keys() == expected.keys())
            # Event files hold float32; lines show four digits.
            self.claim(part, f"{series}: each value", worst <= (1e-6 if exact else 5.1e-4))
        times = dict(zip(range(1, len(own["ends"]) + 1), own["ends"]))
        late = [datetime.fromisoformat(when).timestamp() - times[step] for step, _, when, _ in self.points(task, "loss") if step in times]
        self.say(part, seconds_recorded_after_step=[round(min(late), 3), round(statistics.median(late), 3), round(max(late), 3)])
        weights = self.get(f"/api/weights?task_id={task['id']}&limit=200")["items"]
        final = [w for w in weights if w["kind"] == "final"]
        digest = hashlib.sha256((out / "adapter_model.safetensors").read_bytes()).hexdigest()
        self.claim(part, "the final weights are the trainer's", [w["sha256"] for w in final] == [digest])
        self.claim(part, "the ledger checked their SHA-256", bool(final) and final[0]["verified"] == "sha256")
        link = self.get(f"/api/weights/{final[0]['id']}/download?redirect=false")
        with urllib.request.urlopen(link["url"], timeout=60) as answer:
            self.claim(part, "they come back whole", hashlib.sha256(answer.read()).hexdigest() == digest)
        config = urllib.request.Request(f"{self.url}/api/tasks/{task['id']}/config", headers={"Authorization": f"Bearer {os.environ['LEDGER_KEY']}"})
        with urllib.request.urlopen(config, timeout=30) as answer:
            self.claim(part, "the configuration is the same, byte for byte", answer.read() == (HERE / "lora.toml").read_bytes())
        columns = {name: task.get(name) for name in ("gpu_info", "cuda_version", "lora_rank", "lora_alpha", "learning_rate", "batch_size", "max_steps", "final_loss", "started_at", "finished_at", "total_duration_sec")}
        node = task.get("node_info") or {}
        self.say(part, task=columns, node={k: node.get(k) for k in ("driver", "gpus", "cpu", "cores", "python", "packages")}, files=[[w["filename"], w["kind"], w["size"], w["verified"]] for w in weights])
        return task

    def compare_gpu(self, task, seen):
        """Compares facts and load with nvidia-smi's and torch's."""
        names = "name,memory.total,driver_version"
        rows = subprocess.run(["nvidia-smi", f"--query-gpu={names}", "--format=csv,noheader,nounits"], capture_output=True, text=True, check=True).stdout.splitlines()
        name, total, driver = [cell.strip() for cell in rows[0].split(",")]
        node = task["node_info"]
        own = json.loads((self.work / "main" / "out" / "own.json").read_text())
        self.claim("main", f"{len(rows)} GPU(s), {name}, {total} MiB", [(g["name"], g["memory_mb"]) for g in node["gpus"]] == [tuple([*r.split(", ")[:1], float(r.split(", ")[1])]) for r in rows])
        self.claim("main", f"driver {driver}", node["driver"] == driver)
        self.claim("main", f"torch names the same GPU: {own['name']}", own["name"] == name)
        self.say("main", gpu_info=task["gpu_info"], cuda=[task["cuda_version"], own["torch"]], torch={k: own[k] for k in ("total_mib", "allocated_mib", "reserved_mib")})
        for series in SMI:
            rows = []
            for step, _, when, value in self.points(task, series):
                moment = datetime.fromisoformat(when).timestamp()
                near = [values[series] for at, values in seen if abs(at - moment) <= 1.6]
                if near:
                    rows.append([step, value, min(near), max(near)])
            self.say("main", **{series: rows})
            slack = {"gpu.0.util": 5, "gpu.0.mem_mb": 0, "gpu.0.power_w": 15, "gpu.0.temp_c": 1}[series]
            true = all(low - slack <= value <= high + slack for _, value, low, high in rows)
            self.claim("main", f"{series}: {len(rows)} samples are nvidia-smi's", len(rows) > 1 and true)
        memory = [value for *_, value in self.points(task, "gpu.0.mem_mb")]
        peak = max(values["gpu.0.mem_mb"] for _, values in seen)
        self.say("main", peak_mib={"recorded": max(memory), "nvidia_smi": peak, "reserved": own["reserved_mib"], "allocated": own["allocated_mib"]})
        self.claim("main", "peak memory holds torch's and is nvidia-smi's", own["reserved_mib"] <= max(memory) <= peak)

    def oom(self):
        """A batch that no GPU holds."""
        code = self.run("oom", "--train_batch_size", 8000)
        task = self.task(self.name("oom"))
        self.say("oom", code=code, status=task["status"], reason=task["failure_reason"], error=task["error_message"])
        self.claim("oom", "recorded as out of memory", (task["status"], task["failure_reason"]) == ("failed", "oom"))
        self.claim("oom", "with torch's own words", "out of memory" in (task["error_message"] or ""))
        code, text = self.safe("oom")
        self.say("oom", safe=[code, text])
        self.claim("oom", "safe says yes", code == 0)

    def away(self):
        """A run while no ledger can be reached."""
        code = self.run("away", flags=("--flush-timeout", "3"), env={"LEDGER_URL": "http://127.0.0.1:9", "LEDGER_KEY": "none"})
        code_safe, text = self.safe("away", env={"LEDGER_URL": "http://127.0.0.1:9", "LEDGER_KEY": "none"})
        kept = {str(p.relative_to(self.work)): p.stat().st_size for p in (self.work / "away").rglob("*") if p.is_file() and "out" not in p.parts}
        self.say("away", code=code, safe=[code_safe, text], kept=kept)
        self.claim("away", "the trainer's exit code is passed on", code == 0)
        self.say("away", steps_per_second=rate(self.work / "away"))
        self.claim("away", "safe says no", code_safe == 1 and text.startswith("NOT SAFE"))

    def sync(self):
        """Sends the run that was recorded without a ledger."""
        before = self.safe("away")
        self.claim("sync", "safe says no before", before[0] == 1)
        started = time.monotonic()
        code = self.client("away", "sync").wait()
        self.say("sync", before=before, code=code, seconds=round(time.monotonic() - started, 2))
        self.compare("away", exact=False)
        code, text = self.safe("away")
        self.say("sync", safe=[code, text])
        self.claim("sync", "safe says yes after", code == 0 and text.startswith("SAFE"))

    def pairs(self):
        """Alternating runs; a rate is the trainer's own, from the end of its warm-up to its last step."""
        self.alone()
        steps = ("--max_train_steps", self.options.pair_steps)
        if self.options.layers:
            steps += ("--layers", self.options.layers)
        rates, costs = {False: [], True: []}, []
        took = 0.0
        for pair in range(self.options.pairs):
            begun = time.monotonic()
            if time.monotonic() + took > self.options.until:
                break
            for recorded in (False, True) if pair % 2 else (True, False):
                part = f"pair-{pair}-{'with' if recorded else 'alone'}"
                if recorded:
                    run = self.client(part, "run", "--quiet", "--name", self.name(part), "--", *self.trainer(part, *steps))
                    cost = Cost(run)
                    cost.run()
                else:
                    folder = self.work / part
                    folder.mkdir(parents=True)
                    with open(folder / "client.log", "wb") as log:
                        subprocess.run(self.trainer(part, *steps), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder, check=True)
                rates[recorded].append(rate(self.work / part))
                if recorded:
                    costs.append(cost.between(*stretch(self.work / part)[:2]))
            took = max(took, time.monotonic() - begun)
            alone, beside = rates[False][-1], rates[True][-1]
            self.say("pairs", **{f"pair {pair + 1}": {"alone": alone, "recorded": beside, "ratio": beside / alone, "cpu_s_per_s": costs[-1]}})
        ratios = sorted(w / a for w, a in zip(rates[True], rates[False]))
        self.say(
            "pairs",
            alone=statistics.median(rates[False]),
            recorded=statistics.median(rates[True]),
            median_ratio=statistics.median(ratios),
            spread=[ratios[0], ratios[-1]],
            spread_alone=(max(rates[False]) - min(rates[False])) / statistics.median(rates[False]),
            client_cpu_s_per_s=statistics.median(c[0] for c in costs),
            helpers_cpu_s_per_s=statistics.median(c[1] for c in costs),
        )
        noise = (max(rates[False]) - min(rates[False])) / statistics.median(rates[False])
        if noise > 0.01:
            print(f"pairs: the runs without the client differ by {noise:.1%} among themselves, so 1 % cannot be told here", flush=True)
        self.claim("pairs", "recording costs less than 1 %", statistics.median(ratios) > 0.99 - noise / 2)


def stretch(folder):
    """(time after the warm-up, time of the last step, steps between) as the trainer noted them."""
    ends = json.loads((folder / "out" / "own.json").read_text())["ends"]
    return ends[WARM_UP], ends[-1], len(ends) - 1 - WARM_UP


def rate(folder):
    """Steps per second after the warm-up."""
    start, end, steps = stretch(folder)
    return steps / (end - start)


def children(pid):
    """The process ids of all that a process has started, and theirs."""
    found = [int(child) for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()]
    return [*found, *(grandchild for child in found for grandchild in children(child))]


class Cost:
    """The client's CPU seconds while it records, read from /proc twice a second."""

    def __init__(self, process):
        self.process = process
        self.seen = []

    def run(self):
        """Reads until the client has ended."""
        while self.process.poll() is None:
            try:
                fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                break
            own, waited_for = [(int(fields[n]) + int(fields[n + 1])) / os.sysconf("SC_CLK_TCK") for n in (11, 13)]
            self.seen.append((time.time(), own, waited_for))
            time.sleep(0.5)
        if self.process.wait():
            raise RuntimeError("the recorded run failed")

    def between(self, start, end):
        """(the client's own, its nvidia-smi's and the like) CPU seconds a second."""
        inside = [row for row in self.seen if start <= row[0] <= end]
        first, last = inside[0], inside[-1]
        return [round((last[n] - first[n]) / (last[0] - first[0]), 5) for n in (1, 2)]


def main():
    """Runs the parts that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--client", type=Path, required=True, help="ledger.py, from $LEDGER_URL/client.py")
    parser.add_argument("--work", type=Path, default=Path("gpu-check"))
    parser.add_argument("--label", default=datetime.now().strftime("%m%d-%H%M%S"), help="what tells this check's runs from another's")
    parser.add_argument("--parts", default="lost,oom,away,sync,main,pairs")
    parser.add_argument("--kill-after", type=float, default=75.0, help="seconds that the part `lost` trains: over two heartbeats")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--pair-steps", type=int, default=660)
    parser.add_argument("--layers", type=int, help="of the model of the pairs: fewer make more steps a second")
    parser.add_argument("--minutes", type=float, default=60.0, help="no pair begins that would end later")
    parser.add_argument("--trainer", default="", help="options for the trainer, such as --cpu", type=str.split)
    options = parser.parse_args()
    options.gpu = "--cpu" not in options.trainer
    options.until = time.monotonic() + 60 * options.minutes
    check = Check(options)
    parts = options.parts.split(",")
    for part in parts:
        begun = time.monotonic()
        try:
            getattr(check, part)()
        except Exception as error:
            check.claim(part, f"failed: {type(error).__name__}: {error}", False)
        print(f"{part}: {time.monotonic() - begun:.0f} s", flush=True)
    if "lost" in parts:
        check.finish_lost()
    check.say("all", faults=check.faults)
    return 1 if check.faults else 0


if __name__ == "__main__":
    sys.exit(main())
