"""Logs with the real Trackio client as trainers do; the first argument says what."""

import os
import sys
import time

import numpy as np
import trackio as wandb


def end() -> None:
    # On a busy machine the client's own wait at the end is short.
    time.sleep(4)
    wandb.finish()


def log_all(project: str) -> None:
    wandb.init(
        project=project,
        name="first",
        group="seeds",
        config={"learning_rate": 1e-4, "lora_rank": 16, "nested": {"a": 1}},
    )
    wandb.log({"loss": 1.0, "train/x": np.float32(2.0), "nest": {"a": 1, "b": {"c": 2}}, "odd": float("nan")})
    wandb.log({"loss": 0.5}, step=10)
    wandb.log({"loss": 0.7}, step=5)
    wandb.log({"samples/cat": wandb.Image(np.zeros((8, 8, 3), dtype=np.uint8), caption="a cat")})
    wandb.log({"table": wandb.Table(columns=["a"], data=[[1]]), "hist": wandb.Histogram([1, 2, 3])})
    wandb.log_system({"gpu/0/utilization": 50.0, "cpu/utilization": 3})
    wandb.alert("Bad", "the loss went up", level=wandb.AlertLevel.WARN)
    end()


def resume(project: str) -> None:
    wandb.init(project=project, name="first", resume="must")
    wandb.log({"loss": 0.25})
    end()


def as_transformers(project: str) -> None:
    """The calls of transformers' TrackioCallback: settings of the arguments, the model and PEFT, then logs."""
    arguments = {
        "output_dir": "out/aki",
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 4,
        "learning_rate": 2e-4,
        "num_train_epochs": 3,
        "max_steps": -1,
        "lr_scheduler_type": "cosine",
        "optim": "adamw_torch",
        "bf16": True,
        "fp16": False,
        "seed": 42,
    }
    model = {"model_type": "llama", "vocab_size": 32}
    peft = {"default": {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 8, "lora_alpha": 16, "lora_dropout": 0.05}}
    wandb.init(project=project, name="sft", config={**model, **arguments, "peft_config": peft})
    for step in range(1, 31):
        wandb.log(
            {"train/loss": 1 / step, "train/learning_rate": 2e-4, "train/epoch": step / 10, "train/global_step": step}
        )
    wandb.log({"eval/loss": 0.4, "train/global_step": 30})
    end()


def two_lines(project: str) -> None:
    wandb.init(project=project, name="joined")
    wandb.log({"loss": 0.5})
    wandb.log({"loss": 0.4})
    end()


def through_an_outage(project: str) -> None:
    """Logs until a file of that name is there, for the test to end the service meanwhile."""
    wandb.init(project=project, name="away")
    step = 0
    while not os.path.exists(f"{project}.end"):
        wandb.log({"loss": 1 / (step + 1)}, step=step)
        print(f"step {step}", flush=True)
        step += 1
        time.sleep(0.25)
    end()
    print(f"logged {step}")


{
    "outage": through_an_outage,
    "all": log_all,
    "resume": resume,
    "transformers": as_transformers,
    "two": two_lines,
}[sys.argv[1]](sys.argv[2])
