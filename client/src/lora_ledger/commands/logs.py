"""`lora-ledger logs`: a run's curve, once or followed while it grows."""

import http.client
import sys
import time

from ..core.transport import USER_AGENT, Later, _connect
from ..core.api import Api, Plain, figure, put, query_of

ENDED = {"success", "failed", "cancelled"}


def logs(settings, options):
    """Prints `step epoch time value` lines, or CSV; with -f goes on until the run has ended. Raises Plain."""
    api = Api(settings)
    if options.csv and not options.follow:
        return _stream_csv(api, options)
    separator = "," if options.csv else "\t"
    answer = api.get(
        f"/api/tasks/{options.task}/logs", metric=options.metric, max_points=min(options.max_points, 10_000)
    )
    known = answer.get("metrics") or []
    if not answer.get("points") and known and not options.follow:
        raise Plain(f"task {options.task} has no {options.metric}; it has: {', '.join(known)}")
    put(separator.join(("step", "epoch", "time", answer.get("metric") or options.metric)))
    _print(answer.get("points") or [], separator)
    if not options.follow:
        return 0
    return _follow(api, options, answer.get("next_since") or "0.0", separator)


def _follow(api, options, since, separator):
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
                        f"# a later attempt holds from step {answer['replaces_from']} on; the lines above from there are void"
                    )
                _print(answer.get("points") or [], separator)
                before, since = since, answer.get("next_since") or since
                if since == before:
                    break
            away = False
        except Plain as error:
            if getattr(error, "status", 0) is not None:
                raise
            if not away:
                put(f"# {error}; still trying", sys.stderr)
            away = True
            task = {}
        sys.stdout.flush()
        if task.get("status") in ENDED:
            put(f"# task {options.task}: {task['status']}, final loss {figure(task.get('final_loss'))}")
            return 0
        time.sleep(options.interval)


def _print(points, separator):
    for step, epoch, when, value in points:
        put(separator.join("" if v is None else str(v) for v in (step, epoch, when, value)))


def _stream_csv(api, options):
    """All points as they come, so that a run of a million needs no memory here."""
    query = query_of({"metric": options.metric, "format": "csv"})
    connection, target = _connect(f"{api.url}/api/tasks/{options.task}/logs?{query}", 60.0)
    try:
        connection.request(
            "GET", target, headers={"Authorization": f"Bearer {api.ledger.key}", "User-Agent": USER_AGENT}
        )
        response = connection.getresponse()
        if response.status != 200:
            # The same question as JSON says in the ledger's own words what is wrong.
            api.get(f"/api/tasks/{options.task}/logs", metric=options.metric, max_points=1)
            raise Plain(f"the ledger answered {response.status}")
        while True:
            block = response.read(65_536)
            if not block:
                return 0
            sys.stdout.write(block.decode("utf-8", "replace").replace("\r\n", "\n"))
    except (OSError, http.client.HTTPException, Later) as error:
        raise Plain(f"the ledger stopped answering: {error}") from error
    finally:
        connection.close()
