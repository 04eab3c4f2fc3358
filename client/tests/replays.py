"""What trainers print and write, as scripts that only print and write it, and what has to be recorded of each.

The shapes are those of the trainers' own sources and of consoles that people posted; all values are invented.
"""

import json
import os
import re
import shlex
import sys

# Plays a list of events: {"s": "out" or "err", "t": text, "d": seconds to wait after}, {"w": path of weights to write},
# {"j": [path, text]}, {"x": exit code}.
PLAYER = """
import json, os, sys, time
for line in open(os.environ["REPLAY"], encoding="utf-8"):
    event = json.loads(line)
    if "t" in event:
        stream = sys.stdout if event["s"] == "out" else sys.stderr
        stream.buffer.write(event["t"].encode())
        stream.flush()
        time.sleep(event.get("d", 0))
    elif "x" in event:
        sys.exit(event["x"])
    else:
        path = event["w"] if "w" in event else event["j"][0]
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        header = b'{"a.lora_down.weight":{"dtype":"F16","shape":[1,1],"data_offsets":[0,2]}}'
        data = len(header).to_bytes(8, "little") + header + b"xx" if "w" in event else event["j"][1].encode()
        open(path, "wb").write(data)
"""
WAIT = 0.02
AITK = """job: extension
config:
  name: {name}
  process:
    - type: sd_trainer
      training_folder: output
      network: {{type: lora, linear: 16, linear_alpha: 16}}
      train: {{steps: 12, lr: 1e-4, dtype: bf16}}
      model: {{name_or_path: m, arch: qwen_image}}
"""
LLAMA = """model_name_or_path: m
stage: sft
do_train: true
finetuning_type: lora
dataset: d
output_dir: out
logging_steps: 10
include_num_input_tokens_seen: true
learning_rate: 1.0e-4
"""


def out(text, wait=WAIT):
    return {"s": "out", "t": text, "d": wait}


def err(text, wait=WAIT):
    return {"s": "err", "t": text, "d": wait}


def adapter(folder):
    return [{"w": f"{folder}/adapter_model.safetensors"}, {"j": [f"{folder}/adapter_config.json", '{"r": 8}']}]


def bar(desc, step, total, postfix="", start="\r"):
    times = f"00:{step:02d}<00:{total - step:02d},  1.00s/it"
    return err(
        f"{start}{desc}{100 * step // total:3d}%|{'█' * (step * 10 // total):10}| {step}/{total} [{times}{postfix}]"
    )


def loss_at(step, of=60):
    return round(2 - step / of, 3)


def aitk_bars(name, last=12):
    for step in range(last):
        yield bar(f"{name}: ", step, 12, f", lr: 1.0e-04 loss: {loss_at(step, 12) + 0.01:.3e}")
        yield bar(f"{name}: ", step, 12, f", lr: 1.0e-04 loss: {loss_at(step, 12):.3e}")


def dicts(steps, total, more="", bars="", quote=False, per_epoch=20):
    """transformers' dicts at the given steps, with a bar for each step where `bars` is not None."""
    for step in range(total + 1):
        if bars is not None:
            yield bar(bars, step, total)
        if step in steps:
            values = {"loss": loss_at(step), "grad_norm": 0.5, "learning_rate": 1e-4}
            told = ", ".join(f"'{name}': " + (f"'{value}'" if quote else f"{value}") for name, value in values.items())
            yield out(f"{{{told}, 'epoch': {step / per_epoch:.2f}{more.format(step=step, total=total)}}}\n")


SUMMARY = out("{'train_runtime': 60.1, 'train_samples_per_second': 1.0, 'train_loss': 1.7, 'epoch': 3.0}\n")
SWIFT = ", 'memory(GiB)': 20.1, 'train_speed(iter/s)': 0.010773, 'global_step/max_steps': '{step}/{total}', 'elapsed_time': '31m 50s'"
MEGATRON = (
    " [2025-11-25 07:19:{step:02d}] iteration {step:8d}/{total:8d} | consumed samples: {step:12d} | elapsed time per iteration (ms): "
    "215613.0 | learning rate: 4.999872E-05 | global batch size:    64 | lm loss: {loss:.6E} | loss scale: 1.0 | grad norm: 0.016 | "
    "number of skipped iterations:   0 | number of nan iterations:   0 |\n"
)
EVERY_FIVE = [1, *range(5, 61, 5)]
TWELVE = range(1, 13)


def steps(numbers, of=60):
    return {step: loss_at(step, of) for step in numbers}


class Replay:
    """`loss`: {step: value}; None: whatever, as long as no number of a step is invented. `series` are further ones."""

    def __init__(self, command, events, loss, total=None, status="success", reason=None, files=None, series=None, weights=(), epoch=None):  # fmt: skip
        self.command = shlex.split(command) if isinstance(command, str) else command
        self.events = list(events)
        self.loss = loss
        self.total = total
        self.status = status
        self.reason = reason
        self.files = files or {}
        self.series = series or {}
        self.weights = weights
        self.epoch = epoch


def mlx():
    yield out("Loading pretrained model\nTrainable parameters: 0.1% (1.2M/1200M)\nStarting training..., iters: 60\n")
    for step in range(1, 61):
        if step in (1, 30, 60):
            yield out(f"Iter {step}: Val loss {9 - step / 60:.3f}, Val took 5.310s\n")
        if step % 10 == 0:
            yield out(
                f"Iter {step}: Train loss {loss_at(step):.3f}, Learning Rate 1.000e-05, It/sec 1.022, Tokens/sec 88.083, "
                f"Trained Tokens {86 * step}, Peak mem 10.1 GB\n"
            )
        if step == 30:
            yield out(f"Iter {step}: Saved adapter weights to adapters/adapters.safetensors and adapters/0000030_adapters.safetensors.\n")  # fmt: skip


def torchtune(epochs=2):
    yield out("INFO:torchtune.utils._logging:Running LoRAFinetuneRecipeSingleDevice with resolved config:\n")
    for step in range(1, 6 * epochs + 1):
        desc = f"{(step - 1) // 6 + 1}|{step}|Loss: {loss_at(step, 12)}: "
        yield bar(desc, (step - 1) % 6 + 1, 6)
    yield out("INFO:torchtune.utils._logging:Starting checkpoint save...\n")


def tutorial():
    for epoch in range(1, 4):
        for step in (2, 4):
            number = (epoch - 1) * 4 + step
            yield out(f"Epoch [{epoch}/3], Step [{step}/4], Loss: {loss_at(number, 12):.4f}\n")
        yield out(f"Epoch [{epoch}/3] finished, average loss: 9.1234, validation loss: 8.1\n")


def lightning():
    for epoch in range(2):
        for step in range(1, 7):
            yield bar(f"Epoch {epoch}: ", step, 6, f", v_num=0, train_loss={loss_at(6 * epoch + step, 12)}")
        for step in range(1, 3):
            yield bar("Validation DataLoader 0: ", step, 2, ", val_loss=9.5")


REPLAYS = {
    "ai-toolkit with a name in escapes": Replay(
        "python3 run.py config/x.yaml",
        [out("Running 1 job\n"), *aitk_bars("风格v2"), {"w": "output/风格v2/风格v2.safetensors"}],
        steps(range(12), 12), 12, files={"config/x.yaml": AITK.format(name='"\\u98ce\\u683cv2"')},
        series={"lr": dict.fromkeys(range(12), 0.0001)}, weights=("风格v2.safetensors",),
    ),
    "ai-toolkit with a pipe in its name": Replay(
        "python3 run.py config/x.yaml",
        [*aitk_bars("a 50%| b"), {"w": "output/a 50%| b/a 50%| b.safetensors"}],
        steps(range(12), 12), 12, files={"config/x.yaml": AITK.format(name='"a 50%| b"')}, weights=("a 50%| b.safetensors",),
    ),
    "ai-toolkit out of memory with exit code 0": Replay(
        "python3 run.py config/x.yaml",
        [*aitk_bars("cat", 6), out("Error running job: CUDA out of memory. Tried to allocate 2.00 GiB\n\nResult:\n - 1 failure\n"), {"x": 0}],
        steps(range(6), 12), 12, "failed", "oom", files={"config/x.yaml": AITK.format(name="cat")},
    ),
    "ai-toolkit failing otherwise with exit code 0": Replay(
        "python3 run.py config/x.yaml",
        [*aitk_bars("cat", 3), err("OOM during training step, skipping batch: CUDA out of memory\n"), out("Error running job: no such file\n")],
        steps(range(3), 12), 12, "failed", "error", files={"config/x.yaml": AITK.format(name="cat")},
    ),
    "ms-swift without --logging_steps": Replay(
        "swift sft --model m --train_type lora --output_dir out",
        [*dicts(EVERY_FIVE, 60, SWIFT, "Train: "), SUMMARY, *adapter("out")],
        steps(EVERY_FIVE), 60, weights=("adapter_model.safetensors",), series={"grad_norm": dict.fromkeys(EVERY_FIVE, 0.5)}, epoch=3,
    ),
    "ms-swift with --logging_steps, no bar": Replay(
        "swift sft --model m --train_type lora --output_dir out --logging_steps 5",
        [*dicts(EVERY_FIVE, 60, SWIFT, None, quote=True), SUMMARY, *adapter("out")], steps(EVERY_FIVE), 60,
    ),
    "ms-swift by a YAML file, into a folder of the run": Replay(
        ["bash", "-lc", "cd . && swift sft --config c.yaml"],
        [
            *dicts(EVERY_FIVE, 60, SWIFT, "Train: "), SUMMARY,
            *adapter("out/v0-20250526-162705/checkpoint-30"), *adapter("out/v0-20250526-162705/checkpoint-60"),
        ],
        steps(EVERY_FIVE), 60, files={"c.yaml": "model: m\ntrain_type: lora\noutput_dir: out\nlogging_steps: 5\n"},
        weights=("v0-20250526-162705/checkpoint-30/adapter_model.safetensors", "v0-20250526-162705/checkpoint-60/adapter_model.safetensors"),
    ),
    "mlx-lm": Replay(
        "mlx_lm.lora --config c.yaml", mlx(), steps(range(10, 61, 10)), 60, files={"c.yaml": "model: m\ntrain: true\niters: 60\n"},
        series={"learning_rate": dict.fromkeys(range(10, 61, 10), 1e-5)},
    ),
    "torchtune's bars": Replay(
        "tune run lora_finetune_single_device --config c.yaml", torchtune(), steps(TWELVE, 12), 12,
        files={"c.yaml": "epochs: 2\nbatch_size: 2\noutput_dir: out\n"}, epoch=2,
    ),
    "torchtune's lines": Replay(
        "tune run lora_finetune_distributed --config c.yaml",
        [out(f"Step {step} | loss:{loss_at(step, 12)} lr:0.0003 tokens_per_second_per_gpu:910.2 peak_memory_active:9.1 \n") for step in TWELVE],
        steps(TWELVE, 12), files={"c.yaml": "epochs: 1\n"}, series={"lr": dict.fromkeys(TWELVE, 3e-4)},
    ),
    "Megatron": Replay(
        "python3 megatron_sft.py",
        [
            *(out(MEGATRON.format(step=step, total=12, loss=loss_at(step, 12))) for step in TWELVE),
            out(" validation loss at iteration 12 on validation set | lm loss value: 9.000000E+00 | lm loss PPL: 8103.1 | \n"),
        ],
        steps(TWELVE, 12), 12, series={"grad_norm": dict.fromkeys(TWELVE, 0.016), "learning_rate": dict.fromkeys(TWELVE, 4.999872e-05)},
    ),
    "finetrainers": Replay(
        "python3 train.py --model_name wan --training_type lora --output_dir out",
        [bar("Training steps: ", step, 12, f", grad_norm=0.01, global_avg_loss={loss_at(step, 12)}, global_max_loss=9.9") for step in TWELVE],
        steps(TWELVE, 12), 12, series={"grad_norm": dict.fromkeys(TWELVE, 0.01)},
    ),
    "nanoGPT": Replay(
        "python3 train.py config/train.py",
        [out("step 0: train loss 4.2, val loss 4.3\n"), *(out(f"iter {step}: loss {loss_at(step, 12):.4f}, time 30.21ms, mfu 1.20%\n") for step in TWELVE)],
        {0: 4.2, **steps(TWELVE, 12)},
    ),
    "lines whose steps begin anew in each epoch": Replay("python3 mine.py", tutorial(), steps(range(2, 13, 2), 12), 12, epoch=3),
    "bars that begin anew in each epoch": Replay("python3 fit.py", lightning(), steps(TWELVE, 12)),
    "JSON lines": Replay(
        "python3 mine.py",
        [out(json.dumps({"step": step, "total_steps": 12, "loss": loss_at(step, 12), "lr": 1e-4}) + "\n") for step in TWELVE],
        steps(TWELVE, 12), 12, series={"lr": dict.fromkeys(TWELVE, 1e-4)},
    ),
    "transformers without a bar": Replay(
        "python3 sft.py --output_dir out", [*dicts([10, 20, 30, 40, 50, 60], 60, bars=None), SUMMARY, *adapter("out")], None, epoch=3,
        weights=("adapter_model.safetensors",),
    ),
    "transformers without a bar, with logging_steps": Replay(
        "python3 sft.py --output_dir out --logging_steps 10", [*dicts([10, 20, 30, 40, 50, 60], 60, bars=None), SUMMARY],
        steps([10, 20, 30, 40, 50, 60]), epoch=3,
    ),
    "transformers with a bar glued to its dicts": Replay(
        "python3 sft.py --output_dir out", [*dicts([10, 20, 30, 40, 50, 60], 60, quote=True), SUMMARY], steps([10, 20, 30, 40, 50, 60]), 60, epoch=3,
    ),
    "LLaMA-Factory stopped midway": Replay(
        "llamafactory-cli train c.yaml",
        [*dicts([10, 20, 30], 30, ", 'num_input_tokens_seen': 28610, 'train_runtime': 110.1"), {"x": 0}],
        steps([10, 20, 30]), 30, "failed", "error", files={"c.yaml": LLAMA},
    ),
    "LLaMA-Factory with a summary before its last step": Replay(
        "llamafactory-cli train c.yaml",
        [*(event for event in dicts([10, 20, 30], 60) if "/60" not in event["t"] or int(re.search(r" (\d+)/60", event["t"])[1]) <= 30), SUMMARY],
        steps([10, 20, 30]), 60, "failed", "error", files={"c.yaml": LLAMA},
    ),
    "LLaMA-Factory stopping early as it was told to": Replay(
        "llamafactory-cli train c.yaml",
        [*(event for event in dicts([10, 20, 30], 60) if "/60" not in event["t"] or int(re.search(r" (\d+)/60", event["t"])[1]) <= 30), SUMMARY, *adapter("out")],
        steps([10, 20, 30]), 60, files={"c.yaml": LLAMA + "early_stopping_steps: 3\n"},
    ),
    "LLaMA-Factory with the time in each line": Replay(
        "llamafactory-cli train c.yaml",
        [*dicts([10, 20, 30, 40, 50, 60], 60, ", 'num_input_tokens_seen': 28610, 'train_runtime': '110.1'", quote=True), SUMMARY, *adapter("out")],
        steps([10, 20, 30, 40, 50, 60]), 60, files={"c.yaml": LLAMA}, epoch=3,
    ),
    "diffusers, its learning rate": Replay(
        "accelerate launch train_dreambooth_lora_flux.py --output_dir out --max_train_steps 12",
        [*(bar("Steps: ", step, 12, f", loss={loss_at(step, 12)}, lr=0.0001") for step in TWELVE), {"w": "out/pytorch_lora_weights.safetensors"}],
        steps(TWELVE, 12), 12, series={"lr": dict.fromkeys(TWELVE, 1e-4)}, weights=("pytorch_lora_weights.safetensors",),
    ),
    "SimpleTuner": Replay(
        "python3 train.py",
        [bar("Epoch 1/1 Steps: ", step, 12, f", grad_norm=0.05, lr=1e-05, step_loss={loss_at(step, 12)}") for step in TWELVE],
        steps(TWELVE, 12), 12, series={"lr": dict.fromkeys(TWELVE, 1e-5), "grad_norm": dict.fromkeys(TWELVE, 0.05)},
    ),
    "what is no loss of a step": Replay(
        "python3 mine.py",
        [
            out(line + "\n")
            for line in (
                "Loading checkpoint at step 100, best loss 0.5", "Validation step 10 loss: 0.3", "Epoch 1 loss: 0.4", "step 10 epoch loss: 0.5",
                "{'step': 5, 'batch_size': 4}", "step 3: val_loss=0.7", "Early stopping at step 30, loss 0.4", "step 4 loss scale: 65536",
            )
        ],
        {},
    ),
}  # fmt: skip


def prepare(folder, replay):
    """Writes the trainer that plays the replay into the folder; (command, further environment) to start it with."""
    with open(folder / "replay.jsonl", "w", encoding="utf-8") as file:
        file.writelines(json.dumps(event) + "\n" for event in replay.events)
    (folder / "play.py").write_text(PLAYER)
    for name, text in replay.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    tools = folder / "tools"
    tools.mkdir()
    for name in ("swift", "mlx_lm.lora", "tune", "llamafactory-cli", "accelerate"):
        (tools / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" "{folder / "play.py"}"\n')
        (tools / name).chmod(0o755)
    command = list(replay.command)
    if command[0] == "python3":
        command[0] = sys.executable
        (folder / command[1]).write_text(PLAYER)
    # A login shell sets its own search path.
    command = [word.replace("swift sft", f"PATH={shlex.quote(str(tools))}:$PATH swift sft") if " " in word else word for word in command]  # fmt: skip
    path = f"{tools}{os.pathsep}{os.environ['PATH']}"
    return command, {"REPLAY": str(folder / "replay.jsonl"), "PATH": path}
