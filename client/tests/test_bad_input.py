"""Whole runs of trainers that end early, fork, shout, say nothing, or share their folders with other runs."""

import os
import sqlite3
import subprocess
import sys
import time

from tests.helpers import SOURCE, ClientCase
from tests.test_readers import event

AI_TOOLKIT = (
    "job: extension\nconfig:\n  name: mine\n  process:\n    - training_folder: out\n      train:\n        steps: 3\n"
)
AXOLOTL = "base_model: b\nadapter: lora\nmicro_batch_size: 1\noutput_dir: out\nmax_steps: 4\nlogging_steps: 1\n"
KOHYA = '{logs}output_dir = "out"\noutput_name = "mine"\nnetwork_module = "networks.lora"\nnetwork_dim = 4\n'
TENSORS = b"\x02\0\0\0\0\0\0\0{}"

FORKS = """
import os, sys, time
if os.fork():
    sys.exit(0)
for n in range(1, 10):
    sys.stderr.write(f"\\rtrain:  50%|#####     | {n}/9 [00:01<00:01,  1.00s/it, loss=0.{n:02d}]")
    sys.stderr.flush()
    time.sleep(0.4)
"""

# Runs a command and writes down how much memory it took at most. The command is started from a small process, because
# a child counts at first with all that its parent holds.
WEIGHED = """
import subprocess, sys
code = subprocess.call(sys.argv[1:])
try:
    import resource
    most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
except ImportError:
    most = 0
open("memory.txt", "w").write(str(most))
sys.exit(code)
"""

SHOUTS = """
import os, sys, time
block = b"INFO some line of a very loud trainer, number after number \\xff\\xfe\\n" * 1000
start = time.perf_counter()
for n in range(150):
    os.write(1, block)
    time.sleep(max(0.0, start + (n + 1) * len(block) / 20e6 - time.perf_counter()))
print("took", time.perf_counter() - start, "for", 150 * len(block))
"""


class BadInputCase(ClientCase):
    def config(self, text, name="config.yaml"):
        path = self.folder / name
        path.write_text(text)
        return path

    def finish(self, number=1):
        finish = self.server.tasks[number]["finish"]
        return finish["status"], finish.get("failure_reason"), finish.get("error_message")


class EndTest(BadInputCase):
    def test_ai_toolkit_from_database_to_samples(self):
        """Its database is the loss, an older run's rows are not, samples carry their prompt."""
        server = self.serve()
        out = self.folder / "out" / "mine"
        out.mkdir(parents=True)
        base = sqlite3.connect(out / "loss_log.db")
        base.execute(
            "create table metrics (step integer, key text, value_real real, value_text text, primary key (step, key))"
        )
        base.execute("insert into metrics values (1, 'loss/loss', 99, null)")
        base.commit()
        base.close()
        (out / "mine_000000001.safetensors").write_bytes(TENSORS)
        script = self.script(f"""
import os, sqlite3, sys, time
base = sqlite3.connect("out/mine/loss_log.db", isolation_level=None)
base.execute("pragma journal_mode=wal")
for step in (1, 2, 3):
    for key, value in (("loss/loss", step / 8), ("learning_rate", 1e-4)):
        base.execute("insert or replace into metrics values (?, ?, ?, null)", (step, key, value))
    sys.stderr.write(f"\\rmine:  12%|#2  | {{step}}/3 [05:00<35:00,  1.20s/it, lr: 1.0e-04 loss: 3.412e-01]")
    time.sleep(0.3)
os.makedirs("out/mine/samples")
open("out/mine/samples/1700000000000__000000003_0.jpg", "wb").write(b"jpg")
open("out/mine/mine.safetensors", "wb").write({TENSORS!r})
""")
        text = AI_TOOLKIT + "      sample:\n        prompts:\n          - a horse\n"
        code, _, err = self.run_client("run", "--config", self.config(text), "--", *script)
        self.assertEqual((code, self.finish()[0]), (0, "success"), err)
        self.assertEqual(server.points(1, "loss"), {1: 0.125, 2: 0.25, 3: 0.375})
        self.assertEqual(server.points(1, "loss/loss"), server.points(1, "loss"))
        self.assertEqual(sorted(server.points(1, "learning_rate")), [1, 2, 3])
        kinds = {w["filename"]: (w["kind"], w.get("step"), w.get("prompt")) for w in server.weights.values()}
        self.assertEqual(kinds["samples/1700000000000__000000003_0.jpg"], ("sample", 3, "a horse"))
        self.assertEqual(kinds["mine.safetensors"], ("final", None, None))
        self.assertNotIn("mine_000000001.safetensors", kinds)

    def test_exit_code_0_that_is_no_success(self):
        self.serve()
        interrupted = f"""
import os, sys
os.makedirs(sys.argv[1])
for n in (1, 2):
    print("{{'loss': %s, 'grad_norm': 0.91, 'learning_rate': 9.8e-05, 'epoch': 0.1%d}}" % (n, n))
    sys.stderr.write(f"\\r {{n}}0%|#  | {{n}}/4 [00:01<00:01,  1.00s/it]\\n")
open(sys.argv[1] + "/adapter_model.safetensors", "wb").write({TENSORS!r})
"""
        # name: settings, what the trainer does, what is recorded. All run beside each other.
        cases = {
            "stopped": (AI_TOOLKIT, "print('Job stopped')", ("failed", "error")),
            "broken": (AI_TOOLKIT, "print('Error running job: CUDA is unhappy')", ("failed", "error")),
            "interrupted": (AXOLOTL, interrupted, ("failed", "error")),
            "complete": (AXOLOTL, interrupted + "print('Model successfully saved to out')", ("success", None)),
        }
        runs = []
        for name, (config, text, _) in cases.items():
            script = self.folder / f"{name}.py"
            script.write_text(text)
            config = self.config(config.replace("output_dir: out", f"output_dir: {name}"), f"{name}.yaml")
            runs.append(self.client("run", "--name", name, "--config", config, "--", sys.executable, script, name))
        for run in runs:
            run.communicate(timeout=40)
            self.assertEqual(run.returncode, 0)
        ends = {task["fields"]["task_name"]: n for n, task in self.server.tasks.items()}
        for name, (_, _, expected) in cases.items():
            self.assertEqual(self.finish(ends[name])[:2], expected, name)
        self.assertIn("Error running job: CUDA is unhappy", self.finish(ends["broken"])[2])
        self.assertIn("at step 2 of 4", self.finish(ends["interrupted"])[2])
        self.assertEqual(self.server.points(ends["interrupted"], "loss"), {1: 1, 2: 2})

    def test_a_trainer_that_forks_and_exits(self):
        server = self.serve()
        start = time.monotonic()
        code, _, err = self.run_client("run", "--", *self.script(FORKS))
        self.assertGreater(time.monotonic() - start, 3.4)
        self.assertEqual((code, self.finish()[0]), (0, "success"), err)
        self.assertEqual(sorted(server.points(1, "loss")), list(range(1, 10)))
        self.assertIn("following them until they end", err)


class OutputTest(BadInputCase):
    def test_twenty_megabytes_a_second_hold_nothing_up(self):
        server = self.serve(interval=1.0)
        alone = subprocess.run(self.script(SHOUTS), stdout=subprocess.PIPE, check=True).stdout
        with open(self.folder / "out.txt", "wb") as sink:
            process = subprocess.Popen(
                [sys.executable, "-c", WEIGHED, sys.executable, "-m", "lora_ledger", "run", "--", *self.script(SHOUTS)],
                env=self.environment(),
                cwd=self.folder,
                stdout=sink,
                stderr=subprocess.DEVNULL,
            )
            self.assertEqual(process.wait(60), 0)
        recorded = (self.folder / "out.txt").read_bytes()
        self.assertEqual(recorded.count(b"\n"), alone.count(b"\n"))
        seconds = [float(text.rsplit(b"took ", 1)[1].split()[0]) for text in (alone, recorded)]
        self.assertLess(seconds[1], seconds[0] * 1.5 + 1)
        if sys.platform == "linux":
            self.assertLess(int((self.folder / "memory.txt").read_text()), 100_000, "kB of memory")
        self.assertEqual(server.tasks[1]["status"], "success")

    def test_silence_and_broken_text(self):
        server = self.serve()
        self.assertEqual(self.run_client("run", "--", *self.script("import time\ntime.sleep(0.1)"))[0], 0)
        self.assertEqual((server.tasks[1]["status"], server.points(1, "loss")), ("success", {}))
        text = "import sys\nsys.stdout.buffer.write(b'\\xff\\xfe{\\'loss\\': 1.0, \\'epoch\\': 1.0}\\n\\x00\\xc3\\n{\\'loss')"
        code, out, _ = self.run_client("run", "--", *self.script(text))
        # A lone dict tells no step, so its time is its place.
        losses = list(server.points(2, "loss").values())
        self.assertEqual((code, server.tasks[2]["status"], losses), (0, "success", [1.0]))
        self.assertTrue(out.startswith(b"\xff\xfe{'loss'"))


class SharedFolderTest(BadInputCase):
    def test_other_runs_files_are_left_alone(self):
        """Old and foreign event files, half-written ones, another run's weights in the same folder, an older file."""
        server = self.serve()
        logs, out = self.folder / "logs", self.folder / "out"
        (logs / "20240101000000" / "network_train").mkdir(parents=True)
        old = logs / "20240101000000" / "network_train" / "events.out.tfevents.1700000000.h.1.0"
        old.write_bytes(event(1, "loss/current", 9.0))
        out.mkdir()
        (out / "mine-000001.safetensors").write_bytes(TENSORS)
        (self.folder / "record").write_bytes(event(1, "loss/current", 0.5) + event(2, "loss/current", 0.25))
        script = self.script(f"""
import os, socket, time
def write(stamp, pid, data):
    os.makedirs(f"logs/{{stamp}}/network_train", exist_ok=True)
    open(f"logs/{{stamp}}/network_train/events.out.tfevents.1700000000.h.{{pid}}.0", "ab").write(data)
data = open("record", "rb").read()
write("20250101000000", os.getpid(), data[:-9])
# The client's own parent is a process of this machine, and none of the trainer's.
write("20250101000001", os.getppid(), data.replace(b"current", b"average"))
open("{old}", "ab").write(data)
time.sleep(1.2)
write("20250101000000", os.getpid(), data[-9:] + b"half a rec")
open("out/other-000001.safetensors", "wb").write({TENSORS!r})
open("out/other.safetensors", "wb").write({TENSORS!r})
open("out/mine-000002.safetensors", "wb").write({TENSORS!r})
open("out/mine.safetensors", "wb").write({TENSORS!r})
""")
        config = self.config(KOHYA.replace("{logs}", 'logging_dir = "logs"\n'), "config.toml")
        code, _, err = self.run_client("run", "--config", config, "--", *script)
        self.assertEqual((code, self.finish()[0]), (0, "success"), err)
        self.assertEqual(server.points(1, "loss"), {1: 0.5, 2: 0.25})
        self.assertEqual(server.points(1, "loss/average"), {})
        self.assertEqual(set(server.held(1)), {"mine.safetensors", "mine-000002.safetensors", "console.log.gz"})

    def test_state_is_uploaded_when_asked_for(self):
        server = self.serve()
        script = self.script(f"""
import os
os.makedirs("out/mine-000001-state")
open("out/mine-000001-state/optimizer.bin", "wb").write(b"state")
open("out/mine.safetensors", "wb").write({TENSORS!r})
""")
        config = self.config(KOHYA.replace("{logs}", ""), "config.toml")
        self.assertEqual(self.run_client("run", "--upload-state", "--config", config, "--", *script)[0], 0)
        self.assertEqual(server.held(1)["mine-000001-state/optimizer.bin"], b"state")
        weight = next(w for w in server.weights.values() if "optimizer" in w["filename"])
        self.assertEqual((weight["kind"], weight["epoch"], weight["group"]), ("state", 1, "mine-000001-state"))


class WrapperTest(BadInputCase):
    def test_a_shell_script_around_the_trainer(self):
        """The trainer's own command, file, folder, loss and weights are recorded, as if it had been named."""
        server = self.serve()
        work = self.folder / "work"
        (work / "out").mkdir(parents=True)
        (work / "my.toml").write_text(KOHYA.format(logs=""))
        (work / "out" / "mine-000009.safetensors").write_bytes(TENSORS)
        os.utime(work / "out" / "mine-000009.safetensors", (1, 1))
        (work / "train_network.py").write_text(f"""
import sys, time
for n in range(1, 7):
    sys.stderr.write(f"\\rsteps:  10%|#  | {{n}}/6 [00:01<00:01,  1.00s/it, avr_loss=0.{{n}}]")
    sys.stderr.flush()
    time.sleep(0.3)
open("out/mine-000001.safetensors", "wb").write({TENSORS!r})
open("out/mine.safetensors", "wb").write({TENSORS!r})
print("\\nmodel saved.")
""")
        script = self.folder / "train.sh"
        script.write_text(
            f'#!/bin/sh\nsleep 1\ncd work\nCONFIG=my.toml\n"{sys.executable}" train_network.py --config_file "$CONFIG" --wandb_api_key=x\n'
        )
        script.chmod(0o755)
        for number, command in enumerate((["sh", "train.sh"], [str(script)]), 1):
            code, _, err = self.run_client("run", "--", *command)
            self.assertEqual((code, self.finish(number)[0]), (0, "success"), err)
            fields = server.tasks[number]["fields"]
            self.assertEqual(fields["config"]["text"], KOHYA.format(logs=""))
            self.assertEqual(
                fields["command"][1:], ["train_network.py", "--config_file", "my.toml", "--wandb_api_key=[redacted]"]
            )
            self.assertEqual(fields["started_by"], command)
            self.assertEqual(sorted(server.points(number, "loss")), [1, 2, 3, 4, 5, 6])
            kinds = {w["filename"]: w["kind"] for w in server.weights.values() if w["task_id"] == number}
            self.assertEqual(
                {name: kind for name, kind in kinds.items() if kind != "state"},
                {"train.sh": "config", "mine.safetensors": "final", "mine-000001.safetensors": "checkpoint"},
            )

    def test_a_script_that_trains_nothing_known(self):
        server = self.serve()
        code, _, err = self.run_client("run", "--", "sh", "-c", "echo hello; exit 3")
        self.assertEqual((code, self.finish()[0]), (3, "failed"), err)
        self.assertEqual(server.tasks[1]["fields"]["command"], ["sh", "-c", "echo hello; exit 3"])


# Loaded by every Python of a run, the client's and the trainer's: after a second their clock stands elsewhere.
JUMP = """
import os, time
begun, clock, by = time.monotonic(), time.time, float(os.environ.get("CLOCK_JUMP", 0))
time.time = lambda: clock() + (by if time.monotonic() - begun > 1.0 else 0.0)
"""


class ClockTest(BadInputCase):
    def test_a_clock_that_jumps_costs_no_point_and_no_file(self):
        server = self.serve()
        tools = self.folder / "tools"
        tools.mkdir()
        (tools / "sitecustomize.py").write_text(JUMP)
        path = f"{tools}{os.pathsep}{SOURCE}"
        runs = []
        # The second has no event files, so that its bar is all there is; a clock set back makes tqdm count below zero.
        for number, (by, logs) in enumerate(((-7200, "logs"), (-7200, ""), (86_400, "logs")), 1):
            folder = self.folder / f"run{number}"
            folder.mkdir()
            command = self.trainer(
                "--output_dir",
                folder / "out",
                "--logging_dir",
                folder / logs if logs else "",
                "--save_every_n_steps",
                30,
                steps=60,
                sleep=0.05,
            )
            runs.append(
                self.client(
                    "run",
                    "--name",
                    str(number),
                    "--",
                    *command,
                    env={"PYTHONPATH": path, "CLOCK_JUMP": str(by), "LEDGER_SPOOL": str(folder / "spool")},
                )
            )
        for run in runs:
            _, err = run.communicate(timeout=60)
            self.assertEqual(run.returncode, 0, err)
            self.assertIn(b"safe to destroy this box: 1 run and 3 files", err)
        hours = set()
        for number, task in server.tasks.items():
            self.assertEqual(task["status"], "success")
            self.assertEqual(sorted(server.points(number, "loss")), list(range(1, 61)))
            held = {w["filename"] for w in server.weights.values() if w["task_id"] == number}
            self.assertLessEqual({"aki.safetensors", "aki-step00000030.safetensors"}, held)
            beats = task["attempts"][1]["beats"].values()
            hours |= {row["time"][:13] for beat in beats for row in beat.get("logs", [])}
        self.assertGreaterEqual(len(hours), 3, "the clocks did jump")
