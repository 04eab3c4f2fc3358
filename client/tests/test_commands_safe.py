"""`safe` against every incomplete state that a box can be in: a wrong yes is the worst fault this client can have."""

import fcntl
import hashlib
import json
import os
import shutil
import sys
import time
import uuid

from lora_ledger.commands import box_records, safe
from lora_ledger.core import settings as client_settings
from lora_ledger.core.journal import REMOVED
from tests.helpers import ClientCase
from tests.ledger_server import KEY, ProblemError


class SafeCase(ClientCase):
    """One recorded run whose every part is in the ledger; each test takes one part away."""

    def setUp(self):
        super().setUp()
        self.serve()
        self.out = self.folder / "out"
        self.out.mkdir()
        self.record_path = None
        settled, safe.SETTLED = safe.SETTLED, 0.1
        self.addCleanup(setattr, safe, "SETTLED", settled)

    def ask(self, folders=(), tasks=()):
        """(answer, what is missing)."""
        found = client_settings.resolve(self.server.url, KEY, str(self.spool), 5, True)
        check = safe.Check(found, folders, tasks)
        return check.run(), check.missing

    def store(self, task, name, data, kind="final", **state):
        """A file that the ledger holds."""
        number = len(self.server.weights) + 1
        self.server.weights[number] = {
            "id": number,
            "task_id": task,
            "attempt": 1,
            "filename": name,
            "kind": kind,
            "size": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
            "state": "complete",
            "verified": "sha256",
            "parts": {},
            **state,
        }

    def write(self, name, data=b"weights", old=True):
        path = self.out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        if old:
            os.utime(path, (time.time() - 100, time.time() - 100))
        return path

    def a_task(self, beats=3, status="success"):
        """A run that the ledger knows whole."""
        number = len(self.server.tasks) + 1
        self.server.tasks[number] = {
            "id": number,
            "status": status,
            "attempt": 1,
            "fields": {},
            "attempts": {1: {"beats": {n: {} for n in range(1, beats + 1)}, "from_step": None, "tail": None}},
            "datasets": [],
            "cancel": False,
            "finish": {"status": status, "attempt": 1} if status != "running" else None,
        }
        return number

    def a_record(self, task=1, **more):
        root = box_records.root_of(self.spool)
        root.mkdir(exist_ok=True)
        path = root / f"{uuid.uuid4()}.json"
        data = {
            "command": ["x"],
            "cwd": str(self.folder),
            "started": time.time() - 500,
            "ended": time.time() - 200,
            "folders": [str(self.out)],
            "before": {},
            "spool": "gone",
            "url": self.server.url,
            "last_seq": 3,
            "lost": 0,
            "task_id": task,
            "attempt": 1,
            **more,
        }
        path.write_text(json.dumps(data))
        path.with_suffix(".lock").write_bytes(b"")
        self.record_path = path
        return path

    def drop_record(self):
        self.record_path.unlink()
        self.record_path.with_suffix(".lock").unlink()

    def whole(self):
        """A finished run with its final weight, all in the ledger."""
        task = self.a_task()
        self.a_record(task)
        self.write("aki.safetensors")
        self.store(task, "aki.safetensors", b"weights")
        return task

    def a_spool(self, items=(), state=None, name="5f0c"):
        folder = self.spool / name
        folder.mkdir(parents=True)
        (folder / "lock").write_bytes(b"")
        if items is not None:
            lines = [json.dumps({"n": n, "kind": kind, "body": body}) for n, (kind, body) in enumerate(items, 1)]
            (folder / "journal.jsonl").write_text("".join(line + "\n" for line in lines))
        if state is not None:
            (folder / "state.json").write_text(state if isinstance(state, str) else json.dumps(state))
        return folder

    def says_no(self, words, **how):
        good, missing = self.ask(**how)
        self.assertFalse(good)
        self.assertTrue(any(words in text for text in missing), (words, missing))

    def says_yes(self, **how):
        good, missing = self.ask(**how)
        self.assertEqual((good, missing), (True, []))


OPEN = ("open", {"key": "k", "register": {"task_name": "aki"}})
BEAT = ("heartbeat", {"progress": {}, "logs": [], "seq": 1})
WEIGHT = ("weight", {"path": "/nowhere/aki.safetensors", "filename": "aki.safetensors", "kind": "final"})
FINISH = ("finish", {"status": "success"})
RUN = (OPEN, BEAT, WEIGHT, FINISH)


class SpoolTest(SafeCase):
    def test_all_of_it_stored(self):
        self.whole()
        self.says_yes()

    def test_nothing_recorded_is_no_yes(self):
        self.says_no("no run is recorded")

    def test_what_a_spool_still_holds(self):
        for words, items, state in (
            ("not sent", RUN, {"task_id": 1, "acked": 1, "done": [3, 4]}),
            ("aki.safetensors is not uploaded whole", RUN, {"task_id": 1, "acked": 2, "done": [4]}),
            ("its end was not told", RUN, {"task_id": 1, "acked": 2, "done": [3]}),
            ("never recorded its end", RUN[:3], {"task_id": 1, "acked": 2, "done": [3]}),
            ("not sent", RUN, None),
            ("state.json is damaged", RUN, "{"),
            ("state.json is damaged", RUN, "[" * 100_000),
            ("not sent", RUN, {"task_id": 1, "acked": "9", "done": "all"}),
            ("its journal is missing", None, {"task_id": 1, "acked": 2, "done": [3, 4]}),
            ("its journal is empty", (), {}),
            ("never written to disk", RUN, {"task_id": 1, "acked": 0, "done": [1, 2, 3, 4, 6]}),
        ):
            with self.subTest(words, state=state if state is None else str(state)[:60]):
                self.whole()
                self.a_spool(items, state)
                self.says_no(words)
                shutil.rmtree(self.spool)

    def test_a_spool_that_was_sent_but_not_removed(self):
        self.whole()
        self.a_spool(RUN, {"task_id": 1, "url": self.server.url, "acked": 2, "done": [3, 4]})
        self.says_yes()

    def test_a_spool_that_cannot_be_asked_whether_it_runs(self):
        self.whole()
        (self.a_spool(RUN, {"task_id": 1, "acked": 2, "done": [3, 4]}) / "lock").unlink()
        self.says_no("its lock cannot be looked at")

    def test_a_damaged_journal(self):
        self.whole()
        folder = self.a_spool(RUN, {"task_id": 1, "acked": 2, "done": [3, 4]})
        whole = (folder / "journal.jsonl").read_bytes()
        for damaged in (
            b"\x00\xff\n" + whole,
            whole + b'{"n": 5, "kind": "wei',
            whole.replace(b'"body"', b'"bo', 1),
            whole[:-1],
        ):
            (folder / "journal.jsonl").write_bytes(damaged)
            self.says_no("damaged record")

    def test_a_refused_item(self):
        self.whole()
        folder = self.a_spool(None, {"task_id": 1})
        (folder / "refused.jsonl").write_text(
            json.dumps({"n": 3, "kind": "weight", "body": {"filename": "x.pt"}, "reason": "422 too large"}) + "\n"
        )
        self.says_no("the ledger refused the file x.pt: 422 too large")
        (folder / "refused.jsonl").write_text("not json\n")
        self.says_no("the ledger refused an item")

    def test_a_checkpoint_that_its_trainer_removed(self):
        self.whole()
        folder = self.a_spool(None, {"task_id": 1})
        item = {"n": 3, "kind": "weight", "body": {"filename": "checkpoint-5/x.pt"}, "reason": REMOVED}
        (folder / "refused.jsonl").write_text(json.dumps(item) + "\n")
        self.says_no("checkpoint-5/x.pt was removed from this disk before it was sent; if its trainer did that")

    def test_the_spool_of_another_run(self):
        self.whole()
        self.a_spool(RUN, {"acked": 0}, "another")
        self.says_no("an unregistered run")

    def test_points_by_hand_that_wait(self):
        self.whole()
        folder = self.a_spool((("point", {"id": "a", "task_id": 1, "entry": {}}),), {"acked": 0}, "by-hand-1")
        self.says_no("1 message")
        (folder / "journal.jsonl").write_text("")
        (folder / "state.json").write_text('{"acked": 1}')
        self.says_yes()

    def test_a_running_process(self):
        self.whole()
        folder = self.a_spool(RUN, {"task_id": 1, "acked": 2, "done": [3, 4]})
        with open(folder / "lock", "a+b") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.says_no("a process still records this run")
        self.says_yes()

    def test_another_ledgers_run(self):
        self.whole()
        self.a_spool(RUN, {"task_id": 1, "url": "https://other.example", "acked": 2, "done": [3, 4]})
        self.says_no("belongs to the ledger at https://other.example")

    def test_the_end_of_a_run_says_calmly_that_another_ledger_has_runs_here(self):
        task = self.a_task()
        self.a_record(task, folders=[])
        self.a_spool(RUN, {"task_id": 9, "url": "https://other.example", "acked": 2, "done": [3, 4]})
        found = client_settings.resolve(self.server.url, KEY, str(self.spool), 5, True)
        # The whole answer stays no; that of this ledger's runs alone names the other ledger.
        self.assertFalse(safe.Check(found).run())
        own = safe.Check(found, own_only=True)
        own.run()
        self.assertEqual(own.others, {"https://other.example"})
        self.assertNotIn("other.example", " ".join(own.missing))

    def test_a_run_that_no_ledger_has_registered_belongs_to_none(self):
        self.a_spool(RUN, {"acked": 0})
        self.a_record(None, url="https://other.example", spool="5f0c")
        self.says_no("an unregistered run")
        self.assertNotIn("other.example", " ".join(self.ask()[1]))


class RecordTest(SafeCase):
    def test_a_run_that_goes_on(self):
        self.whole()
        with open(self.record_path.with_suffix(".lock"), "a+b") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.says_no("is still going")

    def test_records_that_do_not_add_up(self):
        for words, more in (
            ("client was killed", {"ended": None}),
            ("never registered", {"task_id": None}),
            ("where it wrote its files is not known", {"folders": []}),
            ("lost to a full disk", {"lost": 2}),
            ("belongs to the ledger at https://other.example", {"url": "https://other.example"}),
            ("does not know attempt 2", {"attempt": 2}),
            ("log points are missing", {"last_seq": 9}),
        ):
            with self.subTest(words):
                self.whole()
                self.record_path.unlink()
                self.a_record(**more)
                self.says_no(words)
                shutil.rmtree(box_records.root_of(self.spool))

    def test_a_damaged_record(self):
        self.whole()
        self.a_record().write_text("{")
        self.says_no("is damaged")
        self.record_path.unlink()
        self.says_no("is damaged")

    def test_an_unknown_folder_that_is_named(self):
        self.whole()
        self.drop_record()
        self.a_record(folder=None)
        self.says_yes(folders=[self.out])
        self.says_no("there is no such folder", folders=[self.folder / "elsewhere"])


class LedgerTest(SafeCase):
    def test_the_ledger_is_away(self):
        self.whole()
        self.server.faults.append(lambda *_: "drop")
        self.says_no("the ledger could not be asked")
        self.server.faults[:] = [lambda *_: ProblemError(503, "no database")]
        self.says_no("the ledger could not be asked")
        self.server.faults[:] = [lambda *_: ProblemError(401, "no")]
        self.says_no("the ledger could not be asked")

    def test_it_goes_away_half_way(self):
        self.whole()
        self.server.faults.append(lambda _, path, __: "drop" if "/weights" in path else None)
        self.says_no("the ledger could not be asked")

    def test_the_end_never_arrived(self):
        self.whole()
        self.server.tasks[1].update(status="running", finish=None)
        self.says_no("is running in the ledger")

    def test_a_run_that_the_ledger_lost(self):
        self.whole()
        self.server.tasks[1].update(status="failed", failure_reason="lost")
        self.says_no("the ledger lost it")

    def test_a_task_that_is_gone(self):
        self.whole()
        del self.server.tasks[1]
        self.says_no("the ledger does not show it")

    def test_a_gap_in_the_heartbeats(self):
        self.whole()
        del self.server.tasks[1]["attempts"][1]["beats"][2]
        self.says_no("heartbeats 2 to 2 never reached")

    def test_half_an_upload(self):
        self.whole()
        self.server.weights[1].update(state="uploading", verified=None)
        self.says_no("aki.safetensors has not arrived whole")

    def test_half_an_upload_of_a_file_that_is_gone_here(self):
        self.whole()
        self.store(1, "aki-000002.safetensors", b"x", "checkpoint", state="uploading", verified=None)
        self.says_no("aki-000002.safetensors has not arrived whole")

    def test_a_second_version_half_uploaded(self):
        self.whole()
        self.store(1, "aki.safetensors", b"newer", state="uploading", verified=None)
        self.says_no("aki.safetensors has not arrived whole")

    def test_only_the_size_was_checked(self):
        self.whole()
        self.server.weights[1]["verified"] = "size"
        self.says_no("checked only the size")
        self.server.weights[1]["verified"] = "parts"
        self.says_yes()

    def test_another_box_has_taken_the_task_over(self):
        self.whole()
        task = self.server.tasks[1]
        task["attempts"][2] = {"beats": {}, "from_step": None, "tail": None}
        task.update(attempt=2, status="running", finish=None)
        task["attempts"][1]["ended"] = "failed"
        self.says_yes()
        task["attempts"][1]["ended"] = "running"
        self.says_no("attempt 1 is running")


class DiskTest(SafeCase):
    def test_files_that_the_ledger_does_not_hold(self):
        for name in (
            "aki-000002.safetensors",
            "checkpoint-500/adapter_model.bin",
            "epoch3/adapter_model.safetensors",
            "last.ckpt",
            "sample/aki_e000002_00.png",
            "samples/1__000000250_0.jpg",
        ):
            with self.subTest(name):
                self.whole()
                path = self.write(name, b"not sent")
                self.says_no(f"{path}: the ledger does not hold this file")
                path.unlink()

    def test_a_file_changed_after_its_upload(self):
        self.whole()
        self.write("aki.safetensors", b"WEIGHTS")
        self.says_no("does not hold this file as it is now")

    def test_a_change_that_kept_size_and_time(self):
        self.whole()
        before = os.stat(self.out / "aki.safetensors")
        path = self.write("aki.safetensors", b"WEIGHTS")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        self.says_no("does not hold this file as it is now")

    def test_files_of_older_days(self):
        self.whole()
        old = self.write("older.safetensors", b"old")
        self.drop_record()
        self.a_record(before={str(old): box_records.state_of(old)})
        self.says_yes()
        self.write("older.safetensors", b"written over by the run")
        self.says_no("older.safetensors")

    def test_an_older_run_of_this_box_does_not_hide_its_file(self):
        self.whole()
        first = self.write("first.safetensors", b"first run's")
        self.a_record(self.a_task(), before={str(first): box_records.state_of(first)})
        self.says_no("first.safetensors")

    def test_a_whole_model_counts_unless_its_adapter_lies_beside_it(self):
        task = self.whole()
        self.write("checkpoint-5/model.safetensors", b"all of it")
        self.says_no("checkpoint-5/model.safetensors: the ledger does not hold this file")
        self.write("checkpoint-5/pytorch_lora_weights.safetensors", b"adapter")
        self.says_no("checkpoint-5/pytorch_lora_weights.safetensors: the ledger does not hold this file")
        self.store(task, "checkpoint-5/pytorch_lora_weights.safetensors", b"adapter", "checkpoint")
        self.says_yes()

    def test_results_on_another_disk_behind_a_link(self):
        self.whole()
        disk = self.folder / "disk"
        disk.mkdir()
        (disk / "late.safetensors").write_bytes(b"late")
        os.utime(disk / "late.safetensors", (1, 1))
        (self.out / "checkpoints").symlink_to(disk)
        (disk / "back").symlink_to(self.out)
        self.says_no("checkpoints/late.safetensors: the ledger does not hold this file")

    def test_every_folder_that_a_run_writes_to(self):
        self.whole()
        saves = self.folder / "ws" / "save"
        saves.mkdir(parents=True)
        (saves / "x-save-10-1-0.safetensors").write_bytes(b"late")
        self.a_record(1, folders=[str(self.out), str(saves), str(self.folder / "ws" / "samples")])
        self.says_no("x-save-10-1-0.safetensors: the ledger does not hold this file")

    def test_more_than_is_read_at_the_end_of_a_run(self):
        self.whole()
        found = client_settings.resolve(self.server.url, KEY, str(self.spool), 5, True)
        check = safe.Check(found, most_bytes=3)
        self.assertEqual((check.run(), check.too_much, check.missing), (False, True, []))

    def test_what_is_no_result(self):
        self.whole()
        self.write("aki-000002-state/optimizer.bin", b"state")
        self.write("config.toml", b"x = 1")
        self.write("preview.png", b"not below a folder of samples")
        self.says_yes()

    def test_a_file_that_is_still_written(self):
        self.whole()
        path = self.write("new.safetensors", b"half", old=False)
        self.store(1, "new.safetensors", b"half")

        def grow(method, url, _):
            if "/weights" in url:
                path.write_bytes(path.read_bytes() + b"more")

        self.server.faults.append(grow)
        self.says_no("new.safetensors")

    def test_a_folder_that_cannot_be_listed(self):
        self.whole()
        folder = self.out / "closed"
        folder.mkdir()
        if os.geteuid() == 0:
            real = os.scandir

            def refusing(path):
                if str(path) == str(folder):
                    raise PermissionError(13, "Permission denied", str(path))
                return real(path)

            os.scandir = refusing
            self.addCleanup(setattr, os, "scandir", real)
        else:
            folder.chmod(0)
            self.addCleanup(folder.chmod, 0o700)
        self.says_no("cannot be looked through")

    def test_a_link_that_leads_nowhere_hides_nothing(self):
        self.whole()
        (self.out / "dead.safetensors").symlink_to(self.folder / "nothing")
        self.says_yes()


class WholeTest(ClientCase):
    """The same from the outside, with a trainer that really runs."""

    def safe(self, *more):
        code, out, _ = self.run_client("safe", *more)
        return code, out.decode()

    def test_after_a_real_run(self):
        server = self.serve()
        code, _, err = self.run_client("run", "--", *self.trainer(steps=4, logs=False))
        self.assertEqual(code, 0, err)
        self.assertIn("safe to destroy this box: 1 run and 1 file", err)
        final = self.folder / "out" / "aki.safetensors"
        os.utime(final, (1, 1))
        code, out = self.safe()
        self.assertEqual(
            (code, out.splitlines()), (0, [f"SAFE: 1 run and 1 file are stored and checked at {server.url}"])
        )
        with open(final, "ab") as file:
            file.write(b"!")
        os.utime(final, (1, 1))
        code, out = self.safe()
        self.assertEqual(code, 1)
        self.assertIn("NOT SAFE: 1 thing missing", out)
        self.assertNotIn(KEY, out)

    def test_a_run_without_its_ledger_then_sync(self):
        code, _, err = self.run_client("run", "--flush-timeout", "1", "--", *self.trainer(steps=3, logs=False))
        self.assertIn("NOT safe to destroy this box yet", err)
        self.assertEqual(self.safe()[0], 1)
        self.serve()
        self.assertEqual(self.safe()[0], 1)
        self.assertEqual(self.run_client("sync")[0], 0)
        code, out = self.safe()
        self.assertEqual(code, 0, out)
        self.assertEqual(len(self.server.tasks), 1)

    def test_while_it_runs_and_after_it_was_killed(self):
        server = self.serve()
        process = self.client("run", "--", *self.trainer(steps=400, sleep=0.02, logs=False))
        self.wait_for(lambda: server.tasks and server.tasks[1]["attempt"], what="the first heartbeat")
        self.assertIn("still", self.safe()[1])
        os.kill(process.pid, 9)
        process.wait()
        code, out = self.safe()
        self.assertEqual(code, 1)
        self.assertIn("never recorded its end", out)

    def test_a_command_that_does_not_start_leaves_no_record(self):
        self.serve()
        self.run_client("run", "--", str(self.folder / "no-such-command"))
        self.assertEqual(list(box_records.root_of(self.spool).iterdir()), [])


if sys.platform == "win32":
    del SpoolTest, RecordTest
