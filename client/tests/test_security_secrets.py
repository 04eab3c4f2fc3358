"""Secrets of a box: what fills a mark, what leaves the machine, and what a hostile ledger gets out of the client."""

import base64
import gzip
import json
import os
import struct
import sys
import urllib.parse
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

from lora_ledger.commands import downloads, filling, prepare
from lora_ledger.core import terminal, withhold
from lora_ledger.core.api import Api
from lora_ledger.core.errors import CommandError
from lora_ledger.core.journal import Upload
from lora_ledger.core.output import put
from lora_ledger.core.safetensors import read_header, read_metadata
from lora_ledger.core.transport import Answer
from lora_ledger.recording import outgoing
from lora_ledger.recording.config_file import read_config
from lora_ledger.recording.console import Console
from tests.helpers import ClientCase, TemporaryCase
from tests.ledger_server import KEY

VALUE = 'hunter2 "x"/é+z'
MARK = b"[redacted]"


def marks(data, *names, typed=False):
    """What a ledger lists: the marks of the bytes in order under these names."""
    found, at = [], -1
    for name in names:
        at = data.index(MARK, at + 1)
        found.append({"at": at, "name": name, **({"typed": True} if typed else {})})
    return found


class KnownCase(TemporaryCase):
    def setUp(self):
        super().setUp()
        withhold.forget()
        self.addCleanup(withhold.forget)


class FillingTest(KnownCase):
    def plan(self, data, listed, own=True, allowed=(), environment=None, key="the-key-of-this-box"):
        with mock.patch.dict(os.environ, environment or {}, clear=True):
            plan = filling.Filling(own, frozenset(allowed), key)
            found = filling.marks_in_file(listed, data)
            plan.look("my.toml", found, data.count(MARK))
        return plan, filling.fill_file(data, found, plan)

    def test_the_owner_fills_whole_values(self):
        data = b'hf_token = "[redacted]"\nname = "x [redacted]"\n'
        environment = {"HF_TOKEN": "h1", "NAME": "n1"}
        plan, filled = self.plan(data, marks(data, "hf_token"), environment=environment)
        self.assertEqual(filled, b'hf_token = "h1"\nname = "x [redacted]"\n')
        self.assertIn("1 place", plan.left[0])

    def test_the_quotes_are_kept_to(self):
        data = b"a_key = \"[redacted]\"\nb_key = '[redacted]'\nc_key: [redacted]\n"
        listed = marks(data, "a_key", "b_key", "c_key")
        values = {"A_KEY": 'a"\\b', "B_KEY": "it's", "C_KEY": "x: #y"}
        _, filled = self.plan(data, listed, environment=values)
        self.assertEqual(filled, b'a_key = "a\\"\\\\b"\nb_key = "it\'s"\nc_key: "x: #y"\n')
        _, filled = self.plan(data, listed, environment={**values, "B_KEY": "plain"})
        self.assertIn(b"b_key = 'plain'", filled)

    def test_another_users_run_gets_what_was_allowed_by_name(self):
        data = b'hf_token = "[redacted]"\nwandb_api_key = "[redacted]"\n'
        listed = marks(data, "hf_token", "wandb_api_key")
        environment = {"HF_TOKEN": "h1", "WANDB_API_KEY": "w1"}
        plan, _ = self.plan(data, listed, own=False, environment=environment)
        self.assertEqual((plan.values, plan.refused), ({}, ["HF_TOKEN", "WANDB_API_KEY"]))
        self.assertIn("`--allow-secret HF_TOKEN --allow-secret WANDB_API_KEY`", next(plan.explain()))
        plan, filled = self.plan(data, listed, own=False, allowed=["HF_TOKEN"], environment=environment)
        self.assertEqual((plan.values, plan.refused), ({"HF_TOKEN": "h1"}, ["WANDB_API_KEY"]))
        self.assertEqual(filled, b'hf_token = "h1"\nwandb_api_key = "[redacted]"\n')
        # Whether the box has it is told only to whom it may have it.
        plan, _ = self.plan(data, listed, own=False)
        self.assertEqual((plan.unset, plan.refused), ([], ["HF_TOKEN", "WANDB_API_KEY"]))

    def test_a_typed_mark_is_filled_for_its_owner_alone(self):
        data = b'hf_token = "[redacted]"\n'
        listed = marks(data, "hf_token", typed=True)
        environment = {"HF_TOKEN": "h1"}
        self.assertIn(b"h1", self.plan(data, listed, environment=environment)[1])
        plan, filled = self.plan(data, listed, own=False, allowed=["HF_TOKEN"], environment=environment)
        self.assertEqual((filled, plan.refused), (data, []))

    def test_the_ledgers_own_is_never_given(self):
        data = b'ledger_key = "[redacted]"\nLEDGER_SECRET_X = "[redacted]"\nlog.ledger-key = "[redacted]"\n'
        listed = marks(data, "ledger_key", "LEDGER_SECRET_X", "log.ledger-key")
        environment = {"LEDGER_KEY": "k1", "LEDGER_SECRET_LEDGER_KEY": "k2", "LEDGER_SECRET_X": "k3"}
        environment["LEDGER_SECRET_LEDGER_SECRET_X"] = "k4"
        for own in (True, False):
            plan, filled = self.plan(data, listed, own, ["LEDGER_KEY"], environment)
            self.assertEqual((filled, plan.values, plan.unset, plan.refused), (data, {}, [], []))
        data = b'hf_token = "[redacted]"\n'
        held = {"HF_TOKEN": "xx the-key-of-this-box"}
        plan, filled = self.plan(data, marks(data, "hf_token"), environment=held)
        self.assertEqual(filled, data)
        self.assertIn("HF_TOKEN holds the key of this box", plan.left[0])

    def test_what_no_secret_is_called_is_never_given(self):
        data = b'home = "[redacted]"\npath = "[redacted]"\n'
        plan, filled = self.plan(data, marks(data, "home", "path"), environment={"HOME": "/h", "PATH": "/p"})
        self.assertEqual((filled, plan.values), (data, {}))

    def test_a_list_that_does_not_fit_the_file_fills_nothing(self):
        data = b'hf_token = "[redacted]"\n'
        good = marks(data, "hf_token")[0]
        for listed in (
            None, 7, "x", {"at": 1}, [None, 3, [], {}], [{"at": 3, "name": "hf_token"}], [{"at": -10, "name": "hf_token"}],
            [{"at": 1e30, "name": "hf_token"}], [{"at": True, "name": "hf_token"}], [{**good, "name": 5}],
            [{**good, "name": "hf token"}], [{**good, "name": "x" * 1000}], [{**good, "at": 10**30}],
        ):  # fmt: skip
            _, filled = self.plan(data, listed, environment={"HF_TOKEN": "h1"})
            self.assertEqual(filled, data, listed)

    def test_a_command_is_filled_at_the_ends_of_words(self):
        command = ["t", "--hf_token", "[redacted]", "--wandb_api_key=[redacted]", "[redacted] x"]
        listed = [
            {"at": 2, "name": "hf_token"},
            {"at": 3, "name": "wandb_api_key"},
            {"at": 4, "name": "hf_token"},
            {"at": 9, "name": "a_key"},
        ]
        found = filling.marks_in_command(listed, command)
        with mock.patch.dict(os.environ, {"HF_TOKEN": "h1", "WANDB_API_KEY": "w1"}, clear=True):
            plan = filling.Filling(True, frozenset(), KEY)
            plan.look("the command", found, 3)
        self.assertEqual(
            filling.fill_command(command, found, plan), ["t", "--hf_token", "h1", "--wandb_api_key=w1", "[redacted] x"]
        )

    def test_names_that_may_not_be_allowed(self):
        self.assertEqual(filling.allowed_names(["HF_TOKEN", "HF_TOKEN"]), {"HF_TOKEN"})
        for name in ("LEDGER_KEY", "ledger_key", "LEDGER_SECRET_HF_TOKEN", "HF-TOKEN", "", "A=b", "А_KEY"):
            with self.assertRaises(ValueError, msg=name):
                filling.allowed_names([name])


class WithholdTest(KnownCase):
    def test_a_value_is_found_in_the_forms_that_programs_write(self):
        withhold.know({"X": VALUE})
        forms = [
            VALUE, json.dumps(VALUE), json.dumps(VALUE, ensure_ascii=False), json.dumps(json.dumps({"a": VALUE})),
            urllib.parse.quote(VALUE), urllib.parse.quote(VALUE, safe=""), urllib.parse.quote_plus(VALUE),
            urllib.parse.quote_plus(VALUE).lower(), VALUE.replace("/", "_"),
        ]  # fmt: skip
        for before in ("", "a", "ab"):
            for after in ("", "c", "cd"):
                data = (before + VALUE + after).encode()
                forms += [base64.b64encode(data).decode(), base64.urlsafe_b64encode(data).decode()]
        for form in forms:
            for text in (form, f"see {form} there"):
                clean = withhold.from_text(text)
                self.assertIn("[redacted]", clean, text)
                self.assertNotIn("hunter2", clean)
                self.assertEqual(len(withhold.with_stars(text.encode())), len(text.encode()))

    def test_everything_else_stays_as_it_is(self):
        withhold.know({"X": "abc", "Y": "", "Z": "pass", "W": "secret-value-1"})
        for text in ("abc passage compass", "secret-value", "\ud800 x", "", "loss/current"):
            self.assertIs(withhold.from_text(text), text)
        self.assertEqual(withhold.from_text("a pass here"), "a [redacted] here")
        value = {"n": 1.5, "none": None, "yes": True, "list": ["secret-value-1", 2], "secret-value-1": "k"}
        self.assertEqual(
            withhold.from_value(value),
            {"n": 1.5, "none": None, "yes": True, "list": ["[redacted]", 2], "[redacted]": "k"},
        )

    def test_each_line_of_a_key_file_is_known(self):
        withhold.know({"SSH_KEY": "-----BEGIN X-----\nAAAABBBBCCCC\n-----END X-----"})
        self.assertEqual(withhold.from_text("line AAAABBBBCCCC"), "line [redacted]")

    def test_names_of_secrets(self):
        for name in (
            "HF_TOKEN", "WANDB_API_KEY", "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "CLOUD_PASSWORD", "PGPASSWORD", "MYSQL_PWD",
            "SSH_AUTH_SOCK", "GOOGLE_APPLICATION_CREDENTIALS", "DISCORD_WEBHOOK_URL", "GITHUB_PAT", "SENTRY_DSN", "NGROK_AUTHTOKEN",
            "AZURE_STORAGE_CONNECTION_STRING", "TS_AUTHKEY", "CIVITAI_KEY", "APIKEY", "PASSPHRASE", "AUTHORIZATION", "s3_secret_key",
        ):  # fmt: skip
            self.assertTrue(withhold.is_secret_name(name), name)
        for name in (
            "PATH", "HOME", "PWD", "OLDPWD", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "TOKENIZERS_PARALLELISM", "KEYBOARD",
            "PYTHONPATH", "HF_HOME", "NCCL_DEBUG", "LANG", "MONKEY", "PATTERN", "OMP_NUM_THREADS", "WANDB_MODE",
        ):  # fmt: skip
            self.assertFalse(withhold.is_secret_name(name), name)

    def test_a_trainers_environment(self):
        environment = {
            "PATH": "/bin", "HF_TOKEN": "h1", "CLOUD_PASSWORD": "c1", "HTTPS_PROXY": "http://u:p@proxy:1", "HTTP_PROXY": "http://proxy:1",
            "LEDGER_KEY": "k", "LEDGER_ENROL": "e", "LEDGER_SECRET_HF_TOKEN": "s", "LEDGER_URL": "u",
        }  # fmt: skip
        with mock.patch.dict(os.environ, environment, clear=True):
            own, kept = withhold.trainer_environment()
            self.assertEqual(set(environment) - set(own), {"LEDGER_KEY", "LEDGER_ENROL", "LEDGER_SECRET_HF_TOKEN"})
            self.assertEqual(kept, [])
            others, kept = withhold.trainer_environment(False, ["HF_TOKEN"])
        self.assertEqual(set(others), {"PATH", "HF_TOKEN", "HTTP_PROXY", "PYTHONUNBUFFERED"})
        self.assertEqual(kept, ["CLOUD_PASSWORD", "HTTPS_PROXY"])

    def test_inherited_secrets_are_known_and_words_are_not(self):
        withhold.know_environment(
            {
                "API_KEY": "a1b2c3d4e5",
                "KEY_FILE": "/home/x/key1234",
                "AUTH_MODE": "anonymous",
                "X_TOKEN": "t1",
                "NAME": "n1n1n1n1n1",
            }
        )
        text = "a1b2c3d4e5 /home/x/key1234 anonymous t1 n1n1n1n1n1"
        self.assertEqual(withhold.from_text(text), "[redacted] /home/x/key1234 anonymous t1 n1n1n1n1n1")

    def test_a_console_keeps_no_value_however_it_comes(self):
        withhold.know({"X": "secret-value-1234"})
        seen = []
        console = Console(self.folder / "console.log.gz", lambda line, _: seen.append(line))
        long = b"y" * 70_000
        for piece in (b"a secret-val", b"ue-1234 b\n", long + b"secret-value", b"-1234", long, b"\nV\x1b[1mx secret-\x1b[0mvalue-1234\n",
                      b"Traceback (most recent call last):\nValueError: " + b"z" * 1990 + b"secret-value-1234\n"):  # fmt: skip
            console.feed("stdout", piece)
        kept = console.close()
        with gzip.open(kept) as file:
            text = file.read().decode()
        for part in (text, console.tail(), console.last_exception(), "\n".join(seen)):
            self.assertNotIn("secret-value-1234", part)
        self.assertIn("a [redacted] b\n", text)
        self.assertNotIn("secret", console.last_exception())

    def test_a_configuration_is_recorded_without_what_was_filled_in(self):
        withhold.know({"X": "secret-value-1"})
        path = self.folder / "c.toml"
        path.write_bytes(b'hf_token = "secret-value-1"\n')
        self.assertEqual(read_config(path)[0]["text"], 'hf_token = "[redacted]"\n')
        path.write_bytes('名 = "secret-value-1"\n'.encode("gb18030"))
        config, _ = read_config(path)
        self.assertEqual(base64.b64decode(config["base64"]), '名 = "[redacted]"\n'.encode("gb18030"))


def safetensors(path, metadata, tensor="w"):
    header = json.dumps(
        {"__metadata__": metadata, tensor: {"dtype": "U8", "shape": [3], "data_offsets": [0, 3]}}
    ).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + b"abc")
    return path


class OutgoingTest(KnownCase):
    def setUp(self):
        super().setUp()
        self.spool = self.folder / "spool"
        self.spool.mkdir()
        withhold.know({"X": VALUE})
        self.said = []
        for name in ("warn", "notice"):
            patch = mock.patch.object(terminal, name, self.said.append)
            patch.start()
            self.addCleanup(patch.stop)

    def ready(self, path, **more):
        return outgoing.make_ready(Upload(str(path), path.name, **{"kind": "final", **more}), self.spool)

    def test_metadata_gets_stars_of_the_same_length_on_the_disk(self):
        path = safetensors(
            self.folder / "a.safetensors",
            {"ss_comment": f"x {VALUE} y", "nested": json.dumps({"a": VALUE}), "b": "kept"},
        )
        before = path.stat()
        item = self.ready(path)
        self.assertEqual(item.path, str(path))
        self.assertFalse(withhold.are_in_file(path))
        self.assertEqual(read_metadata(path)["b"], "kept")
        self.assertNotIn("hunter2", json.dumps(read_header(path)))
        after = path.stat()
        self.assertEqual(
            (after.st_size, after.st_mtime_ns, after.st_ino), (before.st_size, before.st_mtime_ns, before.st_ino)
        )
        self.assertEqual(path.read_bytes()[-3:], b"abc")
        self.assertIn("replaced by *", self.said[0])

    def test_a_header_that_hides_the_value_keeps_the_file_here(self):
        path = self.folder / "a.safetensors"
        written = "".join(f"\\u{ord(c):04x}" for c in VALUE)
        header = (
            '{"__metadata__": {"a": "' + written + '"}, "w": {"dtype": "U8", "shape": [3], "data_offsets": [0, 3]}}'
        ).encode()
        data = struct.pack("<Q", len(header)) + header + b"abc"
        path.write_bytes(data)
        self.assertIsNone(self.ready(path))
        self.assertEqual(path.read_bytes(), data)
        self.assertIn("is not uploaded", self.said[-1])

    def test_a_text_is_sent_as_a_clean_copy(self):
        path = self.folder / "a.json"
        path.write_text(json.dumps({"key": VALUE}))
        item = self.ready(path, kind="config")
        self.assertEqual(Path(item.path).parent, self.spool)
        self.assertEqual(Path(item.path).read_text(), '{"key": "[redacted]"}')
        self.assertEqual(item.filename, "a.json")
        self.assertIn("hunter2", path.read_text())

    def test_anything_else_with_the_value_stays_here(self):
        path = self.folder / "optimizer.bin"
        # Across the border of two blocks.
        path.write_bytes(b"\0" * (1024 * 1024 - 5) + VALUE.encode() + b"\0" * 100)
        self.assertIsNone(self.ready(path))
        path.write_bytes(b"\0" * 1024 * 1024 * 2)
        self.assertEqual(self.ready(path).path, str(path))
        bad = self.folder / "bad.safetensors"
        bad.write_bytes(b"\0 no safetensors " + VALUE.encode())
        self.assertIsNone(self.ready(bad))

    def test_what_is_gone_is_left_to_the_upload(self):
        self.assertEqual(self.ready(self.folder / "none.bin").filename, "none.bin")


class StateTest(KnownCase):
    """What an earlier attempt left, in the hands of an agent."""

    def setUp(self):
        super().setUp()
        self.said = []
        for name in ("warn", "notice"):
            patch = mock.patch.object(terminal, name, self.said.append)
            patch.start()
            self.addCleanup(patch.stop)

    def claim(self, own=True, attempt=2, served_by=1):
        return prepare.Claim(5, attempt, "x", own, served_by, None, None, 10.0)

    def weight(self, number, filename, content, by=1, attempt=1, kind="state", **more):
        return {"id": number, "attempt": attempt, "kind": kind, "filename": filename, "size": len(content), "sha256": "0" * 64,
                "group": "s-state", "uploaded_by": by, "content": content, **more}  # fmt: skip

    def fetch(self, weights, claim=None, trusted=False, names=("state",)):
        def bring(_api, weight, target, **_):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(weight["content"])
            return "pulled"

        api = SimpleNamespace(pages=lambda *_, **__: iter(weights))
        alive = SimpleNamespace(check=lambda: None)
        with mock.patch.object(prepare, "fetch", bring), mock.patch.object(prepare, "put"):
            found, _ = prepare.fetch_earlier(
                api, claim or self.claim(), self.folder / "work", list(names), alive, trusted
            )
        return found[names[0]]

    def plain(self, by=1, attempt=1, number=1):
        path = safetensors(self.folder / "m.safetensors", {})
        return [
            self.weight(number, "s-state/model.safetensors", path.read_bytes(), by, attempt),
            self.weight(number + 1, "s-state/train_state.json", b'{"current_step": 5}', by, attempt),
        ]

    def test_safetensors_and_json_are_taken(self):
        self.assertEqual(self.fetch(self.plain()), str(self.folder / "work" / "state" / "s-state"))

    def test_a_strangers_state_is_taken_in_no_form(self):
        for trusted in (False, True):
            self.assertIsNone(self.fetch(self.plain(by=2), trusted=trusted))
        self.assertIn("attempt 1", self.said[0])
        # What one's own box left before it is gone on from.
        self.assertIsNotNone(self.fetch([*self.plain(), *self.plain(by=2, attempt=2, number=8)], self.claim(attempt=3)))

    def test_a_ledger_that_names_no_uploader_is_believed_for_own_runs(self):
        unnamed = [{k: v for k, v in w.items() if k != "uploaded_by"} for w in self.plain()]
        self.assertIsNotNone(self.fetch(unnamed))
        self.assertIsNone(self.fetch(unnamed, self.claim(own=False), trusted=True))

    def test_pickles_need_the_option(self):
        for name in ("optimizer.bin", "random_states_0.pkl", "x.pt", "x.pth", "x.ckpt", "x.py", "x.SAFETENSORS.exe"):
            weights = [*self.plain(), self.weight(9, f"s-state/{name}", b"\x80\x04.")]
            self.assertIsNone(self.fetch(weights), name)
            self.assertIn("--trust-state", self.said[-1])
            self.assertIn("begins anew", self.said[-1])
            self.assertIsNotNone(self.fetch(weights, trusted=True), name)

    def test_an_earlier_plain_place_is_gone_on_from(self):
        pickled = self.weight(9, "t-state/optimizer.bin", b"\x80\x04.", group="t-state", step=9)
        checkpoint = self.weight(10, "a.safetensors", self.plain()[0]["content"], kind="checkpoint", group=None, step=8)
        found = self.fetch([pickled, checkpoint], names=("resume",))
        self.assertEqual(found, self.folder / "work" / "resume" / "a.safetensors")
        self.assertIn("an earlier place", self.said[0])

    def test_content_counts_and_not_the_name_alone(self):
        pickle = b"cposix\nsystem\n(S'true'\ntR."
        for name in ("model.safetensors", "train_state.json"):
            weights = [w for w in self.plain() if not w["filename"].endswith(name)]
            weights.append(self.weight(9, f"s-state/{name}", pickle))
            self.assertIsNone(self.fetch(weights), name)
            self.assertFalse((self.folder / "work" / "state").exists())
            self.assertIn("is not what its name says", self.said[-1])

    def test_names_that_lead_out_are_refused(self):
        content = self.plain()[0]["content"]
        for name in (
            "s-state/../../../x.safetensors",
            "/etc/s-state/x.safetensors",
            "s-state/a\x1b[2J.safetensors",
            "s-state/..\\..\\x.json",
        ):
            with self.assertRaises(CommandError, msg=name):
                self.fetch([self.weight(1, name, content)])

    def test_wrong_types_are_left_out(self):
        good = self.weight(1, "s-state/x.json", b"{}")
        for bad in (
            {"id": "1"},
            {"attempt": None},
            {"size": 1.5},
            {"filename": 7},
            {"kind": []},
            {"sha256": None},
            {"attempt": True},
        ):
            self.assertIsNone(self.fetch([{**good, **bad}]), bad)
        self.assertIsNotNone(self.fetch([{**good, "step": "x", "epoch": float("nan"), "group": ["s"]}]))


class HostileLedgerTest(KnownCase):
    """Answers that no ledger gives."""

    def test_a_claim_is_numbers_or_none(self):
        good = {"task": {"id": 5, "task_name": "x"}, "attempt": 1}
        claim = prepare.Claim.read({**good, "heartbeat_interval_sec": "soon", "own": "yes", "served_by": "1"}, 10.0)
        self.assertEqual((claim.task, claim.own, claim.served_by, claim.interval), (5, False, None, 10.0))
        for bad in (
            {"task": {"id": "../../home"}}, {"task": {"id": True}}, {"task": {"id": 0}}, {"task": {"id": 10**400}}, {"task": []},
            {"task": "x"}, {"attempt": None}, {"attempt": "1/../.."}, {"attempt": 1.0},
        ):  # fmt: skip
            with self.assertRaises(CommandError, msg=bad):
                prepare.Claim.read({**good, **bad}, 10.0)

    def test_files_of_a_claim(self):
        def write(config, dataset=None):
            claim = prepare.Claim(5, 1, "x", True, 1, config, dataset, 10.0)
            return prepare.write_files(claim, self.folder / "work", True, filling.Filling(True, frozenset(), KEY))

        text = base64.b64encode(b"a = 1\n").decode()
        for path in (
            "../../x.toml",
            "/etc/passwd",
            "..",
            "",
            "-rf",
            "a\x1b]0;x\x07.toml",
            "x" * 5000,
            "c:\\y\\z.toml",
            7,
            ["x"],
            None,
        ):
            found = write({"path": path, "base64": text, "format": "toml"})["config"]
            self.assertEqual(found.parent, self.folder / "work", path)
            self.assertTrue(found.name.isprintable())
            self.assertFalse(found.name.startswith("-"))
        for config in ({"base64": "%%%"}, {"base64": 5}, {}, [], "x", {"path": "x", "base64": None}, 7):
            with self.assertRaises(CommandError, msg=config):
                write(config)
        with self.assertRaises(CommandError):
            write({"path": "a", "base64": text}, {"path": "b"})

    def test_files_to_pull(self):
        api = SimpleNamespace(get=lambda *_, **__: {"url": "file:///etc/passwd"})
        good = {"id": 1, "size": 3, "sha256": "0" * 64}
        for bad in (
            {"sha256": "../../x"},
            {"sha256": None},
            {"size": "9"},
            {"size": -1},
            {"size": float("inf")},
            {"size": True},
        ):
            with self.assertRaises(CommandError, msg=bad):
                downloads.fetch(api, {**good, **bad}, self.folder / "x")
        with self.assertRaisesRegex(CommandError, "no http"):
            downloads.fetch(api, good, self.folder / "x")
        with self.assertRaisesRegex(CommandError, "are free"):
            downloads.fetch(api, {**good, "size": 1 << 60}, self.folder / "x")
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_answers_that_are_none(self):
        self.assertEqual(Answer(200, {}, b"[" * 200_000).json(), {})
        self.assertIn("400", Answer(400, {}, b'{"detail": 5, "errors": 7}').reason())
        self.assertEqual(prepare.number_in(float("nan"), 3, 0, 9), 3)
        self.assertEqual(
            [prepare.number_in(v, 3, 0, 9) for v in (10**400, "x", None, True, [], 1e300, -5)][-2:], [9, 0]
        )
        settings = SimpleNamespace(url="http://127.0.0.1:9", key=KEY)
        api = Api(settings)
        with mock.patch.object(api, "ask", lambda *_: {"items": ["x", 5]}), self.assertRaises(CommandError):
            list(api.pages("/x"))

    def test_a_terminal_is_not_steered(self):
        import io

        out = io.StringIO()
        put("a\tb\x1b]0;title\x07\x9b2J\r\nc", out)
        self.assertEqual(out.getvalue(), "a\tb ]0;title  2J \nc\n")
        with mock.patch.object(terminal, "write_stderr") as write:
            terminal.warn("task \x1b[2J\x1b]52;c;x\x07 is here")
        self.assertNotIn(b"\x1b", write.call_args[0][0])


class ReproduceTest(ClientCase):
    def setUp(self):
        super().setUp()
        self.serve()
        self.server.own = False
        self.marker = self.folder / "was-run"
        self.server.tasks[1] = {
            "id": 1, "status": "success", "attempt": 1, "attempts": {1: {"beats": {}, "from_step": None, "tail": None}},
            "fields": {"task_name": "x", "command": [sys.executable, "-c", f"open({str(self.marker)!r}, 'w').write('x')"]},
            "datasets": [], "cancel": False, "finish": {"status": "success"},
        }  # fmt: skip

    def reproduce(self, *more, **options):
        return self.run_client("reproduce", 1, "-o", self.folder / "again", "--run", *more, **options)

    def test_another_users_command_runs_only_when_told_to(self):
        code, out, err = self.reproduce()
        self.assertEqual(code, 1)
        self.assertIn(b"was-run", out)
        self.assertIn("another user's", err)
        self.assertIn("add --yes", err)
        self.assertFalse(self.marker.exists())
        self.assertEqual(self.reproduce("--yes")[0], 0)
        self.assertTrue(self.marker.exists())

    def test_a_terminal_is_asked(self):
        import pty

        for typed, code in ((b"\n", 1), (b"n\n", 1), (b"y\n", 0)):
            main, end = pty.openpty()
            self.addCleanup(os.close, main)
            os.write(main, typed)
            got, out, _ = self.reproduce(stdin=end)
            os.close(end)
            self.assertEqual(got, code, typed)
            self.assertEqual(self.marker.exists(), code == 0)
            self.assertIn(b"Run it?", out)

    def test_a_command_that_a_box_wrote_is_asked_about(self):
        self.server.own = self.server.from_box = True
        code, _, err = self.reproduce()
        self.assertEqual(code, 1)
        self.assertIn("a box has recorded task 1", err)
        self.assertFalse(self.marker.exists())

    def test_own_runs_begin_at_once(self):
        self.server.own = True
        self.assertEqual(self.reproduce()[0], 0)
        self.assertTrue(self.marker.exists())

    def test_another_users_command_gets_no_secrets_of_this_machine(self):
        shown = self.folder / "environment"
        self.server.tasks[1]["fields"]["command"][-1] = (
            f"import os, sys; open({str(shown)!r}, 'w').write(' '.join([*os.environ, *sys.argv]))"
        )
        self.server.tasks[1]["fields"]["command"] += ["--hf_token", "[redacted]"]
        environment = {"CLOUD_PASSWORD": "c1c1c1c1", "HF_TOKEN": "h1h1h1h1", "LEDGER_SECRET_X": "x"}
        code, _, err = self.reproduce("--yes", env=environment)
        self.assertEqual(code, 1)
        self.assertIn("--allow-secret HF_TOKEN", err)
        code, _, err = self.reproduce("--yes", "--allow-secret", "HF_TOKEN", env=environment)
        self.assertEqual(code, 0, err)
        words = shown.read_text().split()
        self.assertIn("h1h1h1h1", words)
        self.assertTrue({"HF_TOKEN", "PATH"} <= set(words))
        self.assertFalse({"CLOUD_PASSWORD", "LEDGER_SECRET_X", "LEDGER_KEY", "LEDGER_URL"} & set(words))
        self.assertNotIn("h1h1h1h1", json.dumps(self.server.tasks[2]["fields"]))
        self.assertEqual(self.reproduce("--allow-secret", "LEDGER_KEY")[0], 2)

    def test_another_users_configuration_names_no_file_to_upload(self):
        private = self.folder / "private.txt"
        private.write_text("a private line\n")
        text = f'network_module = "networks.lora"\nsample_prompts = "{private}"\noutput_dir = "{self.folder / "out"}"\n'
        self.server.tasks[1]["fields"].update(
            config={"text": text, "path": "c.toml"},
            command=[sys.executable, "-c", "pass", "train_network.py", "--config_file", "c.toml"],
        )
        self.assertEqual(self.reproduce("--yes")[0], 0)
        self.assertNotIn("private.txt", [w["filename"] for w in self.server.weights.values()])
        self.server.own = True
        code, _, err = self.run_client("reproduce", 1, "-o", self.folder / "own", "--run")
        self.assertEqual(code, 0, err)
        self.assertIn("private.txt", [w["filename"] for w in self.server.weights.values()])


class HostileAgentTest(ClientCase):
    """An agent, as a process of its own, whose ledger answers as none does."""

    def agent(self, *claims):
        self.serve()
        self.server.claims = list(claims)
        return self.run_client("agent", "--exec", f"{sys.executable} -c pass {{config}}", "--once", "--max-idle", "2s",
                               "--work", self.folder / "work")  # fmt: skip

    def test_numbers_that_are_paths_touch_no_folder(self):
        kept = self.folder / "kept"
        kept.mkdir()
        (kept / "file").write_text("x")
        (self.folder / "work").mkdir()
        config = {"base64": "YSA9IDE=", "path": "a.toml", "format": "toml"}
        for number in ("/../../kept", "1-attempt-1/../../kept/x", -1):
            code, _, err = self.agent({"task": {"id": number, "task_name": "x"}, "attempt": 1, "config": config})
            self.assertEqual(code, 1)
            self.assertIn("names no task and attempt", err)
            self.assertNotIn("Traceback", err)
            self.assertEqual((kept / "file").read_text(), "x")
        self.assertEqual(list((self.folder / "work").iterdir()), [])

    def test_nonsense_is_waited_out(self):
        code, _, err = self.agent(
            [1],
            {"task": None, "retry_after_sec": "x", "waiting": 7},
            {"retry_after_sec": -5, "waiting": {"ready": "y"}},
        )
        self.assertEqual(code, 0, err)
        self.assertIn("no work for 2s", err)

    def test_a_claim_of_another_user_says_so_and_fills_nothing(self):
        self.serve()
        data = b'hf_token = "[redacted]"\n'
        self.server.tasks[5] = {"id": 5, "status": "running", "attempt": 1, "fields": {"task_name": "x"}, "datasets": [], "cancel": False,
                                "attempts": {1: {"beats": {}, "from_step": None, "tail": None}}, "finish": None}  # fmt: skip
        secrets = [{"at": 12, "name": "hf_token"}]
        config = {"base64": base64.b64encode(data).decode(), "path": "a.toml", "format": "toml", "secrets": secrets}
        self.server.claims = [{"task": {"id": 5, "task_name": "x"}, "attempt": 1, "own": False, "config": config}]
        code, _, err = self.run_client(
            "agent",
            "--exec",
            f"{sys.executable} -c pass {{config}}",
            "--once",
            "--work",
            self.folder / "work",
            env={"HF_TOKEN": "h1h1h1h1"},
        )
        self.assertEqual(code, 0, err)
        self.assertIn("another user's", err)
        self.assertIn("--allow-secret HF_TOKEN", self.server.tasks[5]["finish"]["error_message"])
        self.assertNotIn("h1h1h1h1", err + json.dumps(self.server.tasks[5]["finish"]))
        self.assertEqual((self.folder / "work" / "task-5-attempt-1" / "a.toml").read_bytes(), data)
