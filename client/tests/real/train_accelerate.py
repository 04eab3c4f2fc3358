"""A loop on accelerate as diffusers' example scripts write it: the bar "Steps" with loss and lr, `checkpoint-N/`,
a tracker on TensorBoard, and pytorch_lora_weights.safetensors at the end.

accelerate launch train_accelerate.py --output_dir out [--logging_dir logs] [--max_train_steps 12]
"""

import argparse
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import ProjectConfiguration
from safetensors.torch import save_file
from tqdm.auto import tqdm

parser = argparse.ArgumentParser()
parser.add_argument("--output_dir", required=True)
parser.add_argument("--logging_dir", default="logs")
parser.add_argument("--max_train_steps", type=int, default=12)
parser.add_argument("--checkpointing_steps", type=int, default=5)
parser.add_argument("--report_to", default="tensorboard")
options = parser.parse_args()

torch.manual_seed(1)
output = Path(options.output_dir)
accelerator = Accelerator(
    cpu=True,
    log_with=options.report_to if options.report_to != "none" else None,
    project_config=ProjectConfiguration(project_dir=output, logging_dir=output / options.logging_dir),
)
down, up = torch.nn.Linear(16, 4, bias=False), torch.nn.Linear(4, 16, bias=False)
model = torch.nn.Sequential(down, up)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
model, optimizer = accelerator.prepare(model, optimizer)
if options.report_to != "none":
    accelerator.init_trackers("tiny-lora", config={"rank": 4})
target = torch.randn(16, 16)


def save(folder):
    folder.mkdir(parents=True, exist_ok=True)
    weights = {"unet.a.lora_A.weight": down.weight.detach(), "unet.a.lora_B.weight": up.weight.detach()}
    save_file(weights, folder / "pytorch_lora_weights.safetensors")


bar = tqdm(range(options.max_train_steps), desc="Steps")
for step in range(1, options.max_train_steps + 1):
    rows = torch.randn(8, 16)
    loss = torch.nn.functional.mse_loss(model(rows), rows @ target)
    accelerator.backward(loss)
    optimizer.step()
    optimizer.zero_grad()
    bar.update(1)
    logs = {"loss": loss.detach().item(), "lr": 1e-2}
    bar.set_postfix(**logs)
    accelerator.log(logs, step=step)
    if step % options.checkpointing_steps == 0:
        folder = output / f"checkpoint-{step}"
        accelerator.save_state(str(folder))
        save(folder)
save(output)
accelerator.end_training()
