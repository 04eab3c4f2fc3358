"""Each parser on up to 1 MB of its worst characters: time grows with the length, never with its square.

CPU time is measured, so that a busy machine changes little. Lines and values beyond a bound may be cut or refused; how long
that takes counts all the same.
"""

import contextlib
import json
import os
import struct
import sys
import time
import zlib
from pathlib import Path
from unittest import mock

import lora_ledger
from lora_ledger.commands import config_for, template
from lora_ledger.core import redact
from lora_ledger.core.errors import CommandError
from lora_ledger.core.reading import loads
from lora_ledger.core.safetensors import read_header
from lora_ledger.core.text import clean, metric_name
from lora_ledger.core.toml_reader import read_subset, read_toml
from lora_ledger.core.transport import Answer
from lora_ledger.core.yaml_reader import read_yaml, scalar
from lora_ledger.follow.bar import read_bar, read_desc
from lora_ledger.follow.follower import Follower
from lora_ledger.follow.jsonl import JsonLines
from lora_ledger.follow.lines import read_deepspeed, read_dict
from lora_ledger.follow.state_json import read_history
from lora_ledger.follow.tensorboard import EventFile
from lora_ledger.follow.told import epoch_of, is_report, read_told
from lora_ledger.imports import adapter, fields, mlflow, wandb, weight_file
from lora_ledger.imports.table import Table
from lora_ledger.recording.by_hand import read_metrics
from lora_ledger.recording.console import Console, Failure, Lines
from lora_ledger.recording.points import Points
from lora_ledger.trainers import Generic, datasets, recognise
from lora_ledger.trainers.datasets import Source
from lora_ledger.trainers.kohya import read_prompts
from lora_ledger.trainers.launch import read_document
from tests.helpers import TemporaryCase
from tests.test_readers import record

SIZE = 1_000_000
# 200 ms on a quiet machine; more on one that others use too, as long as it grows with the length alone.
FAST, MOST = 0.2, 3.0
GROWTH = 6.0
# What makes GROWTH of the whole text makes 4.7 of these parts of it.
BEND = 4.5
# Every text is read up to a fourth of its size, and so many of each reader's slowest are read whole.
PART, WHOLE = 4, 2
# What the client is today, in four bytes.
SOURCE = zlib.crc32(
    b"".join(path.read_bytes() for path in sorted(Path(lora_ledger.__file__).parent.rglob("*.py")))
).to_bytes(4, "big")

REPEATED = (
    '"', "'", "\\", "[", "]", "{", "}", "(", ":", " ", "\t", "\r", "\n", "\r\n", "%", "%|", "|", "1", "9.", "e", "a", "_", ".", ",", ";", "#", "=",
    "-", "+", "/", "*", "<", ">", "&", "~", "!", "`", "\0", "\x1b", "\x1b[", "\x1b]", "\x1b[0m", "界", "İ", "̖́", "\ufdfa", "\U0001f600",
    '"\\', '\\"', '":', '"\\"', "a:", "a: ", "- ", "- - ", "-\n", "[[", "[]", "[],", "{}", "{a:", "{'a':", '{"a":', "[1,", "/*", "//", "a=", "a.", ".a", "a b", "a\n", "a: 1\n",
    "a:\n ", "a: |\n", "- a\n", "a = [\n", "[a]\n", "[[a]]\n", "a.b = 1\n", '"""', "'''", "x='", 'x="', "1_", "1e", "0x", "nan", "inf", "loss=", "loss: ",
    "loss=1,", "epoch 1/2\n", "steps: 1 loss: ", "{'epoch': 1}\n", "{'epoch': 1, 'x': 2}\n", "'loss': 1, ", "1%|", "5%|#| 1/2 [", "|#| 1/2 [0<0,", "hf_", "sk-", "xoxb-", "AKIA",
    "password=", "--token ", "Traceback (most recent call last)\n", "a.b.c: ", "10-", "1:", "1h", "1/", "lora.A.", ".lora_down.", "2026-", "年", "$", "€1,", "x10^",
)  # fmt: skip
# What stands before and behind makes a parser believe that something is about to end.
AROUND = (
    (" 5%|", "| 1/2 [00:01<00:01, 1.0it/s, loss=0.5]"), ("steps: 5%|#| 1/2 [00:01<00:01, 1it/s, ", "]"), ("", "%|#| 1/2 [0<0, 1it/s]"), ("x: ", ""), ('{"a": "', '"}'),
    ("{'loss': ", ", 'epoch': 1}"), ("a = ", "\n"), ("[", "]"), ("(", ")"), ("a: [", "]"), ("steps: 1 loss: ", ""), ("a ", "!"), ("'", ""), ('"', ""), ("1", "x"),
)  # fmt: skip


def filled(unit, size):
    return (unit * (size // len(unit) + 1))[:size]


def every_shape():
    """(what it is, a function that makes a text of about so many characters)."""
    for unit in REPEATED:
        yield repr(unit), lambda size, unit=unit: filled(unit, size)
    for before, behind in AROUND:
        for unit in (" ", "1", "a", "a ", "=", "a=1,", "[", "'", '"'):
            yield f"{before!r} {unit!r} {behind!r}", lambda size, a=before, u=unit, b=behind: a + filled(u, size) + b
    for first, last in ("[]", "{}", "()", ("{'a': ", "}"), ('{"a":[', "]}")):
        yield f"{first!r} then {last!r}", lambda size, a=first, b=last: filled(a, size // 2) + filled(b, size // 2)


def shapes():
    """A third of the texts, and all of them with LEDGER_ALL_TEXTS: which third changes with the client's code alone."""
    everything = bool(os.environ.get("LEDGER_ALL_TEXTS"))
    for what, text in every_shape():
        if everything or zlib.crc32(SOURCE + what.encode()) % 3 == 0:
            yield what, text


class TimeTest(TemporaryCase):
    def measure(self, work, text):
        began = time.process_time()
        try:
            work(text)
        except (ValueError, CommandError, OSError):
            # Refusing is an answer, too.
            pass
        return time.process_time() - began

    def bends(self, work, text, size, quarter):
        """Whether time grows faster than the length, seen by what each four times as much adds."""
        short, middle = self.measure(work, text(size // 64)), self.measure(work, text(size // 16))
        # A machine may be slower for a moment, never faster: what looks bent is measured again.
        for _ in range(3):
            if quarter - middle <= BEND * max(middle - short, 1e-4):
                return False
            short = min(short, self.measure(work, text(size // 64)))
            middle = min(middle, self.measure(work, text(size // 16)))
            quarter = min(quarter, self.measure(work, text(size // 4)))
        return quarter - middle > BEND * max(middle - short, 1e-4)

    def whole(self, name, what, work, text, size, before):
        took = self.measure(work, text(size))
        for _ in range(2):
            if took < MOST and took < GROWTH * max(before, FAST / GROWTH):
                return
            # A machine may be slower for a moment: both once more, one right after the other.
            before = max(before, self.measure(work, text(size // 4)))
            took = min(took, self.measure(work, text(size)))
        self.assertLess(took, MOST, f"{name} of {what}")
        self.assertLess(
            took, GROWTH * max(before, FAST / GROWTH), f"{name} of {what}: {before:.2f} s for a quarter of it"
        )

    def check(self, size=SIZE, **works):
        """All texts up to a part of the size, and whole those that take longest: none may be slow or grow faster than its length."""
        slowest = {name: [] for name in works}
        part = size // PART
        for what, text in shapes():
            small = text(part // 4)
            for name, work in works.items():
                before = self.measure(work, small)
                # Sixteen times as much takes 256 times as long at worst.
                if 256 * before < FAST:
                    continue
                if 6 * before > MOST / PART or self.bends(work, text, part, before):
                    self.whole(name, what, work, text, part, before)
                slowest[name].append((before, what, text))
        for name, work in works.items():
            for _, what, text in sorted(slowest[name], key=lambda one: -one[0])[:WHOLE]:
                self.whole(name, what, work, text, size, self.measure(work, text(size // 4)))

    def test_a_quadratic_part_is_seen(self):
        # Of the whole text, this part takes nearly as long as the linear part: more than GROWTH.
        for share in (0.9, 3, 50):
            cost = lambda text, share=share: len(text) / SIZE + share * (len(text) / SIZE) ** 2
            with mock.patch.object(self, "measure", lambda work, text, cost=cost: cost(text)):
                self.assertTrue(self.bends(None, lambda size: filled("a", size), SIZE, cost("a" * (SIZE // 4))))
                with self.assertRaises(AssertionError):
                    self.check(planted=None)
        with mock.patch.dict(os.environ, {"LEDGER_ALL_TEXTS": "1"}), self.assertRaises(AssertionError):
            self.check(
                planted=lambda text: (
                    [text[: 3 * n : 4].count("x") for n in range(0, len(text), 120)] if text[:2] == "aa" else None
                )
            )

    def file(self, name, work, form=lambda text: text.encode("utf-8", "replace")):
        path = self.folder / name

        def written(text):
            path.write_bytes(form(text))
            work(path)

        return written

    def test_console(self):
        def feed(on_state):
            def work(text):
                failure = Failure()
                lines = Lines(failure.line, on_state)
                data = text.encode()
                for at in range(0, len(data), 65_536):
                    lines.feed(data[at : at + 65_536])
                    lines.flush()

            return work

        class Trainers:
            """All trainers' own epoch lines, at once."""

            def __init__(self):
                self.all = [
                    Generic([], "."),
                    *(recognise([], text, ".") for text in ('{"network_module": 1, "network_dim": 1}',)),
                ]

            def follow(self, text):
                for trainer in self.all:
                    follower = Follower(trainer, Points(), {}, None)
                    feed(follower.line)(text)

        self.check(console=feed(lambda *_: None), followers=Trainers().follow)

    def test_lines(self):
        def each(read):
            def work(text):
                for at in range(0, len(text), 16_384):
                    read(text[at : at + 16_384])

            return work

        self.check(
            SIZE // 8,
            bar=each(read_bar),
            dict=each(read_dict),
            deepspeed=each(read_deepspeed),
            json=each(lambda line: loads(line)),
            told=each(read_told),
            told_loss=lambda text: [
                read_told(f"step 1 {text[at : at + 1900]} loss") for at in range(0, len(text), 16_384)
            ],
            desc=each(lambda line: (read_desc(line[:300]), is_report(line), epoch_of(line))),
        )

    def test_settings(self):
        self.check(
            yaml=read_yaml, toml=read_toml, toml_subset=read_subset, json=loads, scalar=scalar,
        )  # fmt: skip
        # What these read, the readers above read too.
        self.check(
            SIZE // 8, document=read_document,
            launch=lambda text: recognise(["python", "x.py", f"a={text}", text], text, "."),
        )  # fmt: skip

    def test_json_strings(self):
        self.check(
            text=lambda text: loads(json.dumps({"a": text})), names=lambda text: loads('{"%s": 1}' % text.replace('"', "").replace("\\", "")),
            answer=lambda text: Answer(422, {}, json.dumps({"detail": text, "errors": [{"path": text}] * 3}).encode()).reason(),
        )  # fmt: skip

    def test_text(self):
        def command(text):
            word = text[: len(text) // 3]
            redact.redact_command([word, f"--token={word}", f"--{word}", *text[:20_000].split(" ")])

        self.check(
            clean=clean, nested=lambda text: clean({"notes": [text], text: 1}), metric=metric_name,
            metrics=lambda text: read_metrics([text, f"loss={text}"]), template=lambda text: template.Template(text + " {config}"),
        )  # fmt: skip
        # Most of the time here; texts that redaction itself likes least are in test_security_redaction.
        self.check(SIZE // 4, redact=redact.redact_text, command=command)

    def test_cells(self):
        kinds = {kind: field for field, (kind, _) in fields.FIELDS.items()}

        def cell(text):
            for field in kinds.values():
                for context in (fields.Context(","), fields.Context()):
                    try:
                        fields.parse(field, text, context)
                    except ValueError:
                        continue
            fields.candidates(text)
            fields.decimal_mark([text] * 3)
            fields.day_order([text] * 3)
            fields.arch_of(text)

        # Values are cut or refused at a few hundred characters.
        self.check(
            SIZE // 20, cell=cell, short=lambda text: [cell(text[at : at + 199]) for at in range(0, 199 * 20, 199)]
        )

    def test_tables(self):
        def table(path):
            sheet = Table(path)
            sheet.runs()
            wandb.history_of(sheet)

        # A row is a run, which takes longer to make than to read.
        self.check(
            SIZE // 20, table=self.file("t.csv", table), cells=self.file("u.csv", table, lambda text: f"name,loss,date,time\n{text}\n{text[:1000]}\n".encode("utf-8", "replace")),
            head=self.file("v.csv", table, lambda text: f"{text[:200_000]}\n1,2\n".encode()),
        )  # fmt: skip

    def test_trackers(self):
        run = self.folder / "m" / "1"
        for name in ("metrics", "params"):
            (run / name).mkdir(parents=True)
        (run / "meta.yaml").write_text("run_id: a\nstatus: 3\n")

        def of_mlflow(text):
            (run / "metrics" / "loss").write_bytes(text.encode())
            (run / "params" / "lr").write_bytes(text.encode())
            for found in mlflow.runs(self.folder / "m")[0]:
                list(found.curves[1]())

        def log(text):
            data = text.encode()
            key = b"\x0a\x04loss\x3a" + varint(len(data)) + data
            inner = b"\x0a" + varint(len(key)) + key
            body = b"\x12" + varint(len(inner)) + inner
            pieces = [body[at : at + 32_000] for at in range(0, len(body), 32_000)]
            packed, at = b":W&B" + bytes(3), 7
            for number, piece in enumerate(pieces):
                kind = 1 if len(pieces) == 1 else 2 if not number else 4 if number == len(pieces) - 1 else 3
                room = 32_768 - at % 32_768
                if room < len(piece) + 7:
                    piece = piece[: room - 7]
                crc = zlib.crc32(piece, zlib.crc32(bytes([kind])))
                packed += struct.pack("<IHB", crc, len(piece), kind) + piece
                at = len(packed)
            return packed

        self.check(
            mlflow=of_mlflow, wandb_json=self.file("a.json", wandb.objects), wandb_log=self.file("run-a.wandb", wandb.Log, log),
            wandb_raw=self.file("run-b.wandb", wandb.Log, lambda text: b":W&B" + bytes(3) + text.encode()),
        )  # fmt: skip

    def test_logs(self):
        path = self.folder / "trainer_log.jsonl"

        def jsonl(text):
            path.unlink(missing_ok=True)
            log = JsonLines(path)
            path.write_bytes(text.encode())
            list(log.read(True))

        def events(form):
            return self.file("events.out.tfevents.1.h.1.0", lambda p: list(EventFile(p).read()), form)

        self.check(
            jsonl=jsonl, history=self.file("trainer_state.json", read_history), events=events(lambda text: text.encode()),
        )  # fmt: skip
        # Half of the time here is the checksum.
        self.check(
            SIZE // 10, event=events(lambda text: record(text.encode())),
            summary=events(lambda text: record(b"\x10\x01\x2a" + varint(len(text.encode())) + text.encode())),
        )  # fmt: skip

    def test_weights(self):
        def header(document):
            data = json.dumps(document).encode()
            return struct.pack("<Q", len(data)) + data

        def whole(path):
            facts = config_for.facts_of_file(path)
            for facts.asked in (None, "sdxl", "flux", "qwen-image", "ltx-2", "llm"):
                for trainer in config_for.TRAINERS:
                    with contextlib.suppress(CommandError):
                        config_for.write(facts, trainer, "x")

        keys = (
            "ss_optimizer",
            "ss_network_args",
            "ss_resolution",
            "ss_datasets",
            "ss_training_comment",
            "ss_output_name",
            "modelspec.date",
            "ss_base_model_version",
            "ss_network_module",
            "ot_config",
            "lora_adapter_metadata",
        )
        self.check(
            raw=self.file("a.safetensors", lambda p: (adapter.Adapter(p), read_header(p)), lambda text: struct.pack("<Q", len(text.encode())) + text.encode()),
            names=self.file(
                "b.safetensors", lambda p: weight_file.WeightFileRun(adapter.Adapter(p)),
                lambda text: header({text[at : at + 990] + str(at): {"dtype": "F16", "shape": [4, 4], "data_offsets": [0, 0]} for at in range(0, len(text), 990)}),
            ),
            metadata=self.file(
                "c.safetensors", whole,
                lambda text: header({"__metadata__": dict.fromkeys(keys, text[:SIZE // 10]), "a.lora_down.weight": {"dtype": "F16", "shape": [4, 4], "data_offsets": [0, 0]}}),
            ),
        )  # fmt: skip

    def test_data(self):
        folder = self.folder / "data"
        folder.mkdir()
        (folder / "a.png").touch()

        def captions(text):
            (folder / "a.txt").write_bytes(text.encode())
            datasets.collect([Source(folder, every_line=True)])

        def rows(ending):
            return self.file(f"rows{ending}", lambda p: datasets.collect([Source(p, is_file=True)]))

        self.check(
            captions=captions, json=rows(".json"), jsonl=rows(".jsonl"), csv=rows(".csv"), txt=rows(".txt"),
            prompts=self.file("p.txt", read_prompts), prompts_toml=self.file("p.toml", read_prompts), prompts_json=self.file("p.json", read_prompts),
        )  # fmt: skip

    def test_names_of_files(self):
        trainer = Generic([], ".")
        names = [(unit * 250)[:250] for unit in REPEATED if "/" not in unit]

        def work(text):
            for name in [*names, text[:200]]:
                trainer.classify(name + ".safetensors")

        self.check(names=work)

    def test_a_whole_console(self):
        def work(text):
            console = Console(self.folder / "console.log.gz", lambda line, _: read_bar(line))
            for at in range(0, len(text), 65_536):
                console.feed("stdout", text[at : at + 65_536].encode())
            console.tail()
            console.last_exception()
            console.close()

        for unit in ('"', " ", "\r", "\n", "1", "%|", "\x1b[", "a.", "界"):
            self.assertLess(self.measure(work, filled(unit, SIZE)), MOST, repr(unit))


def varint(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out) + bytes([value])


if __name__ == "__main__":
    sys.exit(__import__("unittest").main())
