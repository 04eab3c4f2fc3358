"""Real trainers, which nobody here wrote, on the CPU with tiny random models, recorded by the whole ledger.

Run where torch is installed: `python3 -m unittest -v client.tests.real.test_real` from the repository's folder.
"""

import importlib.util
import json
import os
import shutil
import sys
import tempfile
import unittest
from pathlib import Path

from tests.helpers import ClientCase
from tests.real.ledger import Ledger, lacking

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
    """What is not installed, as a reason to skip; empty when all is."""
    absent = [name for name in modules if importlib.util.find_spec(name) is None]
    return f"{', '.join(absent)} not installed" if absent else lacking()


def exact(folder):
    """{step: loss} of a run's newest trainer_state.json."""
    newest = max(folder.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    history = json.loads((newest / "trainer_state.json").read_text())["log_history"]
    return {row["step"]: row["loss"] for row in history if "loss" in row}


class RealCase(ClientCase):
    """Each class of tests has a whole ledger of its own."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        home = tempfile.TemporaryDirectory()
        cls.addClassCleanup(home.cleanup)
        cls.ledger = Ledger(Path(home.name))
        cls.addClassCleanup(cls.ledger.close)

    def environment(self, **extra):
        return {**super().environment(), "LEDGER_URL": self.ledger.url, "LEDGER_KEY": self.ledger.key, **extra}

    def record(self, *command, timeout=300):
        """The recorded run, after the trainer ran in the test's folder and the box was found safe to destroy."""
        code, _, err = self.run_client("run", "--", *command, timeout=timeout, env=OFFLINE)
        self.assertEqual(code, 0, err[-3000:])
        task = self.ledger.newest()
        self.assertEqual((task["status"], task["exit_code"]), ("success", 0), err[-3000:])
        self.assertIn("[ledger] safe to destroy this box: ", err)
        self.assertEqual(self.run_client("safe")[0], 0)
        return task

    def assert_close(self, got, expected):
        self.assertEqual(sorted(got), sorted(expected))
        for step, value in expected.items():
            self.assertAlmostEqual(got[step], value, delta=abs(value) * 2e-3)

    def assert_held(self, task, folder, kinds):
        """`kinds` is {file name: (kind, step)} of all that has to be there, but for the console."""
        files = {name: file for name, file in self.ledger.files(task).items() if file["kind"] != "state"}
        self.assertEqual({name: (file["kind"], file["step"]) for name, file in files.items()}, kinds)
        for name, file in files.items():
            self.assertTrue(self.ledger.holds(file, folder / name), name)


@unittest.skipIf(missing("torch", "transformers", "peft"), missing("torch", "transformers", "peft"))
class TransformersTest(RealCase):
    def train(self, *more):
        return sys.executable, HERE / "train_peft.py", "--output_dir", "out", *more

    def test_loss_from_lines_weights_and_end(self):
        for more in (("--logging_steps", 1), ("--logging_steps", 4), ()):
            with self.subTest(more=more):
                task = self.record(*self.train("--max_steps", 16, *more))
                out = self.folder / "out"
                self.assert_close(self.ledger.points(task, "loss"), exact(out))
                self.assertEqual(sorted(self.ledger.points(task, "grad_norm")), sorted(exact(out)))
                self.assertEqual(task["progress"]["total_steps"], 16)
                kinds = {"adapter_model.safetensors": ("final", None), "adapter_config.json": ("config", None)}
                for step in (5, 10, 15, 16):
                    kinds[f"checkpoint-{step}/adapter_model.safetensors"] = ("checkpoint", step)
                    kinds[f"checkpoint-{step}/adapter_config.json"] = ("config", step)
                self.assert_held(task, out, kinds)
                final = self.ledger.files(task)["adapter_model.safetensors"]
                self.assertEqual((final["rank"], final["algorithm"]), (4, "lora"))
                shutil.rmtree(out)

    def test_a_trainer_that_prints_nothing(self):
        task = self.record(*self.train("--quiet"))
        self.assert_close(self.ledger.points(task, "loss"), exact(self.folder / "out"))

    @unittest.skipIf(missing("tensorboard"), missing("tensorboard"))
    def test_tensorboard(self):
        task = self.record(*self.train("--report_to", "tensorboard"))
        self.assert_close(self.ledger.points(task, "train/loss"), exact(self.folder / "out"))
        self.assertEqual(self.ledger.points(task, "loss"), self.ledger.points(task, "train/loss"))


@unittest.skipIf(
    missing("torch", "accelerate", "safetensors", "tqdm"), missing("torch", "accelerate", "safetensors", "tqdm")
)
class AccelerateTest(RealCase):
    def test_a_loop_under_accelerate_launch(self):
        tracker = "none" if missing("tensorboard") else "tensorboard"
        launch = (sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "1")
        script = (HERE / "train_accelerate.py", "--output_dir", "out", "--report_to", tracker)
        task = self.record(*launch, *script)
        self.assertEqual(sorted(self.ledger.points(task, "loss")), list(range(1, 13)))
        if tracker == "tensorboard":
            self.assertEqual(sorted(self.ledger.points(task, "lr")), list(range(1, 13)))
        self.assert_held(
            task,
            self.folder / "out",
            {
                "pytorch_lora_weights.safetensors": ("final", None),
                "checkpoint-5/pytorch_lora_weights.safetensors": ("checkpoint", 5),
                "checkpoint-10/pytorch_lora_weights.safetensors": ("checkpoint", 10),
            },
        )


@unittest.skipIf(missing("torch", "accelerate", "tensorboard"), missing("torch", "accelerate", "tensorboard"))
class SdScriptsTest(RealCase):
    def test_event_files_of_a_real_writer_samples_and_the_separate_dataset_file(self):
        image = self.folder / "data" / "aki" / "1.png"
        image.parent.mkdir(parents=True)
        image.write_bytes(b"png")
        image.with_suffix(".txt").write_text("aki, 1girl\nnot read")
        (self.folder / "data.toml").write_text(
            '[general]\ncaption_extension = ".txt"\n[[datasets]]\nbatch_size = 3\nresolution = 768\n'
            '  [[datasets.subsets]]\n  image_dir = "data/aki"\n  num_repeats = 8\n'
        )
        (self.folder / "prompts.txt").write_text("# mine\n1girl, aki --w 512 --h 512\na horse --d 42\n")
        (self.folder / "my.toml").write_text('pretrained_model_name_or_path = "m"\nnetwork_module = "networks.lora"\n')
        # An older run's events in the same folder are none of this run's.
        older = self.folder / "logs" / "20200101000000" / "network_train"
        older.mkdir(parents=True)
        from torch.utils.tensorboard import SummaryWriter

        with SummaryWriter(str(older)) as writer:
            writer.add_scalar("loss/current", 99.0, 1)
        script = HERE / "sd_scripts" / "train_network.py"
        arguments = (
            "--config_file my.toml --dataset_config data.toml --output_dir out --output_name aki --logging_dir logs "
        )
        arguments += "--network_dim 4 --network_alpha 2 --max_train_epochs 3 --gradient_accumulation_steps 2 --sample_prompts prompts.txt"
        launch = (sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "1")
        task = self.record(*launch, script, *arguments.split())
        out = self.folder / "out"
        logged = {int(step): loss for step, loss in json.loads((out / "exact.json").read_text()).items()}
        self.assert_close(self.ledger.points(task, "loss/current"), logged)
        self.assertEqual(self.ledger.points(task, "loss"), self.ledger.points(task, "loss/current"))
        self.assertEqual(sorted(self.ledger.points(task, "lr/unet")), sorted(logged))
        self.assertEqual(sorted(self.ledger.points(task, "loss/epoch_average")), [1, 2, 3])
        columns = {"trainer": "kohya", "base_arch": "sd15", "task_name": "aki", "batch_size": 3, "resolution": "768"}
        columns.update(data_dir="data/aki", lora_rank=4, lora_alpha=2, epochs=3, gradient_accumulation_steps=2)
        self.assertEqual({name: task[name] for name in columns}, columns)
        facts = self.ledger.get(f"/api/tasks/{task['id']}/datasets")["datasets"]
        self.assertEqual(
            [(f["name"], f["repeats"], f["tag_distribution"]) for f in facts], [("aki", 8, {"aki": 1, "1girl": 1})]
        )
        files = self.ledger.files(task)
        self.assertEqual(
            {name: files[name]["epoch"] for name in files if name.startswith("aki")},
            {"aki-000001.safetensors": 1, "aki-000002.safetensors": 2, "aki.safetensors": 3},
        )
        samples = sorted((f for f in files.values() if f["kind"] == "sample"), key=lambda f: f["filename"])
        self.assertEqual(
            [(f["epoch"], f["prompt"], f["seed"]) for f in samples],
            [(n, p, 42) for n in (1, 2, 3) for p in ("1girl, aki", "a horse")],
        )
        self.assertEqual(files["prompts.txt"]["kind"], "config")
        for file in (*samples, files["aki.safetensors"]):
            self.assertTrue(self.ledger.holds(file, out / file["filename"]), file["filename"])


@unittest.skipIf(missing("torch", "llamafactory"), missing("torch", "llamafactory"))
class LlamaFactoryTest(RealCase):
    def prepare(self):
        """A tiny model, a dataset of 24 rows, and an older run's log in the output folder."""
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
        saves = self.folder / "saves" / "tiny"
        saves.mkdir(parents=True)
        old = '{"current_steps": 2, "total_steps": 12, "loss": 99.0, "lr": 1.0, "epoch": 0.1}\n'
        (saves / "trainer_log.jsonl").write_text(old)
        return saves

    settings = {
        "model_name_or_path": "model",
        "stage": "sft",
        "do_train": "true",
        "finetuning_type": "lora",
        "lora_rank": "4",
        "lora_target": "q_proj,v_proj",
        "dataset": "tiny",
        "dataset_dir": "data",
        "template": "empty",
        "cutoff_len": "64",
        "output_dir": "saves/tiny",
        "logging_steps": "2",
        "save_steps": "6",
        "per_device_train_batch_size": "2",
        "max_steps": "12",
        "report_to": "none",
        "learning_rate": "1.0e-3",
        "use_cpu": "true",
        "overwrite_cache": "true",
    }
    columns = {
        "trainer": "llama-factory",
        "task_name": "tiny",
        "model_type": "llm",
        "lora_rank": 4,
        "lora_alpha": 8,
        "batch_size": 2,
        "max_steps": 12,
        "data_dir": "data/tiny",
        "network_algo": "lora",
        "seed": 42,
    }

    def check(self, task, saves, rate):
        self.assertEqual({name: task[name] for name in self.columns}, self.columns)
        self.assertEqual(task["learning_rate"], rate)
        self.assertIn("lora_alpha", task["defaulted_fields"])
        self.assert_close(self.ledger.points(task, "loss"), exact(saves))
        self.assertEqual(sorted(self.ledger.points(task, "lr")), [2, 4, 6, 8, 10, 12])
        facts = self.ledger.get(f"/api/tasks/{task['id']}/datasets")["datasets"]
        self.assertEqual([(fact["name"], fact["image_count"]) for fact in facts], [("tiny", 24)])
        files = self.ledger.files(task)
        for name, kind in (
            ("adapter_model.safetensors", "final"),
            ("checkpoint-6/adapter_model.safetensors", "checkpoint"),
        ):
            self.assertEqual(files[name]["kind"], kind)
            self.assertTrue(self.ledger.holds(files[name], saves / name), name)

    def test_a_run_from_its_yaml_file_with_an_argument_over_it(self):
        saves = self.prepare()
        text = "### model\n" + "".join(f"{name}: {value}\n" for name, value in self.settings.items())
        (self.folder / "sft.yaml").write_text(text)
        program = Path(sys.executable).with_name("llamafactory-cli")
        self.check(self.record(program, "train", "sft.yaml", "learning_rate=2.0e-3"), saves, 0.002)

    def test_a_run_from_arguments_alone(self):
        saves = self.prepare()
        words = [word for name, value in self.settings.items() for word in (f"--{name}", value)]
        program = Path(sys.executable).with_name("llamafactory-cli")
        self.check(self.record(program, "train", *words), saves, 0.001)


if __name__ == "__main__":
    os.environ.update(OFFLINE)
    unittest.main()
