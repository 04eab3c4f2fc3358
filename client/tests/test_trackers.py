"""A run whose trainer logs to the same ledger by its own tracker: one task, by the number in the tracker's token."""

import json
import unittest

from lora_ledger.core import withhold
from lora_ledger.core.redact import redact_text
from lora_ledger.core.transport import Ledger
from lora_ledger.recording import trackers
from tests.helpers import ClientCase
from tests.ledger_server import KEY

NAMES = (
    "MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME", "MLFLOW_RUN_ID", "TRACKIO_SERVER_URL",
    "TRACKIO_WRITE_TOKEN", "TRACKIO_SPACE_ID", "SWANLAB_API_HOST", "SWANLAB_API_KEY", "LEDGER_TASK_ID", "LEDGER_KEY",
)  # fmt: skip
SCRIPT = f"import json, os\nprint(json.dumps({{n: os.environ[n] for n in {NAMES!r} if n in os.environ}}), flush=True)\n"
LEAKS = SCRIPT + "print('token', os.environ['MLFLOW_TRACKING_TOKEN'])\n"


class AddressTest(unittest.TestCase):
    def test_which_address_is_this_ledger(self):
        ledger = "https://ledger.example.org"
        for address, here in (
            ("https://ledger.example.org/mlflow", True), ("https://LEDGER.example.org:443/mlflow/", True),
            ("http://ledger.example.org/mlflow", False), ("https://ledger.example.org:8443/mlflow", False),
            ("https://other.example.org", False), ("https://ledger.example.org.evil.org", False),
            ("https://ledger.example.org@evil.org/", False), ("file:///runs", False), ("sqlite:///x.db", False),
            ("databricks", False), ("https://[", False), ("https://ledger.example.org:99999", False), ("", False),
        ):  # fmt: skip
            found = trackers.pointed_here({"MLFLOW_TRACKING_URI": address}, ledger)
            self.assertEqual([one.name for one in found], ["MLflow"] * here, address)
        self.assertEqual(trackers.pointed_here({}, ledger), [])

    def test_a_token_in_the_address_gives_way(self):
        self.addCleanup(withhold.forget)
        environment = {"TRACKIO_SERVER_URL": "http://a:1/?write_token=x", "TRACKIO_SPACE_ID": "me/space"}
        trackers.join(environment, "a1b2c3d4.e5f6.g7h8", trackers.pointed_here(environment, "http://a:1"), 7)
        self.assertEqual(
            environment, {"TRACKIO_SERVER_URL": "http://a:1/", "TRACKIO_WRITE_TOKEN": "a1b2c3d4.e5f6.g7h8.run7"}
        )
        self.assertEqual(
            withhold.from_text("see a1b2c3d4.e5f6.g7h8.run7, a1b2c3d4.e5f6.g7h8"), "see [redacted], [redacted]"
        )


class RedactionTest(unittest.TestCase):
    def test_a_key_that_nobody_here_knows_goes_with_its_run(self):
        key = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abcDEF123-_"
        self.assertEqual(redact_text(f"token {key}.run42 end"), "token [redacted] end")
        self.assertEqual(redact_text(f"{key}.running {key}.run42x"), "[redacted].running [redacted].run42x")


class JoinTest(ClientCase):
    def setUp(self):
        super().setUp()
        self.serve(interval=0.3)

    def environment(self, **extra):
        return {
            name: value
            for name, value in super().environment(**extra).items()
            if name not in NAMES[:-1] or name in extra
        }

    def record(self, *options, script=SCRIPT, **given):
        """(exit code, the variables that the trainer got, the client's messages)."""
        code, out, err = self.run_client("run", *options, "--", *self.script(script), env=self.environment(**given))
        return code, json.loads(out.splitlines()[0]) if out else None, err

    def test_a_tracker_that_points_here_gets_the_runs_number(self):
        code, found, err = self.record(
            MLFLOW_TRACKING_URI=f"{self.server.url}/mlflow", MLFLOW_TRACKING_TOKEN="other1234"
        )
        self.assertEqual(code, 0, err)
        self.assertEqual(
            found,
            {
                "MLFLOW_TRACKING_URI": f"{self.server.url}/mlflow",
                "MLFLOW_TRACKING_TOKEN": f"{KEY}.run1",
                "LEDGER_TASK_ID": "1",
            },
        )
        self.assertEqual((len(self.server.tasks), self.server.tasks[1]["status"]), (1, "success"))

    def test_others_are_left_alone(self):
        _, found, _ = self.record(MLFLOW_TRACKING_URI="http://127.0.0.1:9/mlflow", SWANLAB_API_KEY="s" * 30)
        self.assertEqual(found, {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9/mlflow", "SWANLAB_API_KEY": "s" * 30})

    def test_all_of_them_on_demand(self):
        _, found, _ = self.record("--trackers", MLFLOW_TRACKING_URI="http://127.0.0.1:9", MLFLOW_TRACKING_USERNAME="me")
        url, token = self.server.url, f"{KEY}.run1"
        self.assertEqual(
            found,
            {
                "MLFLOW_TRACKING_URI": f"{url}/mlflow",
                "MLFLOW_TRACKING_TOKEN": token,
                "TRACKIO_SERVER_URL": url,
                "TRACKIO_WRITE_TOKEN": token,
                "SWANLAB_API_HOST": f"{url}/swanlab",
                "SWANLAB_API_KEY": token,
                "LEDGER_TASK_ID": "1",
            },
        )

    def test_the_token_is_in_nothing_that_leaves_the_box(self):
        code, _, err = self.record("--trackers", script=LEAKS)
        self.assertEqual(code, 0, err)
        self.assertNotIn(KEY, err)
        sent = json.dumps([self.server.tasks[1]["fields"], self.server.tasks[1]["attempts"][1]["beats"]])
        self.assertNotIn(KEY, sent)
        self.assertNotIn(".run1", sent)
        self.assertIn("token [redacted]", sent)
        for path in self.spool.rglob("*"):
            if path.is_file():
                self.assertNotIn(KEY.encode(), path.read_bytes(), path)

    def test_the_ledger_is_away(self):
        url = self.server.url
        self.server.close()
        code, found, err = self.record("--flush-timeout", "0.2", MLFLOW_TRACKING_URI=f"{url}/mlflow")
        self.assertEqual((code, found), (0, {"MLFLOW_TRACKING_URI": f"{url}/mlflow"}))
        self.assertEqual(err.count("MLflow cannot log into this run: the ledger has not registered it yet"), 1, err)

    def test_without_a_key(self):
        code, found, err = self.record(MLFLOW_TRACKING_URI=f"{self.server.url}/mlflow", LEDGER_KEY="")
        self.assertEqual((code, found), (0, {"MLFLOW_TRACKING_URI": f"{self.server.url}/mlflow"}))
        self.assertIn("MLflow cannot log into this run: LEDGER_KEY is not set", err)

    def test_another_users_run_gets_no_key(self):
        code, found, err = self.record("--trackers", "--not-own", MLFLOW_TRACKING_URI=f"{self.server.url}/mlflow")
        self.assertEqual((code, found), (0, {"MLFLOW_TRACKING_URI": f"{self.server.url}/mlflow"}))
        self.assertIn("MLflow cannot log into this run: another user's run gets no key of this box", err)

    def test_an_agents_run(self):
        Ledger(self.server.url, KEY).ask("POST", "/api/tasks", {"task_name": "queued", "command": []})
        with self.server.guard:
            self.server.open_attempt(self.server.tasks[1])
        config = {"path": "a.toml", "sha256": "", "base64": "eCA9IDEK", "secrets": [], "format": "toml"}
        for attempt, own in ((1, True), (2, False)):
            claim = {"task": {"id": 1, "task_name": "queued"}, "attempt": attempt, "own": own, "config": config}
            self.server.claims.append({**claim, "dataset_file": None, "heartbeat_interval_sec": 0.3})
            trainer = " ".join(self.script(SCRIPT))
            code, out, err = self.run_client(
                "agent",
                "--trackers",
                "--wandb",
                "off",
                "--exec",
                f"{trainer} {{config}}",
                "--once",
                env=self.environment(),
            )
            self.assertEqual(code, 0, err)
            found = json.loads(out.splitlines()[0])
            token = f"{KEY}.run1" if own else None
            self.assertEqual((found["LEDGER_TASK_ID"], found.get("MLFLOW_TRACKING_TOKEN")), ("1", token))
            if own:
                with self.server.guard:
                    self.server.open_attempt(self.server.tasks[1])

    def test_a_command_that_cannot_be_started_is_no_running_run(self):
        code, _, err = self.run_client("run", "--trackers", "--", "no-such-command", env=self.environment())
        self.assertEqual(code, 127, err)
        self.assertEqual(self.server.tasks[1]["status"], "failed")
        self.assertIn("there is no such command", self.server.tasks[1]["finish"]["error_message"])

    def test_a_wrapping_script_is_registered_before_it_runs(self):
        (self.folder / "train_network.py").write_text(SCRIPT + "import time\ntime.sleep(2)\n")
        (self.folder / "my.toml").write_text("network_module = 'networks.lora'\nnetwork_dim = 4\n")
        (self.folder / "train.sh").write_text("python3 train_network.py --config_file my.toml\n")
        code, out, err = self.run_client("run", "--trackers", "--", "bash", "train.sh", env=self.environment())
        self.assertEqual(json.loads(out.splitlines()[0])["LEDGER_TASK_ID"], "1", err)
        self.assertEqual(self.server.tasks[1]["fields"]["command"], ["bash", "train.sh"])
        self.assertIn("my.toml", self.server.held(1))


if __name__ == "__main__":
    unittest.main()
