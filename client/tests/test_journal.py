"""The journal on disk: clients of all versions write and read the same lines."""

import json
import shutil
import unittest
from pathlib import Path
from unittest import mock

from lora_ledger.core.journal import REMOVED, UPLOADS, Heartbeat, Refusal, SpoolItem, Upload, read_journal
from lora_ledger.core.spool import Spool
from tests.helpers import ClientCase, TemporaryCase

# What the client of version 0.1.0 wrote.
OLD = Path(__file__).parent / "data" / "spool-0.1.0"
REGISTER = {"task_name": "aki ü", "command": ["python3", "train.py"]}
LOSS = {"step": 10, "time": "2026-09-21T12:00:00.000Z", "metrics": {"loss": 0.125, "lr": "NaN"}}
LAST = {"step": 20, "time": "2026-09-21T12:00:15.000Z", "epoch": 2, "metrics": {"loss": 0.1}}


class LinesTest(TemporaryCase):
    def test_what_is_written_is_what_an_older_client_wrote(self):
        with mock.patch("time.time", lambda: 1790000000.25):
            spool = Spool(self.folder / "spool", fresh=True)
            spool.append("open", {"key": "2f1c4c2e-6a53-4b5e-9d53-0d3f7f1a8f11", "register": REGISTER})
            spool.append("datasets", {"datasets": [{"name": "10_aki", "image_count": 3, "repeats": 10}]})
            final = Upload("FOLDER/aki.safetensors", "aki.safetensors", "final", epoch=2, step=20)
            spool.append("weight", final.body())
            sample = Upload("FOLDER/gone.png", "sample/gone.png", "sample", step=20, group="g", prompt="1girl", seed=7)
            spool.append("weight", sample.body())
            spool.append("heartbeat", Heartbeat({"step": 10, "total_steps": 20}, [LOSS], "step 10").body())
            spool.append("heartbeat", Heartbeat({"step": 20}, [LAST]).body())
            spool.append("finish", {"status": "success", "exit_code": 0})
            spool.rotate(UPLOADS)
            spool.refuse(spool.peek(UPLOADS), REMOVED)
            spool.save()
        for name in ("journal.jsonl", "refused.jsonl", "state.json"):
            self.assertEqual((spool.folder / name).read_bytes(), (OLD / name).read_bytes(), name)
        spool.close()

    def test_lines_of_another_version_are_read(self):
        items = [line.item for line in read_journal(OLD)]
        kinds = ["open", "datasets", "weight", "weight", "heartbeat", "heartbeat", "finish"]
        self.assertEqual([item.kind for item in items], kinds)
        for item in items:
            self.assertEqual(SpoolItem.read(item.line()), item)
        for item in items[2:4]:
            self.assertEqual(Upload.of(item.body).body(), item.body)
        later = {**items[2].body, "bucket": "warm", "tags": {"a": 1}}
        self.assertEqual(Upload.of(later).body(), later)
        refusal = Refusal.read((OLD / "refused.jsonl").read_bytes())
        self.assertEqual((refusal.item, refusal.can_be_sent), (items[3], False))

    def test_damaged_lines_are_none(self):
        for line in (b"", b"{", b"[]", b"3", b'{"n": true, "kind": "open", "body": {}}', b'{"n": 1, "kind": "open"}'):
            self.assertIsNone(SpoolItem.read(line), line)
        self.assertIsNone(SpoolItem.read(b'{"n": 1, "kind": "open", "body": ' + b"[" * 100_000))
        self.assertIsNone(Refusal.read(b'{"kind": "open", "body": []}'))


class OldSpoolTest(ClientCase):
    def test_a_spool_of_an_older_client_is_sent(self):
        self.serve()
        (self.folder / "aki.safetensors").write_bytes(b"weights")
        spool = self.spool / "9c1d7c9e"
        shutil.copytree(OLD, spool)
        (spool / "lock").write_bytes(b"")
        journal = spool / "journal.jsonl"
        journal.write_text(journal.read_text().replace("FOLDER", json.dumps(str(self.folder))[1:-1]))
        code, _, err = self.run_client("sync")
        self.assertEqual(code, 0, err)
        task = self.server.tasks[1]
        self.assertEqual((task["fields"]["task_name"], task["status"]), ("aki ü", "success"))
        self.assertEqual(sorted(self.server.points(1, "loss", 1)), [10, 20])
        self.assertIn("1 item refused", err)
        self.assertEqual([name for name in err.split() if name.endswith(".safetensors:")], ["aki.safetensors:"])


if __name__ == "__main__":
    unittest.main()
