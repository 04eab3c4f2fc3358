"""The real wandb, which nobody here wrote, recorded by the client against the strict server.

Run where wandb and numpy are installed: `python3 -m unittest -v client.tests.real.test_wandb` from the repository's
folder.
"""

import importlib.util
import sys
import unittest
from pathlib import Path

from tests.helpers import ClientCase

SCRIPT = Path(__file__).resolve().parent / "train_wandb.py"
ABSENT = [name for name in ("wandb", "numpy", "PIL") if importlib.util.find_spec(name) is None]


@unittest.skipIf(ABSENT, f"{', '.join(ABSENT)} not installed")
class WandbTest(ClientCase):
    def setUp(self):
        super().setUp()
        self.serve(interval=0.3)

    def environment(self, **extra):
        clean = {name: value for name, value in super().environment(**extra).items() if not name.startswith("WANDB_")}
        return {**clean, "NETRC": "/nowhere", "WANDB_CONFIG_DIR": str(self.folder / "config")}

    def command(self, *words):
        return [sys.executable, str(SCRIPT), *map(str, words)]

    def record(self, *words, options=()):
        code, _, err = self.run_client("run", *options, "--", *self.command(*words), env=self.environment())
        return code, err

    def test_a_run_from_its_settings_to_its_end(self):
        code, err = self.record(8, 0.3, 0)
        self.assertEqual(code, 0, err)
        points = self.server.points(1, "train/loss")
        self.assertEqual(points, {n * 10: {2: "NaN", 3: "Infinity"}.get(n, 1 / n) for n in range(1, 9)})
        self.assertEqual(self.server.points(1, "loss"), points)
        self.assertEqual(self.server.points(1, "nested.b.c"), dict.fromkeys(points, 2.5))
        self.assertEqual(self.server.points(1, "odd key/é %"), {n * 10: n for n in range(1, 9)})
        self.assertEqual(self.server.points(1, "best"), {80: 0.125})
        samples = [one for one in self.server.weights.values() if one["kind"] == "sample"]
        self.assertEqual(
            [(one["step"], one["prompt"]) for one in samples], [(40, "a cat"), (50, "cat 0"), (50, "cat 1")]
        )
        self.assertEqual(self.server.tasks[1]["fields"]["config"]["path"], "wandb-config.json")
        self.assertNotIn("spread", {name.split(".")[0] for beat in self.server.tasks[1]["attempts"][1]["beats"].values()
                                    for row in beat.get("logs") or [] for name in row["metrics"]})  # fmt: skip

    def test_points_arrive_while_it_trains_and_a_killed_one_keeps_them(self):
        process = self.client("run", "--", *self.command(40, 0.6, "kill"), env=self.environment())

        def arrived():
            return self.server.tasks.get(1, {}).get("attempts") and self.server.points(1, "train/loss")

        self.wait_for(arrived, 60.0, "the first points")
        self.assertIsNone(process.poll())
        process.communicate(timeout=90)
        self.assertEqual(process.returncode, 137)
        points = self.server.points(1, "train/loss")
        self.assertTrue(10 <= len(points) <= 40, len(points))
        self.assertEqual(self.server.tasks[1]["status"], "failed")

    def test_a_resumed_run_goes_on_as_the_next_attempt(self):
        self.record(4, 0.1, 1)
        code, err = self.record(4, 0.1, 0, 5, options=("--resume-task", "1", "--from-step", "40"))
        self.assertEqual(code, 0, err)
        self.assertEqual(len(self.server.tasks), 1)
        self.assertEqual(list(self.server.points(1, "train/loss", 1)), [10, 20, 30, 40])
        self.assertEqual(list(self.server.points(1, "train/loss", 2)), [50, 60, 70, 80])


if __name__ == "__main__":
    unittest.main()
