"""The client in Chinese: every sentence that a person sees has one, and real processes say it where the locale is Chinese."""

import argparse
import ast
import json
import re
import string
import subprocess
import sys
import unittest
from pathlib import Path

from lora_ledger.chinese import SENTENCES, SYSTEM
from lora_ledger.core.language import Sentence, join_texts, t
from tests.helpers import SOURCE, ClientCase
from tests.test_commands_import import linear, write_weights

ROOT = SOURCE / "lora_ledger"
# Its own modules, and lists of words that nobody reads.
APART = re.compile(r"^(chinese/|core/language\.py|core/redact|core/run_fields\.py|trainers/declarations\.py)")
# Calls whose words are seen: the positions and names of those arguments.
SEEN = {
    "put": (0,), "prompt_for": (0,), "notice": (0,), "warn": (0,), "warn_once": (1,), "Progress": (0,), "end": (0,), "refusal": (0,),
    "Finding": (0, 1, 2), "add_argument": ("help",), "add_parser": ("help", "description", "epilog", "usage"),
    "add_command": (2, 3), "add_argument_group": (0,), "Parser": ("description", "epilog"), "error": (0,),
}  # fmt: skip
# Lists of what a person is shown later.
LISTS = {"problems", "missing", "wrong", "left", "told", "parts"}
# Calls whose strings are patterns, keys and names.
MACHINE = re.compile(
    r"(^|\.)(compile|sub|match|fullmatch|search|findall|split|replace|execute|_query|strptime|strftime|cast|startswith|"
    r"endswith|get|getattr|getheader|strip|partition|encode|decode|environ|isinstance|join|section|open|pop|ljust)$"
)
# What argparse raises where its caller is wrong.
MISUSE = re.compile(
    r"callable|invalid argument for|__call__|dest=|must start with|conflict|subparser arguments|groups are|mutually|with mode"
)
# Words of argparse of some Python, of 3.9 and later.
ARGPARSE = (
    "optional arguments", "options", "subcommands", "%(heading)s:", " (default: %(default)s)",
    "%(prog)s: warning: %(message)s\n", "argument %(argument_name)s: %(message)s",
    "argument '%(argument_name)s' is deprecated", "command '%(parser_name)s' is deprecated",
    "option '%(option)s' is deprecated",
    "invalid choice: %(value)r, maybe you meant %(suggestion)r? (choose from %(choices)s)",
)  # fmt: skip
LANGUAGES = ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG", "LORA_LEDGER_LANG")
# Endings of English words, which Chinese has not.
ENDINGS = {"s", "s2", "be"}
# Prose that no person reads as a message of this client, by the beginning of it.
NOT_SEEN = {
    "recording/host.py": ("import importlib.metadata",),
    "recording/console.py": ("\n[ledger] ", "model saved"),
    "imports/archive.py": ("attempt status", "name source_path"),
    "imports/fields.py": ("failed because", "jan feb"),
    "commands/enrol.py": ("accelerate launch",),
    "follow/gpu_amd.py": (
        "AMD GPU",
        "card series",
        "device name",
        "card model",
        "gpu use",
        "vram total",
        "temperature (sensor",
        "average graphics",
        "current socket",
        "driver version",
    ),
    "follow/gpu_apple.py": ("Apple GPU", "Device Utilization", "GPU Activity"),
    "follow/gpu_ascend.py": ("Ascend NPU", "Chip ID", "aicore usage", " capacity(", " usage rate("),
    "follow/lines.py": (r"\bsteps: (",),
    "follow/sqlite_log.py": ("rowid, step",),
    "follow/tensorboard.py": ("varint too long", "wire type", "field runs over"),
    "follow/told.py": ("train loss", "training loss", "total loss", "lm loss"),
    "trainers/ai_toolkit.py": ("Error running job:",),
    "trainers/kohya.py": ("model saved.",),
    "trainers/transformers.py": ("Model successfully saved to",),
    "commands/config_kohya.py": ("full lokr",),
}


# Classes that hold what a configuration's text is made from.
DRAFTS = ("Draft", "Facts")


def fields_of(pattern):
    return {name for _, name, _, _ in string.Formatter().parse(pattern) if name is not None}


def words_of(pattern):
    """The text of a pattern without its fields."""
    return "".join(text for text, *_ in string.Formatter().parse(pattern))


def is_prose(text):
    return len(re.findall(r"(?<![\w<{/.-])[a-z']{2,}(?![\w>/_=])", text)) > 1 and re.search(r"[a-z,;:] [a-z`{(]", text)


def is_example(text):
    """Whether all lines of it are commands, which are the same in every language."""
    return all(
        re.match(r"\s*`?(lora-ledger |LEDGER_KEY=|WANDB_API_KEY=|--|curl |chmod )|\s*$", line)
        for line in text.split("\n")
    )


def patterns(tree):
    """The calls of `t` and `known` with a literal sentence."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("t", "known")
            and node.args
        ):
            yield node, node.args[0]


class Walk:
    """The faults of a module: what people see of it and cannot read in Chinese."""

    def __init__(self, path, source):
        self.path = path
        self.tree = ast.parse(source)
        self.faults = []
        self.parents = {child: node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)}
        for node, first in patterns(self.tree):
            self._sentence(node, first)
        for node in ast.walk(self.tree):
            if isinstance(node, (ast.Constant, ast.JoinedStr)):
                self._text(node)

    def _fault(self, node, why):
        self.faults.append(f"{self.path}:{node.lineno}: {why}")

    def _sentence(self, node, first):
        if not (isinstance(first, ast.Constant) and isinstance(first.value, str)):
            if node.func.id == "t":
                self._fault(node, "t takes a literal sentence")
            return
        english = first.value
        if node.func.id == "t" and fields_of(english) != {word.arg for word in node.keywords}:
            self._fault(node, f"the fields of {english!r} are not those that are given")
        if not re.search("[A-Za-z]{2}", words_of(english)):
            return
        chinese = SENTENCES.get(english)
        if chinese is None:
            self._fault(node, f"no Chinese sentence for {english!r}")
        elif fields_of(chinese) != fields_of(english) - ENDINGS:
            self._fault(node, f"other fields in {chinese!r} than in {english!r}")

    def _text(self, node):
        """A literal that people see, outside of `t`."""
        if isinstance(node, ast.JoinedStr):
            text = "\0".join(part.value for part in node.values if isinstance(part, ast.Constant))
        elif isinstance(node.value, str):
            text = node.value
        else:
            return
        seen, field = False, False
        below, above = node, self.parents[node]
        while not isinstance(above, (ast.stmt, ast.comprehension, ast.Call)):
            if self._names_something(above, below):
                return
            below, above = above, self.parents[above]
        # A documentation string.
        if isinstance(above, ast.Expr) and below is node:
            return
        if isinstance(above, ast.Call) and below is not above.func:
            name = ast.unparse(above.func)
            last = name.rsplit(".", 1)[-1]
            place = above.args.index(below) if below in above.args else getattr(below, "arg", None)
            field = last == "t"
            if MACHINE.search(name) or (field and place == 0) or (last in SEEN and place not in SEEN[last]):
                return
            in_list = last == "append" and "." in name and name.split(".")[-2] in LISTS
            # A method of that name puts a value into its own object.
            seen = (
                (last in SEEN and name != "self.put")
                or in_list
                or (last.endswith("Error") and place == 0)
                or (field and " " in text)
            )
        words = text.replace("\0", "")
        if not is_prose(words) and not (seen and re.search("[A-Za-z]{2}", words)):
            return
        if not seen and self._is_of_a_file(node):
            return
        # Lists of words that tables are read by.
        if re.search("[|\u4e00-\u9fff]", text) or is_example(text) or text.startswith(NOT_SEEN.get(self.path, "\0")):
            return
        self._fault(node, f"{text!r} is not said by t")

    def _is_of_a_file(self, node):
        """Whether a literal is in a function that writes a configuration's text, which is the same in all languages:
        one that takes a Draft or Facts, or a method of these. What such a function raises is seen."""
        while node in self.parents:
            node = self.parents[node]
            if isinstance(node, ast.Raise):
                return False
            if isinstance(node, ast.ClassDef) and node.name in DRAFTS:
                return True
            if isinstance(node, ast.FunctionDef):
                names = [ast.unparse(arg.annotation) for arg in node.args.args if arg.annotation]
                if set(names) & set(DRAFTS):
                    return True
        return False

    @staticmethod
    def _names_something(above, below):
        """Whether a literal is a key, a default, an index, what something is compared with, or part of a formatted one."""
        return (
            isinstance(above, (ast.Compare, ast.JoinedStr, ast.arguments))
            or (isinstance(above, ast.Subscript) and below is above.slice)
            or (isinstance(above, ast.Dict) and below in above.keys)
        )


def faults():
    """The faults of all modules, and the sentences that they say."""
    found, said = [], set()
    for path in sorted(ROOT.rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if APART.match(name):
            continue
        walk = Walk(name, path.read_text("utf-8"))
        found += walk.faults
        said |= {first.value for _, first in patterns(walk.tree) if isinstance(first, ast.Constant)}
    return found, said


def argparse_words():
    """What argparse says to people; what it says to programmers is no part of it."""
    tree = ast.parse(Path(argparse.__file__).read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("_", "ngettext"):
            # Its own misuse is raised as these.
            yield from (
                word.value for word in node.args if isinstance(word, ast.Constant) and not MISUSE.search(word.value)
            )


class SentencesTest(unittest.TestCase):
    def test_every_message_has_a_chinese_sentence(self):
        found, said = faults()
        self.assertEqual(found, [])
        self.assertGreater(len(said), 700)

    def test_every_chinese_sentence_is_said(self):
        said = faults()[1] | set(ARGPARSE) | set(argparse_words())
        separators = {", ", "; ", " and ", " or "}
        self.assertEqual([english for english in SENTENCES if english not in said | separators], [])
        self.assertEqual([english for english in SYSTEM if not re.match("[A-Z]|timed out", english)], [])

    def test_the_sentences_are_chinese(self):
        for english, chinese in {**SENTENCES, **SYSTEM}.items():
            self.assertTrue(re.search("[\u4e00-\u9fff，。；：、（）]", chinese), english)
            # What argparse fills in stays, and no half-width mark stands after a Chinese word.
            self.assertEqual(
                sorted(re.findall(r"%\(?\w*\)?[sr]", english)), sorted(re.findall(r"%\(?\w*\)?[sr]", chinese))
            )
            self.assertIsNone(re.search("[\u4e00-\u9fff][,;:?!]( |$)", chinese), chinese)
            for command in re.findall("`lora-ledger [a-z]+[^`]*`|--[a-z-]+|LEDGER_[A-Z_]+[A-Z]", chinese):
                self.assertIn(command.split(" 命令")[0].split("名称")[0].strip("`"), english)

    def test_argparse_has_no_other_words(self):
        self.assertEqual([word for word in argparse_words() if word not in SENTENCES], [])

    def test_a_fault_is_found(self):
        for source, why in (
            ('put("no run is here")', "is not said by t"),
            ('put(f"task {n} is here")', "is not said by t"),
            ('terminal.warn_once("topic", "gone")', "is not said by t"),
            ('raise CommandError("gone")', "is not said by t"),
            ('parser.add_argument("--x", help="how many")', "is not said by t"),
            ('reason = "the file is still being written"', "is not said by t"),
            ('put(t("no such sentence in the catalogue"))', "no Chinese sentence"),
            ('put(t("{path} cannot be written ({error})", path=1))', "not those that are given"),
            ('put(t(f"task {n}"))', "takes a literal"),
            ('put(t("task {task}: {line}", task=1, line="is not here"))', "is not said by t"),
            ('def f():\n    yield "this is no word"', "is not said by t"),
            ('def kohya(draft: Draft):\n    raise CommandError("no such thing")', "is not said by t"),
        ):
            self.assertIn(why, "".join(Walk("commands/planted.py", source).faults), source)
        for source in (
            'put(t("no runs yet"))',
            'x = d["the key"]',
            'put(f"{a}  {b}")',
            'parser.add_argument("--x", metavar="NAME")',
            'def kohya(draft: Draft):\n    draft.fill("seed", "a number, such as this")',
        ):
            self.assertEqual(Walk("commands/planted.py", source).faults, [])


class SentenceTest(unittest.TestCase):
    def test_it_is_english_to_machines_and_knows_its_chinese(self):
        sentence = t("task {task}: {line}", task=t("a run"), line=join_texts("; ", [t("no runs yet"), "x"]))
        self.assertEqual(json.dumps({"a": sentence}), '{"a": "task a run: no runs yet; x"}')
        self.assertEqual(sentence.chinese(), "训练 一个训练：还没有训练；x")
        for kept in (
            str(ValueError(sentence)),
            "a " + sentence,
            sentence + " b",
            t("user: {name}", name=ValueError(sentence)),
        ):
            self.assertIn("还没有训练；x", Sentence.chinese(kept))
        # A name that is also a sentence, or holds braces, stays as it is; what the operating system says does not.
        said = t("{path} cannot be written ({error})", path="no runs yet {x}", error="Permission denied")
        self.assertEqual(said.chinese(), "no runs yet {x} 无法写入（没有权限）")


class LocaleTest(ClientCase):
    def said(self, *arguments, **variables):
        """(exit code, stdout, stderr) of a client where these variables alone name a language."""
        env = {k: v for k, v in self.environment().items() if k not in LANGUAGES}
        env.update(variables)
        done = subprocess.run(
            [sys.executable, "-m", "lora_ledger", *arguments], env=env, capture_output=True, timeout=60
        )
        encoding = variables.get("PYTHONIOENCODING", "utf-8")
        return done.returncode, done.stdout.decode(encoding), done.stderr.decode(encoding)

    def test_the_language_is_that_of_the_locale(self):
        chinese, english = "[ledger] 没有设置 LEDGER_URL", "[ledger] LEDGER_URL"
        away = {"LEDGER_URL": "", "LEDGER_LOGIN": str(self.folder / "none.json")}
        for variables, begins in (
            ({"LANG": "zh_CN.UTF-8"}, chinese),
            ({"LANG": "zh_TW.UTF-8"}, chinese),
            ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "zh_CN.UTF-8"}, chinese),
            ({"LANG": "zh_CN.UTF-8", "LC_ALL": "en_US.UTF-8"}, english),
            ({"LANG": "en_US.UTF-8", "LANGUAGE": "zh_CN:en"}, chinese),
            ({"LANG": "zh_CN.UTF-8", "LANGUAGE": "en_GB:zh"}, english),
            ({"LANG": "zh_CN.UTF-8", "LANGUAGE": "fr:de"}, chinese),
            ({"LC_ALL": "C", "LANGUAGE": "zh_CN", "LANG": "zh_CN.UTF-8"}, english),
            ({"LANG": "C.UTF-8", "LANGUAGE": "zh_CN"}, chinese),
            ({}, english),
            ({"LANG": "zh_CN.UTF-8", "LORA_LEDGER_LANG": "en"}, english),
            ({"LC_ALL": "C", "LORA_LEDGER_LANG": "zh"}, chinese),
        ):
            code, out, err = self.said("ls", **away, **variables)
            self.assertEqual((code, out), (1, ""))
            self.assertTrue(err.startswith(begins), (variables, err))

    def test_a_terminal_shows_what_it_can(self):
        for encoding, shows in (
            ("gbk", True),
            ("gb18030", True),
            ("big5", False),
            ("ascii", False),
            ("latin-1", False),
        ):
            for arguments in (("--help",), ("ls", "--limit", "x"), ("login", "--help"), ("doctor",)):
                code, out, err = self.said(*arguments, LANG="zh_CN.UTF-8", PYTHONIOENCODING=encoding)
                self.assertNotIn("Traceback", err)
                self.assertEqual(bool(re.search("[\u4e00-\u9fff]", out + err)), shows, (encoding, arguments, out + err))
                self.assertEqual(code, {"--help": 0, "ls": 2, "login": 0, "doctor": 1}[arguments[0]])

    def test_help_is_chinese_to_its_last_word(self):
        commands = re.findall(r"^    ([a-z]+)\b", self.said("--help")[1], re.M)
        self.assertGreater(len(commands), 18)
        for command in ("", *commands):
            code, out, err = self.said(*[command] * bool(command), "--help", LANG="zh_CN.UTF-8", COLUMNS="100")
            self.assertEqual((code, err), (0, ""))
            # Outside of examples there are no three English words in a row.
            lines = (re.sub("`[^`]*`|config[.]|accelerate.*|= != .*", "", line) for line in out.splitlines())
            prose = [line for line in lines if "lora-ledger" not in line and not line.lstrip().startswith("--")]
            self.assertEqual([line for line in prose if re.search(r"\b[a-z]{2,} [a-z]{2,} [a-z]{2,}\b", line)], [])
            for line in out.splitlines():
                if line.startswith("  -") or line.startswith(" " * 20):
                    self.assertLessEqual(sum(2 if ord(c) > 0x2E7F else 1 for c in line), 100, line)

    def test_what_is_wrong_with_a_file_is_said_in_chinese(self):
        dialect = self.folder / "bad.toml"
        dialect.write_text('name = "tiny"\n[recognise]\nkeys = "a"\n[console]\nlimes = ["step {step}"]\n', "utf-8")
        code, _, err = self.said("dialect", "check", str(dialect), LANG="zh_CN.UTF-8")
        self.assertEqual(code, 2)
        self.assertIn("第 3 行：recognise.keys 不是列表", err)
        self.assertIn("第 5 行：console.limes 不是这种格式里的词", err)
        # What was read from a file by a text within a sentence is Chinese, too.
        weights = write_weights(self.folder / "aki.safetensors", {}, linear(16, 8))
        code, _, err = self.said("config", str(weights), "--for", "kohya", LANG="zh_CN.UTF-8")
        self.assertEqual(code, 2)
        self.assertIn("看不出它的架构；请用 --arch 说明", err)
        config = self.folder / "bad.yaml"
        config.write_text("a: [1\n", "utf-8")
        self.serve()
        run = ("run", "--config", str(config), "--", *self.script("pass"))
        self.assertIn("bad.yaml 读出任何设置：第 2 行：有一个括号没有闭合", self.said(*run, LANG="zh_CN.UTF-8")[2])

    def test_a_configuration_is_the_same_in_both_languages(self):
        weights = write_weights(
            self.folder / "aki.safetensors", {"ss_base_model_version": "sdxl_base_v1-0"}, linear(16, 8)
        )
        for trainer in ("kohya", "ai-toolkit", "diffusion-pipe", "diffusers", "simpletuner"):
            made = ("config", str(weights), "--for", trainer)
            english, chinese = self.said(*made), self.said(*made, LANG="zh_CN.UTF-8")
            self.assertEqual(english[0], 0, english)
            self.assertEqual(english[:2], chinese[:2])

    def test_why_a_run_failed_reaches_the_ledger_in_english(self):
        self.serve()
        dialect = self.folder / "tiny.toml"
        dialect.write_text(
            'name = "tiny"\n[recognise]\nkeys = ["tiny"]\n[console]\nlines = ["step {step}/{total}"]\n'
            '[files]\noutput = ["out"]\nfinal = ["{name}.safetensors"]\n',
            "utf-8",
        )
        run = ("run", "--dialect", str(dialect), "--output-dir", str(self.folder / "out"), "--")
        self.said(*run, *self.script("print('step 1/2', flush=True)"), LANG="zh_CN.UTF-8")
        self.assertEqual(
            self.server.tasks[1]["finish"]["error_message"],
            "the trainer ended with exit code 0 but wrote no final weights",
        )

    def test_machines_read_the_same_in_both_languages(self):
        self.serve()
        for arguments in (("ls", "--json"), ("export", "--format", "csv"), ("--version",)):
            english, chinese = self.said(*arguments), self.said(*arguments, LANG="zh_CN.UTF-8")
            self.assertEqual(english[:2], chinese[:2])
        run = ("run", "--name", "aki", "--", *self.script("raise SystemExit(3)"))
        code, _, err = self.said(*run, LANG="zh_CN.UTF-8")
        self.assertEqual(code, 3)
        self.assertIn("记录为训练 1：", err)
        self.assertIn("failed", err)
        task = self.server.tasks[1]
        self.assertNotRegex(json.dumps(task, ensure_ascii=False, default=str), "[\u4e00-\u9fff]")


if __name__ == "__main__":
    unittest.main()
