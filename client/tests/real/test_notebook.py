"""`%%ledger` in a real kernel with the real transformers, PEFT and TRL, on the CPU with tiny random models.

Run where torch, transformers, peft, trl, ipykernel and jupyter_client are installed:
`python3 -m unittest -v client.tests.real.test_notebook` from the repository's folder.
"""

import json
import os
import sys
import unittest
from pathlib import Path

from tests.real.test_real import HERE, OFFLINE, RealCase, exact, missing
from tests.test_notebook import Kernel

PACKAGES = ("torch", "transformers", "peft", "ipykernel", "jupyter_client")
MODEL = """
import sys
sys.path.insert(0, HERE)
from peft import LoraConfig, get_peft_model
from tiny import language_model, rows
lora = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
"""
TRAINER = """
from transformers import Trainer, TrainingArguments
args = TrainingArguments(output_dir="aki", max_steps=12, logging_steps=3, save_steps=5, report_to="none",
                         per_device_train_batch_size=2, learning_rate=1e-2, use_cpu=True)
data = [{"input_ids": row, "labels": row} for row in rows(32)]
trainer = Trainer(model=get_peft_model(language_model(), lora), args=args, train_dataset=data)
"""
SFT = """
from datasets import Dataset
from transformers import AutoTokenizer
from trl import SFTConfig, SFTTrainer
from tiny import WORDS, save_with_tokenizer
save_with_tokenizer("base")
texts = [" ".join(WORDS[token] for token in row) for row in rows(16)]
args = SFTConfig(output_dir="sft", num_train_epochs=2, logging_steps=1, save_strategy="epoch", report_to="none",
                 per_device_train_batch_size=4, learning_rate=1e-3, use_cpu=True, bf16=False)
trainer = SFTTrainer("base", args=args, train_dataset=Dataset.from_dict({"text": texts}), peft_config=lora)
"""


@unittest.skipIf(missing(*PACKAGES), missing(*PACKAGES))
class NotebookTest(RealCase):
    def setUp(self):
        super().setUp()
        path = os.pathsep.join([self.environment()["PYTHONPATH"], str(Path(HERE).parents[1])])
        folders = {"IPYTHONDIR": str(self.folder / "ipython"), "JUPYTER_RUNTIME_DIR": str(self.folder / "runtime")}
        environment = {**self.environment(), **OFFLINE, **folders, "PYTHONPATH": path}
        self.kernel = Kernel(sys.executable, environment, self.folder)
        self.addCleanup(self.kernel.close)
        self.cell(f"HERE = {str(HERE)!r}\n%load_ext lora_ledger{MODEL}")

    def cell(self, code):
        cell = self.kernel.run(code)
        self.assertEqual(cell["status"], "ok", cell)
        return cell

    def check(self, task, columns):
        self.assertEqual({name: task[name] for name in columns}, columns)
        folder = self.folder / columns["output_dir"]
        self.assert_close(self.ledger.points(task, "loss"), exact(folder))
        self.assertTrue(
            self.ledger.holds(
                self.ledger.files(task)["adapter_model.safetensors"], folder / "adapter_model.safetensors"
            )
        )

    COLUMNS = {"status": "success", "lora_rank": 4, "lora_alpha": 8, "network_algo": "lora", "model_type": "llm"}

    def test_a_trainer_of_transformers(self):
        self.cell(TRAINER)
        cell = self.cell("%%ledger\ntrainer.train()\ntrainer.save_model()")
        task = self.ledger.newest()
        self.assertEqual(cell["text"].count(f"/runs/{task['id']}"), 1)
        settings = {"learning_rate": 1e-2, "batch_size": 2, "max_steps": 12, "epochs": None, "output_dir": "aki"}
        self.check(task, {**self.COLUMNS, **settings, "trainer": "transformers", "task_name": "aki"})
        self.assertIn("checkpoint-10/adapter_model.safetensors", self.ledger.files(task))
        # Once more, with the import within a cell of a fresh kernel's kind of state: the class is as it was.
        left = self.cell("from transformers.trainer_callback import CallbackHandler as H\nH.on_train_begin.__module__")
        self.assertEqual(left["result"], "'transformers.trainer_callback'")

    def test_all_in_one_cell(self):
        self.cell(f"%%ledger --name 'one cell'{TRAINER}trainer.train()\ntrainer.save_model()")
        self.check(self.ledger.newest(), {**self.COLUMNS, "task_name": "one cell", "output_dir": "aki", "seed": 42})

    @unittest.skipIf(missing("trl", "datasets"), missing("trl", "datasets"))
    def test_a_trainer_of_trl(self):
        self.cell(f"%%ledger{SFT}trainer.train()\ntrainer.save_model()")
        task = self.ledger.newest()
        settings = {"learning_rate": 1e-3, "batch_size": 4, "epochs": 2, "max_steps": None, "output_dir": "sft"}
        self.check(task, {**self.COLUMNS, **settings, "trainer": "trl", "base_model_path": "base"})
        self.assertIn("mean_token_accuracy", json.dumps(self.ledger.get(f"/api/tasks/{task['id']}/logs")))


if __name__ == "__main__":
    unittest.main()
