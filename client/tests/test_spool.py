import errno
import json
import os
from unittest import mock

from lora_ledger.core import terminal
from lora_ledger.core.errors import RetryLaterError, SpoolBusyError
from lora_ledger.core.journal import FINISH, MESSAGES, UPLOADS, SpoolItem
from lora_ledger.core.spool import Spool
from lora_ledger.core.transport import retry_after
from lora_ledger.recording import host
from lora_ledger.recording.process import shell_code
from lora_ledger.recording.sender import Sender
from lora_ledger.recording.watch import Watch
from lora_ledger.trainers.datasets import Source, collect, folder_facts
from lora_ledger.trainers.kohya import Kohya
from tests.helpers import TemporaryCase


class SpoolTest(TemporaryCase):
    def test_order_numbers_and_what_was_sent(self):
        spool = Spool.create(self.folder)
        spool.append("open", {"key": "k"})
        spool.append("weight", {"filename": "a"})
        spool.append("heartbeat", {"logs": []})
        spool.append("finish", {"status": "success"})
        item = spool.peek(MESSAGES)
        n, kind, body = item.n, item.kind, item.body
        self.assertEqual((kind, body), ("open", {"key": "k"}))
        spool.done(MESSAGES, n)
        self.assertEqual(spool.peek(MESSAGES), SpoolItem(3, "heartbeat", {"logs": [], "seq": 1}))
        self.assertEqual(spool.peek(UPLOADS).body, {"filename": "a"})
        spool.close()
        again = Spool.open(spool.folder)
        self.assertEqual(again.peek(MESSAGES).kind, "heartbeat")
        self.assertEqual(again.last_seq, 1)
        for lane in (MESSAGES, UPLOADS, FINISH):
            again.done(lane, again.peek(lane).n)
        self.assertEqual(again.pending(), 0)
        again.close()
        self.assertFalse(spool.folder.exists())

    def test_torn_last_line(self):
        spool = Spool.create(self.folder)
        for _ in range(3):
            spool.append("heartbeat", {"logs": []})
        spool.close()
        journal = spool.folder / "journal.jsonl"
        journal.write_bytes(journal.read_bytes()[:-20])
        again = Spool.open(spool.folder)
        self.assertEqual(again.last_seq, 2)
        again.append("heartbeat", {"logs": ["new"]})
        again.close()
        last = Spool.open(spool.folder)
        seen = []
        while last.peek(MESSAGES):
            item = last.peek(MESSAGES)
            n, body = item.n, item.body
            seen.append(body["seq"])
            last.done(MESSAGES, n)
        self.assertEqual(seen, [1, 2, 3])
        last.close()

    def test_one_sender_at_a_time(self):
        spool = Spool.create(self.folder)
        spool.append("open", {})
        with self.assertRaises(SpoolBusyError):
            Spool.open(spool.folder)
        spool.close()
        Spool.open(spool.folder).close()

    def test_full_disk_keeps_everything_in_memory_and_order(self):
        spool = Spool.create(self.folder)
        spool.append("heartbeat", {"logs": [1]})
        with (
            mock.patch("os.write", side_effect=OSError(errno.ENOSPC, "No space left on device")),
            mock.patch.object(terminal, "warn_once") as warned,
        ):
            spool.append("heartbeat", {"logs": [2]})
            self.assertIsNone(spool.append("heartbeat", {"logs": ["x" * 17_000_000]}))
        self.assertIn("No space left", warned.call_args[0][1])
        spool.append("heartbeat", {"logs": [3]})
        seen = []
        while spool.peek(MESSAGES):
            item = spool.peek(MESSAGES)
            n, body = item.n, item.body
            seen.append((body["seq"], body["logs"]))
            spool.done(MESSAGES, n)
        self.assertEqual(seen, [(1, [1]), (2, [2]), (3, [3])])
        self.assertEqual(spool.dropped, 1)
        spool.close()

    def test_no_folder_at_all(self):
        blocked = self.folder / "file"
        blocked.write_text("")
        with mock.patch.object(terminal, "warn_once"):
            spool = Spool.create(blocked)
            spool.append("open", {"a": 1})
        self.assertEqual(spool.peek(MESSAGES).body, {"a": 1})
        spool.done(MESSAGES, 1)
        spool.close()

    def test_refused_items_keep_their_reason(self):
        spool = Spool.create(self.folder)
        spool.append("datasets", {"datasets": []})
        item = spool.peek(MESSAGES)
        spool.refuse(item, "422 wrong")
        self.assertEqual(spool.pending(), 0)
        spool.close()
        kept = [json.loads(line) for line in (spool.folder / "refused.jsonl").read_text().splitlines()]
        self.assertEqual([(k["kind"], k["reason"]) for k in kept], [("datasets", "422 wrong")])

    def test_heartbeats_are_found_again(self):
        spool = Spool.create(self.folder)
        for _ in range(5):
            spool.append("heartbeat", {"logs": []})
        self.assertEqual([b["seq"] for b in spool.find_heartbeats([(2, 3), (5, 5)])], [2, 3, 5])
        spool.close()


class SenderTest(TemporaryCase):
    def test_one_warning_for_an_unreachable_ledger_and_no_key_in_it(self):
        spool = Spool.create(self.folder)
        spool.append("open", {"key": "k", "register": {}})

        class Away:
            url = "http://x"

            def ask(self, *_, **__):
                raise RetryLaterError("away with secret-key-1", 0.0)

        terminal.configure(secrets=["secret-key-1"])
        written = []
        with mock.patch.object(terminal, "write_stderr", lambda data: written.append(data) or True):
            sender = Sender(spool, Away())
            sender.start()
            self.assertFalse(sender.wait_empty(0.5))
            sender.stop()
        text = b"".join(written)
        self.assertEqual(text.count(b"\n"), 1, text)
        self.assertNotIn(b"secret-key-1", text)
        spool.close()

    def test_retry_after(self):
        self.assertEqual(retry_after({"retry-after": "7"}), 7.0)
        self.assertIsNone(retry_after({"retry-after": "soon"}))
        self.assertEqual(retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}), 0.0)


class DatasetTest(TemporaryCase):
    def test_facts_of_kohya_folders(self):
        data = self.folder / "data"
        for folder in ("10_aki", "2_style", "notes", "x_y"):
            (data / folder).mkdir(parents=True)
        for n, caption in enumerate(["Aki, 1girl, ", "aki,solo\nsecond line, ignored", None]):
            (data / "10_aki" / f"{n}.png").write_bytes(b"x" * n)
            if caption is not None:
                (data / "10_aki" / f"{n}.txt").write_text(caption)
        facts = collect(Kohya([], self.folder, {"train_data_dir": "data", "caption_extension": ".txt"}).datasets())
        self.assertEqual(
            [(f["name"], f["repeats"], f["image_count"]) for f in facts],
            [("10_aki", 10, 3), ("2_style", 2, 0)],
        )
        self.assertEqual(facts[0]["tag_distribution"], {"aki": 3, "1girl": 1, "solo": 1})
        source = Source(data / "10_aki", 10)
        again = folder_facts(source, lambda: False)
        self.assertEqual(again["content_hash"], facts[0]["content_hash"])
        (data / "10_aki" / "1.txt").write_text("aki, changed")
        self.assertNotEqual(
            folder_facts(source, lambda: False)["content_hash"],
            facts[0]["content_hash"],
        )

    def test_a_separate_dataset_file_wins(self):
        (self.folder / "img").mkdir()
        (self.folder / "img" / "a.jpg").write_bytes(b"1")
        (self.folder / "d.toml").write_text(
            '[general]\ncaption_extension = ".cap"\n[[datasets]]\n[[datasets.subsets]]\nimage_dir = "img"\nnum_repeats = 3\n'
        )
        folders = Kohya([], self.folder, {"train_data_dir": "gone", "dataset_config": "d.toml"}).datasets()
        self.assertEqual(
            [(s.path, s.repeats, s.name, s.extension) for s in folders], [(self.folder / "img", 3, "img", ".cap")]
        )

    def test_bounds(self):
        folder = self.folder / "1_many"
        folder.mkdir()
        for n in range(1200):
            (folder / f"{n}.png").touch()
            (folder / f"{n}.txt").write_text(f"tag {n}")
        fact = folder_facts(Source(folder, 1), lambda: False)
        self.assertEqual((fact["image_count"], len(fact["tag_distribution"])), (1200, 1000))
        with mock.patch.object(terminal, "notice") as told:
            fact = folder_facts(Source(folder, 1), lambda: True)
        self.assertEqual(fact, {"name": "1_many", "source_path": str(folder), "repeats": 1})
        self.assertIn("too many to be looked through", told.call_args[0][0])
        self.assertIsNone(folder_facts(Source(self.folder / "gone", 1), lambda: False))


class WatchTest(TemporaryCase):
    def test_each_file_once_and_only_when_whole(self):
        from tests.test_readers import struct

        def write(name, data=b"1234"):
            header = b'{"a":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}}'
            (self.folder / name).write_bytes(struct.pack("<Q", len(header)) + header + data)

        now = [0.0]
        write("a-000001.safetensors")
        watch = Watch(Kohya([], self.folder, {"output_name": "a", "output_dir": "."}), clock=lambda: now[0])
        write("a-000002.safetensors")
        write("a-000003.safetensors", b"12")
        write("b-000002.safetensors")
        self.assertEqual(watch.poll(), [])
        now[0] = 10.0
        self.assertEqual([(i.filename, i.epoch) for i in watch.poll()], [("a-000002.safetensors", 2)])
        write("a.safetensors")
        with mock.patch.object(terminal, "warn") as warned:
            self.assertEqual([i.kind for i in watch.poll(ended=True)], ["final"])
            self.assertEqual(watch.poll(ended=True), [])
        self.assertIn("a-000003.safetensors is not complete", warned.call_args_list[0][0][0])
        self.assertTrue(watch.found_final)


class HostTest(TemporaryCase):
    def test_gpu_facts_from_nvidia_smi(self):
        tool = self.folder / "nvidia-smi"
        tool.write_text(
            "#!/bin/sh\ncase \"$1\" in --query*) echo '0, NVIDIA GeForce RTX 4090, 24564, 550.54, 97, 20100, 391.5, 71, GPU-a'; "
            "echo '1, NVIDIA GeForce RTX 4090, 24564, 550.54, [N/A], 3, [N/A], 34, GPU-b';; *) echo '| CUDA Version: 12.4 |';; esac\n"
        )
        tool.chmod(0o755)
        with mock.patch.dict(os.environ, {"PATH": f"{self.folder}:{os.environ['PATH']}"}):
            facts = host.facts(["./train"], self.folder)
            self.assertEqual(
                host.gpu.sample(),
                {
                    "gpu.0.util": 97.0,
                    "gpu.0.mem_mb": 20100.0,
                    "gpu.0.power_w": 391.5,
                    "gpu.0.temp_c": 71.0,
                    "gpu.1.mem_mb": 3.0,
                    "gpu.1.temp_c": 34.0,
                },
            )
            with mock.patch.dict(os.environ, {"CUDA_VISIBLE_DEVICES": "1"}):
                self.assertEqual(list(host.gpu.sample()), ["gpu.1.mem_mb", "gpu.1.temp_c"])
        self.assertEqual((facts["gpu_info"], facts["cuda_version"]), ("NVIDIA GeForce RTX 4090 24GB x2", "12.4"))
        self.assertEqual(facts["node_info"]["driver"], "550.54")

    def test_cuda_from_torch_comes_first(self):
        self.assertEqual(host.cuda_version({"torch": "2.5.1+cu121"}), "12.1")

    def test_commit_of_the_script(self):
        repository = self.folder / "sd-scripts"
        repository.mkdir()
        (repository / "train.py").write_text("")
        git = f"git -C {repository} -c user.name=a -c user.email=a@b"
        self.assertEqual(os.system(f"{git} init -q && {git} add -A && {git} commit -qm x"), 0)
        folder = host.script_folder(["accelerate", "launch", "sd-scripts/train.py"], self.folder)
        commit, dirty = host.git_state(folder)
        self.assertRegex(commit, r"^[0-9a-f]{40}$")
        self.assertFalse(dirty)
        (repository / "train.py").write_text("changed")
        self.assertTrue(host.git_state(folder)[1])

    def test_exit_codes_as_shells_give_them(self):
        self.assertEqual([shell_code(c) for c in (0, 3, -9, -15)], [0, 3, 137, 143])
