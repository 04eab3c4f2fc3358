"""What Schemathesis leaves out, and why."""

import os
from collections import Counter

import schemathesis

# One in so many of the cases that a description yields by itself is sent: all of each route's take a minute.
SHARE = int(os.environ.get("SCHEMATHESIS_SHARE", "1"))
seen = Counter()


@schemathesis.hook
def filter_case(context, case):
    """Leaves out addresses that the platform refuses by itself, before the Worker: over some 16 kB it answers 414 in plain text."""
    if case.meta and case.meta.phase.name.value == "coverage":
        seen[case.operation.label] += 1
        if seen[case.operation.label] % SHARE != 1 % SHARE:
            return False
    parts = [*(case.path_parameters or {}).values(), *(case.query or {}).values()]
    return sum(len(str(part).encode("utf-8", "surrogatepass")) for part in parts) * 3 < 12_000


@schemathesis.hook
def before_call(context, case, kwargs):
    """Lets no claim wait for work: a few of them would take all of the time."""
    if case.operation.path.endswith("/queue/claim") and isinstance(case.body, dict) and isinstance(case.body.get("wait_sec"), (int, float)):
        case.body["wait_sec"] = 0
