"""What Schemathesis leaves out, and why."""

import schemathesis


@schemathesis.hook
def filter_case(context, case):
    """Leaves out addresses that the platform refuses by itself, before the Worker: over some 16 kB it answers 414 in plain text."""
    parts = [*(case.path_parameters or {}).values(), *(case.query or {}).values()]
    return sum(len(str(part).encode("utf-8", "surrogatepass")) for part in parts) * 3 < 12_000


@schemathesis.hook
def before_call(context, case, kwargs):
    """Lets no claim wait for work: a few of them would take all of the time."""
    if case.operation.path.endswith("/queue/claim") and isinstance(case.body, dict) and isinstance(case.body.get("wait_sec"), (int, float)):
        case.body["wait_sec"] = 0
