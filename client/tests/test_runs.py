"""Whole runs: the client as its own process, the example trainer, a strict server, and what can go wrong between them."""

import gzip
import hashlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.helpers import EXAMPLE, ClientCase, without_notices
from tests.ledger_server import ProblemError, Server

TALKS = """
import os, sys
sys.stdout.buffer.write(b"out \\xff\\xfe bytes\\r\\n\\x1b[31mred\\x1b[0m no end")
sys.stderr.buffer.write("\\rsteps:  50%|█     | 1/2 [00:01<00:01,  1.00s/it, avr_loss=0.5]".encode())
sys.stderr.buffer.write("\\rsteps: 100%|██████| 2/2 [00:02<00:00,  1.00s/it, avr_loss=0.25]\\n".encode())
print(os.environ.get("LEDGER_KEY"), os.environ.get("PYTHONUNBUFFERED"), os.getsid(0) == os.getpid())
sys.exit(7)
"""


class RunTest(ClientCase):
    def test_a_whole_run(self):
        server = self.serve()
        config = EXAMPLE / "my_lora.toml"
        code, out, err = self.run_client(
            "run",
            "--group",
            "g",
            "--tag",
            "kind=style",
            "--hourly-price",
            "0.5",
            "--",
            *self.trainer("--save_every_n_steps", 8, steps=20),
        )
        self.assertEqual(code, 0, err)
        task = server.tasks[1]
        self.assertEqual(task["fields"]["config"]["text"].encode(), config.read_bytes())
        self.assertEqual(
            (task["fields"]["experiment_group"], task["fields"]["tags"], task["fields"]["hourly_price"]),
            ("g", {"kind": "style"}, 0.5),
        )
        self.assertIn("hostname", task["fields"]["node_info"])
        self.assertEqual((task["status"], task["finish"]["exit_code"]), ("success", 0))
        for metric in ("loss", "loss/current", "loss/average", "lr/unet"):
            self.assertEqual(sorted(server.points(1, metric)), list(range(1, 21)), metric)
        self.assertEqual(server.points(1, "loss"), server.points(1, "loss/current"))
        beats = task["attempts"][1]["beats"]
        self.assertEqual(sorted(beats), list(range(1, task["finish"]["last_seq"] + 1)))
        self.assertEqual(sum(len(b["logs"]) for b in beats.values()), 20)
        self.assertEqual(server.progress(1)["percent"], 100)
        self.assertIn("model saved.", task["attempts"][1]["tail"])
        held = server.held(1)
        self.assertEqual(
            set(held),
            {
                "aki.safetensors",
                "aki-step00000008.safetensors",
                "aki-step00000016.safetensors",
                "console.log.gz",
            },
        )
        self.assertEqual(held["aki.safetensors"], (self.folder / "out" / "aki.safetensors").read_bytes())
        self.assertIn(b"avr_loss=", gzip.decompress(held["console.log.gz"]))
        kinds = {w["filename"]: (w["kind"], w.get("step")) for w in server.weights.values()}
        self.assertEqual(kinds["aki-step00000008.safetensors"], ("checkpoint", 8))
        self.assertEqual(kinds["aki.safetensors"], ("final", 20))
        self.assertEqual(task["datasets"][0]["image_count"], 6)
        self.assertIn(b"saving checkpoint: ", out)
        self.assertEqual(list(self.spool.iterdir()), [])
        header = json.loads(held["aki.safetensors"][8 : 8 + int.from_bytes(held["aki.safetensors"][:8], "little")])
        data = held["aki.safetensors"][8 + int.from_bytes(held["aki.safetensors"][:8], "little") :]
        self.assertEqual(header["__metadata__"]["sshs_model_hash"], hashlib.sha256(data).hexdigest())

    def test_output_environment_and_exit_code_are_the_trainers_own(self):
        server = self.serve()
        code, out, err = self.run_client("run", "--quiet", "--", *self.script(TALKS))
        self.assertEqual(code, 7)
        self.assertEqual(out, b"out \xff\xfe bytes\r\n\x1b[31mred\x1b[0m no endNone 1 True\n")
        self.assertEqual(without_notices(err).count("\r"), 2)
        task = server.tasks[1]
        self.assertEqual(task["fields"]["task_name"], "trainer")
        self.assertEqual(
            (task["finish"]["status"], task["finish"]["failure_reason"], task["finish"]["exit_code"]),
            ("failed", "error", 7),
        )
        self.assertEqual(server.points(1, "loss"), {1: 0.5, 2: 0.25})

    def test_failures_are_recognised(self):
        server = self.serve()
        for arguments, code, reason, message in (
            (("--oom_at_step", 3), 1, "oom", "torch.OutOfMemoryError: CUDA out of memory."),
            (("--fail_at_step", 3), 1, "error", "RuntimeError: the run was told to fail at step 3"),
        ):
            self.assertEqual(self.run_client("run", "--", *self.trainer(*arguments, steps=5, logs=False))[0], code)
            finish = server.tasks[len(server.tasks)]["finish"]
            self.assertEqual(
                (finish["status"], finish["failure_reason"], finish["exit_code"]), ("failed", reason, code)
            )
            self.assertTrue(finish["error_message"].startswith(message), finish)
        self.assertEqual(self.run_client("run", "--", *self.script("import os\nos.kill(os.getpid(), 9)"))[0], 137)
        self.assertEqual(server.tasks[3]["finish"]["failure_reason"], "oom")
        code, _, _ = self.run_client("run", "--output-dir", "out", "--", *self.script("print('nothing written')"))
        self.assertEqual((code, server.tasks[4]["finish"]["status"]), (0, "failed"))
        code, _, err = self.run_client("run", "--", "/no/such/trainer")
        self.assertEqual((code, len(server.tasks)), (127, 4))
        self.assertIn("there is no such command", err)

    def test_a_machine_that_is_slow_to_describe_itself(self):
        """Whatever is known before the registration waits for it."""
        server = self.serve()
        tools = self.folder / "tools"
        tools.mkdir()
        (tools / "git").write_text("#!/bin/sh\nsleep 3\nexit 1\n")
        (tools / "git").chmod(0o755)
        path = f"{tools}{os.pathsep}{os.environ['PATH']}"
        code, _, err = self.run_client("run", "--", *self.trainer(steps=4), env={"PATH": path})
        self.assertEqual(code, 0, err)
        self.assertNotIn("refused", err)
        self.assertEqual([fact["name"] for fact in server.tasks[1]["datasets"]], ["10_aki"])
        self.assertEqual(sorted(server.points(1, "loss")), [1, 2, 3, 4])

    def test_nan_is_kept(self):
        server = self.serve()
        self.assertEqual(self.run_client("run", "--", *self.trainer("--nan_at_step", 3, steps=4))[0], 0)
        self.assertEqual([v == "NaN" for v in server.points(1, "loss").values()], [False, False, True, True])

    def test_a_configuration_that_is_too_large_to_register_with(self):
        server = self.serve()
        config = self.folder / "big.yaml"
        config.write_text("a: 1\n" + "# much\n" * 500_000)
        code, _, err = self.run_client("run", "--config", config, "--", sys.executable, "-c", "print(1)")
        self.assertEqual(code, 0, err)
        self.assertIn("stored as a file", err)
        self.assertEqual(server.held(1)["big.yaml"], config.read_bytes())

    def test_settings_that_cannot_be_read(self):
        server = self.serve()
        (self.folder / "broken.toml").write_bytes(b"[[[ \xff no toml")
        code, _, err = self.run_client("run", "--config", "broken.toml", "--", *self.script("print(1)"))
        self.assertEqual((code, set(server.tasks[1]["fields"]["config"])), (0, {"base64", "path"}))
        code, _, err = self.run_client("run", "--config", "absent.toml", "--name", "n", "--", *self.script("print(1)"))
        self.assertEqual((code, server.tasks[2]["fields"]["task_name"]), (0, "n"))
        self.assertIn("absent.toml cannot be read", err)

    def test_a_trainer_that_leaves_a_child_behind(self):
        server = self.serve()
        start = time.monotonic()
        code, _, _ = self.run_client(
            "run", "--", *self.script("import subprocess\nsubprocess.Popen(['sleep', '9'])\nprint('gone')")
        )
        self.assertEqual((code, server.tasks[1]["status"]), (0, "success"))
        self.assertLess(time.monotonic() - start, 9)


class SignalTest(ClientCase):
    def started(self, *arguments, trainer=None):
        self.serve()
        process = self.client("run", *arguments, "--", *(trainer or self.trainer(steps=5000, sleep=0.02, logs=False)))
        self.wait_for(lambda: 1 in self.server.tasks and self.server.tasks[1]["attempts"], what="the first heartbeat")
        time.sleep(0.3)
        return process

    def ended(self, process, timeout=60):
        _, err = process.communicate(timeout=timeout)
        return process.returncode, self.server.tasks[1]["finish"], err.decode()

    def test_ctrl_c_is_cancelled(self):
        process = self.started()
        process.send_signal(signal.SIGINT)
        code, finish, _ = self.ended(process)
        self.assertEqual((code, finish["status"]), (130, "cancelled"))

    def test_second_ctrl_c_kills(self):
        process = self.started(
            trainer=self.script("import signal, time\nsignal.signal(2, signal.SIG_IGN)\ntime.sleep(60)")
        )
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        code, finish, _ = self.ended(process)
        self.assertEqual((code, finish["status"]), (137, "cancelled"))

    def test_sigterm_is_a_reclaimed_box(self):
        process = self.started()
        process.send_signal(signal.SIGTERM)
        code, finish, _ = self.ended(process)
        self.assertEqual((code, finish["status"], finish["failure_reason"]), (143, "failed", "preempted"))

    def test_the_ledger_cancels_first_politely_then_not(self):
        stubborn = (
            "import signal, time\nsignal.signal(2, signal.SIG_IGN)\nsignal.signal(15, signal.SIG_IGN)\ntime.sleep(60)"
        )
        process = self.started("--stop-grace", "0.3", trainer=self.script(stubborn))
        self.server.tasks[1]["cancel"] = True
        code, finish, _ = self.ended(process)
        self.assertEqual((code, finish["status"]), (137, "cancelled"))

    def test_a_superseded_attempt_stops_and_says_nothing_more(self):
        process = self.started()
        with self.server.guard:
            self.server.open_attempt(self.server.tasks[1])
            beats = len(self.server.tasks[1]["attempts"][1]["beats"])
        code, finish, err = self.ended(process)
        self.assertEqual((code, finish), (130, None))
        self.assertEqual(len(self.server.tasks[1]["attempts"][1]["beats"]), beats)
        self.assertIn("another attempt has taken over task 1", err)


class ResumeTest(ClientCase):
    def test_the_curve_goes_on_from_the_state(self):
        server = self.serve()
        first = self.trainer("--save_state", "--save_every_n_steps", 10, "--fail_at_step", 15, steps=30)
        self.assertEqual(self.run_client("run", "--", *first)[0], 1)
        state = self.folder / "out" / "aki-step00000010-state"
        self.assertEqual(
            self.run_client("run", "--resume-task", 1, "--", *self.trainer("--resume", state, steps=30))[0], 0
        )
        task = server.tasks[1]
        self.assertEqual((task["status"], task["attempt"], task["attempts"][2]["from_step"]), ("success", 2, 10))
        self.assertEqual(sorted(server.points(1, "loss", 1)), list(range(1, 15)))
        self.assertEqual(sorted(server.points(1, "loss", 2)), list(range(11, 31)))
        self.assertEqual(len(server.tasks), 1)
        more = self.trainer("--resume", state, "--skip_until_initial_step", steps=30)
        self.assertEqual(self.run_client("run", "--resume-task", 1, "--", *more)[0], 0)
        self.assertEqual(sorted(server.points(1, "loss", 3)), list(range(11, 31)))
        self.assertEqual(server.progress(1, 3)["total_steps"], 30)

    def test_a_task_that_is_not_there(self):
        server = self.serve()
        code, _, err = self.run_client("run", "--resume-task", 99, "--", *self.script("print(1)"))
        self.assertEqual((code, server.tasks[1]["status"]), (0, "success"))
        self.assertIn("recorded as a new task", err)


class FaultTest(ClientCase):
    def test_points_that_no_heartbeat_held_survive_a_killed_client(self):
        # A minute between heartbeats: the client has all but the first in memory when it is killed.
        server = self.serve(interval=60)
        process = self.client("run", "--", *self.trainer(steps=4000, sleep=0.02), start_new_session=True)

        def kept():
            return [len(json.loads(path.read_text())["logs"]) for path in self.spool.glob("*/points.json")]

        self.wait_for(lambda: sum(kept()) > 20, what="points on disk")
        os.killpg(process.pid, signal.SIGKILL)
        self.end(process)
        (count,) = kept()
        before = len(server.points(1, "loss"))
        code, _, err = self.run_client("sync")
        self.assertEqual(code, 0, err)
        self.assertGreaterEqual(len(server.points(1, "loss")), before + count - 1)
        self.assertEqual(list(self.spool.glob("*/points.json")), [])

    def test_an_end_that_is_sent_later_says_when_it_was_and_how_long_the_run_took(self):
        server = self.serve()
        for older in (False, True):
            with self.subTest(older=older):
                server.before_durations = older
                away = {"LEDGER_URL": "http://127.0.0.1:9"}
                self.run_client("run", "--flush-timeout", 0.1, "--", *self.trainer(steps=2), env=away)
                (journal,) = self.spool.glob("*/journal.jsonl")
                lines = [json.loads(line) for line in journal.read_text().splitlines()]
                (end,) = (line["body"] for line in lines if line["kind"] == "finish")
                self.assertAlmostEqual(end["ended"], time.time(), delta=60)
                end["ended"] -= 86_400
                journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
                code, _, err = self.run_client("sync")
                self.assertEqual(code, 0, err)
                finish = server.tasks[len(server.tasks)]["finish"]
                self.assertEqual(finish["status"], "success")
                if older:
                    self.assertNotIn("duration_sec", finish)
                else:
                    self.assertEqual(finish["duration_sec"], end["duration_sec"])
                    self.assertAlmostEqual(finish["ended_sec_ago"], 86_400, delta=60)
                    self.assertTrue(0 < finish["duration_sec"] < 60)

    def test_the_ledger_is_away_and_sync_brings_everything_once(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        code, _, err = self.run_client(
            "run", "--flush-timeout", 1, "--", *self.trainer(steps=15), env={"LEDGER_URL": url}
        )
        self.assertEqual(code, 0)
        self.assertIn("`lora-ledger sync` sends it", err)
        self.assertNotIn("Traceback", err)
        self.server = Server(port=port)
        self.addCleanup(self.server.close)
        code, _, err = self.run_client("sync")
        self.assertEqual(code, 0, err)
        self.assertIn("sent as task 1", err)
        self.assertEqual(sorted(self.server.points(1, "loss")), list(range(1, 16)))
        self.assertEqual(
            (self.server.tasks[1]["status"], set(self.server.held(1))),
            ("success", {"aki.safetensors", "console.log.gz"}),
        )
        self.assertEqual(self.run_client("sync")[0], 0)
        self.assertEqual(len(self.server.tasks), 1)

    def test_the_ledger_dies_and_returns_in_the_middle(self):
        first = self.serve()
        process = self.client("run", "--", *self.trainer("--save_every_n_steps", 30, steps=90, sleep=0.05))
        self.wait_for(
            lambda: (
                1 in first.tasks and len(first.tasks[1]["attempts"][1]["beats"]) > 2
                if first.tasks.get(1, {}).get("attempts")
                else False
            )
        )
        first.close()
        time.sleep(1.5)
        second = Server(port=first.port)
        self.addCleanup(second.close)
        for name in ("tasks", "weights", "objects", "keys"):
            setattr(second, name, getattr(first, name))
        _, err = process.communicate(timeout=40)
        self.assertEqual(process.returncode, 0)
        self.assertEqual(sorted(second.points(1, "loss")), list(range(1, 91)))
        self.assertEqual(sum(len(b["logs"]) for b in second.tasks[1]["attempts"][1]["beats"].values()), 90)
        self.assertEqual((second.tasks[1]["status"], len(second.held(1))), ("success", 5), err)

    def test_no_address_at_all(self):
        code, _, err = self.run_client("run", "--", *self.script("print(1)"), env={"LEDGER_URL": "", "LEDGER_KEY": ""})
        self.assertEqual(code, 0)
        self.assertIn("LEDGER_URL and LEDGER_KEY are not set", err)
        server = self.serve()
        self.assertEqual(self.run_client("sync")[0], 0)
        self.assertEqual(server.tasks[1]["status"], "success")

    def test_every_answer_lost_once_and_errors_between(self):
        server = self.serve(single_limit=2000, part_size=4000)
        seen = set()
        chance = random.Random(5)

        def fault(method, path, body):
            route = (method, path.split("?")[0], body if path.endswith("heartbeat") else path)
            if "/signed/" in path:
                route = (method, path.split("&sig")[0])
            if route not in seen:
                seen.add(route)
                return chance.choice(
                    ["lose", "lose", "drop", ProblemError(503, "database", headers={"Retry-After": "0"})]
                )
            return None

        server.faults.append(fault)
        code, _, err = self.run_client("run", "--", *self.trainer(steps=20))
        self.assertEqual(code, 0, err)
        self.assertEqual(len(server.tasks), 1)
        task = server.tasks[1]
        self.assertEqual(task["status"], "success", err)
        self.assertEqual(sorted(server.points(1, "loss")), list(range(1, 21)))
        self.assertEqual(sum(len(b["logs"]) for b in task["attempts"][1]["beats"].values()), 20)
        self.assertEqual(
            set(server.held(1)),
            {"aki.safetensors", "console.log.gz"},
        )
        complete = [w["filename"] for w in server.weights.values() if w["state"] == "complete"]
        self.assertEqual(len(complete), len(set(complete)))

    def test_a_broken_upload_goes_on_with_the_missing_parts(self):
        server = self.serve(single_limit=100, part_size=4096)
        (self.folder / "out").mkdir()
        blob = random.Random(1).randbytes(40 * 4096 + 5)
        (self.folder / "blob").write_bytes(blob)
        server.faults.append(lambda method, path, body: "drop" if "part=21" in path else None)
        script = self.script("import shutil\nshutil.copy('blob', 'out/final.pt')\nprint('done')")
        code, _, err = self.run_client("run", "--flush-timeout", 1.5, "--output-dir", "out", "--", *script)
        self.assertEqual(code, 0)
        self.assertIn("1 file", err)
        self.assertEqual(len([w for w in server.weights.values() if w["filename"] == "final.pt"]), 1)
        server.faults.clear()
        before = len(server.requests)
        code, _, err = self.run_client("sync")
        self.assertEqual(code, 0, err)
        puts = [path for method, path in server.requests[before:] if method == "PUT"]
        self.assertEqual(len(puts), 41 - 20)
        self.assertEqual(server.held(1)["final.pt"], blob)
        self.assertEqual(server.tasks[1]["status"], "success")

    def test_a_file_that_changes_while_it_is_sent(self):
        server = self.serve(single_limit=100, part_size=4096)
        (self.folder / "out").mkdir()
        path = self.folder / "out" / "final.pt"

        def overwrite(method, url, _body):
            if "part=3" in url and not getattr(overwrite, "done", False):
                overwrite.done = True
                path.write_bytes(b"B" * 9000)

        server.faults.append(overwrite)
        code, _, err = self.run_client(
            "run", "--output-dir", "out", "--", *self.script("open('out/final.pt', 'wb').write(b'A' * 20000)")
        )
        self.assertEqual((code, server.held(1)["final.pt"]), (0, b"B" * 9000), err)

    def test_a_file_that_is_gone_blocks_nothing(self):
        server = self.serve()
        (self.folder / "out").mkdir()
        server.faults.append(lambda method, path, body: "drop" if path.endswith("weights") else None)
        code, _, _ = self.run_client(
            "run",
            "--flush-timeout",
            1,
            "--output-dir",
            "out",
            "--",
            *self.script("open('out/a.pt', 'wb').write(b'A')"),
        )
        self.assertEqual(code, 0)
        (self.folder / "out" / "a.pt").unlink()
        server.faults.clear()
        code, _, err = self.run_client("sync")
        self.assertEqual(code, 0, err)
        self.assertIn("removed before it was sent", err)
        self.assertEqual((server.tasks[1]["status"], set(server.held(1))), ("success", {"console.log.gz"}))

    def test_what_is_refused_is_set_aside(self):
        server = self.serve()

        def refuse(method, path, body):
            if path.endswith("/datasets"):
                return ProblemError(422, "no such facts", "not-valid")
            if path == "/api/tasks" and b"gpu-of-doom" in body:
                return ProblemError(422, "not valid", "not-valid", [{"path": "notes", "message": "is wrong"}])
            return None

        server.faults.append(refuse)
        code, _, err = self.run_client("run", "--notes", "gpu-of-doom", "--", *self.trainer(steps=5))
        self.assertEqual((code, server.tasks[1]["status"]), (0, "success"))
        self.assertNotIn("notes", server.tasks[1]["fields"])
        self.assertIn("without notes", err)
        self.assertEqual(len(server.points(1, "loss")), 5)
        kept = [json.loads(line) for f in self.spool.glob("*/refused.jsonl") for line in f.read_text().splitlines()]
        self.assertEqual([k["kind"] for k in kept], ["datasets"])

    def test_a_bad_key_is_said_once_and_never_shown(self):
        self.serve()
        code, _, err = self.run_client("run", "--", *self.script("print(1)"), env={"LEDGER_KEY": "wrong-key-123"})
        self.assertEqual(code, 0)
        self.assertEqual(err.count("does not accept the key"), 1)
        self.assertNotIn("wrong-key-123", err)
        self.assertEqual(self.run_client("sync")[0], 0)
        self.assertEqual(self.server.tasks[1]["status"], "success")
        self.assertFalse(any(b"wrong-key-123" in f.read_bytes() for f in Path(self.spool).rglob("*") if f.is_file()))

    def test_no_room_for_the_spool(self):
        server = self.serve()
        (self.folder / "file").write_text("")
        code, _, err = self.run_client("run", "--spool", self.folder / "file" / "spool", "--", *self.trainer(steps=10))
        self.assertEqual(code, 0)
        self.assertEqual(err.count("cannot be written"), 1)
        self.assertEqual(
            (server.tasks[1]["status"], len(server.points(1, "loss")), set(server.held(1))),
            ("success", 10, {"aki.safetensors"}),
        )

    def test_a_ledger_that_never_answers_delays_no_training(self):
        with socket.socket() as deaf:
            deaf.bind(("127.0.0.1", 0))
            deaf.listen(8)
            start = time.monotonic()
            code, out, _ = self.run_client(
                "run",
                "--flush-timeout",
                "0.5",
                "--",
                *self.script("import time\nprint(time.time())"),
                env={"LEDGER_URL": f"http://127.0.0.1:{deaf.getsockname()[1]}"},
            )
        self.assertEqual(code, 0)
        self.assertLess(time.monotonic() - start, 15)


class LibraryTest(ClientCase):
    PROGRAM = """
import lora_ledger
with lora_ledger.track(task_name="loop", lora_rank=8) as run:
    for step in range(1, 6):
        run.log(step=step, loss=1 / step, lr=1e-4, note="no number")
    open("w.pt", "wb").write(b"weights")
    run.save("w.pt")
    {last}
"""

    def run_program(self, last, **environment):
        path = self.folder / "loop.py"
        path.write_text(self.PROGRAM.replace("{last}", last))
        return subprocess.run(
            [sys.executable, str(path)],
            env=self.environment(**environment),
            cwd=self.folder,
            capture_output=True,
            timeout=40,
        )

    def test_nobody_there(self):
        done = self.run_program("pass", LEDGER_FLUSH_TIMEOUT="0.5")
        self.assertEqual((done.returncode, len(list(self.spool.iterdir()))), (0, 1), done.stderr)
        self.assertNotIn(b"Traceback", done.stderr)

    def test_success_failure_and_cancelled(self):
        server = self.serve()
        self.assertEqual(self.run_program("pass").returncode, 0)
        self.assertEqual((server.tasks[1]["status"], server.tasks[1]["fields"]["lora_rank"]), ("success", 8))
        self.assertEqual(server.points(1, "loss"), {s: 1 / s for s in range(1, 6)})
        self.assertEqual(server.held(1), {"w.pt": b"weights"})
        failed = self.run_program("raise ValueError('bad')")
        self.assertEqual(failed.returncode, 1)
        self.assertEqual(
            (server.tasks[2]["finish"]["status"], server.tasks[2]["finish"]["error_message"]),
            ("failed", "ValueError: bad"),
        )
        self.run_program("raise KeyboardInterrupt")
        self.assertEqual(server.tasks[3]["finish"]["status"], "cancelled")


class ByHandTest(ClientCase):
    def test_points_by_hand(self):
        server = self.serve()
        self.assertEqual(self.run_client("run", "--", *self.script("print(1)"))[0], 0)
        with server.guard:
            server.open_attempt(server.tasks[1])
        for step in (1, 2):
            self.assertEqual(self.run_client("log", "1", "--step", step, f"loss=0.{step}", "lr=1e-4")[0], 0)
        self.assertEqual(server.points(1, "loss"), {1: 0.1, 2: 0.2})
        down, self.server = self.server, None
        code, _, err = self.run_client("log", "1", "--step", 3, "loss=nan", "--flush-timeout", 1)
        self.assertEqual(code, 0)
        self.server = down
        self.assertEqual(self.run_client("sync")[0], 0)
        self.assertEqual(server.points(1, "loss")[3], "NaN")
        code, _, err = self.run_client("log", "1", "--step", 3, "loss")
        self.assertEqual(code, 2)
        self.assertIn("name=number", err)
        code, _, err = self.run_client("log", "77", "--step", 3, "loss=1")
        self.assertEqual(code, 1)
        self.assertIn("There is no task 77", err)
