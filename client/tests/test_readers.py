import math
import random
import struct
import time
from pathlib import Path
from unittest import mock

from lora_ledger.core import safetensors, terminal, toml_reader
from lora_ledger.core.errors import IncompleteFileError, NoTomlError
from lora_ledger.core.reading import read_start
from lora_ledger.core.redact import redact_command, redact_text
from lora_ledger.follow.bar import read_bar
from lora_ledger.follow.follower import Follower, Offset
from lora_ledger.follow.tensorboard import EventFile, EventFolder, masked_crc32c
from lora_ledger.recording.config_file import read_config
from lora_ledger.recording.console import Console, Failure, Lines
from lora_ledger.recording.points import Points, iso, number
from lora_ledger.trainers import recognise
from lora_ledger.trainers.kohya import Kohya
from lora_ledger.trainers.launch import find_config
from tests.helpers import EXAMPLE, TemporaryCase


class BarTest(TemporaryCase):
    def test_kohya_line(self):
        bar = read_bar("steps:  26%|█▎   | 1985/7650 [33:07<1:34:33,  1.00s/it, avr_loss=0.0928]")
        self.assertEqual((bar.desc, bar.step, bar.total, bar.eta), ("steps", 1985, 7650, 5673))
        self.assertEqual(bar.values, {"avr_loss": 0.0928})

    def test_other_trainers_lines(self):
        for line, desc, values in (
            (
                "my_lora_v1:  12%|#2  | 250/2000 [05:00<35:00,  1.20s/it, lr: 1.0e-04 loss: 3.412e-01]",
                "my_lora_v1",
                {"lr": 1e-4, "loss": 0.3412},
            ),
            (
                "step:  13%|#3  | 20/150 [00:24<02:36,  1.20s/it, loss=0.0512, smooth loss=0.0613]",
                "step",
                {"loss": 0.0512, "smooth loss": 0.0613},
            ),
            (
                "Steps:  10%|#  | 100/1000 [02:00<18:00,  1.20s/it, loss=0.412, lr=0.0001]",
                "Steps",
                {"loss": 0.412, "lr": 1e-4},
            ),
            ("steps:   0%|          | 0/300 [00:00<?, ?it/s]", "steps", {}),
        ):
            bar = read_bar(line)
            self.assertEqual((bar.desc, bar.values), (desc, values))

    def test_no_bar(self):
        for line in (
            "",
            "epoch 1/10",
            "100%",
            "steps: 120 loss: 0.0713 iter time (s): 2.105",
            "a|b|c 1/2 [x]",
        ):
            self.assertIsNone(read_bar(line))

    def test_nan_and_infinity(self):
        self.assertTrue(
            math.isnan(read_bar("steps: 1%|  | 1/100 [00:01<00:99, 1.0it/s, avr_loss=nan]").values["avr_loss"])
        )
        self.assertEqual(
            read_bar("steps: 1%|  | 1/100 [00:01<00:99, 1.0it/s, avr_loss=-inf]").values["avr_loss"],
            -math.inf,
        )


class LinesTest(TemporaryCase):
    def setUp(self):
        super().setUp()
        self.lines, self.states = [], []
        self.reader = Lines(self.lines.append, lambda state, _: self.states.append(state))

    def test_bars_collapse_to_their_last_state(self):
        for chunk in (b"\rsteps: 1", b"0%\rsteps: 20%", b"\rsteps: 30%\n", b"done\r\nnext\r", b"\nlast"):
            self.reader.feed(chunk)
        self.assertEqual(self.lines, ["steps: 30%", "done", "next"])
        self.assertEqual(self.states, ["steps: 10%", "steps: 20%", "steps: 30%", "done", "next"])
        self.assertEqual(self.reader.current(), "last")

    def test_colours_and_bad_utf8_do_no_harm(self):
        self.reader.feed(b"\x1b[32mgreen\x1b[0m \xff\xfe\n")
        self.assertEqual(self.lines, ["green \ufffd\ufffd"])

    def test_endless_line_keeps_memory_small(self):
        for _ in range(200):
            self.reader.feed(b"x" * 10_000)
        self.assertLess(len(self.reader.rest), 20_000)


class ConsoleTest(TemporaryCase):
    def test_tail_file_and_failure(self):
        import gzip

        states = []
        console = Console(self.folder / "console.gz", lambda line, _: states.append(line))
        console.feed("stdout", b"token hf_abcdefghijklmnopqrstuvwxyz012345\n")
        for n in range(100):
            console.feed("stdout", f"line {n}\n".encode())
        console.feed("stderr", b"\rsteps:  50%|#####     | 1/2 [00:01<00:01,  1.00it/s, avr_loss=0.1]")
        console.feed(
            "stderr",
            b'\nTraceback (most recent call last):\n  File "x", line 1\ntorch.OutOfMemoryError: CUDA out of memory. Tried\n',
        )
        console.feed(
            "stderr",
            b'Traceback (most recent call last):\n  File "accelerate"\nsubprocess.CalledProcessError: Command died\n',
        )
        path = console.close()
        tail = console.tail().split("\n")
        self.assertLessEqual(len(tail), 40)
        self.assertIn("line 99", tail)
        self.assertTrue(console.out_of_memory())
        self.assertEqual(console.last_exception(), "torch.OutOfMemoryError: CUDA out of memory. Tried")
        kept = gzip.decompress(path.read_bytes())
        self.assertIn(b"line 0\n", kept)
        self.assertIn(b"token [redacted]\n", kept)
        self.assertIn("steps:  50%|#####     | 1/2 [00:01<00:01,  1.00it/s, avr_loss=0.1]", states)

    def test_tail_of_long_lines_is_bounded(self):
        console = Console(self.folder / "console.gz", lambda line, _: None)
        for _ in range(60):
            console.feed("stdout", "é".encode() * 3000 + b"\n")
        console.close()
        self.assertLessEqual(len(console.tail().encode()), 8192)

    def test_failure_lines(self):
        for line, oom in (
            ("RuntimeError: CUDA error: out of memory", True),
            ("torch.cuda.OutOfMemoryError: CUDA out of memory.", True),
            ("allocating memory for latents", False),
        ):
            failure = Failure()
            failure.line(line)
            self.assertEqual(failure.out_of_memory, oom, line)

    def test_exception_of_one_word(self):
        failure = Failure()
        for line in (
            "Traceback (most recent call last):",
            '  File "x.py", line 1, in <module>',
            "AssertionError",
        ):
            failure.line(line)
        self.assertEqual(failure.message, "AssertionError")


def event(step, tag, value, when=1700000000.5):
    """A TFRecord with one scalar."""
    name = tag.encode()
    inner = b"\x0a" + bytes([len(name)]) + name + b"\x15" + struct.pack("<f", value)
    summary = b"\x0a" + bytes([len(inner)]) + inner
    steps = bytearray()
    while step > 127:
        steps.append(step & 127 | 128)
        step >>= 7
    data = (
        b"\x09"
        + struct.pack("<d", when)
        + b"\x10"
        + bytes(steps)
        + bytes([step])
        + b"\x2a"
        + bytes([len(summary)])
        + summary
    )
    return record(data)


def record(data):
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", masked_crc32c(length)) + data + struct.pack("<I", masked_crc32c(data))


class TensorBoardTest(TemporaryCase):
    def test_known_crc(self):
        # RFC 3720, B.4: the CRC-32C of 32 zero bytes is 8a9136aa.
        crc = 0x8A9136AA
        self.assertEqual(masked_crc32c(b"\0" * 32), ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)

    def test_half_written_records_wait(self):
        path = self.folder / "events.out.tfevents.1.h.1.0"
        whole = event(1, "loss/current", 0.5) + event(300, "loss/current", float("nan"))
        file = EventFile(path)
        self.assertEqual(list(file.read()), [])
        got = []
        for end in range(0, len(whole) + 1, 7):
            path.write_bytes(whole[:end])
            got += list(file.read())
        path.write_bytes(whole)
        got += list(file.read())
        self.assertEqual([(s, t) for _, s, t, _ in got], [(1, "loss/current"), (300, "loss/current")])
        self.assertEqual(got[0][3], 0.5)
        self.assertTrue(math.isnan(got[1][3]))

    def test_garbage_big_records_and_zeros(self):
        path = self.folder / "events.out.tfevents.1.h.1.0"
        bad = bytearray(event(2, "a", 2.0))
        bad[20] ^= 1
        path.write_bytes(
            event(1, "a", 1.0) + bytes(bad) + record(b"\x2a" + b"x" * 3_000_000) + event(3, "a", 3.0) + b"\0" * 64
        )
        file = EventFile(path)
        got = list(file.read()) + list(file.read())
        self.assertEqual([s for _, s, _, _ in got], [1, 3])
        path.write_bytes(path.read_bytes()[:-64] + event(4, "a", 4.0))
        self.assertEqual([s for _, s, _, _ in file.read()], [4])
        path.write_bytes(path.read_bytes() + b"no record at all, whatever it is")
        self.assertEqual(list(file.read()), [])

    def test_tensors_of_tensorflow_two(self):
        tensor = b"\x08\x01\x12\x00\x22\x04" + struct.pack("<f", 0.25)
        inner = b"\x0a\x01a\x42" + bytes([len(tensor)]) + tensor
        summary = b"\x0a" + bytes([len(inner)]) + inner
        path = self.folder / "events.out.tfevents.1.h.1.0"
        path.write_bytes(record(b"\x10\x05\x2a" + bytes([len(summary)]) + summary))
        self.assertEqual([(s, t, v) for _, s, t, v in EventFile(path).read()], [(5, "a", 0.25)])

    def test_only_what_this_run_writes(self):
        def write(folder, pid, value):
            path = self.folder / folder / "network_train"
            path.mkdir(parents=True, exist_ok=True)
            (path / f"events.out.tfevents.1700000000.my.host.{pid}.0").write_bytes(event(1, "loss/current", value))

        write("20240101000000", 1, 1.0)
        folder = EventFolder(self.folder, {2: True, 3: False}.get)
        write("20240102000000", 3, 3.0)
        self.assertEqual(list(folder.read()), [])
        write("20240103000000", 2, 2.0)
        write("20240103000000/1700000000.123", 2, 9.0)
        write("20240104000000", 4, 4.0)
        self.assertEqual([v for _, _, _, v in folder.read()], [2.0])
        self.assertEqual(list(folder.read()), [])


class PointsTest(TemporaryCase):
    def test_a_snapshot_is_what_the_end_would_give(self):
        draw = random.Random(7)
        for _ in range(200):
            points = Points({"loss/current": 0, "loss": 1}, hold=100)
            for step in range(1, draw.randrange(2, 12)):
                for series in draw.sample(["loss/current", "loss", "lr", "gpu.0.util"], draw.randrange(1, 5)):
                    for _ in range(draw.randrange(1, 3)):
                        points.add(series, step, draw.random(), float(step), 1)
                if draw.random() < 0.5:
                    points.loss(step, draw.random(), float(step), 1, draw.choice([Points.LINE, Points.BAR]))
                if draw.random() < 0.3:
                    points.put(step, {"grad": draw.random()}, float(step), 1)
            first, second = points.snapshot(), points.snapshot()
            self.assertEqual(first, second)
            self.assertEqual(first, points.drain(1000, final=True))
            self.assertEqual(points.snapshot(), [])

    def test_means_and_the_plain_loss(self):
        points = Points("loss/current", hold=100)
        for value in (0.1, 0.3):
            points.add("loss/current", 1, value, 0.0, 1)
        points.add("lr/unet", 1, 0.5, 0.0, 1)
        points.loss(1, 0.5, 0.0)
        points.loss(2, 0.6, 0.0)
        points.add("loss/current", 2, 0.4, 0.0, 1)
        self.assertEqual(points.drain(), [])
        points.add("lr/unet", 2, 0.25, 0.0, 1)
        points.add("loss/current", 3, 0.7, 0.0, 1)
        self.assertEqual(
            points.drain(),
            [
                {
                    "step": 1,
                    "epoch": 1,
                    "time": "1970-01-01T00:00:00.000Z",
                    "metrics": {"loss/current": 0.2, "loss": 0.2, "lr/unet": 0.5},
                },
            ],
        )
        points.loss(4, 0.8, 0.0)
        self.assertEqual(
            [e["metrics"] for e in points.drain(final=True)],
            [
                {"loss/current": 0.4, "loss": 0.4, "lr/unet": 0.25},
                {"loss/current": 0.7, "loss": 0.7},
                {"loss": 0.8},
            ],
        )

    def test_the_bar_speaks_when_tensorboard_stays_silent(self):
        now = [0.0]
        points = Points("loss/current", hold=150, clock=lambda: now[0])
        points.loss(1, 0.5, 0.0)
        self.assertEqual(points.drain(), [])
        now[0] = 151
        self.assertEqual([e["metrics"] for e in points.drain()], [{"loss": 0.5}])

    def test_a_series_by_epoch_holds_nothing_up(self):
        points = Points("loss/current")
        points.add("loss/epoch_average", 10, 0.5, 0.0)
        for step in range(10, 14):
            points.add("loss/current", step, 0.1, 0.0)
        self.assertEqual([(e["step"], len(e["metrics"])) for e in points.drain()], [(10, 3), (11, 2)])

    def test_numbers_and_times(self):
        self.assertEqual(
            [number(v) for v in (1, 0.5, math.nan, math.inf, -math.inf, True)],
            [1, 0.5, "NaN", "Infinity", "-Infinity", 1],
        )
        self.assertEqual(iso(1700000000.5), "2023-11-14T22:13:20.500Z")
        self.assertRegex(iso(1e300), r"^\d{4}-")

    def test_limit(self):
        points = Points(None)
        for step in range(2500):
            points.put(step, {"loss": 1.0})
        self.assertEqual([len(points.drain()) for _ in range(4)], [1000, 1000, 500, 0])


class OffsetTest(TemporaryCase):
    def test_begins_anew_or_goes_on(self):
        anew, on, fresh = Offset(200), Offset(200), Offset(None)
        self.assertEqual([anew.step(1), anew.step(2), anew.step(250)], [201, 202, 450])
        self.assertEqual([on.step(201), on.step(202)], [201, 202])
        self.assertEqual([fresh.step(1), fresh.step(2)], [1, 2])

    def test_follower_keeps_the_last_state_of_a_step(self):
        points = Points("loss/current")
        progress = {}
        follower = Follower(Kohya([], ".", {}), points, progress, 100)
        for line in (
            "caching latents: 50%|##  | 1/2 [00:01<00:01, 1.00it/s, loss=9.0]",
            "steps:   0%|          | 0/50 [00:00<?, ?it/s]",
            "epoch 3/4",
            "steps:   2%|  | 1/50 [00:01<00:49,  1.00s/it, avr_loss=0.9]",
            "steps:   4%|  | 2/50 [00:02<00:48,  1.00s/it, avr_loss=0.9]",
            "steps:   4%|  | 2/50 [00:02<00:48,  1.00s/it, avr_loss=0.8]",
            "model saved.",
        ):
            follower.line(line)
        follower.end()
        self.assertEqual(
            [(e["step"], e["epoch"], e["metrics"]["loss"]) for e in points.drain(final=True)],
            [(101, 3, 0.9), (102, 3, 0.8)],
        )
        self.assertEqual(
            progress,
            {"epoch": 3, "total_epochs": 4, "step": 102, "total_steps": 150, "percent": 68.0, "eta_sec": 48},
        )
        self.assertTrue(follower.seen.marker)


class TomlTest(TemporaryCase):
    TEXT = '''\
# a comment
top = "x" # another
[model_arguments]
path = 'C:\\models\\a.safetensors'
text = "tab\\t\\u00e9 \\"quoted\\" # no comment"
"quoted key" = 1_000
[numbers]
a = 1e-4
b = -3
c = 0x10
d = +0.5
yes = true
args = [ "conv_dim=4", "algo=lokr", # inside
  "factor=8",]
nested = [[1, 2], []]
inline = { x = 1, y = "z" }
long = """
first
second"""
[[datasets]]
keep_tokens = 1
  [[datasets.subsets]]
  image_dir = 'a'
  [[datasets.subsets]]
  image_dir = 'b'
[general]
resolution = 512
'''

    def test_subset_reads_what_trainers_write(self):
        document = toml_reader.read_subset(self.TEXT)
        self.assertEqual(document["top"], "x")
        self.assertEqual(
            document["model_arguments"],
            {
                "path": "C:\\models\\a.safetensors",
                "text": 'tab\té "quoted" # no comment',
                "quoted key": 1000,
            },
        )
        self.assertEqual(
            document["numbers"],
            {
                "a": 1e-4,
                "b": -3,
                "c": 16,
                "d": 0.5,
                "yes": True,
                "args": ["conv_dim=4", "algo=lokr", "factor=8"],
                "nested": [[1, 2], []],
                "inline": {"x": 1, "y": "z"},
                "long": "first\nsecond",
            },
        )
        self.assertEqual(
            document["datasets"], [{"keep_tokens": 1, "subsets": [{"image_dir": "a"}, {"image_dir": "b"}]}]
        )
        if toml_reader.tomllib:
            self.assertEqual(document, toml_reader.tomllib.loads(self.TEXT))

    def test_the_example_reads_the_same_everywhere(self):
        text = (EXAMPLE / "my_lora.toml").read_text()
        self.assertEqual(toml_reader.read_subset(text), toml_reader.read_toml(text))
        self.assertEqual(toml_reader.read_subset(text.replace("\n", "\r\n")), toml_reader.read_toml(text))

    def test_what_is_no_toml(self):
        for text in (
            "a = ",
            "a = [1, 2",
            "just words",
            "[a",
            'a = "x',
            "a = 1 2",
            "a: 1",
            "a = " + "[" * 100_000,
            'a = "\\q"',
        ):
            with self.assertRaises(NoTomlError, msg=text[:20]):
                toml_reader.read_subset(text)


class ConfigTest(TemporaryCase):
    def test_finding_and_reading(self):
        self.assertEqual(find_config(["python", "t.py", "--config_file", "a.toml"]), "a.toml")
        self.assertEqual(find_config(["python", "t.py", "--config=b.yaml"]), "b.yaml")
        self.assertIsNone(find_config(["python", "t.py", "--config_file"]))
        path = self.folder / "c.toml"
        path.write_bytes('output_name = "测试"'.encode("gb18030"))
        field, text = read_config(path)
        self.assertEqual(set(field), {"base64", "path"})
        self.assertEqual(text, 'output_name = "测试"')
        for name in ("utf-16-le", "utf-16-be"):
            path.write_bytes(('\ufeffoutput_name = "测试"').encode(name))
            field, text = read_config(path)
            self.assertEqual((set(field), text), ({"base64", "path"}, 'output_name = "测试"'))
        path.write_bytes("aé测试".encode())
        self.assertEqual([read_start(path, most) for most in range(1, 10)], ["a", "a", "aé", "aé", "aé", "aé测", "aé测", "aé测", "aé测试"])  # fmt: skip
        path.write_bytes(b"\xef\xbb\xbfa = 1\r\n")
        self.assertEqual(read_config(path)[0]["text"], "\ufeffa = 1\r\n")
        with mock.patch.object(terminal, "warn") as warned:
            self.assertEqual(read_config(self.folder / "absent"), (None, None))
        self.assertIn("cannot be read (No such file", warned.call_args[0][0])

    def test_kohya_files_and_arguments(self):
        text = (EXAMPLE / "my_lora.toml").read_text()
        trainer = recognise(["accelerate", "launch", "train_network.py", "--output_name=mine"], text, "/box")
        self.assertEqual(trainer.name, "kohya")
        self.assertEqual(trainer.output_folder(), Path("/box/examples/first-run/output"))
        self.assertEqual(trainer.log_folder(), Path("/box/examples/first-run/logs"))
        for name, kind, epoch, step in (
            ("mine.safetensors", "final", None, None),
            ("mine-000004.safetensors", "checkpoint", 4, None),
            ("mine-step00000250.safetensors", "checkpoint", None, 250),
        ):
            saved = trainer.classify(name)
            self.assertEqual((saved.kind, saved.epoch, saved.step), (kind, epoch, step))
        for name in ("aki.safetensors", "mine-000004.txt", "mine-2-000004.safetensors", "mine2.safetensors"):
            self.assertIsNone(trainer.classify(name), name)

    def test_kohya_without_a_name(self):
        trainer = Kohya([], "/", {})
        self.assertEqual(trainer.classify("last.safetensors").kind, "final")
        self.assertEqual(trainer.classify("epoch-000002.safetensors").epoch, 2)
        self.assertEqual(trainer.classify("at-step00000100.safetensors").step, 100)

    def test_where_a_resumed_run_goes_on(self):
        state = self.folder / "a-000002-state"
        state.mkdir()
        (state / "train_state.json").write_text('{"current_epoch": 2, "current_step": 60}')
        self.assertEqual(Kohya([], self.folder, {"resume": "a-000002-state"}).resume_step()[0], 60)
        self.assertEqual(Kohya([], self.folder, {"resume": "gone"}).resume_step()[0], None)
        self.assertEqual(Kohya([], self.folder, {}).resume_step()[0], 0)
        self.assertEqual(Kohya([], self.folder, {"resume": False}).resume_step()[0], 0)

    def test_unreadable_config_is_still_a_run(self):
        trainer = recognise(["python", "sdxl_train_network.py", "--output_dir", "o"], "[[[", self.folder)
        self.assertEqual((trainer.name, trainer.output_folder()), ("kohya", self.folder / "o"))
        self.assertIsNone(recognise(["./train"], "[[[", self.folder).output_folder())


class RedactTest(TemporaryCase):
    def test_secrets_of_a_command(self):
        command = [
            "t.py",
            "--wandb_api_key",
            "abc123",
            "--huggingface-token=xyz",
            "--max_token_length",
            "225",
            "--class_tokens",
            "aki",
            "hf_abcdefghijklmnopqrstuvwxyz",
            "--api_key",
            "--flag",
            "--password",
            "",
        ]
        self.assertEqual(
            redact_command(command),
            [
                "t.py",
                "--wandb_api_key",
                "[redacted]",
                "--huggingface-token=[redacted]",
                "--max_token_length",
                "225",
                "--class_tokens",
                "aki",
                "[redacted]",
                "--api_key",
                "--flag",
                "--password",
                "",
            ],
        )
        self.assertEqual(redact_text("key sk-abcdefghijklmnopqrstuvwx!"), "key [redacted]!")


class SafetensorsTest(TemporaryCase):
    def test_only_a_whole_file_has_a_header(self):
        path = self.folder / "a.safetensors"
        header = b'{"__metadata__":{"ss_steps":"7"},"a":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}}'
        whole = struct.pack("<Q", len(header)) + header + b"1234"
        for end in (0, 4, 8, 40, len(whole) - 1):
            path.write_bytes(whole[:end])
            with self.assertRaises(IncompleteFileError):
                safetensors.read_header(path)
        path.write_bytes(whole)
        self.assertEqual(safetensors.read_metadata(path), {"ss_steps": "7"})
        for bad in (
            struct.pack("<Q", 1 << 63) + b"x" * 20,
            struct.pack("<Q", 2) + b"[]",
            struct.pack("<Q", 4) + b"{{{{",
        ):
            path.write_bytes(bad)
            with self.assertRaises(IncompleteFileError):
                safetensors.read_header(path)


class SpeedTest(TemporaryCase):
    def test_a_loud_trainer_is_read_fast_enough(self):
        """10 MB of bars must take well under the second in which a trainer may print them; generous for busy machines."""
        console = Console(self.folder / "console.gz", lambda line, _: None)
        chunk = b"\rsteps:  50%|#####     | 1/2 [00:01<00:01,  1.00it/s, avr_loss=0.1]" * 900
        start = time.monotonic()
        for _ in range(160):
            console.feed("stderr", chunk)
        self.assertLess(time.monotonic() - start, 0.5)
        console.close()
