"""The YAML reader: the forms that people write, and thousands of documents read as PyYAML reads them."""

import json
import random
import unittest
from pathlib import Path

from lora_ledger.core.errors import NoYamlError
from lora_ledger.core.yaml_reader import DEPTH, LIMIT, parse_yaml, read_yaml, scalar
from lora_ledger.trainers.launch import fault_of, read_document
from tests.helpers import EXAMPLE, TemporaryCase
from tests.yaml_documents import Documents, reference, same

try:
    import yaml
except ImportError:
    yaml = None

# Made by yaml_documents: [text, what PyYAML reads] or, where it refuses the text, [text].
CORPUS = Path(__file__).with_name("yaml_corpus.jsonl")
COUNT = 4000


class FormsTest(TemporaryCase):
    def reads(self, **texts):
        for text, value in texts.values():
            with self.subTest(text=text):
                self.assertTrue(same(parse_yaml(text), value), parse_yaml(text))

    def test_escapes(self):
        self.reads(
            json=('name: "\\u98ce\\u683cv2"', {"name": "风格v2"}),
            pair=('"\\ud83d\\ude00 \\U0001F600 \\x41"', "😀 😀 A"),
            lone=('"\\ud83d"', "\ufffd"),
            signs=('"\\t\\n\\e\\0\\_\\N\\/\\\\\\"\\ "', '\t\n\x1b\0\xa0\x85/\\" '),
            lines=('"a  \n  b\n\n  c\\\n   d"', "a b\ncd"),
            single=("'it''s\n  two\\n'", "it's two\\n"),
        )

    def test_texts_of_several_lines(self):
        self.reads(
            kept=("a: |\n  one\n   two\n\nb: 1", {"a": "one\n two\n", "b": 1}),
            folded=("a: >\n  one\n  two\n\n  three\n   deep\n", {"a": "one two\nthree\n deep\n"}),
            stripped=("a: |-\n  one\n\n", {"a": "one"}),
            all_kept=("a: |+\n  one\n\nb: 1", {"a": "one\n\n", "b": 1}),
            indented=("a: |2-\n    one\n   two", {"a": "  one\n two"}),
            mark=("a: | # not part of it\n  # part of it\n", {"a": "# part of it\n"}),
            plain=("a: one\n  two\n\n  three # end\nb: 1", {"a": "one two\nthree", "b": 1}),
        )

    def test_names_and_merges(self):
        text = "base: &b {lr: 1e-4, steps: 10}\nrun:\n  <<: *b\n  steps: 20\nboth:\n  <<: [{steps: 5}, *b]\n"
        read = parse_yaml(text)
        self.assertEqual(read["run"], {"lr": 1e-4, "steps": 20})
        self.assertEqual(read["both"], {"lr": 1e-4, "steps": 5})
        self.assertEqual(parse_yaml("- &x a\n- *x\n- *x\n"), ["a", "a", "a"])

    def test_words_and_numbers(self):
        self.reads(
            old=("[yes, No, ON, off, ~, Null, '', tRUE]", [True, False, True, False, None, None, "", "tRUE"]),
            bases=("[010, 0x1F, 0b101, 1_000, 08, 0o14, 1:30]", [8, 31, 5, 1000, "08", "0o14", 90]),
            reals=("[1.5, .5, -.5, 1e-4, 1.0e-05, 2E6, .inf, 1:30.5]", [1.5, 0.5, -0.5, 1e-4, 1e-5, 2e6, float("inf"), 90.5]),
            dates=("[2024-01-01, 2024-13-99]", ["2024-01-01", "2024-13-99"]),
            tags=('[!!str 1, !!int "3", !!float 3, !!bool "yes", ! 4]', ["1", 3, 3.0, True, 4]),
            names=("{1: a, yes: b, null: c}", {"1": "a", "yes": "b", "null": "c"}),
        )  # fmt: skip

    def test_whole_documents(self):
        self.reads(
            marks=("%YAML 1.1\n---\na: 1\n...\n# end\n", {"a": 1}),
            windows=("\ufeffa: 1\r\nb:\r\n- c\r\n", {"a": 1, "b": ["c"]}),
            brackets=("a: {b: [1,\n  2, # two\n 3,],\n c: d}\n", {"a": {"b": [1, 2, 3], "c": "d"}}),
            json=('{"a": [1, 2.5, null, true, "\\u00e9"], "b":{"c":"d"}}', {"a": [1, 2.5, None, True, "é"], "b": {"c": "d"}}),
            nothing=("# only this\n", None),
            masked=("token: [redacted]\nurl: x[redacted]y\nlist: ['[redacted]']", {"token": "[redacted]", "url": "x[redacted]y", "list": ["[redacted]"]}),
        )  # fmt: skip

    def test_what_cannot_be_read_names_its_line(self):
        for text, reason in (
            ("a: 1\nb: !!python/object/apply:os.system [ls]", "line 2: the tag !!python/object/apply:os.system would"),
            ("a: 1\nb: c: d", "line 2: a `:` stands here that follows no key"),
            ("a:\n\tb: 1", "line 2: a tab stands where only spaces may"),
            ("a: [1\nb: 2", "line 2: unexpected"),
            ('a: "C:\\path"', "line 1: \\p is no escape"),
            ("a: 1\n---\nb: 2", "line 2: a second document"),
            ("a: *b", "line 1: nothing above is named &b"),
            ("a: &a [*a]", "line 1: nothing above is named &a"),
            ("a: &a\n  b: *a", "line 2: *a stands within what it names"),
            ("a: 1\n  b: 2", "line 2: "),
            ("a: 'b", "line 1: a quote is not closed"),
            ("a: \x01", "line 1: the character #x0001"),
            ("- " * (DEPTH + 2) + "x", "line 1: it nests deeper than"),
            ("[" * (DEPTH + 2), "line 1: it nests deeper than"),
            ("\n".join(" " * n + "a:" for n in range(500)), "line 101: it nests deeper than"),
            ("a: " + "9" * 5000, "line 1: a number has more than"),
            ("x" * (LIMIT + 1), "more than 500,000 characters"),
            ("b: &b [x, x, x, x, x, x, x, x, x]\n" + "".join(f"{n}: &b{n} [{', '.join(['*b' + str(n - 1 or '')] * 9)}]\n" for n in range(1, 9)), "line 5: aliases expand"),
        ):  # fmt: skip
            with self.assertRaises(NoYamlError, msg=text[:40]) as raised:
                parse_yaml(text)
            self.assertIn(reason, str(raised.exception))
            self.assertIsNone(read_yaml(text))

    def test_it_raises_nothing_else(self):
        for text in (
            "",
            "x",
            "- ",
            ":",
            "a:\n b\n  c: 1",
            "a: [1",
            "- - - -",
            "\t\x00",
            "a: &x *y",
            "{",
            '"',
            "a: '",
            "|",
            "? ",
            "%",
        ):
            read_yaml(text)  # fmt: skip

    def test_one_setting(self):
        self.assertEqual([scalar(t) for t in ("1e-5", "true", "a: b: c", "[1, 2]", "x")], [1e-5, True, "a: b: c", [1, 2], "x"])  # fmt: skip

    def test_settings_of_any_format_and_why_none_are_read(self):
        self.assertEqual(read_document('\ufeff{"a": 1, "b": [}'), {})
        self.assertEqual(read_document('{"a": 1, # YAML\n}'), {"a": 1})
        self.assertEqual(read_document("\ufeffa = 1\n"), {"a": 1})
        for text, name, reason in (
            ("a: b: c", "x.YAML", "line 1: a `:`"),
            ("a = [", "x.toml", ""),
            ('{"a": ', "x.json", ""),
            ("- 1", "x.yml", "no settings with names"),
        ):
            self.assertIn(reason, fault_of(text, name) or "none", text)
            self.assertIsNotNone(fault_of(text, name))
        for text, name in (("a: 1", "x.yaml"), ("", "x.yaml"), ("a: b: c", "x.sh"), ("# none", "x.toml")):
            self.assertIsNone(fault_of(text, name))


class ReferenceTest(TemporaryCase):
    def agree(self, text, expected, refused):
        try:
            read = parse_yaml(text)
        except NoYamlError as error:
            self.assertTrue(refused, f"refused ({error}): {text!r}")
            return
        self.assertFalse(refused, f"read as {read!r}: {text!r}")
        self.assertTrue(same(read, expected), f"{read!r} and not {expected!r}: {text!r}")

    def test_documents_that_are_kept(self):
        rows = [json.loads(line) for line in CORPUS.read_text().splitlines()]
        self.assertGreater(len(rows), 400)
        for row in rows:
            self.agree(row[0], row[-1], len(row) == 1)

    @unittest.skipUnless(yaml, "PyYAML is not installed")
    def test_new_documents_read_as_pyyaml_reads_them(self):
        seed = random.randrange(1 << 30)
        documents, read, refused = Documents(random.Random(seed)), reference(yaml), 0
        for _ in range(COUNT):
            text = documents.one()
            try:
                expected = read(text)
            except Exception:
                # Whatever PyYAML raises: it does not read the text. Some of what it refuses is read here.
                refused += 1
                read_yaml(text)
                continue
            try:
                found = parse_yaml(text)
            except NoYamlError as error:
                # PyYAML makes nothing of `&a !!map` before a text, and a circle of an alias within its own anchor.
                self.assertRegex(str(error), "stands within what it names|the tag !!(map|seq) is none", (seed, text))
                continue
            self.assertTrue(same(found, expected), f"seed {seed}: {found!r} and not {expected!r}: {text!r}")
        self.assertLess(refused, COUNT * 0.9)

    @unittest.skipUnless(yaml, "PyYAML is not installed")
    def test_files_of_trainers(self):
        read = reference(yaml)
        roots = (EXAMPLE.parent, EXAMPLE.parents[1].parent / "shared")
        for path in (path for root in roots if root.is_dir() for path in sorted(root.rglob("*.y*ml"))):
            text = path.read_text("utf-8", "replace")
            try:
                expected, refused = read(text), False
            except Exception:
                expected, refused = None, True
            self.agree(text, expected, refused)
