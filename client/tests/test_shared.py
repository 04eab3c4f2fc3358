"""What service and client both compute: the cases of test/shared/, which the service's tests read too."""

import json
import math
import struct
import sys

from lora_ledger.core.architectures import ARCHITECTURES, arch_of, arch_of_name, model_type_of
from lora_ledger.core.errors import NoAdapterError
from lora_ledger.imports.adapter import Adapter
from lora_ledger.recording.namespace import collect
from lora_ledger.trainers import recognise
from tests.helpers import ROOT, TemporaryCase

SIZES = {"F16": 2, "BF16": 2, "F32": 4, "F64": 8, "I64": 8}


def cases(name):
    return json.loads((ROOT / "test" / "shared" / f"{name}.json").read_text("utf-8"))["cases"]


def weight_file(tensors, metadata):
    """The file of a case, byte for byte as the service's test makes it."""
    header, data = ({"__metadata__": metadata} if metadata else {}), b""
    for name, tensor in tensors.items():
        size = math.prod(tensor["shape"]) * SIZES[tensor["dtype"]]
        header[name] = {
            "dtype": tensor["dtype"],
            "shape": tensor["shape"],
            "data_offsets": [len(data), len(data) + size],
        }
        data += bytes(tensor.get("data", size))
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


class WeightFilesTest(TemporaryCase):
    def test_facts(self):
        for case in cases("safetensors"):
            with self.subTest(case["name"]):
                path = self.folder / "a.safetensors"
                path.write_bytes(weight_file(case["tensors"], case["metadata"]))
                try:
                    found = Adapter(path)
                except NoAdapterError as error:
                    # The client refuses what the service stores and tells for what it is.
                    self.assertEqual([str(error)], case["notes"])
                    self.assertIsNone(case["facts"]["algorithm"])
                    continue
                facts = {
                    "rank": found.rank,
                    "conv_rank": found.conv_rank,
                    "alpha": found.alpha,
                    "algorithm": found.algorithm,
                    "base_arch": found.arch,
                }
                self.assertEqual(facts, case["facts"])
                self.assertEqual(found.notes, case.get("notes", []))


class ArchitecturesTest(TemporaryCase):
    def test_spellings_and_names(self):
        shared = json.loads((ROOT / "test" / "shared" / "architectures.json").read_text("utf-8"))
        for text, id in shared["stated"].items():
            self.assertEqual((text, arch_of(text)), (text, id))
        for text, id in shared["named"].items():
            self.assertEqual((text, arch_of_name(text)), (text, id))

    def test_ids(self):
        for id, media, _, _ in ARCHITECTURES:
            self.assertEqual((arch_of(id), model_type_of(id)), (id, "llm" if media == "text" else "stable-diffusion"))
        self.assertIsNone(model_type_of("something-new"))
        self.assertIsNone(arch_of_name("qwen_girl.safetensors", diffusion=True))


class LaunchesTest(TemporaryCase):
    def test_trainers(self):
        for case in cases("launches"):
            with self.subTest(case["name"]):
                found = recognise(case["command"], case["text"] or None, self.folder)
                self.assertEqual(found.name, case["client"])


class NotebookTest(TemporaryCase):
    def test_settings(self):
        folder = str(ROOT / "client" / "tests" / "data" / "notebook")
        sys.path.insert(0, folder)
        self.addCleanup(sys.path.remove, folder)
        import peft
        import trl

        sizes = {"r": 16, "lora_alpha": 32, "lora_dropout": 0.05}
        lora = peft.LoraConfig(**sizes, target_modules={"v_proj", "q_proj"}, task_type="CAUSAL_LM")
        more = {"learning_rate": 2e-4, "bf16": True, "gradient_accumulation_steps": 4, "seed": 3407}
        arguments = trl.SFTConfig(output_dir="aki", max_steps=60, **more)
        loop = {"lr": 1e-4, "batch_size": 2, "num_epochs": 3, "optimizer": "AdamW8bit"}
        variables = {"RANK": 8, "LORA_ALPHA": 16, "config": loop, "MODEL_ID": "black-forest-labs/FLUX.1-dev"}
        found = [
            collect({"dataset_name": "org/data", "load_in_4bit": True}, arguments, peft.get_peft_model(None, lora)),
            collect({**variables, "resolution": 1024, "seed": 1}),
        ]
        self.assertEqual(found, [case["found"] for case in cases("notebook")])
