"""A real LoRA training that needs no download: peft's adapter on a Llama with random weights, by transformers' Trainer.

    python3 train_lora.py --config lora.toml --output_dir out [--max_train_steps 600] [--cpu]

Options go before the file's settings. own.json in the output folder holds the trainer's own record, for comparing.
"""

import argparse
import json
import time
import tomllib
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainerCallback, TrainingArguments

WORDS = 8192


def read_options():
    """The file's settings with the command line's over them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", required=True)
    parser.add_argument("--output_dir", required=True)
    parser.add_argument("--save_steps", type=int, default=0, help="0: only the final weights")
    parser.add_argument("--report_to", default="none", help="tensorboard: exact values in event files, too")
    parser.add_argument("--cpu", action="store_true")
    for name in ("max_train_steps", "layers", "train_batch_size", "hidden_size", "tokens"):
        parser.add_argument(f"--{name}", type=int)
    options = parser.parse_args()
    for name, value in tomllib.loads(Path(options.config).read_text()).items():
        if getattr(options, name, None) is None:
            setattr(options, name, value)
    return options


class Rows(torch.utils.data.Dataset):
    """Rows that repeat a short pattern, so that there is something to learn."""

    def __init__(self, count, tokens, seed):
        chance = torch.Generator().manual_seed(seed)
        patterns = torch.randint(WORDS, (count, 16), generator=chance)
        self.rows = patterns.repeat(1, tokens // 16)

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return {"input_ids": self.rows[index], "labels": self.rows[index]}


class Own(TrainerCallback):
    """What the trainer itself knows: the exact values of each line, and when each step ended."""

    def __init__(self):
        self.lines = []
        self.ends = []

    def on_step_end(self, args, state, control, **_):
        self.ends.append(time.time())

    def on_log(self, args, state, control, logs=None, **_):
        if "loss" in logs:
            self.lines.append([state.global_step, logs["loss"], logs.get("grad_norm"), logs.get("learning_rate")])


def main():
    """Trains and saves the adapter."""
    options = read_options()
    device = "cpu" if options.cpu else "cuda"
    torch.manual_seed(options.seed)
    sizes = dict(hidden_size=options.hidden_size, intermediate_size=options.hidden_size * 11 // 4)
    heads = max(1, options.hidden_size // 64)
    shape = LlamaConfig(
        vocab_size=WORDS, num_hidden_layers=options.layers, num_attention_heads=heads, num_key_value_heads=heads, **sizes
    )
    with torch.device(device):
        base = LlamaForCausalLM(shape)
    adapter = LoraConfig(
        r=options.lora_rank,
        lora_alpha=options.lora_alpha,
        target_modules=["q_proj", "k_proj", "v_proj", "o_proj"],
        task_type="CAUSAL_LM",
    )
    own = Own()
    trainer = Trainer(
        model=get_peft_model(base.to(torch.bfloat16), adapter),
        args=TrainingArguments(
            output_dir=options.output_dir,
            max_steps=options.max_train_steps,
            per_device_train_batch_size=options.train_batch_size,
            learning_rate=options.learning_rate,
            seed=options.seed,
            logging_steps=1,
            save_strategy="steps" if options.save_steps else "no",
            save_steps=options.save_steps or 500,
            report_to=options.report_to,
            bf16=options.mixed_precision == "bf16",
            use_cpu=options.cpu,
        ),
        train_dataset=Rows(8192, options.tokens, options.seed),
        callbacks=[own],
    )
    trainer.train()
    trainer.save_model()
    record = {"lines": own.lines, "ends": own.ends}
    if not options.cpu:
        torch.cuda.synchronize()
        record.update(
            torch=torch.__version__,
            name=torch.cuda.get_device_name(),
            total_mib=torch.cuda.get_device_properties(0).total_memory / 2**20,
            allocated_mib=torch.cuda.max_memory_allocated() / 2**20,
            reserved_mib=torch.cuda.max_memory_reserved() / 2**20,
        )
    (Path(options.output_dir) / "own.json").write_text(json.dumps(record))


if __name__ == "__main__":
    main()
