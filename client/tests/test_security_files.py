"""Files that nobody honest wrote: each is refused or passed over in little memory and time, with one plain line."""

import contextlib
import json
import os
import random
import sqlite3
import stat
import struct
import sys
import time
import tracemalloc
import zipfile
import zlib
from pathlib import Path
from unittest import mock

from lora_ledger.commands import import_runs
from lora_ledger.core import reading, terminal
from lora_ledger.core.errors import (
    CommandError,
    IncompleteFileError,
    NoAdapterError,
    NoArchiveError,
    NoTomlError,
    NoYamlError,
)
from lora_ledger.core.safetensors import read_header
from lora_ledger.core.toml_reader import read_subset, read_toml
from lora_ledger.core.yaml_reader import parse_yaml
from lora_ledger.follow.jsonl import JsonLines
from lora_ledger.follow.sqlite_log import LossDatabase
from lora_ledger.follow.tensorboard import EventFile, EventFolder
from lora_ledger.imports import adapter, archive, mlflow, wandb
from lora_ledger.imports.archive import Archive
from lora_ledger.imports.table import Table
from lora_ledger.recording.process import Process
from lora_ledger.trainers import datasets, recognise
from lora_ledger.trainers.datasets import Source
from tests.helpers import ClientCase, TemporaryCase
from tests.test_readers import event, record

MB = 1_000_000
DATA = Path(__file__).parent / "data"


class HostileCase(TemporaryCase):
    @contextlib.contextmanager
    def within(self, megabytes, seconds=30.0):
        """Whatever happens inside takes no more memory than so much, and comes to an end."""
        tracemalloc.start()
        began = time.process_time()
        try:
            yield
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        self.assertLess(peak, megabytes * MB)
        self.assertLess(time.process_time() - began, seconds)

    def fifo(self, name):
        path = self.folder / name
        os.mkfifo(path)
        return path

    def write(self, name, data):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return path


ABOUT = {
    "format": "lora-ledger run",
    "version": 1,
    "identity": "abc",
    "task": {"task_name": "mine", "status": "success", "created_at": "2026-05-01T00:00:00.000Z"},
    "attempts": [{"attempt": 1, "status": "success", "logs": "logs/attempt-1.jsonl"}],
}


class ArchiveTest(HostileCase):
    def archive(self, files, about=ABOUT, method=zipfile.ZIP_DEFLATED, change=None):
        path = self.folder / "run.zip"
        with zipfile.ZipFile(path, "w", method) as made:
            for name, content in [*files, *([("ledger.json", json.dumps(about))] if about else [])]:
                if isinstance(content, int):
                    with made.open(name, "w", force_zip64=True) as target:
                        for _ in range(content):
                            target.write(b"0" * MB)
                else:
                    made.writestr(name, content)
            if change:
                change(made)
        return path

    def opened(self, path):
        archive = Archive(path)
        self.addCleanup(archive.close)
        return archive

    def refused(self, path, words, most=20):
        with self.within(most):
            with self.assertRaisesRegex((NoArchiveError, OSError), words):
                self.opened(path).run()

    def test_bombs(self):
        self.refused(self.archive([("ledger.json", 60)], about=None), "ledger.json has 60.0 MB; at most 16.0 MB")
        with mock.patch.object(archive, "FREE_BYTES", 50 * MB):
            bomb = self.archive([("a", 60), ("b", 60)])
            self.refused(bomb, "would unpack to 120.0 MB, more than 50 times its own size")
        about = {**ABOUT, "config": {"file": "config/original.toml"}}
        self.refused(self.archive([("config/original.toml", 30)], about), "original.toml has 30.0 MB; at most 16.0 MB")
        self.refused(self.archive([("ledger.json", "[" * 10 * MB)], about=None), "no archive of a run", 40)
        self.refused(self.archive([("ledger.json", "[]," * 3 * MB)], about=None), "lists and objects", 40)

    def test_points(self):
        for content, words in (
            (30, "a line of more than 4.0 MB"),
            ("[[]]\n", "damaged"),
            ('[{"q": "x"}]\n', "damaged"),
            ('[{"q": 1, "m": ["a"]}]\n', "damaged"),
            ('[{"q": 1, "m": ["a"], "p": [[1, null, "x", 1]]}]\n', "damaged"),
            ('[{"q": 1, "m": ["a"], "p": [[1]]}]\n', "damaged"),
            ("[" * 100_000 + "\n", "damaged"),
        ):
            run = self.opened(self.archive([("logs/attempt-1.jsonl", content)])).run()
            with self.within(20), self.assertRaisesRegex(NoArchiveError, words):
                list(run.curves[1]())
        late = "".join(f'[{{"q": {q}, "m": ["loss"], "p": [[{q}, null, 0, {q}]]}}]\n' for q in range(2000, 0, -1))
        run = self.opened(self.archive([("logs/attempt-1.jsonl", late)])).run()
        with mock.patch.object(archive, "MOST_LATE", 1000), self.assertRaisesRegex(NoArchiveError, "out of order"):
            list(run.curves[1]())
        self.assertEqual([e["step"] for e in run.curves[1]()], list(range(1, 2001)))

    def test_many_points_in_little_memory(self):
        rows = ", ".join(f"[{{s}}{n:03d}, null, 1777593600000, 0.5]" for n in range(1000))
        text = "".join(
            f'[{{"q": {q}, "m": ["loss"], "p": [{rows.replace("{s}", str(q))}]}}]\n'.replace("{{", "{")
            for q in range(1, 51)
        )
        run = self.opened(self.archive([("logs/attempt-1.jsonl", text)])).run()
        del text
        with self.within(5, 120):
            self.assertEqual(sum(1 for _ in run.curves[1]()), 50_000)

    def test_lists_of_files(self):
        self.refused(self.archive([(f"f{n}", b"") for n in range(10_100)]), "more than 10000 files")
        path = self.archive([(("x" * 30_000) + str(n), b"") for n in range(150)])
        self.refused(path, "more than 10000 files")
        with mock.patch.object(terminal, "warn"), self.assertWarns(UserWarning):
            twice = self.archive([("ledger.json", b"{}")])
        self.refused(twice, "two files of one name")

        def overlap(made):
            first = made.getinfo("a")
            made.filelist.append(again := zipfile.ZipInfo("b"))
            for name in ("compress_size", "file_size", "CRC", "header_offset", "compress_type", "flag_bits"):
                setattr(again, name, getattr(first, name))

        self.refused(self.archive([("a", b"x" * 1000)], change=overlap), "within each other")

    def test_sizes_that_lie(self):
        for size in (10, 900 * MB):

            def lie(made, size=size):
                made.getinfo("ledger.json").file_size = size

            self.refused(self.archive([], change=lie), "damaged|at most 16.0 MB")

    def test_how_it_is_packed(self):
        self.refused(self.archive([("a", 1)], method=zipfile.ZIP_BZIP2), "packed or encrypted as no ledger")
        self.refused(self.archive([("a", 1)], method=zipfile.ZIP_LZMA), "packed or encrypted as no ledger")

        def encrypt(made):
            made.getinfo("ledger.json").flag_bits |= 1

        self.refused(self.archive([], change=encrypt), "packed or encrypted as no ledger")

    def test_names_lead_nowhere(self):
        names = ["../../up", "/abs", "C:\\x", "link", "a\ud800b".encode("utf-8", "replace").decode(), "dev"]
        about = {
            **ABOUT,
            "weights": [{"file": n, "filename": n, "size": 3, "kind": "final"} for n in [*names, "missing", 5, None]],
        }

        def special(made):
            made.getinfo("link").external_attr = (stat.S_IFLNK | 0o777) << 16
            made.getinfo("dev").external_attr = (stat.S_IFBLK | 0o666) << 16

        path = self.archive([(n, b"/etc") for n in names], about, change=special)
        box = self.folder / "deep" / "box"
        box.mkdir(parents=True)
        opened = self.opened(path)
        sent = []

        def upload(ledger, task, attempt, item, *_):
            sent.append(item.filename)
            self.assertEqual(Path(item.path).read_bytes(), b"/etc")
            self.assertFalse(os.path.islink(item.path))
            return mock.Mock(run=lambda: "sha256")

        with mock.patch.object(archive, "FileUpload", upload), mock.patch.object(terminal, "notice"):
            with self.assertRaisesRegex(NoArchiveError, "missing is missing or damaged"):
                opened.upload_weights(mock.Mock(), 1, box)
        self.assertEqual(sent, names)
        self.assertEqual([p.name for p in box.iterdir()], ["weight"])
        self.assertEqual({p.name for p in self.folder.iterdir()}, {"deep", "run.zip"})
        with (
            mock.patch("shutil.disk_usage", lambda _: mock.Mock(free=2)),
            self.assertRaisesRegex(NoArchiveError, "TMPDIR"),
        ):
            opened.upload_weights(mock.Mock(), 1, box)

    def test_what_is_no_zip(self):
        for data in (
            b"",
            b"PK\x05\x06",
            b"PK\x03\x04" * 1000,
            os.urandom(5000),
            b"\x1f\x8b" + bytes(50),
            b"BZh91AY" * 50,
        ):
            self.refused(self.write("x.zip", data), "no archive of a run")
        self.refused(self.fifo("f.zip"), "no regular file")
        whole = self.archive([("logs/attempt-1.jsonl", b"[]\n")]).read_bytes()
        draw = random.Random(4)
        for _ in range(300):
            damaged = bytearray(whole)
            for _ in range(draw.randint(1, 6)):
                damaged[draw.randrange(len(damaged))] = draw.randrange(256)
            try:
                with contextlib.closing(Archive(self.write("x.zip", bytes(damaged)))) as opened:
                    for curve in opened.run().curves.values():
                        list(curve())
            except (NoArchiveError, OSError):
                continue


class ImportTest(ClientCase):
    def test_each_in_one_plain_line(self):
        self.serve()
        box = self.folder / "files"
        box.mkdir()
        os.mkfifo(box / "pipe.safetensors")
        os.mkfifo(box / "pipe.csv")
        os.mkfifo(box / "pipe.jsonl")
        (box / "a.tar.gz").write_bytes(b"\x1f\x8b" + bytes(100))
        (box / "deep.json").write_text("[" * 100_000)
        (box / "wide.csv").write_text("a," * 5000 + "\n1\n")
        (box / "bad.zip").write_bytes(b"PK\x05\x06" + bytes(18))
        (box / "x.wandb").write_bytes(b":W&B" + b"\xff" * 100)
        for path in sorted(box.iterdir()):
            code, out, err = self.run_client("import", path, "--yes", timeout=30)
            self.assertEqual(code, 1, path)
            self.assertNotIn("should not have happened", err, path)
            self.assertEqual(err.count("\n"), 1 + err.count("\n[ledger]"), err)


class DatabaseTest(HostileCase):
    def rows(self, *statements, after=None):
        path = self.folder / f"{len(list(self.folder.iterdir()))}.db"
        base = sqlite3.connect(path)
        for statement in statements:
            base.execute(statement)
        base.commit()
        base.close()
        if after:
            after(path)
        with self.within(30, 15):
            reader = LossDatabase(self.folder / "new.db")
            reader.path = path
            return list(reader.read(True))

    def test_a_plain_table_alone_is_read(self):
        table = "create table metrics (step integer, key text, value_real real, value_text text)"
        good = "insert into metrics values (1, 'loss', 0.5, null)"
        self.assertEqual(len(self.rows(table, good)), 1)
        endless = "with recursive n(x) as (select 1 union all select x + 1 from n) select x as rowid, 1 as step, 'a' as key, 1.0 as value_real from n"
        self.assertEqual(self.rows(f"create view metrics as {endless}"), [])
        self.assertEqual(self.rows("create virtual table metrics using fts5(step, key, value_real)"), [])
        heavy = "create table metrics (step integer, key text, value_real real generated always as (length(hex(zeroblob(400000000)))))"
        self.assertEqual(self.rows(heavy, "insert into metrics (step, key) values (1, 'a')"), [])
        huge = "insert into metrics values (1, hex(zeroblob(20000000)), 1, null)"
        self.assertEqual(self.rows(table, good, huge), [])
        long = "insert into metrics values (2, hex(zeroblob(2000)), 0.5, null)"
        self.assertEqual([len(row[2]) for row in self.rows(table, good, long)], [4, 300])
        trigger = "create trigger t after insert on metrics begin delete from metrics; end"
        self.assertEqual(len(self.rows(table, good, trigger)), 1)
        odd = "insert into metrics values ('x', 5, 'y', null), (9223372036854775807, 'a', 9e999, x'ff')"
        self.assertEqual(len(self.rows(table, odd)), 1)

    def test_damaged_pages(self):
        table = "create table metrics (step integer, key text, value_real real, value_text text)"
        fill = "insert into metrics with recursive n(x) as (select 1 union all select x + 1 from n limit 3000) select x, 'loss', x, null from n"
        draw = random.Random(5)

        def damage(path):
            data = bytearray(path.read_bytes())
            for _ in range(60):
                data[draw.randrange(100, len(data))] = draw.randrange(256)
            path.write_bytes(bytes(data))

        for _ in range(8):
            self.assertLessEqual(len(self.rows(table, fill, after=damage)), 100_000)

    def test_a_query_that_takes_too_long_ends(self):
        path = self.folder / "a.db"
        base = sqlite3.connect(path)
        base.execute("create table metrics (step integer, key text, value_real real, value_text text)")
        base.execute(
            "insert into metrics with recursive n(x) as (select 1 union all select x + 1 from n limit 100000) select x, 'a', x, null from n"
        )
        base.commit()
        base.close()
        reader = LossDatabase(self.folder / "new.db", monotonic=iter(range(0, 10**9, 10)).__next__)
        reader.path = path
        self.assertEqual(list(reader.read(True)), [])


class EventTest(HostileCase):
    def test_lengths_that_lie(self):
        for length in (1 << 20, 1 << 32, (1 << 63) - 1, (1 << 64) - 1):
            path = self.write("events.out.tfevents.1.h.1.0", event(1, "a", 1.0) + record_head(length) + b"x" * 100)
            with self.within(20):
                self.assertEqual(len(list(EventFile(path).read())), 1)

    def test_records_about_as_large_as_what_is_read_at_once_hold_nothing_up(self):
        for size in range((1 << 20) - 20, (1 << 20) + 5, 4):
            path = self.write("events.out.tfevents.1.h.1.0", record_of(size) + event(1, "a", 1.0))
            self.assertEqual([row[1] for row in EventFile(path).read()], [1], size)

    def test_damaged_messages(self):
        draw = random.Random(6)
        good = event(300, "loss/current", 0.5)[12:-4]
        data = b"".join(
            record(
                bytes(b if draw.random() > 0.1 else draw.randrange(256) for b in good)
                + bytes(draw.randrange(256) for _ in range(draw.randrange(20)))
            )
            for _ in range(3000)
        )
        with self.within(20):
            for _, step, tag, _ in EventFile(self.write("e", data)).read():
                self.assertTrue(isinstance(step, int) and len(tag) <= 512)

    def test_names_and_their_number(self):
        name = b"x" * 100_000
        inner = b"\x0a" + varint(len(name)) + name + b"\x15" + struct.pack("<f", 1.0)
        summary = b"\x0a" + varint(len(inner)) + inner
        path = self.write("e", record(b"\x10\x01\x2a" + varint(len(summary)) + summary))
        self.assertEqual([len(row[2]) for row in EventFile(path).read()], [512])
        folder = self.folder / "many"
        folder.mkdir()
        (folder / "events.out.tfevents.1.h.1.0").write_bytes(b"".join(event(1, f"tag{n}", 1.0) for n in range(3000)))
        with self.assertRaisesRegex(CommandError, "more than 2000 series"):
            import_runs.read_curve(folder)

    def test_a_process_number_that_is_none(self):
        folder = EventFolder(self.folder, Process.owns.__get__(mock.Mock(pid=1)))
        self.write(f"events.out.tfevents.1.h.{'9' * 100}.0", event(1, "a", 1.0))
        self.write("events.out.tfevents.1.h.1.0", event(2, "a", 1.0))
        self.assertIn(2, [row[1] for row in folder.read(True)])

    def test_folders_without_end(self):
        deep = self.folder / "deep"
        deep.mkdir()
        (deep / "loop").symlink_to(deep)
        for n in range(50):
            (deep / f"events.out.tfevents.{n}").write_bytes(b"")
        with (
            mock.patch.object(import_runs, "MOST_ENTRIES", 20),
            self.assertRaisesRegex(CommandError, "more than 20 files"),
        ):
            import_runs.read_curve(deep)
        with self.assertRaisesRegex(CommandError, "no TensorBoard scalars"):
            import_runs.read_curve(deep)


def varint(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out) + bytes([value])


def record_head(length):
    from lora_ledger.follow.tensorboard import masked_crc32c

    head = struct.pack("<Q", length)
    return head + struct.pack("<I", masked_crc32c(head))


def record_of(size):
    return record_head(size) + bytes(size) + bytes(4)


class WandbTest(HostileCase):
    def log(self, data):
        return self.write("run-x.wandb", b":W&B" + bytes(3) + data)

    @staticmethod
    def piece(data, kind):
        return struct.pack("<IHB", zlib.crc32(data, zlib.crc32(bytes([kind]))), len(data), kind) + data

    def test_a_record_without_end(self):
        block = self.piece(b"x" * 32_754, 3)
        assert len(block) == 32_761
        first = self.piece(b"x" * (32_768 - 7 - 7), 2)
        with open(self.log(first), "ab") as file:
            for _ in range(1500):
                file.write(self.piece(b"x" * 32_761, 3))
        with self.within(30):
            log = wandb.Log(self.folder / "run-x.wandb")
        self.assertEqual(log.rows, {})

    def test_steps_without_end(self):
        item = b"\x0a\x04loss\x82\x01\x030.5"
        history = b"".join(b"\x0a" + varint(len(item)) + item for _ in range(1))
        records = b""
        for step in range(400):
            inner = history + b"\x12" + varint(len(b"\x08" + varint(step))) + b"\x08" + varint(step)
            data = b"\x12" + varint(len(inner)) + inner
            records += self.piece(data, 1)
        path = self.log(records)
        self.assertEqual(len(wandb.Log(path).rows), 400)
        with mock.patch.object(wandb, "MOST_STEPS", 100), self.assertRaisesRegex(ValueError, "more than .* 100 steps"):
            wandb.Log(path)
        with mock.patch.object(wandb, "MOST_BYTES", 100), self.assertRaisesRegex(ValueError, "larger than"):
            wandb.Log(path)

    def test_json(self):
        lines = [json.dumps({"name": f"r{n}", "config": {}, "summary": {"loss": 1.0}}) for n in range(3)]
        path = self.write(
            "a.jsonl",
            lines[0] + "\n" + '{"a": "' + "x" * 3 * MB + '"}\n' + lines[1] + "\n" + "[" * 5000 + "\n" + lines[2],
        )
        with self.within(20), mock.patch.object(wandb, "MOST_LINE", MB):
            found, wrong = wandb.objects(path)
        self.assertEqual([o["name"] for o in found], ["r0", "r1", "r2"])
        self.assertEqual([w[1] for w in wrong], ["it is longer than 1.0 MB", "it is no JSON object"])
        with open(path, "wb") as file:
            file.truncate(2_000 * MB)
        with self.within(5), self.assertRaisesRegex(ValueError, "larger than 500.0 MB: split it"):
            wandb.objects(path)
        with open(path, "wb") as file:
            file.truncate(400 * MB)
        with self.within(200), self.assertRaisesRegex(ValueError, "JSON Lines"):
            wandb.objects(path)
        for text in (
            '{"config": {}, "id": 1, "summary": {"_step": 1e999}, "history": [{"_step": 1e999, "a": 1}, {"_step": "x"}, 5]}',
        ):
            runs, wrong = wandb.json_runs(path, [json.loads(text)], [])
            self.assertEqual((len(runs), wrong), (1, []))


class TableTest(HostileCase):
    def test_bounds(self):
        for text, words in (
            ("a," * 3000 + "\n" + "1," * 3000, "has 3001 columns; at most 2000"),
            ("name,loss\nx," + "1" * 2 * MB, "is no CSV"),
            ("name,loss\n" + ("," * 1900 + "\n") * 200, "more than 300000 cells: split it"),
        ):
            with (
                self.within(40),
                mock.patch("lora_ledger.imports.table.MOST_CELLS", 300_000),
                self.assertRaisesRegex(CommandError, words),
            ):
                Table(self.write("t.csv", text))
        with open(self.folder / "big.csv", "wb") as file:
            file.truncate(300 * MB)
        with (
            mock.patch("lora_ledger.imports.table.MOST_BYTES", MB),
            self.within(10),
            self.assertRaisesRegex(CommandError, "larger than 1.0 MB"),
        ):
            Table(self.folder / "big.csv")

    def test_odd_cells_are_named_and_hold_nothing_up(self):
        cells = [
            "1" * 100_000,
            " " * 100_000 + "x",
            "a\u0300\u0316" * 50_000,
            "1:" * 50_000,
            "1," * 50_000,
            "\x00",
            "[" * 100_000,
        ]
        heads = [
            "loss",
            "duration",
            "date",
            "lr",
            "rank",
            "tags",
            "command",
            "status",
            "_" * 100_000 + "!",
            "(" * 100_000,
            "a\u0300\u0316" * 50_000,
        ]
        rows = [",".join(f'"{c}"' for c in [cell] * len(heads)) for cell in cells]
        with self.within(60):
            sheet = Table(self.write("t.csv", ",".join(heads) + "\n" + "\n".join(rows)))
            sheet.runs()
        for column in sheet.columns:
            self.assertLessEqual(len(column.header), 300)
        with mock.patch("sys.stdout"):
            sheet.show()

    def test_many_rows(self):
        path = self.write("t.csv", "name,loss,lr,rank\n" + "".join(f"run {n},0.{n},1e-4,32\n" for n in range(15_000)))
        with self.within(20, 90):
            self.assertEqual(len(Table(path).rows), 15_000)


class SettingsTest(HostileCase):
    def test_readers(self):
        digits = "9" * 1_000_000
        brackets = "[" * 200_000 + "]" * 200_000
        for text in (f"a: {digits[:400_000]}\nb: 1", f"a: [{digits[:5000]}]\nb: 1", f"a: {brackets}\nb: 1", digits):
            with self.within(60), self.assertRaisesRegex(NoYamlError, "more than|deeper than"):
                parse_yaml(text)
        bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
            f"{c}: &{c} [{','.join(['*' + p] * 9)}]\n" for p, c in zip("abcdefgh", "bcdefghi")
        )
        with self.within(60), self.assertRaisesRegex(NoYamlError, "line 5: aliases expand"):
            parse_yaml(bomb)
        for text in (
            f"a = {digits}",
            "a = " + "[" * 100_000,
            "a = " + "{a=" * 100_000,
            "a." * 100_000 + "a = 1",
            "x" * 2 * MB,
            "a = 1\n" * 3 + "a",
        ):
            for read in (read_toml, read_subset):
                with self.within(40), self.assertRaises(NoTomlError):
                    read(text)
        for text in (
            "9" * 5000,
            '{"a":' * 5000,
            "[" * 150 + "]" * 150,
            '{"a": ' + digits + "}",
            "[" + "[]," * 2 * MB + "1]",
            b"\xff\xfe\x00",
        ):
            with self.within(60), self.assertRaises(ValueError):
                reading.loads(text)
        self.assertEqual(
            reading.loads(b'["\\ud800", "\\ud83d\\ude00", {"\\udfff": 1}]'), ["\ufffd", "\U0001f600", {"\ufffd": 1}]
        )

    def test_whatever_the_types_a_trainer_is_found(self):
        odd = [None, 5, "x", [], {}, [5], [[]], {"a": 5}, True, 1e308, "9" * 400]
        shapes = (
            lambda v: {"job": 1, "config": {"process": [v], "name": v}},
            lambda v: {
                "job": 1,
                "config": {"process": [{"datasets": v, "train": v, "sample": {"prompts": v}, "training_folder": v}]},
            },
            lambda v: {
                "network_module": v,
                "network_dim": v,
                "output_dir": v,
                "sample_prompts": v,
                "resume": v,
                "max_train_steps": v,
            },
            lambda v: {
                "training_method": v,
                "base_model_name": v,
                "concepts": v,
                "output_model_destination": v,
                "workspace_dir": v,
            },
            lambda v: {"model": {"type": v}, "dataset": v, "output_dir": v},
            lambda v: {
                "base_model": v,
                "adapter": v,
                "datasets": v,
                "max_steps": v,
                "resume_from_checkpoint": v,
                "logging_steps": v,
            },
        )
        for shape in shapes:
            for value in odd:
                found = recognise(["python", "x.py"], json.dumps(shape(value)), self.folder)
                self.assertIsNotNone(found)
        deep = {}
        for _ in range(400):
            deep = {"a": deep}
        recognise(
            ["python", "x.py", "a=" + "[" * 3000 + "]" * 3000, "b=" + "9" * 9000],
            json.dumps(shapes[0](deep)),
            self.folder,
        )


class RunTest(ClientCase):
    def test_no_settings_keep_a_trainer_from_starting(self):
        server = self.serve()
        os.mkfifo(self.folder / "pipe.toml")
        (self.folder / "digits.toml").write_text(f"network_module = {'9' * 9000}\nnetwork_dim = 1\n")
        (self.folder / "digits.yaml").write_text(f"base_model: x\nadapter: lora\nmax_steps: {'9' * 9000}\n")
        (self.folder / "odd.json").write_text(
            '{"job": 1, "config": {"process": [{"training_folder": "\\u0000", "train": 5}], "name": 5}}'
        )
        (self.folder / "zero.toml").symlink_to("/dev/zero")
        for number, name in enumerate(
            ("pipe.toml", "digits.toml", "digits.yaml", "odd.json", "zero.toml", os.fsdecode(b"\xff.toml")), 1
        ):
            code, out, err = self.run_client(
                "run", "--name", name, "--config", name, "--", *self.script("print('ran')")
            )
            self.assertEqual((code, out.strip()), (0, b"ran"), (name, err))
            self.assertIn(number, server.tasks, err)


class WeightsTest(HostileCase):
    def header(self, text, length=None, more=b""):
        data = text if isinstance(text, bytes) else text.encode()
        return self.write(
            f"{len(list(self.folder.iterdir()))}.safetensors",
            struct.pack("<Q", len(data) if length is None else length) + data + more,
        )

    def test_headers(self):
        for path in (
            self.header("{}", 1 << 63), self.header("{}", 0), self.header("[" * 50_000), self.header("[]"), self.header('{"a": 5}'),
            self.header('{"a": {"data_offsets": [0, 1e999]}}'), self.header('{"a": {"data_offsets": [0, "' + "9" * 9000 + '"]}}'),
            self.header('{"a": ' + "9" * 9000 + "}"), self.header(b"\xff\xfe{}"), self.header('{"a":[' + "[]," * 2 * MB + "1]}"),
        ):  # fmt: skip
            with self.within(60):
                with self.assertRaises(IncompleteFileError):
                    read_header(path)
                try:
                    adapter.Adapter(path)
                except NoAdapterError:
                    pass
        with open(self.folder / "large.safetensors", "wb") as file:
            file.write(struct.pack("<Q", 90 * MB))
            file.truncate(100 * MB)
        with self.within(5):
            with self.assertRaisesRegex(IncompleteFileError, "longer than 32.0 MB"):
                read_header(self.folder / "large.safetensors")
        os.mkfifo(self.folder / "pipe")
        with self.assertRaisesRegex(OSError, "no regular file"):
            read_header(self.folder / "pipe")

    def test_names_of_tensors(self):
        name = ".lora.A" * 100_000 + "\\n\\n"
        path = self.header(
            json.dumps(
                {name.encode().decode("unicode_escape"): {"dtype": "F16", "shape": [4, 4], "data_offsets": [0, 0]}}
            )
        )
        with self.within(40, 5):
            self.assertIsNone(adapter.Adapter(path).rank)

    def test_metadata(self):
        from lora_ledger.imports.weight_file import WeightFileRun

        many = {f"d{n}": {"n_repeats": 1, "img_count": 1} for n in range(20_000)}
        metadata = {
            "ss_dataset_dirs": json.dumps(many),
            "ss_optimizer": "a(" + "(" * 500_000,
            "ss_network_args": "[" * 100_000,
            "ss_steps": "9" * 9000,
        }
        path = self.header(json.dumps({"__metadata__": metadata}))
        with self.within(60, 5):
            past = WeightFileRun(adapter.Adapter(path))
            past.registration("x")
        self.assertEqual(len(past.datasets), 50)


class DataTest(HostileCase):
    def test_folders(self):
        folder = self.folder / "data"
        folder.mkdir()
        for name in ("a.png", "b.png", "c.png"):
            (folder / name).write_bytes(b"x")
        os.mkfifo(folder / "a.txt")
        (folder / "b.txt").symlink_to("/dev/zero")
        (folder / "c.txt").write_text("one, two")
        (folder / "loop").symlink_to(folder)
        (folder / "d.png").symlink_to(folder / "nowhere")
        with self.within(20):
            fact = datasets.collect([Source(folder, 1, recursive=True)])[0]
        self.assertEqual((fact["image_count"], fact["tag_distribution"]), (4, {"one": 1, "two": 1}))
        with mock.patch.object(datasets, "MAX_FILES", 3), mock.patch.object(terminal, "notice"):
            self.assertNotIn("image_count", datasets.collect([Source(folder, 1)])[0])

    def test_tags_without_end(self):
        folder = self.folder / "data"
        folder.mkdir()
        for n in range(40):
            (folder / f"{n}.png").touch()
            (folder / f"{n}.txt").write_text(f"common, {', '.join(f'{n} {k}' for k in range(5000))}")
        with self.within(20), mock.patch.object(datasets, "MAX_KNOWN", 20_000):
            fact = datasets.collect([Source(folder, 1)])[0]
        self.assertEqual(fact["tag_distribution"]["common"], 40)

    def test_files_of_rows(self):
        os.mkfifo(self.folder / "p.json")
        (self.folder / "p.csv").symlink_to("/dev/zero")
        for path, count in (
            (self.folder / "p.json", None), (self.folder / "p.csv", None), (self.write("a.json", "5"), 0), (self.write("b.json", "[" * 9000), 0),
            (self.write("c.txt", "\n" * MB + "x\n"), 1), (self.write("d.json", '"x"'), 0), (self.write("e.jsonl", '{"tags": [[[[]]]]}\n5\n[' * 1000), 1),
        ):  # fmt: skip
            with self.within(30):
                facts = datasets.collect([Source(path, 1, is_file=True)])
            self.assertEqual(facts[0]["image_count"] if facts else None, count, path)

    def test_captions_of_a_folder(self):
        folder = self.folder / "data"
        folder.mkdir()
        (folder / "a.png").touch()
        for text in ("[" * 9000, '{"a": ' + "[" * 99 + "]" * 99 + "}", "5"):
            path = self.write("captions.json", text)
            self.assertEqual(datasets.collect([Source(folder, captions_file=path)])[0]["image_count"], 1)


class OtherTest(HostileCase):
    def test_a_log_with_a_line_without_end(self):
        path = self.folder / "trainer_log.jsonl"
        log = JsonLines(path)
        good = '{"current_steps": %d, "loss": 0.5}\n'
        path.write_text(
            good % 1
            + '{"loss": "'
            + "x" * 5 * MB
            + '", "current_steps": 2}\n'
            + good % 3
            + "[" * 50_000
            + "\n"
            + good % 4
            + '{"current_steps": '
            + "9" * 9000
            + "}\n"
        )
        with self.within(30):
            self.assertEqual([row[1] for row in log.read()], [1, 3, 4])

    def test_mlflow(self):
        run = self.folder / "1" / "abc"
        (run / "metrics").mkdir(parents=True)
        (run / "params").mkdir()
        (run / "meta.yaml").write_text("run_id: abc\nstatus: 3\n")
        os.mkfifo(run / "params" / "pipe")
        (run / "metrics" / "loss").write_text("1 0.5 1\n" + "9" * MB + " 1 1\n1 0.25 2\n1 1 " + "9" * 900 + "\n")
        runs, left = mlflow.runs(self.folder)
        self.assertEqual((len(runs), left), (1, []))
        with self.within(10):
            self.assertEqual([e["step"] for e in runs[0].curves[1]()], [1, 2])
        with mock.patch.object(mlflow, "MOST_STEPS", 0), self.assertRaisesRegex(ValueError, "more than"):
            list(runs[0].curves[1]())
        (run / "params" / "big").write_text("x" * MB)
        with mock.patch.object(mlflow, "MOST_TEXT", 1000):
            self.assertIn("larger than 1.0 kB", mlflow.runs(self.folder)[1][0][1])

    def test_deep_folders(self):
        top = path = self.folder / "deep"
        for _ in range(300):
            path = path / "d"
        path.mkdir(parents=True)
        (path / "meta.yaml").touch()
        self.assertEqual((mlflow.runs(top), wandb.runs(top)), (([], []), ([], [])))

    def test_commands_that_print_without_end(self):
        with self.within(20, 10):
            self.assertIsNone(reading.output([sys.executable, "-c", "while True: print('x' * 100000)"], 20.0, MB))
            began = time.monotonic()
            self.assertIsNone(reading.output([sys.executable, "-c", "import time; time.sleep(60)"], 0.5))
            self.assertLess(time.monotonic() - began, 30)
        self.assertEqual(reading.output([sys.executable, "-c", "print('é')"], 20.0, cwd=self.folder).strip()[:1], "é")
        self.assertIsNone(reading.output(["/nowhere/at/all"], 1.0))


if __name__ == "__main__":
    sys.exit(__import__("unittest").main())
