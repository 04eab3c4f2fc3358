"""Logs with the real SwanLab client as trainers do; the first argument says what."""

import sys
import time

import numpy as np
import swanlab


def log_all(project: str) -> None:
    swanlab.init(
        project=project,
        experiment_name="first",
        description="about it",
        tags=["seeds"],
        config={"learning_rate": 1e-4, "lora_rank": 16, "nested": {"a": 1}},
        id="firstrun1",
        resume="allow",
    )
    for step in range(3):
        swanlab.log({"loss": 1 / (step + 1), "train/acc": step, "odd": float("nan")}, step=step)
    print("hello from the trainer")
    swanlab.log({"cat": swanlab.Image(np.zeros((8, 8, 3), dtype=np.uint8), caption="a cat")}, step=2)
    time.sleep(2)
    swanlab.finish()


def resume(project: str) -> None:
    swanlab.init(project=project, id="firstrun1", resume="must")
    swanlab.log({"loss": 0.25}, step=3)
    swanlab.finish()


def crash(project: str) -> None:
    swanlab.init(project=project, experiment_name="crashed")
    swanlab.log({"loss": 1.0}, step=1)
    raise ValueError("boom")


def stop(project: str) -> None:
    swanlab.init(project=project, experiment_name="stopped")
    swanlab.log({"loss": 1.0}, step=1)
    raise KeyboardInterrupt


def two_lines(project: str) -> None:
    swanlab.init(project=project, experiment_name="joined")
    swanlab.log({"loss": 0.5}, step=1)
    swanlab.log({"loss": 0.4}, step=2)
    swanlab.finish()


{"all": log_all, "resume": resume, "crash": crash, "stop": stop, "two": two_lines}[sys.argv[1]](sys.argv[2])
