"""`lora-ledger cancel`: asks the ledger to end a run."""

from ..core.api import Api, put


def cancel(settings, options):
    """Cancels a pending run at once; a running one is told at its next heartbeat. Raises Plain."""
    task = Api(settings).ask("POST", f"/api/tasks/{options.task}/cancel")
    if task.get("cancel_requested"):
        put(f"task {options.task} will be told at its next heartbeat, and ends as cancelled")
    else:
        put(f"task {options.task} is {task.get('status', 'cancelled')}")
    return 0
