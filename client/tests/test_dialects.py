"""Dialects that people write: the example of docs/dialects.md, from its text to a recorded run, and what is refused."""

import json
import re
import struct
import sys

from lora_ledger.trainers import recognise
from lora_ledger.trainers.dialect_file import faults_of, line_of
from lora_ledger.trainers.templates import LONGEST, FileName, Line
from tests.helpers import ROOT, ClientCase, TemporaryCase

PAGE = (ROOT / "docs" / "dialects.md").read_text("utf-8")
CONFIG, DIALECT = (re.search(rf"```{kind}\n(.*?)```", PAGE, re.S)[1] for kind in ("yaml", "toml"))

TRAINER = """
import pathlib, shutil, sys
out = pathlib.Path("out/cat")
out.mkdir(parents=True)
print("loading the model: loss 9.9", flush=True)
for step in range(10, 61, 10):
    print(f"step {step}/60 | loss {1 / step:.4f} | lr 2.0e-04", flush=True)
    shutil.copy("adapter.safetensors", out / f"cat-step{step}.safetensors")
shutil.copy("adapter.safetensors", out / "cat.safetensors")
print("training finished")
"""


class LineTest(TemporaryCase):
    def test_values(self):
        cases = [
            (
                "step {step}/{total} | loss {loss}",
                "x step 3/ 10 | loss 1e-3 | lr 2",
                {"step": 3, "total": 10, "loss": 1e-3},
            ),
            ("step {step} loss {loss}", "step  3   loss\t nan", {"step": 3, "loss": "nan"}),
            (
                "Step {step} | loss:{loss} lr:{lr}",
                "Step 7 | loss:0.5 lr:2e-4 x:1",
                {"step": 7, "loss": 0.5, "lr": 2e-4},
            ),
            ("it {step} {} loss: {loss} |", "it 1 | a loss: x | loss: 0.5 |", {"step": 1, "loss": 0.5}),
            ("{epoch}|{step}|Loss: {loss}", "1|12|Loss: 1.5:  8%|", {"epoch": 1, "step": 12, "loss": 1.5}),
            ("step {step} loss {loss}", "step 1.5 loss 2", None),
            ("step {step} loss {loss}", "step 1 loss 1.2.3", None),
            ("step {step} loss {loss}", "step one, step 2 loss 3", {"step": 2, "loss": 3}),
            ("{step} {loss} ▼", "     5    4.139 ▼    2,039      0.1k", {"step": 5, "loss": 4.139}),
            ("{step} {loss} ▼", "     1    val 4.141    0.01s", None),
            ("loss {loss}", "loss", None),
        ]
        for template, line, expected in cases:
            with self.subTest(line):
                found = Line(template).values(line)
                if expected and expected["loss"] == "nan":
                    self.assertNotEqual(found["loss"], found["loss"])
                else:
                    self.assertEqual(found, expected)

    def test_hostile_lines_take_linear_time(self):
        template = Line("a {} b {} c {loss}")
        for line in ("a b " * 1000, "a " * 2000, "a " + "b " * 1998, "b c " * 1000):
            self.assertIsNone(template.values(line[:LONGEST]))
        self.assertIsNone(template.values("a b c 1" + " " * LONGEST))

    def test_file_names(self):
        name = FileName("v{}/{name}-step{step}.safetensors", {"name": "a.b+c"})
        self.assertEqual(name.values("v0-x/a.b+c-step00012.safetensors"), {"step": 12})
        self.assertIsNone(name.values("v0/y/a.b+c-step1.safetensors"))
        self.assertIsNone(name.values("v0/axb+c-step1.safetensors"))


class FileTest(TemporaryCase):
    def test_the_example_is_right(self):
        table, faults = faults_of(DIALECT)
        self.assertEqual(faults, [])
        self.assertEqual(table["name"], "tinylora")

    def test_mistakes_are_named_by_line(self):
        for before, after, line, what in (
            ('commands = ["tinylora.py"]', 'commands = "tinylora.py"', 4, "is no list"),
            ("lora_rank =", "lora_rnak =", 12, "lora_rnak is no word"),
            ("lora_alpha = { keys", "lora_alpha = { kyes", 13, "kyes is no word"),
            ("max_steps = { keys = [", 'max_steps = { or = { keys = "steps" }, keys = [', 14, "or.keys is no list"),
            ("[console]", "[consol]", 19, "is no word"),
            ('lines = ["step {step}/{total} | loss {loss} | lr {lr}"]', 'lines = ["loss"]', 20, "no field"),
            ('final = ["{name}', 'final = ["../{name}', 28, "below the output folder"),
            ('"{name}-step{step}', '"{name}{step}{}{}', 29, "nothing between"),
            ('name = "tinylora" ', "x = 1 ", 1, "no word"),
        ):
            with self.subTest(after):
                self.assertIn(before, DIALECT)
                faults = faults_of(DIALECT.replace(before, after, 1))[1]
                self.assertRegex(faults[0], f"^line {line}: .*{what}")

    def test_broken_toml_and_what_is_no_dialect(self):
        for text in ("name = [", "", "\0", "name = 3", "a" * 30_000, "[recognise]\nkeys = []\n", "kinds = [1]"):
            with self.subTest(text[:20]):
                self.assertTrue(faults_of(text)[1])

    def test_lines_of_tables_in_lists(self):
        text = '[[kinds]]\nkind = "a"\n[[kinds]]\nkind = "b"\n'
        self.assertEqual(line_of(text, ("kinds", 1, "kind")), 4)


class RecogniseTest(TemporaryCase):
    def test_settings_are_found(self):
        table, _ = faults_of(DIALECT)
        found = recognise(["python", "tinylora.py", "--config", "cat.yaml"], CONFIG, self.folder, None, table)
        self.assertEqual((found.name, found.task_name(), found.total_steps()), ("tinylora", "cat", 60))
        self.assertEqual(found.output_folder(), self.folder / "out" / "cat")

    def test_without_settings_the_defaults_count(self):
        table, _ = faults_of(DIALECT)
        found = recognise(["python", "tinylora.py"], None, self.folder, None, table)
        self.assertEqual((found.output_folder(), found.total_steps()), (self.folder / "out", None))


class RunTest(ClientCase):
    def setUp(self):
        super().setUp()
        self.serve()
        (self.folder / "tinylora.py").write_text(TRAINER, "utf-8")
        (self.folder / "cat.yaml").write_text(CONFIG, "utf-8")
        (self.folder / "tinylora.toml").write_text(DIALECT, "utf-8")
        header = {"a.lora_A.weight": {"dtype": "F32", "shape": [1, 1], "data_offsets": [0, 4]}}
        text = json.dumps(header).encode()
        (self.folder / "adapter.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(4))

    def test_the_example_is_recorded(self):
        command = [sys.executable, "tinylora.py", "--config", "cat.yaml"]
        code, _, err = self.run_client("run", "--dialect", "tinylora.toml", "--", *command)
        self.assertEqual(code, 0, err)
        task = self.server.tasks[1]
        self.assertEqual(task["fields"]["dialect"], DIALECT)
        self.assertEqual((task["status"], task["finish"]["exit_code"]), ("success", 0))
        self.assertEqual(self.server.points(1, "loss"), {step: round(1 / step, 4) for step in range(10, 61, 10)})
        self.assertEqual(set(self.server.points(1, "lr").values()), {2e-4})
        self.assertEqual(self.server.progress(1)["total_steps"], 60)
        kinds = {w["filename"]: (w["kind"], w.get("step")) for w in self.server.weights.values()}
        self.assertEqual(kinds["cat.safetensors"][0], "final")
        self.assertEqual(kinds["cat-step20.safetensors"], ("checkpoint", 20))

    def test_mistakes_keep_the_trainer_from_starting(self):
        (self.folder / "tinylora.toml").write_text(DIALECT.replace("lines =", "line ="), "utf-8")
        code, _, err = self.run_client("run", "--dialect", "tinylora.toml", "--", sys.executable, "tinylora.py")
        self.assertEqual(code, 2)
        self.assertRegex(err, r"line 20: console\.line is no word of this form")
        self.assertFalse((self.folder / "out").exists())

    def test_check(self):
        code, out, err = self.run_client("dialect", "check", "tinylora.toml")
        self.assertEqual((code, out.decode().strip()), (0, "tinylora.toml is a dialect for tinylora"), err)
