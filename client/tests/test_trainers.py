"""What the client knows of each trainer: how it is recognised, where it writes, what its files are, when exit 0 is no success."""

import json
from pathlib import Path

from lora_ledger.follow.follower import Seen
from lora_ledger.recording.watch import Watch
from lora_ledger.trainers import recognise
from lora_ledger.trainers.datasets import collect
from lora_ledger.trainers.kohya import read_prompts
from lora_ledger.trainers.launch import find_config
from tests.helpers import TemporaryCase

AI_TOOLKIT = """
job: extension
config:
  name: "flux_v1"
  process:
    - type: 'sd_trainer'
      training_folder: "output"
      trigger_word: "p3r5on"
      log_dir: logs
      datasets:
        - folder_path: "data"
          caption_ext: "txt"
          num_repeats: 2
      train:
        steps: 2000
      sample:
        prompts:
          - "[trigger] by the sea"
          - "a horse"
"""
ONETRAINER = {
    "training_method": "LORA",
    "base_model_name": "b",
    "workspace_dir": "ws",
    "output_model_destination": "models/aki.safetensors",
    "save_filename_prefix": "aki-",
    "samples": [{"prompt": "a girl: at sea?"}],
    "concepts": [{"name": "c", "path": "data", "balancing": 3.0}, {"path": "off", "enabled": False}],
}
PIPE = 'output_dir = "out"\ndataset = "dataset.toml"\nepochs = 2\n[model]\ntype = "flux"\n[adapter]\ntype = "lora"\n'
AXOLOTL = "base_model: b\nadapter: lora\nmicro_batch_size: 2\noutput_dir: ./outputs/x\nmax_steps: 100\ndatasets:\n  - path: rows.jsonl\n    type: alpaca\n"
LLAMA = "model_name_or_path: m\nstage: sft\nfinetuning_type: lora\noutput_dir: saves/a\ndataset: one,gone\nlogging_steps: 10\n"
KOHYA = 'output_dir = "out"\noutput_name = "aki"\nnetwork_module = "networks.lora"\nnetwork_dim = 8\nsample_prompts = "prompts.txt"\n'


def seen(**values):
    result = Seen()
    for name, value in values.items():
        setattr(result, name, value)
    return result


class TrainerCase(TemporaryCase):
    def write(self, *names, text="x"):
        for name in names:
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def trainer(self, command, text):
        return recognise(command.split(), text, self.folder)

    def saved(self, trainer):
        """{recorded name: (kind, epoch, step)} of what the trainer's folders hold."""
        return {saved.filename or path.name: (saved.kind, saved.epoch, saved.step) for path, saved in trainer.scan()}


class RecogniseTest(TrainerCase):
    def test_from_file_or_command(self):
        for command, text, name in (
            ("python run.py config/a.yaml", AI_TOOLKIT, "ai-toolkit"),
            ("python scripts/train.py --config-path a.json", json.dumps(ONETRAINER), "onetrainer"),
            ("deepspeed --num_gpus=1 train.py --deepspeed --config a.toml", PIPE, "diffusion-pipe"),
            ("axolotl train a.yml", AXOLOTL, "axolotl"),
            ("accelerate launch -m axolotl.cli.train a.yml", None, "axolotl"),
            ("llamafactory-cli train a.yaml", LLAMA, "llama-factory"),
            ("llamafactory-cli train --output_dir x", None, "llama-factory"),
            ("usf run.py", "model: m\npeft_config:\n  r: 16\noutput_dir: o\n", "llama-factory"),
            ("accelerate launch train_dreambooth_lora_flux.py --output_dir o", None, "diffusers"),
            ("accelerate launch sdxl_train_network.py --output_dir o", None, "kohya"),
            ("accelerate launch src/musubi_tuner/wan_train_network.py --dit d", None, "kohya"),
            ("bash train.sh", KOHYA, "kohya"),
            ("python mine.py --output_dir o", None, None),
            ("python mine.py", "[[[ no file: {", None),
            ("python mine.py", '{"config": {"process": []}, "job": 1}', None),
        ):
            self.assertEqual(self.trainer(command, text).name, name, command)

    def test_the_file_that_a_command_names(self):
        for command, path in (
            ("accelerate launch --config_file acc.yaml train_network.py --config_file my.toml", "my.toml"),
            ("accelerate launch --config_file acc.yaml -m axolotl.cli.train a.yml", "a.yml"),
            ("python run.py config/a.yaml", "config/a.yaml"),
            ("python run.py -r a.yaml", "a.yaml"),
            ("llamafactory-cli train a.yaml learning_rate=1e-5", "a.yaml"),
            ("python -m accelerate.commands.launch train_network.py --dataset_config d.toml", None),
            ("python scripts/train.py --config-path=a.json", "a.json"),
            ("./train", None),
        ):
            self.assertEqual(find_config(command.split()), path, command)

    def test_commands_that_start_a_trainer_are_seen_through(self):
        self.write("sub/c.yaml", text="output_dir: out\n")
        for words, program, folder in (
            ("accelerate launch --config_file a.yaml train.py --output_dir out", "train.py", "out"),
            ("torchrun --nproc_per_node 2 -m pkg.train --output_dir out", "pkg.train", "out"),
            ("python -m torch.distributed.run --nproc_per_node 2 train.py --output_dir out", "train.py", "out"),
            ("deepspeed --num_gpus=2 train.py --output_dir out", "train.py", "out"),
            ("uv run --with x swift sft --output_dir out", "swift", "out"),
            ("uv run python -m mine --output_dir=out", "mine", "out"),
            ("conda run --no-capture-output -n e swift sft --output_dir out", "swift", "out"),
            ("env A=1 nohup python -u t.py --output_dir out", "t.py", "out"),
            (["bash", "-c", "python train.py \\\n --output_dir 'out' > log 2>&1"], "train.py", "out"),
            (["sh", "-c", "exec accelerate launch train.py --output_dir out; echo done"], "train.py", "out"),
            (
                [
                    "bash",
                    "-lc",
                    "cd sub && . venv/bin/activate && CUDA_VISIBLE_DEVICES=0 swift sft --config c.yaml 2>&1 | tee log",
                ],
                "swift",
                "sub/out",
            ),
        ):
            command = words.split() if isinstance(words, str) else words
            config = find_config(command)
            trainer = recognise(command, (self.folder / config).read_text() if config else None, self.folder)
            self.assertEqual((trainer.launch.program, trainer.output_folder()), (program, self.folder / folder), words)
        for words in (
            ["bash", "-c"],
            ["bash", "-c", "'"],
            ["bash", "train.sh"],
            ["conda", "run"],
            ["A=1"],
            ["sh", "-c", "cd x"],
            ["env"] * 50,
        ):
            self.assertEqual(recognise(words, None, self.folder).command[0], words[0])

    def test_arguments_win_over_the_file(self):
        trainer = self.trainer("llamafactory-cli train a.yaml output_dir=saves/b logging_steps=5", LLAMA)
        self.assertEqual((trainer.output_folder(), trainer.logging_steps()), (self.folder / "saves/b", 5))


class FilesTest(TrainerCase):
    def test_kohya_samples_and_state(self):
        self.write("prompts.txt", text="# none\n\na girl, smiling --n bad --w 512\nsecond\n")
        self.write(
            "out/aki.safetensors",
            "out/aki-000002.safetensors",
            "out/aki-000002-state/optimizer.bin",
            "out/aki-state/train_state.json",
            "out/other-000002-state/optimizer.bin",
            "out/sample/aki_e000002_00_20250101120000_42.png",
            "out/sample/aki_000250_01_20250101120000.png",
            "out/sample/other_e000002_00_20250101120000.png",
            "out/sample/notes.txt",
        )
        trainer = self.trainer("accelerate launch train_network.py", KOHYA)
        self.assertEqual(
            self.saved(trainer),
            {
                "aki.safetensors": ("final", None, None),
                "aki-000002.safetensors": ("checkpoint", 2, None),
                "aki-000002-state/optimizer.bin": ("state", 2, None),
                "aki-state/train_state.json": ("state", None, None),
                "sample/aki_e000002_00_20250101120000_42.png": ("sample", 2, None),
                "sample/aki_000250_01_20250101120000.png": ("sample", None, 250),
            },
        )
        prompts = {s.filename[-8:]: (s.prompt, s.seed) for _, s in trainer.scan() if s.kind == "sample"}
        self.assertEqual(prompts, {"0_42.png": ("a girl, smiling", 42), "0000.png": ("second", None)})

    def test_prompt_files(self):
        self.write(
            "p.toml", text='[prompt]\nwidth = 1\n[[prompt.subset]]\nprompt = "a"\n[[prompt.subset]]\nprompt = "b"\n'
        )
        self.write("p.json", text='[{"prompt": "a"}, {"prompt": "b"}]')
        for name in ("p.toml", "p.json"):
            self.assertEqual(read_prompts(self.folder / name), ["a", "b"])
        self.write("p.json", text="{")
        self.assertEqual((read_prompts(self.folder / "p.json"), read_prompts(self.folder / "gone.txt")), ([], []))

    def test_ai_toolkit(self):
        self.write(
            "output/flux_v1/flux_v1.safetensors",
            "output/flux_v1/flux_v1_000000250.safetensors",
            "output/flux_v1/flux_v1_LoRA_000000500.safetensors",
            "output/flux_v1/flux_v2.safetensors",
            "output/flux_v1/optimizer.pt",
            "output/flux_v1/config.yaml",
            "output/flux_v1/samples/1700000000000__000000250_0.jpg",
            "output/flux_v1/samples/1700000000000__000000250_9.jpg",
        )
        trainer = self.trainer("python run.py a.yaml", AI_TOOLKIT)
        self.assertEqual((trainer.bar_desc, trainer.total_steps()), ("flux_v1", 2000))
        self.assertEqual(trainer.log_folder(), self.folder / "logs")
        self.assertEqual(trainer.readers()[0].path, self.folder / "output/flux_v1/loss_log.db")
        self.assertEqual(
            self.saved(trainer),
            {
                "flux_v1.safetensors": ("final", None, None),
                "flux_v1_000000250.safetensors": ("checkpoint", None, 250),
                "flux_v1_LoRA_000000500.safetensors": ("checkpoint", None, 500),
                "optimizer.pt": ("state", None, None),
                "config.yaml": ("config", None, None),
                "samples/1700000000000__000000250_0.jpg": ("sample", None, 250),
                "samples/1700000000000__000000250_9.jpg": ("sample", None, 250),
            },
        )
        prompts = [s.prompt for _, s in trainer.scan() if s.kind == "sample"]
        self.assertEqual(prompts, ["p3r5on by the sea", None])
        self.assertEqual(trainer.resume_step()[0], 500)

    def test_onetrainer(self):
        stamp = "2025-01-01_12-00-00"
        self.write(
            "models/aki.safetensors",
            f"models/aki-{stamp}.safetensors",
            "models/other.safetensors",
            f"ws/save/aki-{stamp}-save-120-4-0.safetensors",
            f"ws/samples/0 - a girl at sea/aki-{stamp}-training-sample-120-4-0.jpg",
            f"ws/samples/1 - second/aki-{stamp}-training-sample-120-4-0.jpg",
            f"ws/backup/{stamp}-backup-120-4-0/optimizer/optimizer.pt",
        )
        trainer = self.trainer("python scripts/train.py", json.dumps(ONETRAINER))
        self.assertEqual(trainer.log_folder(), self.folder / "ws/tensorboard")
        self.assertEqual(
            self.saved(trainer),
            {
                "aki.safetensors": ("final", None, None),
                f"save/aki-{stamp}-save-120-4-0.safetensors": ("checkpoint", 4, 120),
                f"samples/0 - a girl at sea/aki-{stamp}-training-sample-120-4-0.jpg": ("sample", 4, 120),
                f"samples/1 - second/aki-{stamp}-training-sample-120-4-0.jpg": ("sample", 4, 120),
                f"backup/{stamp}-backup-120-4-0/optimizer/optimizer.pt": ("state", None, None),
            },
        )
        prompts = [s.prompt for _, s in trainer.scan() if s.kind == "sample"]
        self.assertEqual(prompts, ["a girl: at sea?", "second"])
        folder = recognise(["x"], json.dumps({**ONETRAINER, "output_model_destination": "models"}), self.folder)
        self.assertEqual([s.kind for p, s in folder.scan() if p.parent.name == "models"], ["final"])

    def test_all_folders_of_results(self):
        trainer = self.trainer("python scripts/train.py --config-path a.json", json.dumps(ONETRAINER))
        self.assertEqual(trainer.folders(), [self.folder / part for part in ("models", "ws/save", "ws/samples")])
        self.assertEqual(self.trainer("python mine.py", None).folders(), [])

    def test_diffusion_pipe(self):
        run = "out/20250101_12-00-00"
        self.write(
            f"{run}/epoch1/adapter_config.json",
            f"{run}/step50/lora.safetensors",
            f"{run}/global_step50/mp_rank_00_model_states.pt",
            "out/notes/epoch1/adapter_model.safetensors",
        )
        trainer = self.trainer("deepspeed train.py --config a.toml", PIPE)
        now = [0.0]
        watch = Watch(trainer, clock=lambda: now[0])
        self.write(f"{run}/epoch2/adapter_config.json")
        (self.folder / f"{run}/epoch2/adapter_model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
        items = watch.poll(ended=True)
        self.assertEqual(
            [(i.filename, i.kind, i.epoch, i.group) for i in items],
            [
                (f"{run[4:]}/epoch2/adapter_config.json", "config", 2, "20250101_12-00-00/epoch2"),
                (f"{run[4:]}/epoch2/adapter_model.safetensors", "checkpoint", 2, "20250101_12-00-00/epoch2"),
            ],
        )
        self.assertEqual([(i.filename, i.kind) for i in watch.promote()], [(items[1].filename, "final")])
        kinds = self.saved(trainer)
        self.assertEqual(kinds[f"{run[4:]}/global_step50/mp_rank_00_model_states.pt"][0], "state")
        self.assertEqual(kinds[f"{run[4:]}/step50/lora.safetensors"], ("checkpoint", None, 50))
        self.assertFalse(any("notes" in name for name in kinds))

    def test_transformers_layout(self):
        for command, text, root in (
            ("llamafactory-cli train a.yaml", LLAMA, "saves/a"),
            ("axolotl train a.yml", AXOLOTL, "outputs/x"),
            ("python train_text_to_image_lora.py --output_dir d", None, "d"),
            ("python mine.py --output_dir m", None, "m"),
        ):
            final = "pytorch_lora_weights.safetensors" if root == "d" else "adapter_model.safetensors"
            self.write(
                f"{root}/{final}",
                f"{root}/adapter_config.json",
                f"{root}/checkpoint-500/adapter_model.safetensors",
                f"{root}/checkpoint-500/adapter_config.json",
                f"{root}/checkpoint-500/optimizer.pt",
                f"{root}/checkpoint-500/trainer_state.json",
                f"{root}/checkpoint-x/adapter_model.safetensors",
            )
            trainer = self.trainer(command, text)
            self.assertEqual(
                self.saved(trainer),
                {
                    final: ("final", None, None),
                    "adapter_config.json": ("config", None, None),
                    "checkpoint-500/adapter_model.safetensors": ("checkpoint", None, 500),
                    "checkpoint-500/adapter_config.json": ("config", None, 500),
                    "checkpoint-500/optimizer.pt": ("state", None, 500),
                    "checkpoint-500/trainer_state.json": ("state", None, 500),
                },
                command,
            )

    def test_state_is_left_out_unless_asked_for(self):
        trainer = self.trainer("llamafactory-cli train a.yaml", LLAMA)
        plain, full = Watch(trainer), Watch(trainer, upload_state=True)
        self.write("saves/a/checkpoint-5/optimizer.pt")
        self.assertEqual(plain.poll(ended=True), [])
        self.assertEqual([i.filename for i in full.poll(ended=True)], ["checkpoint-5/optimizer.pt"])

    def test_a_name_that_the_ledger_would_refuse(self):
        long = "p" * 240
        self.write(f"ws/samples/0 - {long}/a-training-sample-1-1-1.jpg")
        trainer = self.trainer("x", json.dumps(ONETRAINER))
        self.assertEqual(list(self.saved(trainer)), ["aki.safetensors", "a-training-sample-1-1-1.jpg"])


class FaultTest(TrainerCase):
    def test_exit_code_0_is_not_enough(self):
        for command, text, good, bad in (
            ("x", AI_TOOLKIT, {"final": True}, {"final": True, "stopped": "Job stopped"}),
            ("x", AI_TOOLKIT, {"final": True, "step": 2000, "total": 2000}, {"step": 2000, "total": 2000}),
            (
                "x",
                json.dumps(ONETRAINER),
                {"final": True, "step": 9, "total": 9},
                {"final": True, "step": 3, "total": 9},
            ),
            ("x", PIPE, {"marker": True}, {"final": True}),
            ("x", AXOLOTL, {"marker": True, "step": 5, "total": 9}, {"final": True, "step": 5, "total": 9}),
            ("x", AXOLOTL, {"final": True}, {}),
            ("x", LLAMA, {"final": True}, {"step": 5, "total": 9}),
            ("accelerate launch train_network.py", KOHYA, {"marker": True}, {"step": 5, "total": 9}),
            ("python train_dreambooth_lora.py --output_dir o", None, {"final": True}, {}),
        ):
            trainer = self.trainer(command, text)
            self.assertIsNone(trainer.fault(seen(**good)), (trainer.name, good))
            self.assertIn("exit code 0", trainer.fault(seen(**bad)), (trainer.name, bad))
        for command in ("python mine.py --output_dir o", "accelerate launch train_dreambooth.py --output_dir o"):
            self.assertIsNone(self.trainer(command, None).fault(seen()), command)


class DatasetTest(TrainerCase):
    def facts(self, command, text):
        return [
            (f["name"], f["image_count"], f["repeats"], f["tag_distribution"])
            for f in collect(self.trainer(command, text).datasets())
        ]

    def test_ai_toolkit_looks_below_but_not_into_controls(self):
        self.write("data/a.png", "data/b/c.jpg", "data/_controls/a.png", "data/.hidden/x.png")
        self.write("data/b/c.txt", text="Aki, sea\nmore")
        self.assertEqual(self.facts("x", AI_TOOLKIT), [("data", 2, 2, {"aki": 1, "sea": 1})])

    def test_onetrainer_takes_every_line(self):
        self.write("data/a.png", "data/a-masklabel.png", "data/a-condlabel.png", "data/below/b.png")
        self.write("data/a.txt", text="aki, sea\naki, beach\n")
        self.assertEqual(self.facts("x", json.dumps(ONETRAINER)), [("c", 1, 3, {"aki": 2, "sea": 1, "beach": 1})])
        self.write("prompts.txt", text="a photo, of it\nanother")
        for source, tags in (("filename", {"a": 1}), ("concept", {"a photo": 1, "of it": 1})):
            text = {"prompt_source": source, "prompt_path": "prompts.txt"}
            document = {**ONETRAINER, "concepts": [{"name": "c", "path": "data", "text": text}]}
            self.assertEqual(self.facts("x", json.dumps(document)), [("c", 1, 1, tags)], source)

    def test_diffusion_pipe_takes_txt_or_captions_json(self):
        self.write(
            "dataset.toml",
            text='num_repeats = 5\n[[directory]]\npath = "one"\n[[directory]]\npath = "two"\nnum_repeats = 2\n',
        )
        self.write("one/a.mp4", "one/b.png", "two/a.png")
        self.write("one/a.txt", text="wave")
        self.write("two/captions.json", text='{"a.png": ["hill, tree"]}')
        self.assertEqual(self.facts("x", PIPE), [("one", 2, 5, {"wave": 1}), ("two", 1, 2, {"hill": 1, "tree": 1})])

    def test_llama_factory_counts_rows(self):
        self.write("data/dataset_info.json", text='{"one": {"file_name": "one.json"}, "gone": {"hf_hub_url": "x"}}')
        self.write("data/one.json", text='[{"instruction": "a"}, {"instruction": "b"}]')
        self.assertEqual(self.facts("x", LLAMA), [("one", 2, None, {})])

    def test_axolotl_counts_lines(self):
        self.write("rows.jsonl", text='{"instruction": "a"}\n\n{"instruction": "b"}\nbroken\n')
        self.assertEqual(self.facts("x", AXOLOTL), [("rows.jsonl", 2, None, {})])

    def test_diffusers(self):
        self.write("d/a.png", "d/b.png")
        command = (
            "python train_dreambooth_lora.py --output_dir o --instance_data_dir d --repeats 2 --instance_prompt sks"
        )
        self.assertEqual(self.facts(command, None), [("d", 2, 2, {"sks": 2})])
        self.write("d/metadata.jsonl", text='{"file_name": "a.png", "text": "x"}\n')
        self.assertEqual(self.facts(command, None), [("d", 1, 2, {})])

    def test_musubi_folders_and_rows(self):
        self.write("img/a.png", "vid/a.mp4")
        self.write("img/a.txt", text="aki")
        self.write("rows.jsonl", text='{"image_path": "a.png", "caption": "Aki, sea"}\n')
        self.write(
            "d.toml",
            text='[[datasets]]\nimage_directory = "img"\n[[datasets]]\nvideo_directory = "vid"\nnum_repeats = 2\n'
            '[[datasets]]\nimage_jsonl_file = "rows.jsonl"\n',
        )
        self.assertEqual(
            self.facts("accelerate launch wan_train_network.py --dataset_config d.toml", None),
            [("img", 1, 1, {"aki": 1}), ("vid", 1, 2, {}), ("rows.jsonl", 1, 1, {"aki": 1, "sea": 1})],
        )

    def test_large_and_unreadable_files_are_told_by_name_and_size(self):
        path = Path(self.folder / "rows.jsonl")
        with open(path, "wb") as file:
            file.truncate(65 * 1024 * 1024)
        self.assertEqual(self.facts("x", AXOLOTL), [("rows.jsonl", None, None, {})])
        path.write_bytes(b"\xff\xfe\x00")
        self.assertEqual(self.facts("x", AXOLOTL), [("rows.jsonl", 0, None, {})])
