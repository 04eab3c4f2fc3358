"""Machines that are not as they should be: a home that cannot be written, a clock a day off, paths of Windows."""

import os
import time
from datetime import datetime, timezone

from lora_ledger.core.text import storable_name
from lora_ledger.trainers import recognise
from tests.helpers import SOURCE, ClientCase
from tests.ledger_server import KEY

# A clock that is off from the start, of the client and of the trainer alike.
OFF = """
import os, time
clock, by = time.time, float(os.environ.get("CLOCK_OFF", 0))
time.time = lambda: clock() + by
"""

# What a trainer on a machine of two worlds leaves: names with backslashes, which are no separators here.
WRITER = """
import json, os, struct, sys
def save(path):
    header = json.dumps({"lora_unet_a.alpha": {"dtype": "F32", "shape": [], "data_offsets": [0, 4]}}).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(header)) + header + struct.pack("<f", len(path)))
folder = sys.argv[sys.argv.index("--output_dir") + 1]
os.makedirs(folder, exist_ok=True)
print(f"writes to {folder}")
save(os.path.join(folder, "sub\\\\aki-000001.safetensors"))
save(os.path.join(folder, "sub\\\\aki.safetensors"))
"""


class HomeTest(ClientCase):
    def setUp(self):
        super().setUp()
        # A file where the home should be: not even root can write below it.
        (self.folder / "file").write_text("")
        self.home = self.folder / "file" / "home"
        self.away = {
            "HOME": str(self.home),
            "USERPROFILE": str(self.home),
            "APPDATA": str(self.home),
            "LEDGER_SPOOL": "",
            "XDG_CONFIG_HOME": "",
            "XDG_CACHE_HOME": "",
        }

    def test_login_says_where_it_could_not_write_and_what_to_do(self):
        self.serve()
        code, out, err = self.run_client("login", env=self.away)
        self.assertEqual((code, out), (1, b""))
        self.assertIn(str(self.home), err)
        self.assertRegex(
            err, r"cannot be stored in .*login\.json \(.+\): set LEDGER_LOGIN to a file that you can write"
        )
        self.assertNotIn(KEY, err)
        # It does as it says.
        named = {**self.away, "LEDGER_LOGIN": str(self.folder / "login.json")}
        self.assertEqual(self.run_client("login", env=named)[0], 0)
        self.assertEqual(self.run_client("ls", env={**named, "LEDGER_URL": "", "LEDGER_KEY": ""})[0], 0)

    def test_a_run_is_recorded_whole_without_a_home(self):
        server = self.serve()
        code, _, err = self.run_client("run", "--", *self.trainer(steps=30), env=self.away)
        self.assertEqual(code, 0, err)
        self.assertNotIn("Traceback", err)
        self.assertRegex(err, r"the spool in .* cannot be written \(.+\).* set LEDGER_SPOOL to another folder")
        self.assertEqual(server.tasks[1]["status"], "success")
        self.assertEqual(sorted(server.points(1, "loss")), list(range(1, 31)))
        self.assertIn("aki.safetensors", {weight["filename"] for weight in server.weights.values()})
        for command, code in (("doctor", 1), ("status", 0), ("sync", 0)):
            got, _, err = self.run_client(command, env=self.away)
            self.assertEqual(got, code, err)
            self.assertNotIn("Traceback", err)


class ClockTest(ClientCase):
    def test_a_day_off_moves_no_step_and_no_duration(self):
        server = self.serve()
        tools = self.folder / "tools"
        tools.mkdir()
        (tools / "sitecustomize.py").write_text(OFF)
        for number, off in enumerate((86_400, -86_400), 1):
            env = {"PYTHONPATH": f"{tools}{os.pathsep}{SOURCE}", "CLOCK_OFF": str(off)}
            code, out, _ = self.run_client("doctor", env=env)
            self.assertEqual(code, 0)
            word = "ahead of" if off > 0 else "behind"
            self.assertRegex(
                out.decode(), rf"note  clock: this machine's is 86(399|40[0-9]) s {word} the ledger's\n +→ set it: "
            )
            begun = time.time()
            command = self.trainer("--output_dir", self.folder / f"out{number}", steps=40, sleep=0.02)
            code, _, err = self.run_client("run", "--", *command, env=env)
            took = time.time() - begun
            self.assertEqual(code, 0, err)
            self.assertIn("safe to destroy this box: ", err)
            self.assertEqual(sorted(server.points(number, "loss")), list(range(1, 41)))
            finish = server.tasks[number]["finish"]
            self.assertTrue(0.5 < finish["duration_sec"] < took, (finish, took))
            self.assertTrue(0 <= finish["ended_sec_ago"] < took, (finish, took))
            # The box's own clock orders the points, and they lie within the run.
            beats = server.tasks[number]["attempts"][1]["beats"].values()
            times = [
                datetime.fromisoformat(row["time"].replace("Z", "+00:00")).astimezone(timezone.utc).timestamp() - off
                for beat in beats
                for row in beat.get("logs", [])
            ]
            self.assertEqual(times, sorted(times))
            self.assertTrue(begun - 1 < times[0] and times[-1] < begun + took + 1, (begun, times[0], times[-1], took))


class WindowsTest(ClientCase):
    def test_names_with_backslashes(self):
        server = self.serve()
        config = self.folder / "my lora.toml"
        text = (
            "pretrained_model_name_or_path = 'D:\\models\\sd xl.safetensors'\r\n"
            'train_data_dir = "D:\\\\lora\\\\train\\\\aki"\r\noutput_dir = \'C:\\train\\out\'\r\noutput_name = "sub\\\\aki"\r\nnetwork_dim = 8\r\n'
        )
        config.write_bytes(text.encode())
        script = self.folder / "train_network.py"
        script.write_text(WRITER)
        program = [self.script("")[0], str(script)]
        command = [*program, "--config_file", str(config), "--output_dir", "C:\\train\\out"]
        code, out, err = self.run_client("run", "--name", "C:\\lora\\aki", "--", *command)
        self.assertEqual(code, 0, err)
        self.assertIn(b"writes to C:\\train\\out", out)
        self.assertNotIn("Traceback", err)
        (task,) = server.tasks.values()
        self.assertEqual(task["fields"]["task_name"], "C:\\lora\\aki")
        self.assertEqual(task["fields"]["config"]["text"], text)
        self.assertEqual(task["fields"]["command"][-1], "C:\\train\\out")
        held = {weight["filename"] for weight in server.weights.values() if weight["kind"] != "state"}
        self.assertEqual(held, {"sub/aki.safetensors", "sub/aki-000001.safetensors"})
        self.assertIn("safe to destroy this box: 1 run and ", err)

    def test_programs_of_windows_are_recognised(self):
        for command, name in (
            (["C:\\venv\\Scripts\\accelerate.exe", "launch", "C:\\sd-scripts\\train_network.py"], "kohya"),
            (["C:\\v\\python.exe", ".\\scripts\\stable\\sdxl_train_network.py", "--config_file=.\\x.toml"], "kohya"),
            (["py", "-3.10", "src\\musubi_tuner\\wan_train_network.py"], "kohya"),
            (["C:\\v\\Scripts\\axolotl.exe", "train", "C:\\a b\\x.yml"], "axolotl"),
            (["llamafactory-cli.exe", "train", "x.yaml"], "llama-factory"),
        ):
            self.assertEqual(recognise(command, None, self.folder, None).name, name)

    def test_a_name_is_one_that_the_ledger_takes(self):
        for name, stored in (
            ("aki.safetensors", "aki.safetensors"),
            ("a\\b\\aki.safetensors", "a/b/aki.safetensors"),
            ("C:\\train\\aki.safetensors", "C_/train/aki.safetensors"),
            ("\\\\box\\share\\..\\aki.pt", "box/share/aki.pt"),
            ("a\x07b\udcff.pt", "a_b_.pt"),
            ("/" + "目" * 300 + ".pt", "目" * 252 + ".pt"),
            ("\U0001f600" * 200, "\U0001f600" * 127),
            ("..", "file"),
        ):
            self.assertEqual(storable_name(name), stored, name)
