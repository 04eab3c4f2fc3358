"""Reading weight files, importing past runs, and writing configurations from them."""

import json
import shutil
import struct

from lora_ledger.commands import import_runs
from lora_ledger.core.errors import NoAdapterError
from lora_ledger.imports import adapter, weight_file
from tests.helpers import TemporaryCase
from tests.test_commands_ledger import CommandCase
from tests.test_readers import event

KOHYA = {
    "ss_output_name": "aki_v1", "ss_network_module": "networks.lora", "ss_network_dim": "16", "ss_network_alpha": "8.0",
    "ss_network_args": json.dumps({"conv_dim": "4", "conv_alpha": "1"}), "ss_network_dropout": "None",
    "ss_base_model_version": "sdxl_base_v1-0", "ss_learning_rate": "0.0001", "ss_unet_lr": "0.0002",
    "ss_text_encoder_lr": "None", "ss_lr_scheduler": "cosine_with_restarts", "ss_mixed_precision": "bf16",
    "ss_optimizer": "bitsandbytes.optim.adamw.AdamW8bit(weight_decay=0.1,betas=(0.9, 0.99))",
    "ss_batch_size_per_device": "2", "ss_total_batch_size": "4", "ss_gradient_accumulation_steps": "1",
    "ss_num_epochs": "10", "ss_epoch": "10", "ss_steps": "1200", "ss_max_train_steps": "1200", "ss_seed": "42",
    "ss_resolution": "(1024, 1024)", "ss_sd_model_name": "sd_xl_base_1.0.safetensors", "ss_clip_skip": "None",
    "ss_shuffle_caption": "True", "ss_min_snr_gamma": "5.0",
    "ss_training_started_at": "1700000000.5", "ss_training_finished_at": "1700003600.5",
    "ss_dataset_dirs": json.dumps({"10_aki": {"n_repeats": 10, "img_count": 24}}),
    "ss_tag_frequency": json.dumps({"10_aki": {"1girl": 24, "solo": 20}}),
    "modelspec.title": "another name",
}  # fmt: skip

WIDTH = {"F16": 2, "BF16": 2, "F32": 4}


def write_weights(path, metadata, tensors):
    """Writes a safetensors file; a tensor is (dtype, shape) of zeros, or (dtype, shape, bytes)."""
    header, data = {}, b""
    if metadata is not None:
        header["__metadata__"] = metadata
    for name, (dtype, shape, *value) in tensors.items():
        count = 1
        for extent in shape:
            count *= extent
        content = value[0] if value else bytes(count * WIDTH[dtype])
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def linear(rank, alpha=None, dtype="F16", module="lora_unet_a"):
    tensors = {
        f"{module}.lora_down.weight": (dtype, [rank, 8]),
        f"{module}.lora_up.weight": (dtype, [8, rank]),
    }
    if alpha is not None:
        form = {"F16": "<e", "F32": "<f"}.get(dtype)
        value = struct.pack(form, alpha) if form else struct.pack("<f", alpha)[2:]
        tensors[f"{module}.alpha"] = (dtype, [], value)
    return tensors


class AdapterTest(TemporaryCase):
    def read(self, metadata, tensors):
        return adapter.Adapter(write_weights(self.folder / "x.safetensors", metadata, tensors))

    def test_rank_alpha_and_algorithm(self):
        conv = {"c.lora_down.weight": ("F16", [4, 8, 3, 3]), "c.alpha": ("F16", [], struct.pack("<e", 2))}
        for expected, tensors in (
            (("lora", 16, 8.0, None, None), linear(16, 8)),
            (("lora", 16, 8.0, None, None), linear(16, 8, "BF16")),
            (("lora", 16, 0.5, None, None), linear(16, 0.5, "F32")),
            (("locon", 16, 8.0, 4, 2.0), {**linear(16, 8), **conv}),
            (("dora", 16, 16.0, None, None), {**linear(16), "lora_unet_a.dora_scale": ("F16", [8])}),
            (("loha", 4, 4.0, None, None), {"a.hada_w1_a": ("F16", [8, 4]), "a.hada_w1_b": ("F16", [4, 8])}),
            (("lokr", None, None, None, None), {"a.lokr_w1": ("F16", [4, 4]), "a.lokr_w2": ("F16", [8, 8])}),
            (("lokr", 6, 6.0, None, None), {"a.lokr_w1": ("F16", [4, 4]), "a.lokr_w2_b": ("F16", [6, 8])}),
            (("oft", None, None, None, None), {"a.oft_blocks": ("F16", [4, 4, 4])}),
            (
                ("lora", 8, None, None, None),
                {"m.q.lora_A.weight": ("F32", [8, 4]), "m.q.lora_B.weight": ("F32", [4, 8])},
            ),
            ((None, None, None, None, None), {"latents": ("F16", [2, 2])}),
        ):
            with self.subTest(expected):
                found = self.read(None, tensors)
                got = (found.algorithm, found.rank, found.alpha, found.conv_rank, found.conv_alpha)
                self.assertEqual(got, expected)

    def test_half_precision_gives_way_to_the_stated_alpha(self):
        self.assertEqual(self.read({"ss_network_alpha": "0.3"}, linear(4, 0.3)).alpha, 0.3)
        # It trains with this alpha where it writes one, and with alpha = rank where it writes none.
        self.assertEqual(self.read({"software": '{"name": "ai-toolkit"}'}, linear(4, 2)).alpha, 2)
        self.assertEqual(self.read({"software": '{"name": "ai-toolkit"}'}, linear(4)).alpha, 4)

    def test_hostile_files(self):
        path = self.folder / "x.safetensors"
        for data, words in (
            (b"", "it has 0 bytes"),
            (b"\xff" * 8 + b"{}", "more than the file"),
            (struct.pack("<Q", 2**63) + b"{}" * 9, "more than the file"),
            (struct.pack("<Q", 4) + b"\xff\xfe{}", "no JSON"),
            (struct.pack("<Q", 100_000) + b"[" * 100_000, "no JSON"),
            (struct.pack("<Q", 2) + b"[]", "no JSON object"),
        ):
            path.write_bytes(data)
            with self.assertRaisesRegex(NoAdapterError, words):
                adapter.Adapter(path)
        with open(path, "wb") as file:
            file.write(struct.pack("<Q", adapter.MAX_HEADER + 1))
            file.truncate(adapter.MAX_HEADER + 100)
        with self.assertRaisesRegex(NoAdapterError, "are not read"):
            adapter.Adapter(path)

    def test_odd_entries_are_passed_over(self):
        header = {
            "__metadata__": {"a": 1, "ss_seed": "7"},
            "a.lora_down.weight": {"dtype": "F16", "shape": [True, -1], "data_offsets": [0, 1]},
            "b.lora_down.weight": {"dtype": "F16", "shape": [4, 4], "data_offsets": [0, 10**18]},
            "c.alpha": {"dtype": "F16", "shape": [], "data_offsets": [0, 2]},
            "d": None,
        }
        text = json.dumps(header).encode()
        (self.folder / "x").write_bytes(struct.pack("<Q", len(text)) + text + b"\x00\x7e")
        found = adapter.Adapter(self.folder / "x")
        self.assertEqual((found.rank, found.metadata), (None, {"ss_seed": "7"}))

    def test_every_kind_of_metadata_value_is_harmless(self):
        for value in (
            "",
            "None",
            "NaN",
            "1e999",
            "[" * 50_000,
            "{}",
            "[[]]",
            '{"a": {"b": []}}',
            "\ud800",
            "-5",
            '[{"subsets": [[]]}]',
        ):
            for keys in (list(KOHYA), ["ot_config"], ["training_info"], ["lora_adapter_metadata"]):
                found = weight_file.WeightFileRun(
                    self.read(
                        {"ss_x": "1"} | dict.fromkeys(keys, value)
                        if keys[0][:2] == "ss"
                        else dict.fromkeys(keys, value),
                        linear(4),
                    )
                )
                json.dumps(found.registration("x"))


class PastTest(TemporaryCase):
    def past(self, metadata, tensors=None, path="x.safetensors"):
        return weight_file.WeightFileRun(
            adapter.Adapter(write_weights(self.folder / path, metadata, tensors or linear(16, 8)))
        )

    def test_kohya(self):
        body = self.past(KOHYA).registration("here")
        expected = {
            "task_name": "aki_v1", "model_type": "stable-diffusion", "base_arch": "sdxl", "trainer": "kohya",
            "network_algo": "lora", "lora_rank": 16, "lora_alpha": 8.0, "conv_lora_rank": 4, "conv_alpha": 1.0,
            "batch_size": 2, "gradient_accumulation_steps": 1, "epochs": 10.0, "max_steps": 1200,
            "learning_rate": 1e-4, "optimizer": "AdamW8bit", "scheduler": "cosine_with_restarts",
            "mixed_precision": "bf16", "seed": 42, "resolution": "1024,1024",
            "base_model_path": "sd_xl_base_1.0.safetensors",
        }  # fmt: skip
        self.assertEqual({k: v for k, v in body.items() if k in expected}, expected)
        self.assertEqual(
            body["import"],
            {
                "source": "here",
                "status": "success",
                "started_at": "2023-11-14T22:13:20.500Z",
                "finished_at": "2023-11-14T23:13:20.500Z",
            },
        )
        tags = {"1girl": 24, "solo": 20}
        self.assertEqual(
            body["datasets"], [{"name": "10_aki", "image_count": 24, "repeats": 10, "tag_distribution": tags}]
        )
        self.assertEqual(
            body["config_snapshot"]["adapter"]["optimizer_args"], ["weight_decay=0.1", "betas=(0.9, 0.99)"]
        )

    def test_datasets_of_newer_files(self):
        sets = [
            {
                "subsets": [{"image_dir": "10_aki", "img_count": 5, "num_repeats": 2}],
                "tag_frequency": {"10_aki": {"a": 1}},
            }
        ]
        found = self.past({"ss_datasets": json.dumps(sets), "ss_seed": "1"})
        self.assertEqual(
            found.datasets, [{"name": "10_aki", "image_count": 5, "repeats": 2, "tag_distribution": {"a": 1}}]
        )

    def test_ai_toolkit_tags_are_made_up(self):
        found = self.past({
            "software": '{"name": "ai-toolkit"}', "training_info": '{"step": 250, "epoch": 12}', "ss_output_name": "f",
            "ss_base_model_version": "flux1", "ss_tag_frequency": '{"1_f": {"f": 1}}',
        })  # fmt: skip
        self.assertEqual((found.datasets, found.steps, found.fields["trainer"]), ([], 250, "ai-toolkit"))
        self.assertEqual((found.fields["base_arch"], found.fields["lora_rank"]), ("flux", 16))
        self.assertEqual(found.fields["lora_alpha"], 8)

    def test_onetrainer(self):
        config = {"model_type": "STABLE_DIFFUSION_XL_10_BASE", "learning_rate": 3e-4, "optimizer": {"optimizer": "PRODIGY"},
                  "train_dtype": "BFLOAT_16", "epochs": 20, "base_model_name": "stabilityai/sdxl"}  # fmt: skip
        fields = self.past(
            {"ot_branch": "master", "ot_config": json.dumps(config), "modelspec.date": "2025-01-02T03:04:05"}
        ).fields
        self.assertEqual(
            [fields[n] for n in ("trainer", "base_arch", "learning_rate", "optimizer", "mixed_precision", "epochs")],
            ["onetrainer", "sdxl", 3e-4, "PRODIGY", "bf16", 20],
        )

    def test_peft_and_diffusers(self):
        (self.folder / "adapter_config.json").write_text(
            json.dumps(
                {"r": 8, "lora_alpha": 16, "use_dora": True, "task_type": "CAUSAL_LM", "base_model_name_or_path": "m/b"}
            )
        )
        fields = self.past({"format": "pt"}, {"q.lora_A.weight": ("F32", [8, 4])}).fields
        self.assertEqual(
            [fields[n] for n in ("lora_alpha", "network_algo", "base_arch", "model_type", "base_model_path")],
            [16, "dora", "llm", "llm", "m/b"],
        )
        found = self.past(
            {"lora_adapter_metadata": json.dumps({"transformer.r": 8, "transformer.lora_alpha": 4})}, linear(8)
        )
        self.assertEqual((found.fields["trainer"], found.fields["lora_alpha"]), ("diffusers", 4))

    def test_what_has_no_rank_takes_none_from_the_metadata(self):
        for algo, tensors in (
            ("boft", {"a.oft_blocks": ("F16", [2, 4, 4, 4])}),
            ("diag-oft", {"a.oft_blocks": ("F16", [4, 4, 4])}),
            ("ia3", {"a.weight": ("F16", [8]), "a.on_input": ("F16", [])}),
            ("full", {"a.diff": ("F16", [4, 4])}),
            ("lokr", {"a.lokr_w1": ("F16", [4, 4]), "a.lokr_w2": ("F16", [4, 4])}),
        ):
            args = json.dumps({"algo": algo, "conv_dim": "4", "conv_alpha": "1"})
            fields = self.past({**KOHYA, "ss_network_args": args}, tensors).fields
            self.assertEqual(fields["network_algo"], algo)
            self.assertFalse({"lora_rank", "lora_alpha", "conv_lora_rank", "conv_alpha"} & set(fields), algo)

    def test_a_model_type_that_nothing_tells_is_left_out(self):
        llm = {"base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight": ("F16", [8, 4])}
        for metadata, tensors, kind in (
            ({"format": "pt"}, llm, "llm"),
            ({"format": "pt"}, {"m.q.lora_A.weight": ("F16", [8, 4])}, None),
            ({"software": '{"name": "ai-toolkit"}'}, linear(8), "stable-diffusion"),
            ({"ss_base_model_version": "wan"}, linear(8), "stable-diffusion"),
        ):
            self.assertEqual(self.past(metadata, tensors).fields.get("model_type"), kind)

    def test_mlx_keeps_its_scale_beside_the_file(self):
        config = {"model": "mlx-community/x", "fine_tune_type": "lora", "lora_parameters": {"rank": 8, "scale": 20.0}}
        (self.folder / "adapter_config.json").write_text(json.dumps(config))
        past = self.past(None, {"model.layers.0.self_attn.q_proj.lora_a": ("F16", [64, 8])})
        self.assertEqual(
            [past.fields[n] for n in ("trainer", "lora_alpha", "base_model_path", "model_type")],
            ["mlx-lm", 160, "mlx-community/x", "llm"],
        )

    def test_a_file_called_like_every_other_is_named_after_its_folder(self):
        for path, name in (
            ("saves/qwen/adapter_model.safetensors", "qwen"),
            ("saves/qwen/checkpoint-50/adapter_model.safetensors", "qwen"),
            ("dog/pytorch_lora_weights.safetensors", "dog"),
            ("dog/mine.safetensors", "mine"),
        ):
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            self.assertEqual(self.past({}, path=path).fields["task_name"], name)

    def test_optimizers(self):
        self.assertEqual(weight_file.optimizer_of("Lion"), ("Lion", []))
        self.assertEqual(weight_file.optimizer_of("a.b.C("), ("C", []))
        self.assertEqual(weight_file.optimizer_of(None), (None, []))


class ImportTest(CommandCase):
    def test_import_again_adds_nothing(self):
        for n in range(3):
            write_weights(self.folder / f"{n}.safetensors", {**KOHYA, "ss_seed": str(n)}, linear(16, 8))
        (self.folder / "bad.safetensors").write_bytes(b"\xff" * 20)
        out, err = self.run_command("import", *sorted(self.folder.glob("*.safetensors")), self.folder / "no", code=1)
        self.assertIn("3 imported, 0 known already, 2 failed", out)
        self.assertIn("bad.safetensors: no safetensors file", err)
        shutil.copy(self.folder / "1.safetensors", self.folder / "renamed.safetensors")
        out, _ = self.run_command(
            "import", self.folder / "renamed.safetensors", self.folder / "2.safetensors", "--group", "g"
        )
        self.assertIn("0 imported, 2 known already", out)
        self.assertEqual(len(self.server.tasks), 3)

    def test_what_is_no_adapter_is_refused_with_the_reason(self):
        write_weights(self.folder / "base.safetensors", {"ss_base_model_version": "sdxl_base_v1-0"},
                      {"model.diffusion_model.out.weight": ("F16", [4, 4])})  # fmt: skip
        write_weights(self.folder / "cat.safetensors", None, {"emb_params": ("F16", [4, 768])})
        write_weights(self.folder / "two.safetensors", None, {**linear(8), **linear(4, module="lora_unet_b")})
        out, err = self.run_command("import", self.folder, code=1)
        self.assertIn("base.safetensors: The file holds a model's own weights and no adapter.", err)
        self.assertIn("cat.safetensors: The file holds embeddings and no adapter.", err)
        self.assertIn("have different ranks: 8 (1), 4 (1)", out)
        self.assertIn("1 imported, 0 known already, 2 failed", out)

    def test_box_keys_find_it_by_the_registration_alone(self):
        self.server.box_key = True
        path = write_weights(self.folder / "a.safetensors", KOHYA, linear(16, 8))
        self.run_command("import", path)
        self.run_command("import", path)
        self.assertIn("known already", self.run_command("import", path, "--group", "other")[0])
        self.assertEqual(len(self.server.tasks), 1)

    def test_with_its_file_and_curve(self):
        path = write_weights(self.folder / "a.safetensors", KOHYA, linear(16, 8))
        logs = self.folder / "logs" / "network_train"
        logs.mkdir(parents=True)
        data = b"".join(event(s, "loss/current", 1 / s) for s in range(1, 2501))
        (logs / "events.out.tfevents.1.x").write_bytes(data)
        for _ in range(2):
            self.run_command("import", path, "--upload", "--tensorboard", self.folder / "logs")
        self.assertEqual(self.server.held(1), {"a.safetensors": path.read_bytes()})
        points = self.server.points(1, "loss", 1)
        self.assertEqual((sorted(points), round(points[4], 6)), (list(range(1, 2501)), 0.25))
        self.assertEqual((len(self.server.weights), len(self.server.tasks[1]["attempts"][1]["beats"])), (1, 3))
        self.assertEqual(self.server.tasks[1]["status"], "success")
        _, err = self.run_command("import", path, "--tensorboard", self.folder / "nothing", code=1)
        self.assertIn("holds no TensorBoard scalars", err)

    def test_the_ledger_away_ends_it_at_once(self):
        path = write_weights(self.folder / "a.safetensors", KOHYA, linear(16, 8))
        self.server.faults.append(lambda *_: "drop")
        _, err = self.run_command("import", path, path.parent, code=1)
        self.assertEqual(len(err.splitlines()), 1)

    def test_identity_is_the_content(self):
        first, second = self.folder / "a", self.folder / "b"
        for path in (first, second):
            path.write_bytes(b"x" * 3_000_000)
        self.assertEqual(import_runs.identity(first), import_runs.identity(second))
        second.write_bytes(b"x" * 3_000_001)
        self.assertNotEqual(import_runs.identity(first), import_runs.identity(second))
