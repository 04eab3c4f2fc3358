"""Logs a small run to the real wandb: numbers, what is none, nested and odd keys, pictures, a table; maybe killed."""

import os
import signal
import sys
import time

import numpy
import wandb

steps, pause, end = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
first = int(sys.argv[4]) if len(sys.argv) > 4 else 1
run = wandb.init(
    project="aki",
    name="wb run",
    id="abc123",
    resume="allow",
    config={"learning_rate": 1e-4, "network": {"rank": 8, "odd key/α": "x"}},
    settings=wandb.Settings(x_disable_stats=False),
)


def picture(shade):
    return numpy.full((4, 4, 3), shade, dtype="uint8")


for n in range(first, first + steps):
    row = {"train/loss": 1 / n, "nested": {"a": n, "b": {"c": 2.5}}, "odd key/é %": n, "train/global_step": n * 10}
    row.update({2: {"train/loss": float("nan")}, 3: {"train/loss": float("inf")}}.get(n, {}))
    if n == 4:
        row["one"] = wandb.Image(picture(n), caption="a cat")
        row["table"] = wandb.Table(columns=["a"], data=[[1]])
        row["spread"] = wandb.Histogram([1, 2, 3])
    if n == 5:
        row["some"] = [wandb.Image(picture(10 + k), caption=f"cat {k}") for k in range(2)]
    run.log(row)
    time.sleep(pause)
run.summary["best"] = 0.125
if end == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
run.finish(exit_code=int(end))
