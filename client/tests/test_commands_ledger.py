"""The commands that look at the ledger, fetch from it and repeat a run, against the strict server."""

import hashlib
import json
import os
import shutil
import stat
import sys
import time
from pathlib import Path

from lora_ledger.commands import credentials, diff, downloads
from lora_ledger.core import api as core_api
from lora_ledger.core import output
from lora_ledger.core import settings as client_settings
from lora_ledger.core.errors import CommandError
from tests.helpers import EXAMPLE, ClientCase
from tests.ledger_server import KEY, ProblemError


class CommandCase(ClientCase):
    def setUp(self):
        super().setUp()
        self.serve()
        self.login = self.folder / "home" / "login.json"

    def run_command(self, *arguments, code=0, env=None, **more):
        got, out, err = self.run_client(*arguments, env={"LEDGER_LOGIN": str(self.login), **(env or {})}, **more)
        out = out.decode()
        self.assertEqual(got, code, out + err)
        self.assertNotIn(KEY, out + err)
        self.assertNotIn("Traceback", err)
        return out, err

    def task(self, status="success", **fields):
        number = len(self.server.tasks) + 1
        self.server.tasks[number] = {
            "id": number, "status": status, "attempt": 1, "fields": {"task_name": f"run-{number}", **fields},
            "attempts": {1: {"beats": {}, "from_step": None, "tail": None}}, "datasets": [], "cancel": False,
            "finish": {"status": status},
        }  # fmt: skip
        return number

    def beat(self, task, seq, steps, attempt=1, **metrics):
        logs = [
            {"step": s, "time": "2026-05-01T10:00:00.000Z", "metrics": {k: v(s) for k, v in metrics.items()}}
            for s in steps
        ]
        attempts = self.server.tasks[task]["attempts"]
        attempts.setdefault(attempt, {"beats": {}, "from_step": None, "tail": None})["beats"][seq] = {
            "seq": seq,
            "logs": logs,
        }

    def file(self, task, name, data, kind="final"):
        number = len(self.server.weights) + 1
        self.server.objects[number] = data
        self.server.weights[number] = {
            "id": number, "task_id": task, "attempt": 1, "filename": name, "kind": kind, "size": len(data),
            "sha256": hashlib.sha256(data).hexdigest(), "state": "complete", "verified": "sha256", "parts": {},
        }  # fmt: skip
        return number


class LoginTest(CommandCase):
    def test_stored_for_this_user_alone_and_used(self):
        bare = {"LEDGER_URL": "", "LEDGER_KEY": ""}
        out, _ = self.run_command("login", "--url", self.server.url, env={"LEDGER_URL": "", "LEDGER_KEY": KEY})
        self.assertIn("as anna (member)", out)
        if os.name != "nt":
            self.assertEqual(stat.S_IMODE(self.login.stat().st_mode), 0o600)
        self.assertIn("user: anna", self.run_command("status", env=bare)[0])
        # A stored key goes to no other address; flags and environment come first.
        _, err = self.run_command("ls", "--url", "http://127.0.0.1:9", env=bare, code=1)
        self.assertIn("LEDGER_KEY is not set", err)
        _, err = self.run_command("ls", env={"LEDGER_URL": "", "LEDGER_KEY": "not-the-key"}, code=1)
        self.assertIn("`lora-ledger login` stores another", err)

    def test_a_wrong_key_is_not_stored(self):
        _, err = self.run_command("login", env={"LEDGER_KEY": "wrong"}, code=1)
        self.assertIn("does not know this key", err)
        self.assertFalse(self.login.exists())

    def test_a_box_key_is_stored(self):
        self.server.box_key = True
        self.assertIn("with a box key", self.run_command("login")[0])
        self.assertIn("user: a box key", self.run_command("status")[0])

    def test_an_open_file_is_told(self):
        os.environ["LEDGER_LOGIN"] = str(self.login)
        self.addCleanup(os.environ.pop, "LEDGER_LOGIN")
        credentials.store("https://a.example", "k")
        self.assertEqual(credentials.load(), ("https://a.example", "k"))
        for text in ("", "[]", '{"url": 1, "key": "k"}', "[" * 9999):
            self.login.write_text(text)
            self.assertEqual(credentials.load(), (None, None), text[:20])


class LookTest(CommandCase):
    def test_ls(self):
        self.task(lora_rank=64, final_loss=0.0931)
        self.task("running", lora_rank=8, task_name="名前が長い" * 20 + "\x1b[31m")
        out, _ = self.run_command("ls", env={"COLUMNS": "100", "PYTHONIOENCODING": "utf-8"})
        lines = out.splitlines()
        self.assertEqual((len(lines), lines[0].split()[:3]), (3, ["ID", "NAME", "STATUS"]))
        self.assertTrue(all(output.width_of(line) <= 100 for line in lines), lines)
        self.assertNotIn("\x1b", out)
        out, _ = self.run_command("ls", "lora_rank = 64", "--json")
        self.assertEqual([json.loads(line)["id"] for line in out.splitlines()], [1])
        self.assertIn("no runs match", self.run_command("ls", "lora_rank = 5")[0])
        _, err = self.run_command("ls", "lora_rank ==", code=1)
        self.assertIn("filter: at 1", err)

    def test_pages_end_at_the_limit(self):
        for _ in range(7):
            self.task()
        api = core_api.Api(client_settings.resolve(self.server.url, KEY))
        self.assertEqual([t["id"] for t in api.pages("/api/tasks", 3)], [7, 6, 5])
        self.assertEqual(len(list(api.pages("/api/tasks"))), 7)

    def test_show_and_cancel(self):
        task = self.task("pending", lora_rank=8, command=["python", "x.py"])
        self.file(task, "aki.safetensors", b"x")
        self.server.tasks[task]["datasets"] = [{"name": "10_aki", "image_count": 24, "repeats": 10}]
        self.server.tasks[task]["fields"].update(
            seed=7,
            field_sources={"lora_rank": {"from": "file", "key": "network.linear"}, "seed": {"from": "default"}},
        )
        out, _ = self.run_command("show", task)
        self.assertRegex(out, r"lora_rank +8   \(file: network\.linear\)\n")
        self.assertRegex(out, r"seed +7   \(the default\)\n")
        for text in ("task 1: run-1", "lora_rank", "python x.py", "10_aki: 24 images", "aki.safetensors (final"):
            self.assertIn(text, out)
        self.assertEqual(self.run_command("cancel", task)[0], "task 1 is cancelled\n")
        running = self.task("running")
        self.assertIn("next heartbeat", self.run_command("cancel", running)[0])
        _, err = self.run_command("cancel", self.task(), code=1)
        self.assertIn("has ended as success", err)
        self.assertIn("There is no task 99", self.run_command("show", 99, code=1)[1])

    def test_logs(self):
        task = self.task()
        self.beat(task, 1, range(1, 4), loss=lambda s: 1 / s)
        out, _ = self.run_command("logs", task)
        self.assertEqual(out.splitlines()[1].split("\t"), ["1", "", "2026-05-01T10:00:00.000Z", "1.0"])
        self.assertIn("it has: loss", self.run_command("logs", task, "--metric", "lr", code=1)[1])

    def test_following_a_run_over_a_new_attempt_and_an_outage(self):
        task = self.task("running")
        self.beat(task, 1, range(1, 4), loss=float)
        process = self.client("logs", task, "-f", "--interval", "0.05")
        self.assertEqual([process.stdout.readline().split(b"\t")[0] for _ in range(4)], [b"step", b"1", b"2", b"3"])
        self.server.faults.append(lambda *_: "drop")
        time.sleep(0.2)
        self.server.faults.clear()
        self.beat(task, 1, [3, 4], attempt=2, loss=float)
        line = process.stdout.readline()
        self.assertIn(b"from step 3 on", line)
        self.assertEqual([process.stdout.readline().split(b"\t")[0] for _ in range(2)], [b"3", b"4"])
        self.server.tasks[task]["status"] = "failed"
        out, err = process.communicate(timeout=60)
        self.assertIn(b"# task 1: failed", out)
        self.assertIn(b"still trying", err)
        self.assertEqual(process.returncode, 0)

    def test_the_ledger_away_is_one_plain_line(self):
        self.server.faults.append(lambda *_: ProblemError(503, "the database cannot be reached"))
        _, err = self.run_command("ls", code=1)
        self.assertEqual(len(err.splitlines()), 1)
        self.assertIn("did not answer", err)


class PullTest(CommandCase):
    def test_whole_again_and_half(self):
        task = self.task()
        data = os.urandom(700_000)
        self.file(task, "aki.safetensors", data)
        self.file(task, "aki-000002.safetensors", b"two", "checkpoint")
        target = self.folder / "got" / "aki.safetensors"
        self.run_command("pull", task, "--kind", "final", "-o", self.folder / "got")
        self.assertEqual([p.name for p in (self.folder / "got").iterdir()], ["aki.safetensors"])
        self.assertEqual(target.read_bytes(), data)
        self.assertIn("already here", self.run_command("pull", task, "--kind", "final", "-o", self.folder / "got")[0])
        target.unlink()
        (target.parent / f"aki.safetensors.{hashlib.sha256(data).hexdigest()[:12]}.part").write_bytes(data[:300_000])
        self.server.requests.clear()
        self.run_command("pull", task, "-o", self.folder / "got")
        self.assertEqual(target.read_bytes(), data)
        target.write_bytes(b"mine")
        _, err = self.run_command("pull", task, "-o", self.folder / "got", code=1)
        self.assertIn("other content", err)
        self.assertEqual(target.read_bytes(), b"mine")

    def test_wrong_bytes_are_not_kept(self):
        task = self.task()
        number = self.file(task, "aki.safetensors", b"right")
        self.server.objects[number] = b"wrong"
        _, err = self.run_command("pull", task, "-o", self.folder / "got", code=1)
        self.assertIn("another hash", err)
        self.assertEqual(list((self.folder / "got").iterdir()), [])

    def test_names_that_lead_out(self):
        for name in ("../x", "/etc/x", "a/../../x", "C:x", "..\\x", "a//b", "x\0"):
            with self.assertRaises(CommandError, msg=name):
                downloads.local_path(Path("got"), name)
        self.assertEqual(downloads.local_path(Path("got"), "checkpoint-5/a.bin"), Path("got/checkpoint-5/a.bin"))

    def test_nothing_there(self):
        self.assertIn("has no files", self.run_command("pull", self.task(), code=1)[1])
        self.assertIn("There is no task 9", self.run_command("pull", 9, code=1)[1])


class RepeatTest(CommandCase):
    def test_again_as_a_child(self):
        server = self.server
        config = self.folder / "my_lora.toml"
        config.write_bytes((EXAMPLE / "my_lora.toml").read_bytes() + b"\r\n# kept\r\n")
        command = self.trainer(steps=2, logs=False)
        # Outside this repository, whose uncommitted changes would be told as a difference.
        shutil.copy(command[1], self.folder / "train_network.py")
        command[1] = str(self.folder / "train_network.py")
        command[command.index("--config_file") + 1] = str(config)
        self.run_command("run", "--group", "g", "--", *command)
        config.unlink()
        out, _ = self.run_command("reproduce", 1, "-o", self.folder / "again", "--run")
        self.assertEqual((self.folder / "again" / "my_lora.toml").read_bytes()[-10:], b"\r\n# kept\r\n")
        self.assertIn("nothing that was recorded differs here", out)
        child = server.tasks[2]["fields"]
        self.assertEqual((child["parent_task_id"], child["experiment_group"]), (1, "g"))
        self.assertEqual(child["config"]["text"], server.tasks[1]["fields"]["config"]["text"])
        self.assertIn(str(self.folder / "again" / "my_lora.toml"), child["command"])
        self.assertIn("is not empty", self.run_command("reproduce", 1, "-o", self.folder / "again", code=1)[1])
        out, _ = self.run_command("diff", 1, 2)
        self.assertIn("parent_task_id", out)

    def test_secrets_come_from_the_environment(self):
        script = self.folder / "t.py"
        script.write_text("import sys; print(open(sys.argv[2]).read(), sys.argv[3:])")
        text = 'wandb_api_key = "[redacted]"\nx = 1\n'
        self.task(command=[sys.executable, str(script), "--config", "c.toml", "--hf_token", "[redacted]"],
                  config={"text": text, "path": "c.toml"})  # fmt: skip
        given = {"WANDB_API_KEY": "", "HF_TOKEN": "", "LEDGER_SECRET_WANDB_API_KEY": 'w"1'}
        _, err = self.run_command("reproduce", 1, "--run", "-o", self.folder / "a", env=given, code=1)
        self.assertIn("not run: HF_TOKEN must come from the environment", err)
        out, _ = self.run_command("reproduce", 1, "--run", "-o", self.folder / "b", env={**given, "HF_TOKEN": "h2"})
        self.assertIn('wandb_api_key = "w\\"1"', out)
        self.assertIn("'h2'", out)
        self.assertEqual((self.folder / "b" / "c.toml").read_text(), text)
        self.assertNotIn("h2", json.dumps(self.server.tasks[2]["fields"]["command"]))

    def test_flatten(self):
        self.assertEqual(
            diff.flatten({"a": {"b": [{"c": 1}, 2]}, "d": [1, 2], "e": {}}),
            {"a.b[0].c": 1, "a.b[1]": 2, "d": [1, 2], "e": {}},
        )
