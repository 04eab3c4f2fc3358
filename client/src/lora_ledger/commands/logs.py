"""`lora-ledger logs`: a run's curve, once or followed while it grows."""

from __future__ import annotations

import argparse
import http.client
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any

from ..core.api import Api, query_of
from ..core.errors import CommandError, RetryLaterError
from ..core.language import t
from ..core.output import figure, put
from ..core.settings import Settings
from .options import add_command, add_ledger_options, count

ENDED = {"success", "failed", "cancelled"}


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Adds the command to the command line."""
    parser = add_command(
        commands,
        "logs",
        t("a run's loss, or another metric"),
        t(
            "Prints a metric's curve as lines of step, epoch, time and value, separated by tabs. With -f it stays and "
            "prints what is new until the run ends; when a later attempt takes over, a line beginning with # says from "
            "which step on."
        ),
        "  lora-ledger logs 42\n  lora-ledger logs 42 -f --metric lr/unet\n  lora-ledger logs 42 --csv > loss.csv",
    )
    parser.add_argument("task", type=int, metavar="ID")
    parser.add_argument("-f", "--follow", action="store_true", help=t("stay and print what is new"))
    parser.add_argument("--metric", default="loss", metavar="NAME", help=t("which metric (default: loss)"))
    parser.add_argument("--csv", action="store_true", help=t("as CSV; without -f every point there is"))
    parser.add_argument(
        "--max-points",
        type=count,
        default=1000,
        metavar="N",
        help=t("thin the curve to so many points, peaks kept (default: 1000)"),
    )
    parser.add_argument(
        "--interval", type=float, default=10.0, metavar="SECONDS", help=t("with -f: ask so often (default: 10)")
    )
    add_ledger_options(parser)


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Prints `step epoch time value` lines, or CSV; with -f goes on until the run has ended. Raises CommandError."""
    api = Api(settings)
    if options.csv and not options.follow:
        return _stream_csv(api, options)
    separator = "," if options.csv else "\t"
    answer = api.get(
        f"/api/tasks/{options.task}/logs", metric=options.metric, max_points=min(options.max_points, 10_000)
    )
    known = answer.get("metrics") or []
    if not answer.get("points") and known and not options.follow:
        raise CommandError(
            t(
                "task {task} has no {metric}; it has: {known}",
                task=options.task,
                metric=options.metric,
                known=", ".join(known),
            )
        )
    put(separator.join(("step", "epoch", "time", answer.get("metric") or options.metric)))
    _print(answer.get("points") or [], separator)
    if not options.follow:
        return 0
    return _follow(api, options, answer.get("next_since") or "0.0", separator)


def _follow(api: Api, options: argparse.Namespace, since: str, separator: str) -> int:
    path = f"/api/tasks/{options.task}/logs"
    away = False
    while True:
        try:
            # Asked before the points: what came until the end is then still read.
            task = api.get(f"/api/tasks/{options.task}")
            while True:
                answer = api.get(path, metric=options.metric, since=since)
                if answer.get("replaces_from") is not None:
                    put(
                        t(
                            "# a later attempt holds from step {replaces_from} on; the lines above from there are void",
                            replaces_from=answer["replaces_from"],
                        )
                    )
                _print(answer.get("points") or [], separator)
                before, since = since, answer.get("next_since") or since
                if since == before:
                    break
            away = False
        except CommandError as error:
            if not error.unanswered:
                raise
            if not away:
                put(t("# {error}; still trying", error=error), sys.stderr)
            away = True
            task = {}
        sys.stdout.flush()
        if task.get("status") in ENDED:
            put(
                t(
                    "# task {task}: {status}, final loss {final_loss}",
                    task=options.task,
                    status=task["status"],
                    final_loss=figure(task.get("final_loss")),
                )
            )
            return 0
        time.sleep(options.interval)


def _print(points: Iterable[Sequence[Any]], separator: str) -> None:
    for step, epoch, when, value in points:
        put(separator.join("" if v is None else str(v) for v in (step, epoch, when, value)))


def _stream_csv(api: Api, options: argparse.Namespace) -> int:
    """All points as they come, so that a run of a million needs no memory here."""
    query = query_of({"metric": options.metric, "format": "csv"})
    try:
        with api.stream(f"/api/tasks/{options.task}/logs?{query}", 60.0) as response:
            if response.status != 200:
                # The same question as JSON says in the ledger's own words what is wrong.
                api.get(f"/api/tasks/{options.task}/logs", metric=options.metric, max_points=1)
                raise CommandError(t("the ledger answered {status}", status=response.status))
            while True:
                block = response.read(65_536)
                if not block:
                    return 0
                sys.stdout.write(block.decode("utf-8", "replace").replace("\r\n", "\n"))
    except (OSError, http.client.HTTPException, RetryLaterError) as error:
        raise CommandError(t("the ledger stopped answering: {error}", error=error)) from error
