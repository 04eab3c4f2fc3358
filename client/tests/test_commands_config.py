"""Writing configurations from weight files and runs, for every trainer and for none that would train something else."""

import json
import re
import struct

from lora_ledger.commands import config_for
from lora_ledger.core.errors import CommandError
from lora_ledger.core.toml_reader import read_toml
from lora_ledger.core.yaml_reader import read_yaml
from tests.test_commands_import import KOHYA, linear, write_weights
from tests.test_commands_ledger import CommandCase

FULL_LOKR = {"a.lokr_w1": ("F16", [4, 4]), "a.lokr_w2": ("F16", [8, 8])}
LLM = {
    f"base_model.model.model.layers.0.self_attn.{name}.lora_{side}.weight": ("F16", shape)
    for name in ("q_proj", "v_proj")
    for side, shape in (("A", [8, 32]), ("B", [32, 8]))
}
QKV = {"diffusion_model.double_blocks.0.img_attn.qkv.lora_A.weight": ("F16", [32, 64])}


class ConfigTest(CommandCase):
    def made(self, trainer, metadata=KOHYA, tensors=None, arch=None):
        path = write_weights(self.folder / "aki.safetensors", metadata, tensors or linear(16, 8))
        facts = config_for.facts_of_file(path)
        facts.asked = arch
        return config_for.write(facts, trainer, path.name)

    def refused(self, words, trainer, metadata=None, tensors=None, arch=None):
        with self.assertRaisesRegex(CommandError, words):
            self.made(trainer, metadata, tensors, arch)

    def base(self, version):
        return {"ss_base_model_version": version}

    def test_kohya(self):
        text, _ = self.made("kohya")
        read = read_toml(text)
        expected = {
            "network_dim": 16, "network_alpha": 8, "learning_rate": 0.0001, "unet_lr": 0.0002, "optimizer_type": "AdamW8bit",
            "optimizer_args": ["weight_decay=0.1", "betas=(0.9, 0.99)"], "train_batch_size": 2, "max_train_epochs": 10,
            "network_args": ["conv_dim=4", "conv_alpha=1"], "mixed_precision": "bf16", "resolution": "1024,1024", "seed": 42,
            "network_module": "networks.lora", "lr_scheduler": "cosine_with_restarts", "shuffle_caption": True,
        }  # fmt: skip
        self.assertEqual({k: read.get(k) for k in expected}, expected)
        for line in text.splitlines():
            if " = " in line:
                self.assertRegex(line, r"  # (read|default|FILL IN)", line)
        self.assertIn("sdxl_train_network.py", text)
        self.assertTrue(read["train_data_dir"].startswith("FILL IN"))
        self.assertEqual(read_toml(self.made("lora-scripts")[0])["model_train_type"], "sdxl-lora")

    def test_algorithms(self):
        full = {"a.lokr_w1": ("F16", [4, 4]), "a.lokr_w2": ("F16", [8, 8])}
        read = read_toml(self.made("kohya", {"ss_base_model_version": "sdxl_base_v1-0"}, full)[0])
        self.assertEqual(
            (read["network_module"], read["network_dim"], read["network_args"]),
            ("lycoris.kohya", 100000, ["algo=lokr", "full_matrix=True"]),
        )
        self.assertIn("lokr_full_rank: true", self.made("ai-toolkit", {"ss_base_model_version": "flux1"}, full)[0])
        with self.assertRaisesRegex(CommandError, "trains no loha"):
            self.made("diffusion-pipe", {"ss_base_model_version": "flux1"}, {"a.hada_w1_b": ("F16", [4, 8])})

    def test_onetrainer(self):
        read = json.loads(self.made("onetrainer")[0])
        self.assertEqual(
            [
                read[k]
                for k in ("training_method", "model_type", "lora_rank", "lora_alpha", "resolution", "train_dtype")
            ],
            ["LORA", "STABLE_DIFFUSION_XL_10_BASE", 16, 8.0, "1024", "BFLOAT_16"],
        )
        self.assertEqual((read["optimizer"], read["concepts"][0]["balancing"]), ({"optimizer": "ADAMW_8BIT"}, 10.0))
        self.assertEqual(read["__notes"]["lora_rank"], "read: the tensors")
        self.assertTrue(read["__notes"]["workspace_dir"].startswith("default"))

    def test_ai_toolkit_and_diffusion_pipe(self):
        text, _ = self.made("ai-toolkit")
        for line in (
            "config:",
            '    - type: "sd_trainer"',
            "        linear: 16  # read",
            "        steps: 1200  # read",
            '        - folder_path: "FILL IN',
        ):
            self.assertIn(line, text)
        try:
            import yaml
        except ImportError:
            yaml = None
        if yaml:
            process = yaml.safe_load(text)["config"]["process"][0]
            self.assertEqual(
                (process["network"]["linear"], process["model"]["arch"], process["datasets"][0]["num_repeats"]),
                (16, "sdxl", 10),
            )
        text, dataset = self.made("diffusion-pipe")
        read, data = read_toml(text), read_toml(dataset)
        self.assertEqual(
            (read["adapter"]["rank"], read["model"]["type"], read["optimizer"]["type"]), (16, "sdxl", "adamw8bit")
        )
        self.assertNotIn("alpha", read["adapter"])
        self.assertEqual((data["resolutions"], data["directory"][0]["num_repeats"]), ([1024], 10))

    def test_a_file_that_says_nothing_asks_for_its_architecture(self):
        for trainer in config_for.TRAINERS:
            if trainer == "peft":
                self.assertIn("FILL IN", self.made(trainer, None)[0])
                continue
            with self.assertRaisesRegex(CommandError, "say it by --arch, of what .* trains: ") as raised:
                self.made(trainer, None)
            for arch in re.sub(r".* trains: ", "", str(raised.exception)).split(", "):
                text, _ = self.made(trainer, None, arch=arch)
                self.assertIn("FILL IN", text)
                self.assertNotIn("sd15" if arch != "sd15" else "\0", text)

    def test_an_architecture_that_the_trainer_does_not_have(self):
        for trainer, version in (
            ("kohya", "flux_2_dev"), ("kohya", "flux2_klein_4b"), ("kohya", "framepack"), ("kohya", "flux_kontext"),
            ("lora-scripts", "anima"), ("musubi-tuner", "sdxl_base_v1-0"), ("musubi-tuner", "flux1"),
            ("onetrainer", "wan"), ("diffusion-pipe", "sd_v1"), ("flymyai", "flux1"), ("axolotl", "flux1"),
            ("kohya", "something-new/lora"),
        ):  # fmt: skip
            with self.subTest(trainer=trainer, version=version):
                self.refused("trains no|say it by --arch", trainer, self.base(version))
        self.refused("it is of flux2 .*and not of flux", "kohya", self.base("flux_2_dev"), arch="flux")
        self.refused("trains no wan", "kohya", None, arch="wan")
        self.assertIn("networks.lora_flux", self.made("kohya", {"format": "pt"}, QKV, arch="flux")[0])
        self.assertIn("--arch", self.made("kohya", {"format": "pt"}, QKV, arch="flux")[0])

    def test_models_of_one_architecture_that_a_trainer_tells_apart(self):
        for version, trainer, words in (
            ("flux2_klein_4b", "ai-toolkit", 'arch: "flux2_klein_4b"'),
            ("flux_2_dev", "ai-toolkit", 'arch: "flux2"'),
            ("wan_2.2_14b", "ai-toolkit", 'arch: "wan22_14b:t2v"'),
            ("wan_2.2_14b_i2v", "ai-toolkit", 'arch: "wan22_14b_i2v"'),
            ("flux_kontext", "ai-toolkit", 'arch: "flux_kontext"'),
            ("flux1", "ai-toolkit", 'arch: "flux"'),
            ("flux_2_klein_9b", "musubi-tuner", 'model_version = "klein-9b"'),
            ("flux_kontext", "musubi-tuner", "flux_kontext_train_network.py"),
            ("sd3.5", "onetrainer", '"STABLE_DIFFUSION_35"'),
        ):
            with self.subTest(version=version, trainer=trainer):
                self.assertIn(words, self.made(trainer, self.base(version))[0])
        self.refused("say it by --arch: wan/2.1-1.3b, ", "ai-toolkit", self.base("wan"))
        self.assertIn('"wan21:14b"', self.made("ai-toolkit", self.base("wan"), arch="wan/2.1-14b")[0])
        self.refused("say it by --arch: flux2/dev, ", "ai-toolkit", None, arch="flux2")

    def test_what_is_no_adapter_is_refused(self):
        model = {"model.diffusion_model.out.weight": ("F16", [4, 4])}
        for trainer in config_for.TRAINERS:
            self.refused("a model's own weights and no adapter", trainer, self.base("sdxl_base_v1-0"), model)
            self.refused("embeddings and no adapter", trainer, None, {"emb_params": ("F16", [4, 768])})
            self.refused("no adapter that this client knows", trainer, None, {"latents": ("F16", [4, 4])})

    def test_lokr(self):
        xl = self.base("sdxl_base_v1-0")
        small = {"a.lokr_w1": ("F16", [8, 8]), "a.lokr_w2_a": ("F16", [96, 32]), "a.lokr_w2_b": ("F16", [32, 96]),
                 "a.alpha": ("F16", [], struct.pack("<e", 16))}  # fmt: skip
        one = json.loads(self.made("onetrainer", xl, small)[0])
        self.assertEqual([one.get(k) for k in ("peft_type", "lokr_dim", "lora_alpha", "lokr_full_matrix", "lokr_decompose_factor")],
                         ["LOKR", 32, 16.0, False, 8])  # fmt: skip
        self.assertNotIn("lora_rank", one)
        one = json.loads(self.made("onetrainer", xl, FULL_LOKR)[0])
        self.assertEqual((one["lokr_full_matrix"], {"lokr_dim", "lora_rank", "lora_alpha"} & set(one)), (True, set()))
        network = read_yaml(self.made("ai-toolkit", xl, small)[0])["config"]["process"][0]["network"]
        self.assertEqual(
            network, {"type": "lokr", "lokr_full_rank": False, "lokr_factor": 8, "linear": 32, "linear_alpha": 16}
        )
        network = read_yaml(self.made("ai-toolkit", xl, FULL_LOKR)[0])["config"]["process"][0]["network"]
        self.assertEqual(
            (network["lokr_full_rank"], "linear" in network, "linear_alpha" in network), (True, False, False)
        )
        read = read_toml(self.made("kohya", xl, small)[0])
        self.assertEqual(
            (read["network_dim"], read["network_alpha"], read["network_args"]), (32, 16, ["algo=lokr", "factor=8"])
        )
        for trainer in ("diffusion-pipe", "peft", "kohya-gui"):
            self.refused("trains whole matrices", trainer, xl, FULL_LOKR)
        # Sides that LyCORIS split itself, by their nearest divisors, were split by no factor.
        own = {"a.lokr_w1": ("F16", [24, 24]), "a.lokr_w2_a": ("F16", [32, 8]), "a.lokr_w2_b": ("F16", [8, 32])}
        self.assertEqual(read_toml(self.made("kohya", xl, own)[0])["network_args"], ["algo=lokr"])

    def test_what_has_no_rank_gets_none(self):
        for algo, tensors in (
            ("boft", {"a.oft_blocks": ("F16", [2, 4, 4, 4])}),
            ("diag-oft", {"a.oft_blocks": ("F16", [4, 4, 4])}),
            ("ia3", {"a.weight": ("F16", [8]), "a.on_input": ("F16", [])}),
            ("full", {"a.diff": ("F16", [4, 4])}),
        ):
            metadata = {**self.base("sdxl_base_v1-0"), "ss_network_module": "lycoris.kohya", "ss_network_dim": "4",
                        "ss_network_alpha": "1.0", "ss_network_args": json.dumps({"algo": algo})}  # fmt: skip
            read = read_toml(self.made("kohya", metadata, tensors)[0])
            self.assertEqual((read["network_module"], read["network_args"]), ("lycoris.kohya", [f"algo={algo}"]))
            # OFT's number is the factor of its blocks, which LyCORIS reads there.
            self.assertEqual(read.get("network_dim"), 4 if "oft" in algo else None)
            self.assertNotIn("network_alpha", read)
            for trainer in ("onetrainer", "ai-toolkit", "diffusion-pipe", "diffusers", "simpletuner"):
                self.refused("trains no|not these blocks", trainer, metadata, tensors)
        blocks = {"a.oft_blocks": ("F16", [4, 4, 4])}
        self.refused("nothing tells which", "kohya", self.base("sdxl_base_v1-0"), blocks)
        oft = {"transformer.q.oft_R.weight": ("F16", [4, 496])}
        self.assertEqual(json.loads(self.made("onetrainer", self.base("flux1"), oft)[0])["oft_block_size"], 32)

    def test_alpha_is_never_the_trainers_default(self):
        toolkit = {"software": '{"name": "ai-toolkit"}', "ss_base_model_version": "flux1"}
        read = read_toml(self.made("kohya", toolkit, QKV)[0])
        self.assertEqual((read["network_dim"], read["network_alpha"]), (32, 32))
        text = self.made("llama-factory", None, LLM)[0]
        self.assertIn('lora_alpha: "FILL IN', text)
        self.assertIn("lora_rank: 8  # read: the tensors", text)

    def test_rank_stabilised_and_lycoris_scales(self):
        config = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "use_rslora": True, "task_type": "CAUSAL_LM"}
        (self.folder / "adapter_config.json").write_text(json.dumps(config))
        tensors = {name: ("F16", [4 if n == 8 else n for n in shape]) for name, (_, shape) in LLM.items()}
        read = read_yaml(self.made("axolotl", None, tensors)[0])
        self.assertEqual((read["lora_alpha"], read["peft_use_rslora"]), (8, True))
        self.assertIn("model.lora_alpha=16", self.made("torchtune", None, tensors)[0])
        self.assertEqual(read_yaml(self.made("mlx-lm", None, tensors)[0])["lora_parameters"]["scale"], 4)
        self.assertEqual(json.loads(self.made("peft", None, tensors)[0]), config)
        (self.folder / "adapter_config.json").unlink()
        # LyCORIS keeps alpha times the rank's root in the tensors, and scales the setting again.
        metadata = {**KOHYA, "ss_network_module": "lycoris.kohya", "ss_network_alpha": "2.0",
                    "ss_network_args": json.dumps({"algo": "lora", "rs_lora": "True"})}  # fmt: skip
        self.assertEqual(read_toml(self.made("kohya", metadata, linear(16, 8))[0])["network_alpha"], 2)
        self.assertEqual(json.loads(self.made("onetrainer", metadata, linear(16, 8))[0])["lora_alpha"], 8)

    def test_different_ranks_are_told(self):
        tensors = {**linear(16, 8), **linear(16, 8, module="lora_unet_b"), **linear(4, 2, module="lora_unet_c")}
        self.assertIn("network_dim = 16  # read: the tensors; The file's modules have different ranks: 16 (2), 4 (1)",
                      self.made("kohya", tensors=tensors)[0])  # fmt: skip

    def test_convolutions_of_another_rank(self):
        tensors = {
            **linear(16, 8),
            "c.lora_down.weight": ("F16", [4, 8, 3, 3]),
            "c.alpha": ("F16", [], struct.pack("<e", 2)),
        }
        xl = self.base("sdxl_base_v1-0")
        self.assertEqual(
            read_toml(self.made("kohya", xl, tensors)[0])["network_args"], ["algo=locon", "conv_dim=4", "conv_alpha=2"]
        )
        self.refused("one rank for all layers", "onetrainer", xl, tensors)
        self.refused("trains no locon", "diffusers", xl, tensors)

    def test_language_models(self):
        for trainer in ("axolotl", "llama-factory", "ms-swift", "trl", "unsloth", "torchtune", "mlx-lm", "peft"):
            text, _ = self.made(trainer, None, LLM)
            self.assertRegex(text, r"(?:rank|[_-]r\b|\"r\")\W+8")
            if trainer != "peft":
                self.assertRegex(text, "read: the tensors")
        self.refused("trains no llm", "kohya", None, LLM)
        self.refused(
            "trains no loha",
            "axolotl",
            None,
            {n.replace("lora_A.weight", "hada_w1_b"): t for n, t in LLM.items()},
            "llm",
        )

    def test_notes_stand_beside_what_takes_no_comments(self):
        target = self.folder / "config.json"
        path = write_weights(self.folder / "x.safetensors", self.base("flux1"), linear(16, 8))
        self.run_command("config", path, "--for", "simpletuner", "-o", target)
        self.assertNotIn("__notes", target.read_text())
        self.assertIn("lora_rank: read: the tensors", (self.folder / "config.json.notes.txt").read_text())
        out, _ = self.run_command("config", path, "--for", "simpletuner")
        self.assertIn("# lora_rank: read: the tensors", out)
        _, err = self.run_command("config", path, "--for", "musubi-tuner", code=1)
        self.assertIn("flux/kontext", err)

    def test_commands_are_quoted(self):
        hostile = {**self.base("flux1"), "ss_sd_model_name": "m'; rm -rf /;\n$(x)/b", "ss_output_name": "a\nb"}
        text, _ = self.made("diffusers", hostile)
        command = [line for line in text.splitlines() if line and not line.startswith("#")]
        self.assertEqual(command[0], "accelerate launch train_dreambooth_lora_flux.py \\")
        self.assertNotIn("\nrm", text)

    def test_a_run_of_another_trainer(self):
        self.task(lora_rank=8, lora_alpha=8, base_arch="SDXL 1.0", network_algo="lora", trainer="kohya")
        self.assertIn("STABLE_DIFFUSION_XL", self.run_command("config", 1, "--for", "onetrainer")[0])
        self.task(network_algo="lokr", base_arch="sdxl")
        self.assertIn("does not say", self.run_command("config", 2, "--for", "onetrainer", code=1)[1])
        self.task(lora_rank=8, lora_alpha=16, model_type="llm", network_algo="qlora", base_model_path="meta/llama")
        self.assertIn("load_in_4bit: true", self.run_command("config", 3, "--for", "axolotl")[0])
        self.task(lora_rank=8, base_model_path="m/b")
        out = self.run_command("config", 4, "--for", "kohya", code=2)[1]
        self.assertIn("say it by --arch", out)
        self.assertIn("network_dim = 8", self.run_command("config", 4, "--for", "kohya", "--arch", "sd15")[0])

    def test_names_cannot_break_out(self):
        hostile = {**KOHYA, "ss_output_name": 'a"\n[x]\nb = "\x1b', "ss_sd_model_name": 'm"\n'}
        read = read_toml(self.made("kohya", hostile)[0])
        self.assertEqual((read["output_name"], "x" in read), ('a"\n[x]\nb = "\x1b', False))
        json.loads(self.made("onetrainer", hostile)[0])

    def test_from_a_task_and_to_a_file(self):
        self.task(lora_rank=8, lora_alpha=8, base_arch="sdxl", network_algo="lora", trainer="onetrainer",
                  optimizer="PRODIGY", learning_rate=1, scheduler="COSINE", defaulted_fields=["scheduler"])  # fmt: skip
        target = self.folder / "new.toml"
        out, _ = self.run_command("config", 1, "--for", "kohya", "-o", target)
        self.assertIn("values say FILL IN", out)
        text = target.read_text()
        self.assertIn('optimizer_type = "Prodigy"  # read: task 1', text)
        self.assertIn("# read: task 1, onetrainer's default there", text)
        _, err = self.run_command("config", 1, "--for", "kohya", "-o", target, code=1)
        self.assertIn("--force writes over it", err)
        self.assertIn("no such file", self.run_command("config", "nothing.safetensors", "--for", "kohya", code=1)[1])
