"""Runs that end by themselves once their loss is lost: `run --stop-on-nan`, the agent, `track(guard=…)`."""

import base64
import types
import unittest
from unittest import mock

from lora_ledger.commands.prepare import Claim
from lora_ledger.core.transport import Ledger
from lora_ledger.recording.guard import Guard, read_guard
from lora_ledger.recording.points import Points
from lora_ledger.recording.track import track
from tests.helpers import ClientCase
from tests.ledger_server import KEY

NAN, INF = float("nan"), float("inf")

# Prints a loss for each step, NaN from the 5th to the 7th and from the 11th on, and stops for nobody before the 400th.
TOY = """
import time
for step in range(1, 400):
    loss = "nan" if 5 <= step <= 7 or step > 10 else 0.5
    print(f"step {step}/400 loss: {loss}", flush=True)
    time.sleep(0.05)
"""


class ReadGuardTest(unittest.TestCase):
    def test_forms(self):
        for value, over in (
            (None, None),
            (False, None),
            (True, 1),
            (5, 5),
            ({"nan": "stop"}, 1),
            ({"nan": "stop", "over": 7}, 7),
        ):
            self.assertEqual(read_guard(value), over, value)

    def test_what_is_none_is_refused(self):
        for value in (0, -1, 1.5, "x", 1_000_001, {}, {"nan": "go"}, {"nan": "stop", "over": 0}):
            with self.assertRaises(ValueError, msg=repr(value)):
                read_guard(value)
        with self.assertRaises(ValueError):
            read_guard({"nan": "stop", "over": 1, "loss": 2})


class GuardTest(unittest.TestCase):
    def guard(self, over):
        told = []
        return Guard(over, told.append), told

    def test_counts_in_a_row(self):
        guard, told = self.guard(3)
        for step, value in enumerate([NAN, INF, 0.5, NAN, -INF]):
            guard.see(step, {"loss": value})
        self.assertEqual(told, [])
        guard.see(5, {"loss": NAN})
        guard.see(6, {"loss": NAN})
        self.assertEqual(
            told, ["the loss was NaN or infinite 3 times in a row, from step 3 on: its guard ended the run"]
        )

    def test_values_of_one_step_count_once(self):
        guard, told = self.guard(2)
        for _ in range(5):
            guard.see(7, {"loss": NAN})
        self.assertEqual(told, [])
        guard.see(8, {"loss": NAN})
        self.assertEqual(len(told), 1)

    def test_the_first_one_is_enough_by_default(self):
        guard, told = self.guard(1)
        guard.see(121, {"loss": INF})
        self.assertEqual(told, ["the loss was NaN or infinite at step 121: its guard ended the run"])

    def test_the_loss_is_the_best_name(self):
        guard, told = self.guard(2)
        guard.see(1, {"train_loss": NAN})
        guard.see(2, {"loss": NAN, "grad_norm": 1.0})
        # Another series of the same steps begins no new count once there is a better one.
        guard.see(2, {"train_loss": 0.5})
        self.assertEqual(len(told), 1)
        guard, told = self.guard(1)
        guard.see(1, {"grad_norm": NAN, "val/loss": NAN})
        self.assertEqual(told, [])

    def test_points_by_every_way(self):
        for put in (
            lambda points, step: points.put(step, {"loss": NAN}),
            lambda points, step: points.add("loss/current", step, NAN, None),
            lambda points, step: points.loss(step, NAN, None),
        ):
            points = Points()
            points.guard, told = self.guard(2)
            for step in range(1, 5):
                put(points, step)
            self.assertEqual(len(told), 1)
            self.assertIn("from step 1 on", told[0])

    def test_a_heartbeat_counts_nothing_twice(self):
        for over, lost in ((5, {1, 2, 3, 4, 98, 99}), (2, {1, 99})):
            points = Points()
            points.guard, told = self.guard(over)
            for step in range(1, 100):
                points.loss(step, NAN if step in lost else 0.5, None)
            self.assertEqual(len(points.drain()), 99)
            self.assertEqual(told, [], over)
        # A value that came while a file could bring a better one is counted once it is given out.
        points = Points(hold=60.0)
        points.guard, told = self.guard(2)
        for step in (1, 2):
            points.loss(step, NAN, None)
        self.assertEqual(told, [])
        points.drain(final=True)
        self.assertEqual(len(told), 1)

    def test_it_keeps_nothing_once_it_has_ended_the_run(self):
        guard, told = self.guard(2)
        for step in range(1, 1000):
            guard.see(step, {"loss": NAN})
        self.assertEqual((len(told), guard._steps), (1, {1, 2}))

    def test_a_look_ahead_counts_nothing(self):
        points = Points()
        points.guard, told = self.guard(1)
        points.add("loss/current", 1, NAN, None)
        points.snapshot()
        self.assertEqual(told, [])


class RunTest(ClientCase):
    def test_ends_the_trainer_and_says_why(self):
        server = self.serve()
        code, _, err = self.run_client("run", "--stop-on-nan", "4", "--", *self.script(TOY))
        finish = server.tasks[1]["finish"]
        why = "the loss was NaN or infinite 4 times in a row, from step 11 on: its guard ended the run"
        self.assertEqual((code, finish["status"], finish["error_message"]), (130, "cancelled", why))
        self.assertEqual(server.tasks[1]["fields"]["guard"], {"nan": "stop", "over": 4})
        self.assertEqual(err.count(f"[ledger] {why}; stopping the trainer\n"), 1, err)
        losses = server.points(1, "loss")
        self.assertEqual([losses[step] for step in (4, 5, 8, 14)], [0.5, "NaN", 0.5, "NaN"])
        self.assertLess(max(losses), 100)

    def test_one_is_the_default_and_none_the_one_without(self):
        server = self.serve()
        code, _, _ = self.run_client("run", "--stop-on-nan", "--", *self.script(TOY))
        self.assertEqual((code, server.tasks[1]["fields"]["guard"]), (130, {"nan": "stop", "over": 1}))
        self.assertIn("at step 5:", server.tasks[1]["finish"]["error_message"])
        quick = self.script(TOY.replace("0.05", "0"))
        code, _, _ = self.run_client("run", "--", *quick)
        self.assertEqual((code, server.tasks[2]["finish"]["status"]), (0, "success"))
        self.assertNotIn("guard", server.tasks[2]["fields"])

    def test_the_files_of_a_known_trainer(self):
        server = self.serve()
        trainer = self.trainer("--nan_at_step", 12, steps=2000, sleep=0.05)
        code, _, err = self.run_client("run", "--stop-on-nan", "5", "--", *trainer)
        finish = server.tasks[1]["finish"]
        self.assertEqual((code, finish["status"]), (130, "cancelled"), err)
        self.assertIn("5 times in a row, from step 12 on", finish["error_message"])

    def test_a_resumed_run_keeps_its_guard(self):
        server = self.serve()
        self.run_client("run", "--stop-on-nan", "4", "--", *self.script("print('step 1/2 loss: 0.5')"))
        server.tasks[1]["status"] = "failed"
        code, _, err = self.run_client("run", "--resume-task", "1", "--", *self.script(TOY))
        self.assertEqual(code, 130, err)
        self.assertIn("4 times in a row, from step 11 on", server.tasks[1]["finish"]["error_message"])
        # The command line of the run takes precedence.
        server.tasks[1]["status"] = "failed"
        self.run_client("run", "--resume-task", "1", "--stop-on-nan", "1", "--", *self.script(TOY))
        self.assertIn("at step 5:", server.tasks[1]["finish"]["error_message"])

    def test_without_the_ledger(self):
        code, _, err = self.run_client("run", "--stop-on-nan=2", "--flush-timeout", "0", "--", *self.script(TOY))
        self.assertEqual(code, 130, err)
        self.assertIn("2 times in a row, from step 5 on: its guard ended the run; stopping the trainer", err)
        server = self.serve()
        self.run_client("sync")
        self.assertEqual(server.tasks[1]["finish"]["status"], "cancelled")
        self.assertIn("its guard ended the run", server.tasks[1]["finish"]["error_message"])

    def test_a_trainer_that_does_not_listen_is_killed(self):
        server = self.serve()
        stubborn = "import signal\nsignal.signal(2, signal.SIG_IGN)\nsignal.signal(15, signal.SIG_IGN)\n" + TOY
        code, _, _ = self.run_client("run", "--stop-on-nan", "--stop-grace", "0.3", "--", *self.script(stubborn))
        self.assertEqual((code, server.tasks[1]["finish"]["status"]), (137, "cancelled"))

    def test_numbers_out_of_range_are_refused(self):
        for text in ("0", "1.5", "x", "1000001"):
            code, _, err = self.run_client("run", f"--stop-on-nan={text}", "--", "true")
            self.assertEqual(code, 2, err)


class AgentTest(ClientCase):
    def claim(self, **guard):
        return {
            "task": {"id": 1, "task_name": "queued", **guard},
            "attempt": 1,
            "own": True,
            "served_by": 1,
            "config": {
                "format": "toml",
                "path": "a.toml",
                "sha256": "",
                "base64": base64.b64encode(b"x = 1\n").decode(),
                "secrets": [],
            },
            "dataset_file": None,
            "heartbeat_interval_sec": 0.3,
        }

    def test_heeds_the_guard_of_a_claimed_run(self):
        server = self.serve()
        # The run that waits in the queue.
        Ledger(server.url, KEY).ask("POST", "/api/tasks", {"task_name": "queued", "command": []})
        with server.guard:
            server.open_attempt(server.tasks[1])
        server.claims.append(self.claim(guard={"nan": "stop", "over": 4}))
        trainer = " ".join(self.script(TOY))
        code, _, err = self.run_client("agent", "--exec", f"{trainer} {{config}}", "--once")
        finish = server.tasks[1]["finish"]
        self.assertEqual((code, (finish or {}).get("status")), (0, "cancelled"), err)
        self.assertIn("4 times in a row, from step 11 on", finish["error_message"])

    def test_a_guard_that_is_none_stops_no_run(self):
        self.assertEqual(Claim.read(self.claim(guard={"nan": "stop", "over": 4}), 1.0).stop_on_nan, 4)
        for guard in (None, {"nan": "stop", "over": 0}, {"later": 1}, "x"):
            self.assertIsNone(Claim.read(self.claim(guard=guard), 1.0).stop_on_nan)
        self.assertIsNone(Claim.read(self.claim(), 1.0).stop_on_nan)


class QueueTest(ClientCase):
    def test_a_queued_run_has_its_guard(self):
        server = self.serve()
        config = self.folder / "a.toml"
        config.write_text("learning_rate = 1e-4\n")
        code, _, err = self.run_client("queue", config, "--stop-on-nan", "5")
        self.assertEqual((code, server.tasks[1]["fields"]["guard"]), (0, {"nan": "stop", "over": 5}), err)


class TrackTest(ClientCase):
    def track(self, loop, **options):
        session = track(
            url=self.server.url, key=self.environment()["LEDGER_KEY"], spool=self.spool, variables=False, **options
        )
        with session as run:
            loop(run)
        return self.server.tasks[1]

    def test_a_loop_that_looks_is_cancelled(self):
        self.serve()
        steps = []

        def loop(run):
            for step in range(1, 50):
                if run.cancel_requested:
                    break
                steps.append(step)
                run.log(step=step, loss=NAN if step > 3 else 0.5)

        task = self.track(loop, guard={"nan": "stop", "over": 5})
        self.assertEqual(steps[-1], 8)
        self.assertEqual(task["fields"]["guard"], {"nan": "stop", "over": 5})
        self.assertEqual(task["finish"]["status"], "cancelled")
        self.assertIn("5 times in a row, from step 4 on", task["finish"]["error_message"])

    def test_a_loop_that_does_not_look_goes_on(self):
        self.serve()
        task = self.track(lambda run: [run.log(step=step, loss=NAN) for step in range(9)] and None, guard=2)
        self.assertEqual(task["finish"]["status"], "success")

    def test_a_trainers_callback_stops_it(self):
        self.serve()
        control = types.SimpleNamespace(should_training_stop=False)

        def loop(run):
            callback = run.callback()
            for step in range(1, 50):
                state = types.SimpleNamespace(global_step=step, max_steps=50, epoch=0.1, is_world_process_zero=True)
                callback.on_log(None, state, control, {"loss": NAN if step > 3 else 0.5})
                callback.on_step_end(None, state, control)
                if control.should_training_stop:
                    break

        task = self.track(loop, guard=2)
        self.assertTrue(control.should_training_stop)
        self.assertIn("2 times in a row, from step 4 on", task["finish"]["error_message"])

    def test_a_trainer_shows_a_guarded_run_its_lost_losses(self):
        self.serve()
        state = types.SimpleNamespace(global_step=0, max_steps=50, epoch=0.0, is_world_process_zero=True)
        # Its default is True; some users switch it off, and some versions lack it.
        for guard, before, after, notices in ((2, True, False, 1), (None, True, True, 0), (2, False, False, 0)):
            args = types.SimpleNamespace(logging_nan_inf_filter=before)
            with mock.patch("lora_ledger.core.terminal._line") as line:
                self.track(lambda run, args=args: run.callback().on_train_begin(args, state, None), guard=guard)
            self.assertIs(args.logging_nan_inf_filter, after)
            said = [str(call[0][0]) for call in line.call_args_list]
            self.assertEqual(sum("logging_nan_inf_filter is off" in text for text in said), notices, said)
        args = types.SimpleNamespace()
        self.track(lambda run: run.callback().on_train_begin(args, state, None), guard=2)
        self.assertEqual(vars(args), {})

    def test_what_is_no_guard_leaves_the_run_without_one(self):
        self.serve()
        task = self.track(lambda run: run.log(step=1, loss=NAN), guard="x")
        self.assertEqual(task["finish"]["status"], "success")
        self.assertNotIn("guard", task["fields"])


if __name__ == "__main__":
    unittest.main()
