"""Measures what recording costs a trainer: steps per second with the client and without, in alternating runs.

    python3 client/tests/bench_overhead.py [--pairs 5] [--steps 3000] [--sleep 0] [--network_dim 4] [--cores]

Prints each pair, the medians and their ratio (1.00 = recording costs nothing). The trainer is the example's; each step's
time is its own measure, from its first step to its last, so that neither start nor end counts. `--cores` gives the
trainer one core and the client the others, as on a box whose trainer does not use them all.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from tests.helpers import EXAMPLE, SOURCE  # noqa: E402
from tests.ledger_server import KEY, Server  # noqa: E402


def train(folder, options, url=None):
    """(steps per second by the time stamps in the trainer's own event file, CPU seconds of all processes)."""
    out = Path(folder)
    command = [sys.executable, str(EXAMPLE / "train_network.py"), "--config_file", str(EXAMPLE / "my_lora.toml")]
    command += ["--train_data_dir", str(EXAMPLE / "dataset"), "--output_dir", str(out / "out")]
    command += ["--logging_dir", str(out / "logs"), "--sleep", str(options.sleep)]
    command += ["--network_dim", str(options.network_dim)]
    command += ["--max_train_epochs", "0", "--max_train_steps", str(options.steps)]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("LEDGER_")}
    if options.cores:
        command = ["taskset", "-c", "0", *command]
    if url:
        environment.update(LEDGER_URL=url, LEDGER_KEY=KEY, LEDGER_SPOOL=str(out / "spool"), PYTHONPATH=str(SOURCE))
        command = [sys.executable, "-m", "lora_ledger", "run", "--quiet", "--", *command]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    from lora_ledger.follow.tensorboard import EventFile

    path = next((out / "logs").rglob("events.out.tfevents.*"))
    times = [when for when, _, tag, _ in EventFile(path).read() if tag == "loss/current"]
    return (len(times) - 1) / (times[-1] - times[0]), cpu


def main():
    """Runs the pairs and prints what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--sleep", type=float, default=0.0)
    parser.add_argument("--network_dim", type=int, default=4)
    parser.add_argument("--cores", action="store_true")
    options = parser.parse_args()
    server = Server(interval=15.0)
    alone, recorded, costs = [], [], {False: [], True: []}
    for pair in range(options.pairs):
        with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
            # Which one goes first alternates, so that a machine that warms up or slows down favours neither.
            for place, rates, url in sorted(
                [(one, alone, None), (two, recorded, server.url)], key=lambda run: bool(run[2]) ^ bool(pair % 2)
            ):
                rate, cpu = train(place, options, url)
                rates.append(rate)
                costs[bool(url)].append(cpu)
                time.sleep(0.5)
        print(
            f"pair {pair + 1}: {alone[-1]:9.2f} steps/s alone, {recorded[-1]:9.2f} recorded, ratio {recorded[-1] / alone[-1]:.4f}"
        )
    ratios = [with_client / without for with_client, without in zip(recorded, alone)]
    print(
        f"median: {statistics.median(alone):.2f} alone, {statistics.median(recorded):.2f} recorded; "
        f"ratio of medians {statistics.median(recorded) / statistics.median(alone):.4f}, "
        f"median of ratios {statistics.median(ratios):.4f}"
    )
    more = statistics.median(costs[True]) - statistics.median(costs[False])
    print(
        f"CPU: {statistics.median(costs[False]):.2f} s alone, {statistics.median(costs[True]):.2f} s with the client; "
        f"{more * 1000 / options.steps:.2f} ms a step, start and end counted"
    )
    server.close()


if __name__ == "__main__":
    main()
