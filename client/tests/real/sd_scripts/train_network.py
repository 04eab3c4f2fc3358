"""A small network trained as sd-scripts' train_network.py trains one, on the same libraries: accelerate's tracker on
TensorBoard (with its nested add_hparams folder), several losses a step under gradient accumulation, the bar `steps`,
safetensors with `ss_*`, samples, and a separate dataset file.

accelerate launch train_network.py --config_file my.toml
"""

import argparse
import json
import struct
import time
import zlib
from pathlib import Path

import torch
from accelerate import Accelerator
from safetensors.torch import save_file
from tqdm import tqdm

parser = argparse.ArgumentParser()
parser.add_argument("--config_file", required=True)
parser.add_argument("--dataset_config", required=True)
parser.add_argument("--output_dir", required=True)
parser.add_argument("--output_name", required=True)
parser.add_argument("--logging_dir", required=True)
parser.add_argument("--log_prefix", default="")
parser.add_argument("--network_dim", type=int, default=4)
parser.add_argument("--network_alpha", type=float, default=1)
parser.add_argument("--max_train_epochs", type=int, default=2)
parser.add_argument("--gradient_accumulation_steps", type=int, default=1)
parser.add_argument("--sample_prompts", required=True)
options = parser.parse_args()

BATCHES = 8
torch.manual_seed(1)
out = Path(options.output_dir)
accelerator = Accelerator(
    cpu=True,
    gradient_accumulation_steps=options.gradient_accumulation_steps,
    log_with="tensorboard",
    project_dir=f"{options.logging_dir}/{options.log_prefix}{time.strftime('%Y%m%d%H%M%S')}",
)
down, up = torch.nn.Linear(16, options.network_dim, bias=False), torch.nn.Linear(options.network_dim, 16, bias=False)
model = torch.nn.Sequential(down, up)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
model, optimizer = accelerator.prepare(model, optimizer)
accelerator.init_trackers("network_train", config={"network_dim": options.network_dim})
target = torch.randn(16, 16)
exact = {}


def save(name, steps, epoch):
    out.mkdir(parents=True, exist_ok=True)
    print(f"\nsaving checkpoint: {out / name}")
    tensors = {
        "lora_unet_a.lora_down.weight": down.weight.detach().contiguous(),
        "lora_unet_a.lora_up.weight": up.weight.detach().contiguous(),
        "lora_unet_a.alpha": torch.tensor(options.network_alpha),
    }
    metadata = {
        "ss_network_dim": str(options.network_dim),
        "ss_network_alpha": str(options.network_alpha),
        "ss_output_name": options.output_name,
        "ss_steps": str(steps),
        "ss_epoch": str(epoch),
        "ss_base_model_version": "sd_v1",
    }
    save_file(tensors, out / name, metadata)


def png(path):
    """A picture of one pixel."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0abc")) + chunk(b"IEND", b"")
    )


total = options.max_train_epochs * BATCHES // options.gradient_accumulation_steps
bar = tqdm(range(total), smoothing=0, desc="steps")
step = 0
losses = []
for epoch in range(1, options.max_train_epochs + 1):
    print(f"\nepoch {epoch}/{options.max_train_epochs}")
    for _ in range(BATCHES):
        with accelerator.accumulate(model):
            rows = torch.randn(8, 16)
            loss = torch.nn.functional.mse_loss(model(rows), rows @ target)
            accelerator.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
        if accelerator.sync_gradients:
            bar.update(1)
            step += 1
        losses.append(loss.detach().item())
        average = sum(losses) / len(losses)
        bar.set_postfix(avr_loss=average)
        exact.setdefault(step, []).append(losses[-1])
        accelerator.log({"loss/current": losses[-1], "loss/average": average, "lr/unet": 1e-2}, step=step)
    accelerator.log({"loss/epoch_average": sum(losses) / len(losses)}, step=epoch)
    if epoch < options.max_train_epochs:
        save(f"{options.output_name}-{epoch:06d}.safetensors", step, epoch)
    for index in range(2):
        png(out / "sample" / f"{options.output_name}_e{epoch:06d}_{index:02d}_{time.strftime('%Y%m%d%H%M%S')}_42.png")
accelerator.end_training()
save(f"{options.output_name}.safetensors", step, options.max_train_epochs)
print("model saved.")
# For the test alone: what was really logged.
(out / "exact.json").write_text(json.dumps({step: sum(values) / len(values) for step, values in exact.items()}))
