"""Text that no JSON reader or database takes, and a ledger that fails at some of what it is sent."""

import json
import os
import re
import sys
from unittest import mock

from lora_ledger.core import terminal
from lora_ledger.core.errors import DeniedError, RetryLaterError
from lora_ledger.core.spool import Spool
from lora_ledger.core.text import clean, metric_name
from lora_ledger.core.transport import Ledger
from lora_ledger.recording import sender
from lora_ledger.recording.points import Points
from lora_ledger.recording.sender import Sender
from tests.helpers import ClientCase, TemporaryCase
from tests.ledger_server import KEY, ProblemError

LONE = "\ud800"
ODD = re.compile(rb"\\ud[89a-f]|\\u00[01][0-8be-f]|\\u007f|\\u008|NaN,|Infinity,", re.I)


def fails(method, path, body):
    """A ledger that fails where a text is none."""
    return ProblemError(500, "Internal error", "internal") if ODD.search(body) else None


class CleanTest(TemporaryCase):
    def test_texts(self):
        for given, expected in (
            ("plain, 名, \U0001f600\n\t", "plain, 名, \U0001f600\n\t"),
            (f"a{LONE}b\udfff", "a\ufffdb\ufffd"),
            ("\ud83d\ude00", "\U0001f600"),
            ("a\0b\x1b[0m\x7f\x85", "a\ufffdb\ufffd[0m\ufffd\ufffd"),
        ):
            self.assertEqual(clean(given), expected)
            self.assertEqual(clean({"notes": [given]}), {"notes": [expected]})
        self.assertEqual(
            clean({"filename": "a\nb\t\udcff.pt", f"k{LONE}": 1}), {"filename": "a\ufffdb\ufffd\ufffd.pt", "k\ufffd": 1}
        )

    def test_a_file_kept_byte_for_byte_keeps_its_controls(self):
        config = {"text": "a: 1\x0c\x1b\n", "path": "a\n.yaml"}
        self.assertEqual(clean({"config": config}), {"config": config})
        self.assertEqual(clean({"dataset_file": {"text": f"\x01{LONE}"}}), {"dataset_file": {"text": "\x01\ufffd"}})

    def test_what_json_cannot_say(self):
        class Scalar:
            def item(self):
                return 4

        class Odd:
            def __str__(self):
                return f"odd{LONE}"

        deep = value = []
        for _ in range(5000):
            value.append([])
            value = value[0]
        body = {
            "a": float("nan"),
            "b": 10**5000,
            "c": Scalar(),
            "d": Odd(),
            "e": {1: (1, 2)},
            "f": deep,
            "g": 2**64,
            "h": True,
        }
        cleaned = json.loads(json.dumps(clean(body), allow_nan=False))
        self.assertEqual(cleaned.pop("f")[0][0][0][0], json.loads("[" * 56 + "null" + "]" * 56))
        self.assertEqual(
            cleaned, {"a": None, "b": None, "c": 4, "d": "odd\ufffd", "e": {"1": [1, 2]}, "g": 2**64, "h": True}
        )

    def test_metrics(self):
        self.assertEqual(metric_name('a"b\\c\nd' + LONE + "x" * 200), "a_b_c_d_" + "x" * 120)
        points = Points(loss_tag=None)
        points.put(1, {f"bad\n{LONE}": 1.0}, 1.0)
        for step in (-1, 10**10, 2**70):
            points.put(step, {"a": 1.0}, 1.0)
            points.add("a", step, 1.0, 1.0)
            points.loss(step, 1.0, 1.0)
        points.put(2, {f"series {n}": 1.0 for n in range(2000)} | {"loss": 2.0}, -1e11)
        with mock.patch.object(terminal, "warn_once"):
            rows = points.drain(final=True)
        self.assertEqual([row["step"] for row in rows], [1, 2])
        self.assertEqual(list(rows[0]["metrics"]), ["bad__"])
        self.assertLessEqual(len({name for row in rows for name in row["metrics"]}), 500)
        self.assertIn("loss", rows[1]["metrics"])
        self.assertRegex(rows[1]["time"], r"^20\d\d-")

    def test_the_journal_keeps_paths_as_they_are_on_disk(self):
        spool = Spool.create(self.folder)
        self.addCleanup(spool.close)
        spool.append("weight", {"path": "/out/a\udcff\n.pt", "filename": "a\udcff\n.pt"})
        self.assertEqual(spool.peek("uploads").body, {"path": "/out/a\udcff\n.pt", "filename": "a\ufffd\ufffd.pt"})

    def test_a_key_or_address_that_no_header_holds(self):
        for key in ("a\nb", "“key”", "k\udcff"):
            with self.assertRaises(DeniedError):
                Ledger("http://127.0.0.1:9", key).ask("GET", "/api/me")
        for url in (
            "http://127.0.0.1:port",
            "http://[::1",
            "htp://x",
            f"http://{LONE}",
            "http://a..b",
            "http://127.0.0.1:9/\n",
        ):
            with self.assertRaises(RetryLaterError, msg=url):
                Ledger(url, "key", 1.0).ask("GET", "/api/me")


class RunTest(ClientCase):
    def test_a_run_full_of_such_text(self):
        server = self.serve()
        server.faults.append(fails)
        script = self.script(
            "import os, sys\n"
            "os.makedirs(b'out')\n"
            "os.write(1, b'\\x00\\x1b[31mred\\x1b[0m \\x07 \\xed\\xa0\\x80 \\xff\\n')\n"
            "open(b'out/a\\xff\\n.safetensors', 'wb').write(b'\\x02' + bytes(7) + b'{}')\n"
            "os.write(2, b'no \\xff\\x02\\n')\n"
            "sys.exit(1)\n"
        )
        odd = os.fsdecode(b"x\xff\x01")
        code, _, err = self.run_client(
            *("run", "--name", odd, "--group", odd, "--notes", odd, "--tag", f"k{odd}={odd}", "--output-dir", "out", "--"),
            *script, odd,
        )  # fmt: skip
        self.assertEqual((code, server.tasks[1]["status"]), (1, "failed"), err)
        fields = server.tasks[1]["fields"]
        self.assertEqual([fields[n] for n in ("task_name", "experiment_group", "notes")], ["x\ufffd\ufffd"] * 3)
        self.assertEqual(fields["tags"], {"kx\ufffd\ufffd": "x\ufffd\ufffd"})
        self.assertIn("a__.safetensors", server.held(1))
        self.assertNotIn("refused", err)
        self.assertEqual(list(self.spool.iterdir()), [])

    def test_what_an_older_client_spooled(self):
        server = self.serve()
        server.faults.append(fails)
        folder = self.spool / "old"
        folder.mkdir(parents=True)
        odd = {"epoch": None, "step": 1}
        items = [
            ("open", {"key": "k", "register": {"task_name": f"a{LONE}", "notes": "\0", "command": [LONE]}}),
            ("heartbeat", {"seq": 1, "progress": odd, "logs": [], "tail": f"\x1b{LONE}"}),
            ("finish", {"status": "failed", "error_message": f"boom {LONE}"}),
        ]
        (folder / "journal.jsonl").write_text(
            "".join(json.dumps({"n": n, "kind": kind, "body": body}) + "\n" for n, (kind, body) in enumerate(items, 1))
        )
        (folder / "lock").touch()
        code, _, err = self.run_client("sync")
        self.assertEqual((code, server.tasks[1]["status"]), (0, "failed"), err)
        self.assertEqual(server.tasks[1]["finish"]["error_message"], "boom \ufffd")
        self.assertFalse(folder.exists())

    def test_words_of_a_command_line(self):
        self.serve()
        for words in (("ls", os.fsdecode(b"task_name = '\xff'")), ("logs", "1", "--metric", os.fsdecode(b"\xff"))):
            self.assertNotIn("should not have happened", self.run_client(*words)[2])


class FailingCase(ClientCase):
    """A spool with a run, and a ledger that fails at some of it."""

    def setUp(self):
        super().setUp()
        self.serve()
        quick = mock.patch.object(sender, "backoff", lambda tries: 0.01)
        quick.start()
        self.addCleanup(quick.stop)
        self.told = []
        for name in ("warn", "notice"):
            patch = mock.patch.object(terminal, name, self.told.append)
            patch.start()
            self.addCleanup(patch.stop)
        once = mock.patch.object(terminal, "warn_once", lambda _, text: self.told.append(text))
        once.start()
        self.addCleanup(once.stop)

    def fault(self, path, status=500, body=b"", times=10**9):
        """Has the ledger answer so to matching requests; the list of those that it answered so."""
        seen = []

        def rule(method, asked, sent):
            if len(seen) < times and method == "POST" and re.search(path, asked) and body in sent:
                seen.append(asked)
                return ProblemError(status, "Internal error", "internal")
            return None

        self.server.faults.append(rule)
        return seen

    def spooled(self, files=()):
        spool = Spool.create(self.spool)
        spool.append(
            "open", {"key": spool.folder.name, "register": {"task_name": "mine", "notes": "n", "command": ["c"]}}
        )
        for step in (1, 2, 3):
            entry = {"step": step, "time": "2026-05-01T00:00:00.000Z", "metrics": {"loss": step}}
            spool.append("heartbeat", {"progress": {}, "logs": [entry], "tail": f"tail {step}"})
        for name in files:
            path = self.folder / name
            path.write_bytes(name.encode())
            spool.append("weight", {"path": str(path), "filename": name, "kind": "final"})
        spool.append("finish", {"status": "success"})
        return spool

    def send(self, spool, still=3.0, until=None):
        """Whether all was sent, or what `until` waits for came to be."""
        self.sender = Sender(spool, Ledger(self.server.url, KEY))
        self.sender.start()
        try:
            return self.sender.wait_empty(still, until or (lambda: False))
        finally:
            self.sender.stop()
            spool.close()

    def refused(self, spool):
        path = spool.folder / "refused.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


class SetAsideTest(FailingCase):
    def test_a_heartbeat_that_it_keeps_failing_at(self):
        seen = self.fault("/heartbeat", body=b"tail 2")
        spool = self.spooled()
        self.assertTrue(self.send(spool))
        self.assertEqual(len(seen), 3)
        self.assertEqual([(r["kind"], r["body"]["seq"]) for r in self.refused(spool)], [("heartbeat", 2)])
        self.assertIn("500", self.refused(spool)[0]["reason"])
        self.assertEqual(self.server.points(1, "loss"), {1: 1, 3: 3})
        self.assertEqual(self.server.tasks[1]["status"], "success")
        self.assertTrue(any("sync --again" in text for text in self.told))
        for words in (("safe", "--task", "1"), ("status",), ("sync",)):
            out, err = self.run_client(*words)[1:]
            self.assertRegex(
                out.decode() + err, "(the ledger refused a heartbeat: 500|1 item refused).*sync --again", words
            )
        self.assertEqual(self.run_client("safe", "--task", "1")[0], 1)
        self.server.faults.clear()
        code, _, err = self.run_client("sync", "--again")
        self.assertEqual((code, self.server.points(1, "loss")), (0, {1: 1, 2: 2, 3: 3}), err)
        self.assertEqual(list(self.spool.iterdir()), [])
        self.assertEqual(self.run_client("safe", "--task", "1")[0], 0)

    def test_the_end_of_a_run(self):
        seen = self.fault("/finish")
        spool = self.spooled()
        self.assertTrue(self.send(spool))
        self.assertEqual((len(seen), self.server.tasks[1]["status"]), (3, "running"))
        code, out, _ = self.run_client("safe", "--task", "1")
        self.assertEqual(code, 1)
        self.assertIn("the ledger refused the run's end: 500", out.decode())
        self.server.faults.clear()
        self.assertEqual(self.run_client("sync", "--again")[0], 0)
        self.assertEqual(self.server.tasks[1]["status"], "success")

    def test_what_is_refused_once_more_stays(self):
        self.fault("/heartbeat", body=b"tail 2")
        spool = self.spooled()
        self.send(spool)
        code, _, err = self.run_client("sync", "--again")
        self.assertEqual([r["body"]["seq"] for r in self.refused(spool)], [2], err)
        self.assertIn("1 item refused", err)

    def test_files(self):
        for path, name in ((r"/weights$", b"b.pt"), (r"/weights/2/complete$", b"")):
            with self.subTest(path):
                self.server.faults.clear()
                seen = self.fault(path, body=name)
                spool = self.spooled(["a.pt", "b.pt", "c.pt"])
                self.assertTrue(self.send(spool))
                self.assertEqual(len(seen), 3)
                self.assertEqual([r["body"]["filename"] for r in self.refused(spool)], ["b.pt"])
                task = max(self.server.tasks)
                self.assertEqual(set(self.server.held(task)), {"a.pt", "c.pt"})
                self.assertEqual(self.server.tasks[task]["status"], "success")
                self.server.weights.clear()

    def test_a_registration_goes_with_less(self):
        self.fault(r"/api/tasks$", body=b"notes")
        spool = self.spooled()
        self.assertTrue(self.send(spool))
        self.assertEqual(self.server.tasks[1]["fields"], {"task_name": "mine", "command": ["c"]})
        self.assertTrue(any("recorded without notes" in text for text in self.told), self.told)
        self.assertEqual(self.server.tasks[1]["status"], "success")
        self.assertEqual(self.refused(spool), [])

    def test_a_registration_goes_with_nothing(self):
        self.fault(r"/api/tasks$", body=b"mine")
        spool = self.spooled()
        self.assertTrue(self.send(spool))
        self.assertEqual(self.server.tasks[1]["fields"]["task_name"], "unnamed run")

    def test_a_ledger_that_fails_at_everything_is_waited_for(self):
        """A full disk answers 500 to all: nothing of that is an item's own fault."""
        for path in ("/heartbeat", r"/api/tasks$"):
            with self.subTest(path):
                self.server.faults.clear()
                seen = self.fault(path, times=14)
                spool = self.spooled()
                self.assertTrue(self.send(spool))
                self.assertEqual((len(seen), self.refused(spool)), (14, []))
                task = max(self.server.tasks)
                self.assertEqual(self.server.points(task, "loss"), {1: 1, 2: 2, 3: 3})
                self.assertEqual(self.server.tasks[task]["fields"].get("notes"), "n")
                self.assertEqual(self.server.tasks[task]["finish"]["last_seq"], spool.last_seq)

    def test_but_for_no_longer_than_a_day(self):
        self.fault("/heartbeat")
        self.fault("/finish")
        spool = self.spooled()
        with mock.patch.object(sender, "FAILING_SECONDS", 0.0):
            self.assertTrue(self.send(spool))
        self.assertEqual(self.server.tasks[1]["status"], "pending")
        self.assertIn("finish", [r["kind"] for r in self.refused(spool)])

    def test_failures_are_counted_over_processes(self):
        self.fault("/heartbeat", body=b"tail 2")
        spool = self.spooled()
        with mock.patch.object(sender, "backoff", lambda tries: 30.0):
            self.assertFalse(self.send(spool, until=lambda: spool.failures(3) == 1))
        again = Spool.open(spool.folder)
        self.assertEqual(again.failures(3), 1)
        self.server.faults.clear()
        self.assertTrue(self.send(again))
        self.assertNotIn("3", again.state["failures"])

    def test_what_means_later_is_never_set_aside(self):
        for status in (408, 425, 429, 502, 503, 504, 520):
            with self.subTest(status):
                self.server.faults.clear()
                self.fault("/heartbeat", status=status, body=b"tail 2", times=8)
                spool = self.spooled()
                self.assertTrue(self.send(spool))
                self.assertEqual(self.refused(spool), [])

    def test_what_is_refused_outright_is_asked_once(self):
        for status in (400, 404, 405, 413, 414, 415, 422):
            with self.subTest(status):
                self.server.faults.clear()
                seen = self.fault("/heartbeat", status=status, body=b"tail 2")
                spool = self.spooled()
                self.assertTrue(self.send(spool))
                self.assertEqual((len(seen), len(self.refused(spool))), (1, 1))
                self.assertEqual(self.server.tasks[max(self.server.tasks)]["status"], "success")

    def test_a_run_that_shows_what_was_set_aside(self):
        self.fault("/datasets")
        self.fault("/finish")
        self.server.faults.append(
            lambda method, path, body: (
                ProblemError(500, "Internal error", "internal")
                if method == "PUT" and path.endswith("/datasets")
                else None
            )
        )
        _, _, err = self.run_client("run", "--", *self.trainer(steps=3), timeout=60)
        self.assertIn("the ledger refused the run's end: 500", err)
        self.assertRegex(err, "the ledger refused 2 items of this run.*sync --again")
        self.assertIn("NOT safe", err)
        code, out, _ = self.run_client("status")
        self.assertRegex(out.decode(), "spool: .*the ledger refused .*2 items refused in all")


class HostileLedgerTest(TemporaryCase):
    def test_answers(self):
        from lora_ledger.core.transport import Answer

        for body in (
            b"[" * 100_000,
            b'{"a":' * 100_000,
            b"9" * 100_000,
            b'{"a": ' + b"9" * 100_000 + b"}",
            b"\xff",
            b"nul",
        ):
            answer = Answer(500, {}, body)
            self.assertEqual(answer.json(), {})
            self.assertIn("500", answer.reason())
        self.assertEqual(Answer(200, {}, b'{"a": "\\ud800"}').json(), {"a": "\ufffd"})
        self.assertIn("422", Answer(422, {}, b'{"errors": 5, "detail": {}}').reason())


if __name__ == "__main__":
    sys.exit(__import__("unittest").main())
