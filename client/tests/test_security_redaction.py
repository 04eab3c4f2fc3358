"""What leaves the machine holds no secret: the lists of test/security/secrets.json, which the service is tried with too."""

import base64
import gzip
import json
import sys
import time
from unittest import mock

from lora_ledger.core.errors import RetryLaterError
from lora_ledger.core.journal import Upload
from lora_ledger.core.redact import (
    redact_body,
    redact_bytes,
    redact_command,
    redact_config,
    redact_json,
    redact_text,
    secret_key,
)
from lora_ledger.recording.console import Console
from lora_ledger.recording.outgoing import make_ready
from tests.helpers import ROOT, ClientCase, TemporaryCase

LISTS = json.loads((ROOT / "test" / "security" / "secrets.json").read_text("utf-8"))
TOKEN = "hf_aBcDeFgHiJkLmNoPqRsTuVwXyZ0123456789"


def sent(entry):
    """The entry's text as it leaves the machine."""
    channel, text = entry["channel"], entry.get("text")
    if channel == "config":
        return redact_body({"config": {"text": text}})["config"]["text"]
    if channel == "log":
        return redact_bytes(text.encode()).decode()
    if "argv" in entry:
        return redact_command(entry["argv"])
    if "name" in entry:
        return redact_json({entry["name"]: text})[entry["name"]]
    return redact_body({channel: text})[channel]


class RatesTest(TemporaryCase):
    def test_rates(self):
        secrets, others = LISTS["secrets"], LISTS["lookalikes"]
        missed = []
        for entry in secrets:
            text = json.dumps(sent(entry), ensure_ascii=False)
            if entry["secret"] in text or json.dumps(entry["secret"])[1:-1] in text:
                missed.append(f"{entry} → {text}")
        touched = [(e, sent(e)) for e in others if sent(e) != e.get("text", e.get("argv"))]
        sys.stderr.write(
            f"client: redacted {len(secrets) - len(missed)} of {len(secrets)}; touched {len(touched)} of {len(others)}\n"
        )
        self.assertEqual((len(secrets), len(others)), (100, 200))
        self.assertLessEqual(len(missed), 5, missed)
        self.assertLessEqual(len(touched), 2, touched)

    def test_names_are_whole_words(self):
        for name in ("HF_TOKEN", "api-token-prod", "s3_key", "dbPassword", "password2", "AccountKey"):
            self.assertTrue(secret_key(name), name)
        for name in (
            "class_tokens",
            "max_token_length",
            "pad_token",
            "tokenizer",
            "password_hash_algo",
            "cache_key",
            "",
        ):
            self.assertIsNone(secret_key(name), name)


class FormsTest(TemporaryCase):
    def test_files_keep_their_other_bytes(self):
        text = '\ufeff名 = "训"\r\nhf_token = "密1"\r\npassword = 1234\r\n'
        for encoding in ("utf-8", "gb18030", "utf-16-le", "utf-16-be"):
            clean = redact_config(text.encode(encoding)).decode(encoding)
            expected = text.replace("密1", "[redacted]").replace("1234", '"[redacted]"')
            self.assertEqual(clean, expected, encoding)
        data = bytes(range(256))
        self.assertIs(redact_config(data), data)
        body = {"config": {"base64": base64.b64encode(text.encode("gb18030")).decode(), "path": "a.toml"}}
        clean = base64.b64decode(redact_body(body)["config"]["base64"])
        self.assertNotIn("密1".encode("gb18030"), clean)

    def test_yaml_and_toml_over_several_lines(self):
        for text, clean in (
            ("password: |\n  a1\n\n  b2\nnext: 1\n", "password: |\n  [redacted]\nnext: 1\n"),
            ("api_token:\n  - one\n  - 'two'\nx: 1\n", "api_token:\n  - [redacted]\n  - '[redacted]'\nx: 1\n"),
            ("secret:\n  inner: 1\n  password: p9\n", "secret:\n  inner: 1\n  password: [redacted]\n"),
            ('secret = """\nline "2"\n"""\nx = 1\n', 'secret = """[redacted]"""\nx = 1\n'),
            ("token = [\"a1\", 'b2']\n", "token = [\"[redacted]\", '[redacted]']\n"),
            ("env: {HF_TOKEN: abc, OTHER: 2}\n", "env: {HF_TOKEN: [redacted], OTHER: 2}\n"),
        ):
            self.assertEqual(redact_config(text.encode()).decode(), clean)
            self.assertEqual(redact_config(clean.encode()).decode(), clean)

    def test_numbers_and_counts(self):
        body = {"logs": [{"step": 1, "metrics": {"token": 5.0, "password": 12345}}], "progress": {"password": 12345}}
        self.assertEqual(redact_body(body), {**body, "progress": {"password": "[redacted]"}})
        facts = {"datasets": [{"name": "aki", "tag_distribution": {"password": 12345, "token": 9}}]}
        self.assertEqual(redact_body(facts), facts)

    def test_names_in_objects(self):
        self.assertEqual(redact_body({"tags": {f"by {TOKEN}": "x"}}), {"tags": {"by [redacted]": "x"}})

    def test_odd_input(self):
        for value in (
            None,
            True,
            1,
            1.5,
            "",
            [],
            {},
            [None, [1]],
            {"": None},
            {"token": None},
            "\ud800 hf_token=abc12345x",
        ):
            redact_json(value)
        self.assertEqual(redact_text("\ud800"), "\ud800")
        self.assertEqual(redact_command([]), [])


class TimeTest(TemporaryCase):
    def test_grows_with_the_length_alone(self):
        pieces = [
            "a=",
            "token=",
            "token:\n",
            "api_key: |\n",
            "eyJ-",
            "-----BEGIN PRIVATE KEY-----\n",
            "--token ",
            'token="',
        ]
        pieces += [
            "://a:a@",
            "key:",
            "?key=",
            "key key ",
            "password is ",
            "curl -u ",
            "name:HF_TOKEN,value:",
            "value:",
            "%3D",
        ]
        pieces += [
            "AAAA\n-----END PRIVATE KEY-----\n",
            "AAAA\n",
            "12345678:AA",
            "token='''\n",
            "token: [",
            "[",
            "-",
            " ",
            "训",
        ]
        redact_text("the rules are read at first use")

        def took(text):
            begin = time.process_time()
            redact_config(text)
            redact_bytes(text)
            return time.process_time() - begin

        for piece in pieces:
            data = piece.encode()
            small = min(took(data * (12_500 // len(data))) for _ in range(2))
            large = took(data * (100_000 // len(data)))
            # Eight times the text; 64 times as long would be quadratic.
            self.assertLess(large, max(small, 0.0025) * 24, piece)


class ConsoleTest(TemporaryCase):
    def test_a_private_key_in_pieces(self):
        body = base64.b64encode(bytes(range(96))).decode()
        console = Console(self.folder / "console.gz", lambda line, _: None)
        for line in ("begin", "-----BEGIN PRIVATE KEY-----", body[:64], body[64:], "-----END PRIVATE KEY-----", "end"):
            console.feed("stdout", f"{line}\n".encode())
            time.sleep(0.15)  # Longer than the console collects pieces, so that each comes by itself.
        kept = gzip.decompress(console.close().read_bytes()).decode()
        for text in (kept, console.tail()):
            self.assertNotIn(body[:32], text)
            self.assertNotIn(body[-20:], text)
            self.assertEqual(text.split()[0], "begin")
            self.assertEqual(text.split()[-1], "end")

    def test_a_private_key_whose_beginning_has_left_the_tail(self):
        body = base64.b64encode(bytes(range(48))).decode()
        self.assertEqual(redact_text(f"{body}\n{body}\n-----END RSA PRIVATE KEY-----\nx").split("\n")[0], "[redacted]")


class SendingTest(ClientCase):
    def test_nothing_that_is_asked_holds_a_secret(self):
        from lora_ledger.core.transport import Ledger

        sends = []

        class Connection:
            def request(self, _method, target, body, headers):
                sends.append((target, body.decode()))

            def getresponse(self):
                raise OSError("no answer")

            def close(self):
                pass

        with mock.patch("lora_ledger.core.transport.connect", lambda url, _: (Connection(), url)):
            ledger = Ledger("http://127.0.0.1:1", "k")
            for body in (
                {"notes": f"see {TOKEN}", "config": {"text": f'hf_token = "{TOKEN}"\n', "path": f"/{TOKEN}.toml"}},
                {"filename": f"{TOKEN}.png", "prompt": f"a {TOKEN}"},
                {"tail": f"logged in with key {'0123456789abcdef' * 2}", "progress": {"at": TOKEN}},
            ):
                with self.assertRaises(RetryLaterError):
                    ledger.ask("POST", "/api/tasks", body)
            with self.assertRaises(RetryLaterError):
                ledger.ask("POST", "/api/boxes/exchange", {"token": "enrol-" + "ab" * 32}, keep=("token",))
        for target, text in sends[:3]:
            self.assertNotIn(TOKEN, text, target)
            self.assertNotIn("0123456789abcdef", text)
        self.assertIn("enrol-ab", sends[3][1])

    def test_a_configuration_is_uploaded_as_a_copy_without_secrets(self):
        path = self.folder / "more.toml"
        path.write_text(f'lr = 1e-4\nwandb_api_key = "{TOKEN}"\n')
        item = make_ready(Upload(str(path), "more.toml", "config"), self.folder)
        self.assertNotEqual(item.path, str(path))
        with open(item.path) as file:
            self.assertEqual(file.read(), 'lr = 1e-4\nwandb_api_key = "[redacted]"\n')
        self.assertIn(TOKEN, path.read_text())
        path.write_text("lr = 1e-4\n")
        item = make_ready(Upload(str(path), "more.toml", "config"), self.folder)
        self.assertEqual(item.path, str(path))
