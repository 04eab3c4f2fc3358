"""Logs to MLflow's tracking as training does: by its fluent API, by its client, and by the calls that
transformers' MLflowCallback and accelerate's MLflowTracker make. Prints what it recorded as JSON."""

import json
import math
import sys
import time

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException

client = MlflowClient()


def shown(run):
    """A run as JSON that every reader takes."""
    whole = run.to_dictionary()
    whole["data"]["metrics"] = {k: str(v) for k, v in run.data.metrics.items()}
    return whole


def fluent():
    mlflow.set_experiment("fluent")
    with mlflow.start_run(run_name="first", description="about it", tags={"team": "x"}) as run:
        mlflow.log_param("learning_rate", 1e-4)
        mlflow.log_params({"lora_r": 8, "a.b/c d": "odd"})
        for step in range(1, 21):
            mlflow.log_metric("loss", 1 / step, step=step)
        mlflow.log_metrics({"loss": math.nan, "acc": math.inf}, step=21)
        mlflow.set_tags({"k": "v", "gone": "x"})
        mlflow.delete_tag("gone")
    run_id = run.info.run_id
    with mlflow.start_run(run_id=run_id):
        mlflow.log_metric("loss", 0.01, step=22)
    with mlflow.start_run(run_name="parent") as parent:
        with mlflow.start_run(run_name="child", nested=True) as child:
            pass
    try:
        with mlflow.start_run(run_name="fails") as failed:
            raise RuntimeError("as a trainer does")
    except RuntimeError:
        pass
    return {
        "run": shown(client.get_run(run_id)),
        "history": [[m.step, str(m.value)] for m in client.get_metric_history(run_id, "loss")],
        "found": [
            r.info.run_name
            for r in mlflow.search_runs(
                experiment_names=["fluent"],
                filter_string="params.`a.b/c d` = 'odd' and metrics.loss < 0.02",
                output_format="list",
            )
        ],
        "frame": len(mlflow.search_runs(experiment_names=["fluent"], order_by=["metrics.loss DESC"])),
        "child": client.get_run(child.info.run_id).data.tags["mlflow.parentRunId"]
        == parent.info.run_id,
        "failed": client.get_run(failed.info.run_id).info.status,
    }


def by_client():
    made = client.create_experiment("by client", tags={"a": "b"})
    run = client.create_run(made, run_name="r", start_time=1234567)
    run_id = run.info.run_id
    client.log_batch(
        run_id,
        metrics=[Metric("m", float(n), 1000 + n, n) for n in range(1000)],
    )
    client.log_batch(run_id, params=[Param(f"p{n}", str(n)) for n in range(100)])
    client.log_batch(run_id, tags=[RunTag("t", "1")])
    refused = None
    try:
        client.log_param(run_id, "p1", "other")
    except MlflowException as error:
        refused = error.error_code
    client.delete_run(run_id)
    deleted = [r.info.run_id for r in client.search_runs([made], run_view_type=ViewType.DELETED_ONLY)]
    client.restore_run(run_id)
    client.set_terminated(run_id, "KILLED", end_time=7654321)
    client.rename_experiment(made, "by client, renamed")
    client.delete_experiment(made)
    stage = client.get_experiment(made).lifecycle_stage
    client.restore_experiment(made)
    pages, token = [], None
    while True:
        page = client.search_runs([made], max_results=1, page_token=token)
        pages += [r.info.run_name for r in page]
        token = page.token
        if not token:
            break
    info = client.get_run(run_id).info
    return {
        "run_id": run_id,
        "refused": refused,
        "deleted": deleted == [run_id],
        "stage": stage,
        "pages": pages,
        "status": [info.status, info.start_time, info.end_time],
        "metrics": len(client.get_metric_history(run_id, "m")),
        "experiments": [e.name for e in client.search_experiments(filter_string="name LIKE 'by %'")],
    }


def transformers_callback():
    """The calls of MLflowCallback: setup, on_log, on_train_end."""
    args = {
        "output_dir": "out",
        "per_device_train_batch_size": 4,
        "num_train_epochs": 3.0,
        "learning_rate": 2e-4,
        "lr_scheduler_type": "SchedulerType.COSINE",
        "optim": "OptimizerNames.ADAMW_TORCH",
        "seed": 42,
        "bf16": True,
        "max_steps": -1,
        "_name_or_path": "meta-llama/Llama-3.1-8B",
        "peft_type": "LORA",
        "r": 16,
        "lora_alpha": 32,
        **{f"argument_{n}": None for n in range(230)},
    }
    mlflow.set_experiment("hf")
    mlflow.start_run(run_name="out")
    items = list(args.items())
    for n in range(0, len(items), 100):
        mlflow.log_params(dict(items[n : n + 100]))
    mlflow.set_tags({"source": "transformers"})
    for step in range(10, 60, 10):
        mlflow.log_metrics(
            metrics={"loss": 2 / step, "grad_norm": 1.0, "learning_rate": 1e-4, "epoch": step / 20},
            step=step,
        )
    mlflow.log_metrics(metrics={"train_runtime": 5.0, "train_loss": 0.1}, step=50)
    run_id = mlflow.active_run().info.run_id
    mlflow.end_run()
    return {"run_id": run_id}


def accelerate_tracker():
    """The calls of MLflowTracker: it searches for the experiment, logs in batches, and ends."""
    found = mlflow.search_experiments(filter_string="name = 'acc'")
    made = found[0].experiment_id if found else mlflow.create_experiment("acc")
    run = mlflow.start_run(experiment_id=made, nested=False, run_name="acc run")
    values = {"lr": 0.1, "steps": 3}
    items = list(values.items())
    for n in range(0, len(items), 100):
        mlflow.log_params(dict(items[n : n + 100]))
    for step in range(3):
        mlflow.log_metrics({"train_loss": 1 / (step + 1)}, step=step)
    mlflow.end_run()
    again = mlflow.search_experiments(filter_string="name = 'acc'")
    return {"run_id": run.info.run_id, "again": again[0].experiment_id == made}


def joined():
    mlflow.set_experiment("joined")
    with mlflow.start_run(run_name="by the trainer") as run:
        mlflow.log_param("a", 1)
        mlflow.log_metric("loss", 0.5, step=1)
    return {"run_id": run.info.run_id}


def wrong_key():
    try:
        client.get_experiment("0")
    except MlflowException as error:
        return {"refused": str(error)}


def read(run_id):
    """A run that something else recorded."""
    run = client.get_run(run_id)
    return {
        "params": run.data.params,
        "metrics": run.data.metrics,
        "status": run.info.status,
        "history": [[m.step, m.value] for m in client.get_metric_history(run_id, "loss")],
    }


scenes = {
    "fluent": fluent,
    "client": by_client,
    "transformers": transformers_callback,
    "accelerate": accelerate_tracker,
    "joined": joined,
    "wrong": wrong_key,
    "read": read,
}
began = time.time()
answer = scenes[sys.argv[1]](*sys.argv[2:])
print("\nRESULT " + json.dumps({**answer, "seconds": time.time() - began}))
