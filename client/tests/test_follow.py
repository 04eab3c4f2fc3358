"""The readers of files and lines, with exact lines and rows as trainers write them."""

import json
import math
import sqlite3
import time
from dataclasses import replace
from types import SimpleNamespace

from lora_ledger.core.journal import Upload
from lora_ledger.follow.follower import Follower, ranks
from lora_ledger.follow.jsonl import JsonLines
from lora_ledger.follow.lines import read_deepspeed, read_dict
from lora_ledger.follow.sqlite_log import LossDatabase
from lora_ledger.follow.state_json import read_history
from lora_ledger.follow.told import read_told
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

    def test_dicts_that_tell_their_step(self):
        for line, found in (
            (
                "{'loss': 1.9, 'epoch': 0.1, 'global_step/max_steps': '5/60'}",
                {"loss": 1.9, "epoch": 0.1, "step": 5, "total": 60},
            ),
            (
                "{'eval_loss': 1.9, 'epoch': 0.1, 'global_step/max_steps': '5/60'}",
                {"eval_loss": 1.9, "epoch": 0.1, "step": 5, "total": 60},
            ),
            ('{"step": 3, "total_steps": 9, "loss": 0.5}', {"loss": 0.5, "step": 3, "total": 9}),
            ('{"iteration": 3, "train_loss": 0.5, "lr": 1e-4}', {"loss": 0.5, "lr": 1e-4, "step": 3}),
            ("{'step': 5, 'batch_size': 4}", None),
            ("{'step': 5, 'val_loss': 4}", None),
        ):
            self.assertEqual(read_dict(line), found, line)

    def test_lines_of_trainers_that_nobody_knows(self):
        for line, step, loss, total in (
            ("Iter 10: Train loss 3.500, Learning Rate 1.000e-05, It/sec 1.022", 10, 3.5, None),
            ("Step 1 | loss:1.23 lr:0.0003 tokens_per_second_per_gpu:910.2", 1, 1.23, None),
            (" [2025-11-25 07:19:01] iteration  1/  12 | loss: -2.3E-06 | loss scale: 1.0 |", 1, -2.3e-6, 12),
            (" iteration 10/ 100 | elapsed time per iteration (ms): 2.0 | lm loss: 1.2E+00 |", 10, 1.2, 100),
            ("iter 250: loss 1.9512, time 30.21ms, mfu 1.2%", 250, 1.9512, None),
            ("step 250: val loss 2.05, train loss 1.97", 250, 1.97, None),
            ("step 10 | val_loss 0.6 | train_loss 0.5", 10, 0.5, None),
            ("2025-01-01 10:00:00 - INFO - __main__ - Step 10/100 - loss: 0.5", 10, 0.5, 100),
            ("[rank0]:step: 12  loss:  2.345  grad_norm:  1.23  memory: 30GiB", 12, 2.345, None),
            ("step=5|kl_loss=0.3|loss=0.7", 5, 0.7, None),
            ("step 100 total loss = 0.5 (mse loss = 0.2)", 100, 0.5, None),
        ):
            read = read_told(line)
            self.assertEqual((read["step"], read["loss"], read.get("total")), (step, loss, total), line)
        for line in (
            "Iter 1: Val loss 3.9, Val took 5.3s", " validation loss at iteration 10 | lm loss value: 1.2E+00 | lm loss PPL: 3",
            "Saving checkpoint at step 100, best loss 0.5", "Epoch 3: loss 0.5", "Epoch 1 finished: steps 500, loss 0.43", "[Eval] step 10 loss 0.5",
            "step 5 loss 5%", "step 10 epoch loss: 0.5", "step 3 loss: 1.2.3", "Early stopping at step 30, loss 0.4", "Step 2 of 5: computing loss 3 times",
            "step 1.5 loss 3", "max_step 10 loss 0.5", "{'step': 1}", "step 4 loss scale: 65536", "x" * 3000 + " step 1 loss 2", "",
        ):  # fmt: skip
            self.assertIsNone(read_told(line), line)

    def test_a_line_without_its_end_is_no_line_yet(self):
        progress = {}
        follower = Follower(recognise(["trainer"], None, self.folder), Points(), progress, None)
        follower.line("step 10 loss 0.1", False)
        self.assertEqual(progress, {})
        follower.line("step 10 loss 0.12")
        follower.end()
        self.assertEqual([e["metrics"] for e in follower.points.drain(final=True)], [{"loss": 0.12}])


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

    def test_reports_without_a_step_are_kept_by_time(self):
        follower = self.follow(None, command=("python", "sft.py"))
        for n in range(4):
            follower.line("{'loss': 1.%d, 'grad_norm': 0.91, 'epoch': %s}" % (n, n / 2))
        follower.line(" 50%|##5       | 5/10 [00:00<00:01, 43.03it/s]")
        follower.line("{'loss': 0.5, 'epoch': 2.0}")
        follower.end()
        entries = self.points.drain(final=True)
        self.assertEqual(
            [(e["epoch"], e["metrics"]["loss"]) for e in entries],
            [(0.0, 1.0), (0.5, 1.1), (1.0, 1.2), (1.5, 1.3), (2.0, 0.5)],
        )
        self.assertTrue(all(abs(e["step"] - time.time()) < 60 for e in entries), entries)
        self.assertEqual(sorted({e["step"] for e in entries}), [e["step"] for e in entries])
        self.assertTrue(self.progress["unstepped"])
        self.assertEqual(follower.place(), entries[-1]["step"])

    def test_bars_of_other_things_and_what_they_show(self):
        follower = self.follow(None)
        for line in (
            "Validation:  10%|#  | 1/10 [00:02<00:18,  1.20s/it, loss=9.0]",
            "Epoch 1/2:  50%|#  | 5/10 [00:02<00:18,  1.20s/it, val_loss=8.0, loss=0.5, lr=1e-4, best=3]",
            "Epoch 1/2: 100%|#  | 10/10 [00:02<00:18,  1.20s/it, loss=0.4, lr=1e-4, grad_norm=2.0]",
            "Epoch 2/2, Loss: 0.3:  10%|#  | 1/10 [00:02<00:18,  1.20s/it]",
        ):
            follower.line(line)
        follower.end()
        self.assertEqual(
            [(e["step"], e["metrics"]) for e in self.points.drain(final=True)],
            [(5, {"lr": 1e-4, "loss": 0.5}), (10, {"lr": 1e-4, "grad_norm": 2.0, "loss": 0.4}), (11, {"loss": 0.3})],
        )
        self.assertEqual((self.progress["step"], self.progress["total_steps"], self.progress["epoch"]), (11, 20, 2))

    def test_what_a_bar_shows_gives_way_to_files(self):
        rows = Rows("loss")
        follower = self.follow(None, rows)
        follower.line("train:  10%|#  | 1/10 [00:02<00:18,  1.20s/it, loss=0.412, lr=1e-4]")
        rows.rows = [(1.0, 1, "loss", 0.41234), (1.0, 1, "lr", 1.2345e-4)]
        follower.poll()
        follower.end()
        self.assertEqual([e["metrics"] for e in self.points.drain(final=True)], [{"loss": 0.41234, "lr": 1.2345e-4}])

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
