"""Airflow 3: queues a run in the ledger, waits for its end, and goes on with its weights.

The ledger is the connection `lora_ledger`: its host the ledger's address, its password a key:
    airflow connections add lora_ledger --conn-type http --conn-host https://… --conn-password …
"""
import json
from pathlib import Path
from urllib.request import Request, urlopen

from airflow.sdk import Connection, PokeReturnValue, dag, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException

CONFIG = Path(__file__).with_name("my_lora.toml")


def ledger(path, body=None, **headers):
    where = Connection.get("lora_ledger")
    headers |= {"Authorization": f"Bearer {where.password}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    with urlopen(Request(where.host + path, data, headers), timeout=60) as answer:
        return json.load(answer)


@dag(schedule=None, catchup=False)
def train_lora():
    @task(retries=3)
    def queue() -> int:
        # The DAG run's id as the key: a retry finds the run that the first try queued.
        run_id = get_current_context()["run_id"]
        run = {
            "task_name": CONFIG.stem,
            "tags": {"airflow": run_id},
            "config": {"text": CONFIG.read_text(), "path": CONFIG.name},
            "queue": {"max_attempts": 3},
        }
        key = run_id.replace(":", "-").replace("+", "-")
        return ledger("/api/tasks", run, **{"Idempotency-Key": key})["task_id"]

    @task.sensor(mode="reschedule", poke_interval=60, timeout=2 * 86400)
    def finished(task_id: int) -> PokeReturnValue:
        run = ledger(f"/api/tasks/{task_id}")
        if run["status"] in ("failed", "cancelled"):
            raise AirflowFailException(f"run {task_id} is {run['status']}: {run['error_message']}")
        return PokeReturnValue(run["status"] == "success", run["final_loss"])

    @task
    def weights(task_id: int) -> list[str]:
        found = ledger(f"/api/weights?task_id={task_id}&kind=final")["items"]
        return [ledger(f"/api/weights/{w['id']}/download?redirect=false")["url"] for w in found]

    run = queue()
    finished(run) >> weights(run)


train_lora()
