"""Consoles of trainers replayed through `lora-ledger run`: loss by step, total, further series, status, weights."""

import json
import shlex
import time
from concurrent.futures import ThreadPoolExecutor

from tests.helpers import ROOT, ClientCase
from tests.replays import REPLAYS, Replay, prepare

# Further replays beside the repository, which a clone lacks.
LOGS = ROOT.parent / "shared" / "trainer-inputs" / "logs"
AT_ONCE = 4
# The bar's last state has the loss of the step before it.
AITK_LOSS = {**{step: round(0.5 - step / 100, 4) for step in range(11)}, 11: 0.4}


def shared(name, *more, **expected):
    folder = LOGS / name
    events = [json.loads(line) for line in (folder / "replay.jsonl").read_text("utf-8").splitlines()]
    files = [path for path in folder.rglob("*") if path.suffix in (".yaml", ".yml")]
    texts = {path.relative_to(folder).as_posix(): path.read_text("utf-8") for path in files}
    return Replay(shlex.split((folder / "command.txt").read_text()), events, *more, files=texts, **expected)


def shared_replays():
    """{name: Replay} with what the inputs' shapes say; of a folder that is new here, only that it can be recorded."""
    five = {step: round(2 - step / 100, 4) for step in (1, *range(5, 61, 5))}
    known = {
        "aitk2-cjk-json-escaped": lambda name: shared(name, AITK_LOSS, 12),
        "aitk2-error": lambda name: shared(name, AITK_LOSS, 12, "failed", "oom"),
        "aitk2-pipe-in-name": lambda name: shared(name, AITK_LOSS, 12),
        "finetrainers": lambda name: shared(name, {step: round(0.4 - step / 100, 2) for step in range(1, 13)}, 12),
        "hf-nobar": lambda name: shared(name, None),
        "lf-runtime-stopped-midway": lambda name: shared(name, {10: 1.9, 20: 1.8, 30: 1.7}, 60, "failed", "error"),
        "megatron-swift": lambda name: shared(name, {step: round(-2.3e-6 * step, 9) for step in range(1, 13)}, 12),
        "mlx-lm": lambda name: shared(name, {step: round(3.6 - step / 100, 2) for step in range(10, 121, 10)}, 120),
        "swift-nested-output": lambda name: shared(
            name, five, 60, weights=("v0-20250526-162705/checkpoint-60/adapter_model.safetensors",)
        ),
        "swift-sft": lambda name: shared(name, five, 60),
        "swift-yaml": lambda name: shared(name, five, 60),
        "torchtune": lambda name: shared(name, {step: round(1.5 - step / 100, 2) for step in range(1, 13)}, 12),
    }
    names = sorted(path.name for path in LOGS.iterdir() if (path / "replay.jsonl").is_file()) if LOGS.is_dir() else []
    return {name: known.get(name, lambda name: shared(name, None, status=None))(name) for name in names}


class ReplayTest(ClientCase):
    """A step's loss may have no number only where the trainer tells none, and then the time is its place."""

    def check(self, replays):
        server = self.serve()

        def run(item):
            number, (name, replay) = item
            folder = self.folder / f"run{number}"
            folder.mkdir()
            command, environment = prepare(folder, replay)
            # A run beside it that still goes on would be a reason to keep the box.
            environment["LEDGER_SPOOL"] = str(folder / "spool")
            result = self.run_client("run", "--name", name, "--", *command, cwd=folder, env=environment)
            return name, replay, result

        with ThreadPoolExecutor(AT_ONCE) as pool:
            for name, replay, (code, _, said) in pool.map(run, enumerate(replays.items())):
                with self.subTest(name):
                    (number,) = (n for n, task in server.tasks.items() if task["fields"]["task_name"] == name)
                    self.assertEqual(code, next((e["x"] for e in replay.events if "x" in e), 0), said)
                    self.look(server, number, replay)
                    if replay.weights and replay.status == "success":
                        self.assertIn("safe to destroy this box: 1 run and", said)

    def look(self, server, number, replay):
        task = server.tasks[number]
        beats = [attempt["beats"][seq] for attempt in task["attempts"].values() for seq in sorted(attempt["beats"])]
        progress = server.progress(number)
        # While files are uploaded, a heartbeat without progress leaves it as it was.
        self.assertTrue(all(beat.get("progress") != {} for beat in beats))
        points = server.points(number, "loss")
        if replay.loss is None:
            self.assertGreater(len(points), 1)
            self.assertTrue(all(abs(key - time.time()) < 3600 for key in points), points)
            self.assertEqual(
                (progress.get("unstepped"), progress.get("step"), progress.get("total_steps")), (True, None, None)
            )
            self.assertTrue(
                all(
                    beat_point.get("epoch") is not None
                    for beat in beats
                    for beat_point in beat["logs"] or []
                    if "loss" in beat_point["metrics"]
                )
            )
        elif replay.status:
            self.assertEqual({step: round(value, 10) for step, value in points.items()}, replay.loss)
            self.assertNotIn("unstepped", progress)
        if replay.total:
            self.assertEqual((progress.get("total_steps"), progress.get("step")), (replay.total, max(replay.loss)))
        if replay.epoch:
            self.assertEqual(progress.get("epoch"), replay.epoch)
        for name, values in replay.series.items():
            self.assertEqual(server.points(number, name), values, name)
        if replay.status:
            finish = task["finish"]
            self.assertEqual((finish["status"], finish.get("failure_reason")), (replay.status, replay.reason), finish)
        held = server.held(number)
        for name in replay.weights:
            self.assertIn(name, held)
        if replay.weights:
            kinds = [weight["kind"] for weight in server.weights.values() if weight["task_id"] == number]
            self.assertIn("final", kinds)

    def test_our_own(self):
        self.check(REPLAYS)

    def test_the_shared_ones(self):
        self.check(shared_replays())
