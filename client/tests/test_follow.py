"""The readers of files and lines, with exact lines and rows as trainers write them."""

import json
import math
import sqlite3
from dataclasses import replace
from types import SimpleNamespace

from lora_ledger.core.journal import Upload
from lora_ledger.follow.follower import Follower, ranks
from lora_ledger.follow.jsonl import JsonLines
from lora_ledger.follow.lines import read_deepspeed, read_dict
from lora_ledger.follow.sqlite_log import LossDatabase
from lora_ledger.follow.state_json import read_history
from lora_ledger.recording.points import Points
from lora_ledger.recording.supervision import Supervision
from lora_ledger.trainers import recognise
from tests.helpers import TemporaryCase

HF = "model_name_or_path: m\nfinetuning_type: lora\noutput_dir: out\nlogging_steps: 2\n"
ROW = (
    '{"current_steps": %d, "total_steps": 375, "loss": %s, "lr": 4.8e-05, "epoch": 0.08, "percentage": 2.67, '
    '"elapsed_time": "0:00:31", "remaining_time": "0:18:51"}\n'
)


class LinesTest(TemporaryCase):
    def test_both_spellings_of_transformers(self):
        for line in (
            "{'loss': 1.2345, 'grad_norm': 0.91, 'learning_rate': 9.8e-05, 'epoch': 0.12}",
            "{'loss': '1.2345', 'grad_norm': '0.91', 'learning_rate': '9.8e-05', 'epoch': '0.12'}",
            " 12%|#2  | 12/100 [00:01<00:09,  9.0it/s]{'loss': 1.2345, 'grad_norm': 0.91, 'learning_rate': 9.8e-05, 'epoch': 0.12}",
        ):
            self.assertEqual(
                read_dict(line), {"loss": 1.2345, "grad_norm": 0.91, "learning_rate": 9.8e-05, "epoch": 0.12}
            )
        self.assertTrue(math.isnan(read_dict("{'loss': nan, 'epoch': 1.0}")["loss"]))
        self.assertEqual(read_dict("{'loss': '-inf', 'epoch': '1'}")["loss"], -math.inf)

    def test_other_dicts_and_broken_ones(self):
        for line in (
            "",
            "{'version': '4.57', 'loss': 'mse'}",
            "{'loss': 1.2, 'epoch': 0.1",
            "{'loss': 1.2.3, 'epoch': 0.1}",
            "{'epoch': 3}",
            "{'" + "x" * 9000 + "': 1, 'loss': 1, 'epoch': 2}",
        ):
            self.assertIsNone(read_dict(line), line[:30])

    def test_deepspeed(self):
        line = "steps: 120 loss: 0.0713 iter time (s): 2.105 samples/sec: 0.475"
        self.assertEqual(read_deepspeed(line), (120, 0.0713))
        self.assertEqual(read_deepspeed(f"[2025-01-01 00:00:00,000] [INFO] {line}"), (120, 0.0713))
        self.assertTrue(math.isnan(read_deepspeed("steps: 1 loss: nan iter time (s): 1")[1]))
        for line in ("steps: x loss: 1", "steps:  26%| | 1/2 [0:0<0:0, 1it/s, avr_loss=0.1]", "steps: 5"):
            self.assertIsNone(read_deepspeed(line))


class TrainerLogTest(TemporaryCase):
    def test_only_what_is_appended(self):
        path = self.folder / "trainer_log.jsonl"
        path.write_text(ROW % (10, 99))
        log = JsonLines(path, clock=lambda: 5.0)
        self.assertEqual(list(log.read()), [])
        line = ROW % (20, 1.5)
        with open(path, "a") as file:
            file.write(line[:40])
            file.flush()
            self.assertEqual(list(log.read()), [])
            file.write(line[40:] + '{"current_steps": 30, "epoch": 1}\n')
        self.assertEqual(list(log.read()), [(5.0, 20, "loss", 1.5, 0.08), (5.0, 20, "lr", 4.8e-05, 0.08)])
        self.assertEqual(log.total, 375)

    def test_emptied_removed_and_spoiled(self):
        path = self.folder / "trainer_log.jsonl"
        path.write_text(ROW % (10, 99) * 3)
        log = JsonLines(path)
        path.write_text(ROW % (1, 0.5))
        self.assertEqual([(s, n) for _, s, n, _, _ in log.read()], [(1, "loss"), (1, "lr")])
        path.unlink()
        self.assertEqual(list(log.read()), [])
        path.write_bytes(b'\xff\xfe no json\n[1]\n{"current_steps": "x"}\n' + (ROW % (2, "NaN")).encode())
        self.assertEqual([s for _, s, _, _, _ in log.read()], [2, 2])


class DatabaseTest(TemporaryCase):
    def database(self):
        base = sqlite3.connect(self.folder / "loss_log.db", isolation_level=None)
        base.execute("pragma journal_mode=wal")
        base.execute(
            "create table if not exists metrics (step integer not null, key text not null, value_real real, "
            "value_text text, primary key (step, key))"
        )
        self.addCleanup(base.close)
        return base

    def put(self, base, step, key, value):
        base.execute(
            "insert into metrics (step, key, value_real) values (?, ?, ?) on conflict (step, key) do update "
            "set value_real = excluded.value_real",
            (step, key, value),
        )

    def test_rows_of_a_live_run(self):
        path = self.folder / "loss_log.db"
        log = LossDatabase(path)
        self.assertEqual(list(log.read()), [])
        base = self.database()
        self.put(base, 1, "loss/loss", 0.5)
        self.put(base, 1, "learning_rate", 1e-4)
        base.execute("insert into metrics values (1, 'note', null, 'text')")
        self.assertEqual([r[1:4] for r in log.read()], [(1, "loss/loss", 0.5), (1, "learning_rate", 1e-4)])
        base.execute("begin immediate")
        self.put(base, 2, "loss/loss", 0.4)
        self.assertEqual(list(log.read()), [])
        base.execute("commit")
        self.assertEqual([r[1:4] for r in log.read()], [(2, "loss/loss", 0.4)])

    def test_an_older_runs_rows_count_only_once_written_over(self):
        base = self.database()
        for step in range(1, 6):
            self.put(base, step, "loss/loss", step / 10)
        now = [0.0]
        log = LossDatabase(self.folder / "loss_log.db", monotonic=lambda: now[0])
        self.assertEqual(list(log.read()), [])
        self.put(base, 5, "loss/loss", 0.9)
        self.put(base, 6, "loss/loss", 0.8)
        self.assertEqual([r[1:4] for r in log.read()], [(6, "loss/loss", 0.8)])
        now[0] = 60.0
        self.assertEqual([r[1:4] for r in log.read()], [(5, "loss/loss", 0.9)])
        self.assertEqual(list(log.read(final=True)), [])

    def test_what_is_no_database(self):
        (self.folder / "loss_log.db").write_bytes(b"not a database at all" * 100)
        self.assertEqual(list(LossDatabase(self.folder / "loss_log.db").read()), [])


class HistoryTest(TemporaryCase):
    def test_trainer_state(self):
        path = self.folder / "trainer_state.json"
        path.write_text(json.dumps({"log_history": [{"step": 5, "epoch": 0.5, "loss": 1.5, "x": "y"}, {"a": 1}, 3]}))
        self.assertEqual(read_history(path), [(5, 0.5, {"loss": 1.5})])
        for text in ("", "[]", '{"log_history": 3}', '{"log_history": [{"step": '):
            path.write_text(text)
            self.assertEqual(read_history(path), [])


class Rows:
    """A reader that gives what a test puts into it."""

    def __init__(self, *loss_tags):
        self.loss_tags = loss_tags
        self.rows = []

    def read(self, final=False):
        given, self.rows = self.rows, []
        return given


class FollowerTest(TemporaryCase):
    def follow(self, text, *readers, command=("trainer",), **more):
        self.now = [0.0]
        self.points = Points(ranks(readers), 20.0 if readers else 0.0, clock=lambda: self.now[0])
        self.progress = {}
        trainer = recognise(list(command), text, self.folder)
        return Follower(trainer, self.points, self.progress, None, readers, clock=lambda: self.now[0], **more)

    def drained(self, name="loss"):
        return {e["step"]: e["metrics"][name] for e in self.points.drain(final=True) if name in e["metrics"]}

    def test_dicts_take_the_step_of_the_bar_drawn_after_them(self):
        follower = self.follow(HF.replace("logging_steps: 2\n", ""))
        for line in (
            "  0%|          | 0/12 [00:00<?, ?it/s]",
            "Map:  50%|##  | 6/12 [00:00<00:01, 9.0it/s]",
            " 25%|##5       | 3/12 [00:00<00:01, 43.03it/s]",
            "{'loss': '4.15', 'grad_norm': '0.1', 'learning_rate': '0.009', 'epoch': '0.125'}",
            " 33%|###       | 4/12 [00:00<00:01, 43.03it/s]",
            " 50%|###       | 1/2 [00:00<00:01, 43.03it/s]",
            "{'eval_loss': '4.5', 'eval_runtime': '3', 'epoch': '0.125'}",
            "{'loss': '4.10', 'grad_norm': '0.2', 'learning_rate': '0.008', 'epoch': '0.25'}",
            " 67%|###       | 8/12 [00:00<00:01, 43.03it/s]",
            "{'train_runtime': '0.2', 'train_loss': '4.12', 'epoch': '0.75'}",
            "100%|##########| 12/12 [00:00<00:00, 44.33it/s]",
        ):
            follower.line(line)
        follower.end()
        entries = self.points.drain(final=True)
        self.assertEqual(
            [(e["step"], e["metrics"]) for e in entries],
            [
                (4, {"grad_norm": 0.1, "learning_rate": 0.009, "eval_loss": 4.5, "loss": 4.15}),
                (8, {"grad_norm": 0.2, "learning_rate": 0.008, "loss": 4.1}),
                (12, {"train_loss": 4.12}),
            ],
        )
        self.assertTrue(follower.seen.marker)
        self.assertEqual((follower.seen.step, follower.seen.total, self.progress["epoch"]), (12, 12, 0.75))

    def test_bars_read_too_early_or_too_late_shift_no_step(self):
        for steps, drawn in (
            (range(1, 13), [2, 2, 3, 5, 6, 7, 7, 8, 10, 11, 12, 12]),
            (range(10, 121, 10), [11, 20, 31, 40, 51, 60, 70, 82, 90, 100, 110, 120]),
            ([1, *range(10, 101, 10)], [1, 10, 22, 30, 41, 50, 60, 70, 80, 91, 100]),
            ([3, 4, 11, 30, 90, 120], [3, 4, 11, 30, 90, 120]),
        ):
            with self.subTest(drawn=drawn):
                follower = self.follow("output_dir: o\nmodel_name_or_path: m\nstage: sft\n")
                total = max(steps)
                follower.line(f"  0%|          | 0/{total} [00:00<?, ?it/s]")
                for n, bar in enumerate(drawn):
                    follower.line("{'loss': %s, 'grad_norm': 0.1, 'epoch': 0.1}" % n)
                    follower.line(f" 25%|##5       | {bar}/{total} [00:00<00:01, 43.03it/s]")
                follower.end()
                self.assertEqual(self.drained(), {step: float(n) for n, step in enumerate(steps)})

    def test_the_first_lines_of_a_slow_trainer_do_not_wait_for_more(self):
        follower = self.follow("output_dir: o\nmodel_name_or_path: m\nstage: sft\n")
        follower.line("{'loss': 0.5, 'epoch': 0.1}")
        follower.line("  1%|          | 10/1000 [00:00<?, ?it/s]")
        follower.poll()
        self.assertEqual(self.points.drain(final=False), [])
        self.now[0] = 4.0
        follower.poll()
        self.assertEqual(self.drained(), {10: 0.5})

    def test_known_logging_steps_count_exactly_without_a_bar(self):
        follower = self.follow(HF)
        for n in range(1, 5):
            follower.line("{'loss': %s, 'grad_norm': 0.91, 'learning_rate': 9.8e-05, 'epoch': 0.1%d}" % (n, n))
            follower.line("{'loss': %s, 'grad_norm': 0.91, 'learning_rate': 9.8e-05, 'epoch': 0.1%d}" % (n, n))
        follower.end()
        self.assertEqual(self.drained(), {2: 1.0, 4: 2.0, 6: 3.0, 8: 4.0})

    def test_a_resumed_trainer_goes_on_counting(self):
        follower = self.follow(HF, resumed_at=500)
        follower.line("{'loss': 1.0, 'epoch': 5.02}")
        follower.end()
        self.assertEqual(self.drained(), {502: 1.0})

    def test_the_better_file_wins_and_the_next_fills_in(self):
        best, next_best = Rows("loss/loss"), Rows("loss")
        follower = self.follow(None, best, next_best)
        best.rows = [(1.0, 1, "loss/loss", 0.1), (1.0, 2, "loss/loss", 0.2)]
        next_best.rows = [(1.0, s, "loss", s) for s in (1, 2, 3)]
        follower.poll()
        follower.end()
        self.assertEqual(
            [e["metrics"] for e in self.points.drain(final=True)],
            [{"loss/loss": 0.1, "loss": 0.1}, {"loss/loss": 0.2, "loss": 0.2}, {"loss": 3.0}],
        )

    def test_the_console_waits_only_while_a_file_may_come(self):
        follower = self.follow(None, Rows("loss"))
        follower.line("train:  10%|#  | 1/10 [00:02<00:18,  1.20s/it, loss=0.412]")
        follower.line("train:  20%|#  | 2/10 [00:02<00:18,  1.20s/it, loss=0.411]")
        follower.poll()
        self.assertEqual(self.points.drain(), [])
        self.now[0] = 21.0
        follower.poll()
        self.assertEqual([e["metrics"] for e in self.points.drain()], [{"loss": 0.412}])

    def test_deepspeed_lines_and_their_epochs(self):
        follower = self.follow('output_dir = "o"\ndataset = "d.toml"\n[model]\ntype = "flux"\n')
        follower.line("steps: 120 loss: 0.0713 iter time (s): 2.105 samples/sec: 0.475")
        follower.line("TRAINING COMPLETE!")
        follower.end()
        self.assertEqual((self.drained(), follower.seen.marker), ({120: 0.0713}, True))

    def test_what_a_trainer_reads_out_of_a_line_itself_comes_first(self):
        follower = self.follow(None)
        told = {
            "a": {"step": 3, "total": 9, "loss": 0.5, "epoch": 0.3, "lr": 1e-4},
            "{'loss': 7.0, 'epoch': 0.4}": {},
            "b": {"step": 4.0, "loss": 0.4},
            "c": {"step": 4.5, "loss": 9.0},
        }
        follower.trainer.line_values = told.get
        for line in ("a", "a", "{'loss': 7.0, 'epoch': 0.4}", "b"):
            follower.line(line)
        follower.end()
        self.assertEqual(
            [(e["step"], e.get("epoch"), e["metrics"]) for e in self.points.drain(final=True)],
            [(3, 0.3, {"lr": 1e-4, "loss": 0.5}), (4, None, {"loss": 0.4})],
        )
        self.assertEqual((self.progress["step"], self.progress["total_steps"], self.progress["epoch"]), (4, 9, 0.3))
        self.assertEqual((follower.seen.step, follower.seen.total), (4, 9))

    def test_two_bars_of_onetrainer(self):
        follower = self.follow('{"training_method": "LORA", "base_model_name": "b"}')
        for line in (
            "epoch:   0%|          | 0/2 [00:00<?, ?it/s]",
            "step:  50%|#3  | 1/2 [00:24<02:36,  1.20s/it, loss=0.0512, smooth loss=0.0613]",
            "step: 100%|#3  | 2/2 [00:24<02:36,  1.20s/it, loss=0.05, smooth loss=0.0613]",
            "epoch:  50%|#####     | 1/2 [00:48<00:48, 48.0s/it]",
            "step:  50%|#3  | 1/2 [00:24<02:36,  1.20s/it, loss=0.04, smooth loss=0.0613]",
        ):
            follower.line(line)
        follower.end()
        self.assertEqual(self.drained(), {1: 0.0512, 2: 0.05, 3: 0.04})
        self.assertEqual((follower.seen.step, follower.seen.total), (1, 2))
        self.assertIn("at step 1 of 2", follower.trainer.fault(follower.seen))


class WeightsTest(TemporaryCase):
    def test_a_checkpoint_that_is_also_the_final_file_keeps_its_step(self):
        sent = []
        run = SimpleNamespace(
            follower=SimpleNamespace(offset=300),
            options=SimpleNamespace(not_own=False),
            recorder=SimpleNamespace(add_file=sent.append),
        )
        checkpoint = Upload("/a", "a.safetensors", "checkpoint", step=50)
        Supervision._add_weight(run, checkpoint)
        Supervision._add_weight(run, replace(checkpoint, kind="final"))
        self.assertEqual([(item.kind, item.step) for item in sent], [("checkpoint", 350), ("final", 350)])
