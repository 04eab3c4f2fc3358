"""Real trainers, which nobody here wrote, on the CPU with tiny random models: run where torch is installed."""

import importlib.util
import json
import os
import shutil
import sys
import unittest
from pathlib import Path

from tests.helpers import ClientCase

HERE = Path(__file__).resolve().parent
OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "CUDA_VISIBLE_DEVICES": "",
    "TOKENIZERS_PARALLELISM": "false",
    "OMP_NUM_THREADS": "1",
}


def missing(*modules):
    """The modules that are not installed, as a reason to skip; empty when all are."""
    absent = [name for name in modules if importlib.util.find_spec(name) is None]
    return f"{', '.join(absent)} not installed" if absent else ""


def exact(folder):
    """{step: loss} of a run's newest trainer_state.json."""
    newest = max(folder.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    history = json.loads((newest / "trainer_state.json").read_text())["log_history"]
    return {row["step"]: row["loss"] for row in history if "loss" in row}


class RealCase(ClientCase):
    def record(self, *command, timeout=240):
        """The strict server after the trainer ran in its own folder."""
        server = self.serve(interval=1.0)
        code, out, err = self.run_client("run", "--", *command, timeout=timeout, env=OFFLINE)
        self.assertEqual(code, 0, err[-3000:])
        return server

    def assert_close(self, got, expected):
        self.assertEqual(sorted(got), sorted(expected))
        for step, value in expected.items():
            self.assertAlmostEqual(got[step], value, delta=abs(value) * 2e-3)


@unittest.skipIf(missing("torch", "transformers", "peft"), missing("torch", "transformers", "peft"))
class TransformersTest(RealCase):
    def train(self, *more):
        return sys.executable, HERE / "train_peft.py", "--output_dir", "out", *more

    def test_loss_from_lines_weights_and_end(self):
        for every in (1, 4):
            with self.subTest(logging_steps=every):
                server = self.record(*self.train("--logging_steps", every, "--max_steps", 16))
                task = server.tasks[1]
                self.assertEqual(task["status"], "success")
                self.assert_close(server.points(1, "loss"), exact(self.folder / "out"))
                self.assertEqual(sorted(server.points(1, "grad_norm")), sorted(exact(self.folder / "out")))
                beats = task["attempts"][1]["beats"]
                self.assertEqual(beats[max(beats)]["progress"]["total_steps"], 16)
                held = server.held(1)
                for name in ("adapter_model.safetensors", "checkpoint-5/adapter_model.safetensors"):
                    self.assertEqual(held[name], (self.folder / "out" / name).read_bytes())
                kinds = {w["filename"]: (w["kind"], w.get("step")) for w in server.weights.values()}
                self.assertEqual(kinds["adapter_model.safetensors"], ("final", None))
                self.assertEqual(kinds["checkpoint-5/adapter_model.safetensors"], ("checkpoint", 5))
                self.assertEqual(kinds["checkpoint-5/adapter_config.json"], ("config", 5))
                self.assertNotIn("checkpoint-5/optimizer.pt", kinds)
                shutil.rmtree(self.folder / "out")

    def test_a_trainer_that_prints_nothing(self):
        server = self.record(*self.train("--quiet"))
        self.assert_close(server.points(1, "loss"), exact(self.folder / "out"))

    @unittest.skipIf(missing("tensorboard"), missing("tensorboard"))
    def test_tensorboard(self):
        server = self.record(*self.train("--report_to", "tensorboard"))
        self.assert_close(server.points(1, "train/loss"), exact(self.folder / "out"))
        self.assertEqual(server.points(1, "loss"), server.points(1, "train/loss"))


@unittest.skipIf(missing("torch", "accelerate", "safetensors", "tqdm"), missing("torch", "accelerate", "safetensors", "tqdm"))
class AccelerateTest(RealCase):
    def test_a_loop_under_accelerate_launch(self):
        tracker = "none" if missing("tensorboard") else "tensorboard"
        launch = (sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "1")
        script = (HERE / "train_accelerate.py", "--output_dir", "out", "--report_to", tracker)
        server = self.record(*launch, *script)
        self.assertEqual(server.tasks[1]["status"], "success")
        self.assertEqual(sorted(server.points(1, "loss")), list(range(1, 13)))
        if tracker == "tensorboard":
            self.assertEqual(sorted(server.points(1, "lr")), list(range(1, 13)))
        kinds = {w["filename"]: w["kind"] for w in server.weights.values() if w["kind"] != "state"}
        self.assertEqual(
            kinds,
            {
                "pytorch_lora_weights.safetensors": "final",
                "checkpoint-5/pytorch_lora_weights.safetensors": "checkpoint",
                "checkpoint-10/pytorch_lora_weights.safetensors": "checkpoint",
            },
        )


@unittest.skipIf(missing("torch", "llamafactory"), missing("torch", "llamafactory"))
class LlamaFactoryTest(RealCase):
    def test_a_run_from_its_yaml_file(self):
        sys.path.insert(0, str(HERE))
        self.addCleanup(sys.path.remove, str(HERE))
        from tiny import WORDS, save_with_tokenizer

        save_with_tokenizer(self.folder / "model")
        data = self.folder / "data"
        data.mkdir()
        words = " ".join(WORDS[4:12])
        rows = [{"instruction": words, "input": "", "output": words} for _ in range(24)]
        (data / "tiny.json").write_text(json.dumps(rows))
        (data / "dataset_info.json").write_text(json.dumps({"tiny": {"file_name": "tiny.json"}}))
        (self.folder / "sft.yaml").write_text(
            "### model\nmodel_name_or_path: model\nstage: sft\ndo_train: true\nfinetuning_type: lora\nlora_rank: 4\n"
            "lora_target: q_proj,v_proj\ndataset: tiny\ndataset_dir: data\ntemplate: empty\ncutoff_len: 64\n"
            "output_dir: saves/tiny\nlogging_steps: 2\nsave_steps: 6\nper_device_train_batch_size: 2\nmax_steps: 12\n"
            "report_to: none\nlearning_rate: 1.0e-3\nuse_cpu: true\noverwrite_cache: true\n"
        )
        saves = self.folder / "saves" / "tiny"
        saves.mkdir(parents=True)
        old = '{"current_steps": 2, "total_steps": 12, "loss": 99.0, "lr": 1.0, "epoch": 0.1}\n'
        (saves / "trainer_log.jsonl").write_text(old)
        server = self.record(Path(sys.executable).with_name("llamafactory-cli"), "train", "sft.yaml")
        task = server.tasks[1]
        self.assertEqual(task["status"], "success")
        self.assertIn("lora_rank: 4", task["fields"]["config"]["text"])
        self.assert_close(server.points(1, "loss"), exact(saves))
        self.assertEqual(sorted(server.points(1, "lr")), [2, 4, 6, 8, 10, 12])
        self.assertEqual((task["datasets"][0]["name"], task["datasets"][0]["image_count"]), ("tiny", 24))
        kinds = {w["filename"]: w["kind"] for w in server.weights.values()}
        self.assertEqual(kinds["adapter_model.safetensors"], "final")
        self.assertEqual(kinds["checkpoint-6/adapter_model.safetensors"], "checkpoint")


if __name__ == "__main__":
    os.environ.update(OFFLINE)
    unittest.main()
