"""Real trainers that are tables in the ledger (src/trainers/declarations/), on the CPU with tiny random models.

Run where torch and the trainer are installed:
`python3 -m unittest -v client.tests.real.test_real_tables` from the repository's folder.
"""

import json
import sys
import unittest
from pathlib import Path

from tests.real.test_real import HERE, RealCase, exact, missing


class TableCase(RealCase):
    def prepare(self):
        """A tiny model with its tokenizer, and 24 rows of data in two forms."""
        sys.path.insert(0, str(HERE))
        self.addCleanup(sys.path.remove, str(HERE))
        from tiny import WORDS, save_with_tokenizer

        save_with_tokenizer(self.folder / "model")
        words = " ".join(WORDS[4:16])
        data = self.folder / "data"
        data.mkdir()
        for name in ("train", "valid", "test"):
            (data / f"{name}.jsonl").write_text("".join(json.dumps({"text": words}) + "\n" for _ in range(24)))

    def assert_columns(self, task, columns):
        self.assertEqual({name: task[name] for name in columns}, columns)


@unittest.skipIf(missing("torch", "trl", "peft", "datasets"), missing("torch", "trl", "peft", "datasets"))
class TrlTest(TableCase):
    settings = {
        "model_name_or_path": "model",
        "dataset_name": "data",
        "use_peft": True,
        "lora_r": 4,
        "lora_alpha": 8,
        "lora_target_modules": ["q_proj", "v_proj"],
        "learning_rate": 1e-3,
        "max_steps": 8,
        "logging_steps": 2,
        "save_steps": 4,
        "per_device_train_batch_size": 2,
        "gradient_checkpointing": False,
        "bf16": False,
        "use_cpu": True,
        "report_to": "none",
        "output_dir": "out/tiny",
    }

    def check(self, task):
        self.assert_columns(
            task,
            {
                "trainer": "trl",
                "lora_rank": 4,
                "lora_alpha": 8,
                "max_steps": 8,
                "learning_rate": 1e-3,
                "batch_size": 2,
                "output_dir": "out/tiny",
                "base_model_path": "model",
                "seed": 42,
            },
        )
        out = self.folder / "out" / "tiny"
        self.assert_close(self.ledger.points(task, "loss"), exact(out))
        self.assertEqual(task["progress"]["total_steps"], 8)
        files = self.ledger.files(task)
        self.assertEqual(files["checkpoint-4/adapter_model.safetensors"]["step"], 4)
        self.assertEqual(files["adapter_model.safetensors"]["kind"], "final")
        self.assertEqual(files["adapter_model.safetensors"]["rank"], 4)

    def test_a_file(self):
        self.prepare()
        (self.folder / "sft.yaml").write_text(json.dumps(self.settings))
        self.check(self.record(Path(sys.executable).with_name("trl"), "sft", "--config", "sft.yaml"))

    def test_arguments(self):
        self.prepare()
        words = []
        for name, value in self.settings.items():
            words += [f"--{name}", *map(str, value if isinstance(value, list) else [value])]
        self.check(self.record(Path(sys.executable).with_name("trl"), "sft", *words))


@unittest.skipIf(missing("mlx", "mlx_lm", "torch"), missing("mlx", "mlx_lm", "torch"))
class MlxTest(TableCase):
    def test_a_file(self):
        self.prepare()
        settings = {
            "model": "model",
            "train": True,
            "data": "data",
            "iters": 20,
            "batch_size": 2,
            "steps_per_report": 5,
            "save_every": 10,
            "val_batches": 1,
            "num_layers": 2,
            "adapter_path": "adapters",
            "lora_parameters": {"rank": 4, "dropout": 0.0, "scale": 20.0},
        }
        (self.folder / "lora.yaml").write_text(json.dumps(settings))
        task = self.record(Path(sys.executable).with_name("mlx_lm.lora"), "--config", "lora.yaml")
        self.assert_columns(
            task,
            {"trainer": "mlx-lm", "lora_rank": 4, "max_steps": 20, "batch_size": 2, "learning_rate": 1e-5},
        )
        self.assertEqual(sorted(self.ledger.points(task, "loss")), [5, 10, 15, 20])
        files = self.ledger.files(task)
        self.assertEqual(files["adapters.safetensors"]["kind"], "final")
        self.assertEqual(files["0000010_adapters.safetensors"]["step"], 10)


@unittest.skipIf(missing("torch", "swift", "peft"), missing("torch", "swift", "peft"))
class MsSwiftTest(TableCase):
    def test_arguments(self):
        self.prepare()
        rows = [{"query": "w1 w2 w3", "response": "w4 w5 w6"} for _ in range(24)]
        (self.folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        words = "--model model --model_type llama --template dummy --tuner_type lora --lora_rank 4 --dataset rows.jsonl"
        words += " --max_steps 8 --logging_steps 2 --save_steps 4 --per_device_train_batch_size 2 --learning_rate 1e-3"
        words += " --gradient_accumulation_steps 1 --torch_dtype float32 --output_dir out --use_cpu true"
        task = self.record(Path(sys.executable).with_name("swift"), "sft", *words.split(), timeout=600)
        self.assert_columns(
            task, {"trainer": "ms-swift", "lora_rank": 4, "lora_alpha": 32, "max_steps": 8, "learning_rate": 1e-3}
        )
        points = self.ledger.points(task, "loss")
        self.assertEqual(sorted(points), [1, 2, 4, 6, 8])
        self.assertEqual(task["progress"]["total_steps"], 8)
        names = [name for name in self.ledger.files(task) if name.endswith("checkpoint-8/adapter_model.safetensors")]
        self.assertEqual(len(names), 1)


if __name__ == "__main__":
    unittest.main()
