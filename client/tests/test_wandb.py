"""The run that a trainer logs to W&B, followed by the file that W&B writes; recorded from wandb 0.31.0."""

import json
import math
import os
import shutil
import sys
import unittest
import zlib
from pathlib import Path

from lora_ledger.follow.follower import Follower, ranks
from lora_ledger.follow.wandb_file import HEADER, WandbFile, number, step_of, values_of
from lora_ledger.follow.wandb_runs import WandbRuns, figures_of, folders_of
from lora_ledger.recording import wandb_mode
from lora_ledger.recording.points import Points
from lora_ledger.trainers import Generic, recognise
from tests.helpers import ClientCase, TemporaryCase

DATA = Path(__file__).parent / "data"
# 8 steps with nested and odd keys, pictures, a table and a histogram.
RUN = DATA / "offline-run-20260501_100000-abc123"
FILE = RUN / "run-abc123.wandb"
LOSS = {10: 1.0, 20: math.nan, 30: math.inf, 40: 1 / 4, 50: 1 / 5, 60: 1 / 6, 70: 1 / 7, 80: 1 / 8}
SETTINGS = {"learning_rate": 1e-4, "network": {"rank": 8, "odd key/α": "x"}}
# Gives out the recorded run in pieces as W&B does, and prints what a trainer prints.
TRAINER = """
import os, shutil, signal, sys, time
source, pieces, end = sys.argv[1], int(sys.argv[2]), sys.argv[3]
folder = os.path.join("wandb", "offline-run-20260501_100000-abc123")
os.makedirs(os.path.join(folder, "logs"))
print(os.environ.get("WANDB_MODE"), flush=True)
with open(os.path.join(folder, "logs", "debug.log"), "w") as file:
    file.write(f"2026-05-01 10:00:00,000 INFO    MainThread:{os.getpid()} [wandb_setup.py:_flush():81] x\\n")
shutil.copytree(os.path.join(source, "files"), os.path.join(folder, "files"))
data = open(os.path.join(source, "run-abc123.wandb"), "rb").read()
if end == "kill":
    data = data[: len(data) * 2 // 3]
with open(os.path.join(folder, "run-abc123.wandb"), "wb") as file:
    for n in range(pieces):
        file.write(data[len(data) * n // pieces : len(data) * (n + 1) // pieces])
        file.flush()
        time.sleep(0.6)
if end == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
"""


def pid_line(pid):
    return f"2026-05-01 10:00:00,000 INFO    MainThread:{pid} [wandb_setup.py:_flush():81] x\n"


class FileTest(TemporaryCase):
    def test_every_cut_of_the_file_gives_the_same_records(self):
        whole = list(WandbFile(FILE).records())
        self.assertGreater(len(whole), 20)
        data = FILE.read_bytes()
        path = self.folder / "run-x.wandb"
        for size in (1, 7, 100, 4096):
            path.write_bytes(b"")
            file, found = WandbFile(path), []
            with open(path, "ab") as growing:
                for at in range(0, len(data), size):
                    growing.write(data[at : at + size])
                    growing.flush()
                    if size > 1 or at % 50 == 0:
                        found += file.records()
            found += file.records()
            self.assertEqual(found, whole, size)

    def test_zeros_at_the_end_are_waited_for(self):
        data = FILE.read_bytes()
        path = self.folder / "run-x.wandb"
        path.write_bytes(data[:3000] + bytes(2000))
        file = WandbFile(path)
        found = list(file.records())
        path.write_bytes(data)
        self.assertEqual(found + list(file.records()), list(WandbFile(FILE).records()))

    def test_records_over_the_ends_of_blocks(self):
        def chunk(kind, piece):
            return packed(kind, piece)

        # To six bytes before a block's end, then a record in three pieces over two more blocks.
        first = b"a" * (32768 - HEADER - 7 - 6)
        parts = (b"b" * (32768 - 7), b"c" * (32768 - 7), b"d" * 5)
        data = b":W&B\0\0\0" + chunk(1, first) + bytes(6) + b"".join(chunk(n, p) for n, p in zip((2, 3, 4), parts))
        path = self.folder / "run-x.wandb"
        path.write_bytes(data + chunk(1, b"e"))
        self.assertEqual(list(WandbFile(path).records()), [first, b"".join(parts), b"e"])
        # A block that is damaged takes its own records along, not those of the blocks behind it.
        path.write_bytes(data[:40_000] + b"!" + data[40_001:] + chunk(1, b"e"))
        self.assertEqual(list(WandbFile(path).records()), [first, b"e"])

    def test_values(self):
        for value, expected in ((True, 1.0), ("Infinity", math.inf), ("-Infinity", -math.inf), (10**400, math.inf),
                                (-(10**400), -math.inf), ("1", None), (None, None), ([1], None)):  # fmt: skip
            self.assertEqual(number(value), expected)
        self.assertTrue(math.isnan(number("NaN")))
        self.assertEqual(step_of({"_step": 3, "train/global_step": 30.0}), 30)
        self.assertEqual(step_of({"_step": 3, "train": {"x": 1}, "global_step": "x"}), 3)
        self.assertIsNone(step_of({"_step": -1}))
        self.assertEqual(
            values_of({"a": {"b": 1, "_type": "image-file"}, "c": {"d": 2}, "_step": 3, "global_step": 9}), {"c.d": 2.0}
        )

    def test_damage_hides_no_more_than_itself(self):
        data = FILE.read_bytes()
        run = self.folder / "wandb" / "run-20260501_100000-x"
        (run / "logs").mkdir(parents=True)
        (run / "logs" / "debug.log").write_text(pid_line(os.getpid()))
        for at in range(0, len(data), 97):
            (run / "run-x.wandb").write_bytes(data[:at] + bytes([data[at] ^ 255]) + data[at + 1 :])
            runs = WandbRuns([])
            runs.add_places([self.folder], since=0.0)
            list(runs.read(final=True))
            runs.media()
            runs.only_in_summary()


class RunsTest(TemporaryCase):
    def a_run(self, name="offline-run-20260501_100000-abc123", pid=1, data=None):
        folder = self.folder / "wandb" / name
        (folder / "logs").mkdir(parents=True)
        (folder / "logs" / "debug.log").write_text(pid_line(pid))
        shutil.copytree(RUN / "files", folder / "files")
        (folder / "run-abc123.wandb").write_bytes(FILE.read_bytes() if data is None else data)
        return folder

    def curve(self, found, tag="train/loss"):
        return {step: value for _, step, name, value, _ in found if name == tag}

    def test_a_run_with_all_that_it_holds(self):
        runs = WandbRuns([self.folder])
        self.assertEqual(list(runs.read()), [])
        folder = self.a_run()
        found = list(runs.read())
        self.assertEqual(str(self.curve(found)), str(LOSS))
        names = {name for _, _, name, _, _ in found}
        self.assertEqual(names, {"train/loss", "nested.a", "nested.b.c", "odd key/é %"})
        self.assertEqual(runs.settings(), SETTINGS)
        self.assertEqual(runs.only_in_summary(), {"best": 0.125})
        media = runs.media()
        self.assertEqual([(one.step, one.caption) for one in media], [(40, "a cat"), (50, "cat 0"), (50, "cat 1")])
        for one in media:
            self.assertTrue(one.path.is_file())
            self.assertEqual(one.name, "wandb/" + one.path.relative_to(os.path.realpath(folder / "files")).as_posix())
        self.assertEqual(runs.media(), [])
        self.assertFalse(runs.counts_calls)
        self.assertEqual(list(runs.read(final=True)), [])

    def test_older_runs_and_those_of_others_are_left_alone(self):
        self.a_run("offline-run-20260501_090000-old")
        runs = WandbRuns([self.folder], owned=lambda pid: pid == 1)
        self.a_run("offline-run-20260501_100000-other", pid=2)
        self.assertEqual(list(runs.read()), [])
        self.a_run("run-20260501_110000-mine")
        self.assertEqual(len(self.curve(runs.read())), 8)

    def test_of_several_at_a_time_the_first_counts_and_the_next_follows_its_end(self):
        data = FILE.read_bytes()
        runs = WandbRuns([self.folder], owned=lambda pid: True)
        first = self.a_run("offline-run-20260501_100000-a", data=data[:4000])
        list(runs.read())
        self.a_run("offline-run-20260501_100001-b")
        self.assertEqual(list(runs.read()), [])
        (first / "run-abc123.wandb").write_bytes(data)
        list(runs.read())
        self.a_run("offline-run-20260501_100002-c")
        self.assertEqual(len(self.curve(runs.read())), 8)

    def test_a_killed_process_makes_room_for_the_next(self):
        living = {1}
        runs = WandbRuns([self.folder], owned=lambda pid: True if pid in living else None)
        self.a_run("offline-run-20260501_100000-a", pid=1, data=FILE.read_bytes()[:4000])
        self.assertLess(len(self.curve(runs.read())), 8)
        living = {2}
        self.a_run("offline-run-20260501_100001-a", pid=2)
        self.assertEqual(len(self.curve(runs.read())), 8)

    def test_media_outside_of_the_run_are_no_samples(self):
        runs = WandbRuns([self.folder])
        folder = self.a_run()
        outside = self.folder / "private.png"
        outside.write_bytes(b"x")
        image = next((folder / "files" / "media" / "images").glob("one_*"))
        image.unlink()
        image.symlink_to(outside)
        list(runs.read())
        self.assertEqual([one.step for one in runs.media()], [50, 50])
        other = self.a_run("run-20260501_110000-x")
        shutil.move(other / "files", self.folder / "elsewhere")
        (other / "files").symlink_to(self.folder / "elsewhere")
        list(runs.read())
        self.assertEqual(runs.media(), [])

    def test_figures_of_the_machine(self):
        def message(**figures):
            parts = b""
            for key, value in figures.items():
                item = bytes([10, len(key)]) + key.encode() + b"\x82\x01" + bytes([len(value)]) + value.encode()
                parts += b"\x1a" + bytes([len(item)]) + item
            return parts

        told = message(**{"cpu": "12.5", "gpu.0.gpu": "90", "gpu.1.memoryAllocatedBytes": "1048576", "gpu.x.temp": "1",
                          "gpu.0.powerWatts": "oops", "network.sent": "5", "memory_percent": "9"})  # fmt: skip
        self.assertEqual(figures_of(told), {"sys.cpu": 12.5, "gpu.0.util": 90.0, "gpu.1.mem_mb": 1.0})

    def test_places(self):
        self.assertEqual(folders_of({}, "/a", None, "/b"), [Path("/a"), Path("/b")])
        self.assertEqual(folders_of({"WANDB_DIR": "w"}, "/a", "/a"), [Path("/a/w"), Path("/a")])

    def test_what_another_file_tells_is_recorded_once(self):
        class Other:
            loss_tags = ("train/loss",)

            def __init__(self):
                self.rows = [(1.0, 10, "train/loss", 0.75)]

            def read(self, final=False):
                rows, self.rows = self.rows, []
                return rows

        runs = WandbRuns([self.folder], loss_tags=("train/loss",))
        readers = [Other(), runs]
        points = Points(ranks(readers))
        follower = Follower(Generic(["python"], self.folder), points, {}, None, readers)
        self.a_run()
        follower.end()
        rows = {row["step"]: row["metrics"] for row in points.drain(final=True)}
        self.assertEqual(
            rows[10], {"train/loss": 0.75, "loss": 0.75, "nested.a": 1.0, "nested.b.c": 2.5, "odd key/é %": 1.0}
        )
        self.assertNotIn("train/loss", rows[20])

    def test_steps_that_count_calls_give_no_loss_beside_the_consoles(self):
        for console in (False, True):
            runs = WandbRuns([self.folder], loss_tags=("train/loss",))
            points = Points(ranks([runs]))
            follower = Follower(Generic(["python"], self.folder), points, {}, None, [runs])
            if console:
                follower.line("{'loss': 0.5, 'epoch': 1.0, 'step': 100}")
                follower.line("step 100/200 | loss: 0.5")
            rows = [{"_step": n, "train/loss": 1.0} for n in range(3)]
            self.a_run(f"run-20260501_10000{int(console)}-x", data=rows_file(rows))
            follower.end()
            taken = {row["step"]: row["metrics"] for row in points.drain(final=True)}
            self.assertEqual([taken[n].get("loss") for n in range(3)], [None if console else 1.0] * 3)
            self.assertEqual([taken[n]["train/loss"] for n in range(3)], [1.0] * 3)


def rows_file(rows):
    """A W&B file of history rows."""

    def field(number, data):
        size = len(data)
        length = bytes([size]) if size < 128 else bytes([size & 127 | 128, size >> 7])
        key = number << 3 | 2
        return (bytes([key]) if key < 128 else bytes([key & 127 | 128, key >> 7])) + length + data

    out = b":W&B\0\0\0"
    for row in rows:
        inner = b"".join(field(1, field(1, k.encode()) + field(16, str(v).encode())) for k, v in row.items())
        record = field(2, inner)
        out += packed(1, record)
    return out


def packed(kind, piece):
    """A piece of a record in the form of the log."""
    crc = zlib.crc32(piece, zlib.crc32(bytes([kind])))
    return crc.to_bytes(4, "little") + len(piece).to_bytes(2, "little") + bytes([kind]) + piece


class ModeTest(TemporaryCase):
    def trainer(self, words=("python", "train.py"), text=None):
        return recognise(list(words), text, str(self.folder))

    def clean(self, **extra):
        return {"HOME": str(self.folder), "NETRC": str(self.folder / "netrc"),
                "WANDB_CONFIG_DIR": str(self.folder / "config"), **extra}  # fmt: skip

    def test_where_no_key_is_known(self):
        trainer = self.trainer()
        self.assertTrue(wandb_mode.offline("auto", self.clean(), trainer))
        self.assertFalse(wandb_mode.offline("off", self.clean(), trainer))
        for given in ({"WANDB_API_KEY": "k" * 40}, {"WANDB_MODE": "online"}, {"WANDB_IDENTITY_TOKEN_FILE": "x"}):
            self.assertFalse(wandb_mode.offline("auto", self.clean(**given), trainer), given)
            self.assertTrue(wandb_mode.offline("offline", self.clean(**given), trainer), given)

    def test_keys_in_files(self):
        trainer = self.trainer()
        netrc = self.folder / "netrc"
        netrc.write_text("machine api.wandb.ai\n  login user\n  password abc\n")
        self.assertFalse(wandb_mode.offline("auto", self.clean(), trainer))
        # A key for another server is none for this one.
        self.assertTrue(wandb_mode.offline("auto", self.clean(WANDB_BASE_URL="https://wb.example.org"), trainer))
        netrc.write_text("machine api.wandb.ai login")
        self.assertTrue(wandb_mode.offline("auto", self.clean(), trainer))
        (self.folder / "config").mkdir()
        (self.folder / "config" / "settings").write_text("[default]\nbase_url = https://wb.example.org\n")
        netrc.write_text("machine wb.example.org login user password abc\n")
        self.assertFalse(wandb_mode.offline("auto", self.clean(), trainer))
        netrc.unlink()
        for text in ("[default", "x", "[default]\napi_key = \n"):
            (self.folder / "config" / "settings").write_text(text)
            self.assertTrue(wandb_mode.offline("auto", self.clean(), trainer), text)
        (self.folder / "config" / "settings").write_text("[default]\napi_key = abc\n")
        self.assertFalse(wandb_mode.offline("auto", self.clean(), trainer))

    def test_keys_that_the_trainer_gives_itself(self):
        words = ("python", "train_network.py", "--log_with", "wandb", "--wandb_api_key", "abc")
        self.assertFalse(wandb_mode.offline("auto", self.clean(), self.trainer(words)))
        self.assertTrue(wandb_mode.offline("auto", self.clean(), self.trainer(words[:4])))
        text = 'network_module = "networks.lora"\n[train]\nwandb_api_key = "abc"\n'
        self.assertFalse(wandb_mode.offline("auto", self.clean(), self.trainer(words[:2], text)))
        for line in ("wandb.login(key='abc')", "os.environ['WANDB_API_KEY'] = 'abc'"):
            (self.folder / "train.py").write_text(line)
            self.assertFalse(wandb_mode.offline("auto", self.clean(), self.trainer()), line)
        (self.folder / "train.py").write_text("import wandb\nwandb.init()\n")
        self.assertTrue(wandb_mode.offline("auto", self.clean(), self.trainer()))
        self.assertTrue(wandb_mode.is_named(self.trainer()))


class RecordTest(ClientCase):
    def setUp(self):
        super().setUp()
        self.serve(interval=0.3)

    def environment(self, **extra):
        clean = {k: v for k, v in super().environment(**extra).items() if not k.startswith("WANDB_") or k in extra}
        return {**clean, "NETRC": "/nowhere", "HOME": str(self.folder)}

    def record(self, *options, end="0", **given):
        command = [*self.script(TRAINER), str(RUN), "4", end]
        return self.run_client("run", *options, "--", *command, env=self.environment(**given))

    def test_a_run_is_followed_while_it_trains(self):
        (self.folder / "trainer.py").write_text(TRAINER)
        code, out, err = self.record()
        self.assertEqual((code, out.split()[0]), (0, b"offline"), err)
        self.assertIn("offline, and its run is followed there", err)
        points = self.server.points(1, "train/loss")
        self.assertEqual(points, {**LOSS, 20: "NaN", 30: "Infinity"})
        self.assertEqual(self.server.points(1, "loss"), points)
        self.assertEqual(self.server.points(1, "best"), {80: 0.125})
        samples = [one for one in self.server.weights.values() if one["filename"].startswith("wandb/media/images/")]
        self.assertEqual([one["prompt"] for one in samples], ["a cat", "cat 0", "cat 1"])
        self.assertEqual({(one["kind"], one["state"]) for one in samples}, {("sample", "complete")})
        self.assertEqual([one["step"] for one in samples], [40, 50, 50])
        # Of a run that has no settings otherwise.
        config = self.server.tasks[1]["fields"]["config"]
        self.assertEqual((config["path"], json.loads(config["text"])), ("wandb-config.json", SETTINGS))
        self.assertNotIn("wandb-config.json", self.server.held(1))

    def test_settings_that_come_after_the_registration(self):
        # Nothing says before its start that it logs to W&B.
        (self.folder / "train").write_text(TRAINER)
        command = [sys.executable, "train", str(RUN), "4", "0"]
        code, _, err = self.run_client("run", "--", *command, env=self.environment())
        self.assertEqual(code, 0, err)
        self.assertNotIn("config", self.server.tasks[1]["fields"])
        self.assertEqual(json.loads(self.server.held(1)["wandb-config.json"]), SETTINGS)

    def test_the_trainers_own_settings_win(self):
        (self.folder / "my.toml").write_text("learning_rate = 5e-5\n")
        self.record("--config", "my.toml")
        self.assertEqual(self.server.tasks[1]["fields"]["config"]["path"], "my.toml")
        self.assertNotIn("wandb-config.json", self.server.held(1))

    def test_a_trainers_own_samples_are_enough(self):
        (self.folder / "my.toml").write_text(
            'network_module = "networks.lora"\nnetwork_dim = 4\noutput_dir = "out"\noutput_name = "aki"\n'
        )
        own = "import os, time\nos.makedirs('out/sample')\n"
        own += "open('out/sample/aki_000001_00_20260501100000_1.png', 'wb').write(b'x')\ntime.sleep(5)\n"
        (self.folder / "train_network.py").write_text(own + TRAINER)
        command = [sys.executable, "train_network.py", str(RUN), "4", "0", "--config_file", "my.toml"]
        self.run_client("run", "--", *command, env=self.environment())
        samples = [one["filename"] for one in self.server.weights.values() if one["kind"] == "sample"]
        self.assertEqual(samples, ["sample/aki_000001_00_20260501100000_1.png"])
        self.assertEqual(len(self.server.points(1, "train/loss")), 8)

    def test_a_killed_trainer(self):
        code, _, _ = self.record(end="kill")
        self.assertEqual(code, 137)
        points = self.server.points(1, "train/loss")
        self.assertTrue(0 < len(points) < 8, points)

    def test_what_is_set_stays(self):
        _, out, _ = self.record("--wandb", "off")
        self.assertEqual(out.split()[0], b"None")

    def test_with_a_key_it_logs_on_as_before_and_is_followed(self):
        _, out, err = self.record(WANDB_API_KEY="k1" * 20)
        self.assertEqual(out.split()[0], b"None")
        self.assertIn(", and its run is followed there", err)
        self.assertNotIn("offline, and", err)
        self.assertEqual(len(self.server.points(1, "train/loss")), 8)


if __name__ == "__main__":
    unittest.main()
