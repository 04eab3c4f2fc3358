"""`lora-ledger doctor`: what it finds, and that it says what to do."""

import socket
from datetime import timedelta
from unittest import mock

from lora_ledger.commands import doctor
from tests.helpers import ClientCase
from tests.ledger_server import KEY


class DoctorTest(ClientCase):
    def ask(self, *command, code=0, **env):
        found, out, err = self.run_client("doctor", *(("--", *command) if command else ()), env=env)
        out = out.decode()
        self.assertEqual(found, code, out + err)
        self.assertNotIn(KEY, out + err)
        self.assertNotIn("Traceback", err)
        return out

    def test_all_is_well(self):
        self.serve()
        out = self.ask(*self.trainer())
        for line in (
            "  ok  address: http://127.0.0.1",
            "  ok  service: answers in",
            "  ok  clock: right",
            "  ok  key: ",
        ):
            self.assertIn(line, out)
        self.assertIn("trainer: kohya", out)
        self.assertIn("Nothing keeps runs from being recorded.", out)
        self.assertEqual([p.name for p in self.spool.iterdir()], [])

    def test_nothing_is_set(self):
        out = self.ask(code=1, LEDGER_URL="", LEDGER_KEY="")
        self.assertIn("FAIL  address: not set\n      → run `lora-ledger login`, or set LEDGER_URL", out)

    def test_a_wrong_key(self):
        self.serve()
        out = self.ask(code=1, LEDGER_KEY="another-key-that-nobody-knows")
        self.assertIn("FAIL  key: ", out)
        self.assertNotIn("another-key", out)

    def test_nobody_listens(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        out = self.ask(code=1, LEDGER_URL=f"http://127.0.0.1:{port}")
        self.assertIn("FAIL  service: does not answer", out)
        self.assertIn("nothing listens there", out)

    def test_a_spool_that_cannot_be_written(self):
        self.serve()
        (self.folder / "file").write_text("")
        out = self.ask(code=1, LEDGER_SPOOL=str(self.folder / "file" / "spool"))
        self.assertIn("FAIL  spool: ", out)

    def test_a_command_that_is_not_there(self):
        self.serve()
        out = self.ask("no-such-program", "--config", "nowhere.toml", code=1)
        self.assertIn("FAIL  command: there is no program no-such-program", out)
        self.assertIn("FAIL  settings: nowhere.toml cannot be read", out)

    def test_a_clock_that_is_a_day_off(self):
        server = self.serve()
        real = doctor.parsedate_to_datetime
        with mock.patch.object(doctor, "parsedate_to_datetime", lambda text: real(text) - timedelta(days=1)):
            (clock,) = [f for f in doctor._service(server.url) if f.subject == "clock"]
        self.assertRegex(clock.text, r"86(399|40[0-9]) s ahead of the ledger's")
        self.assertIn("set it", clock.advice)

    def test_an_address_that_holds_a_login_or_is_not_encrypted(self):
        out = self.ask(code=1, LEDGER_URL="http://anna:secret@127.0.0.1:9")
        self.assertIn("FAIL  address: holds a user's name", out)
        self.assertNotIn("secret", out)

    def test_a_proxy_is_named_without_its_password(self):
        self.serve()
        with mock.patch.dict("os.environ", {"https_proxy": "http://anna:secret@proxy.example:3128"}):
            finding = doctor._proxy("https://ledger.example")
        self.assertEqual(finding.text, "http://proxy.example:3128, named by the environment")
