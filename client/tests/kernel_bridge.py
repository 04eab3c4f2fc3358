"""Runs cells in a real kernel for a test, whose own Python lacks Jupyter: commands as JSON lines in, events out.

{"run": CODE}, {"interrupt": true}, {"kill": true} → {"stream": TEXT}, {"result": TEXT}, {"error": NAME, "traceback": […]},
{"done": "ok" or "error"}. The end of the input ends the kernel.
"""

import json
import os
import sys
import threading

from jupyter_client import KernelManager


def say(**event):
    print(json.dumps(event), flush=True)


def reply_to(client, request):
    """The status of a request's reply."""
    while True:
        reply = client.get_shell_msg(timeout=60)
        if reply["parent_header"].get("msg_id") == request:
            return reply["content"]["status"]


def listen(client):
    """Passes on what the kernel says."""
    while True:
        try:
            message = client.get_iopub_msg(timeout=1)
        except Exception:
            if ended.is_set():
                return
            continue
        kind, content = message["msg_type"], message["content"]
        if kind == "stream":
            say(stream=content["text"])
        elif kind == "execute_result":
            say(result=content["data"]["text/plain"])
        elif kind == "error":
            say(error=content["ename"], value=content["evalue"], traceback=content["traceback"])
        elif kind == "status" and content["execution_state"] == "idle":
            with guard:
                is_run = message["parent_header"].get("msg_id") in runs
            if is_run:
                say(done=reply_to(client, message["parent_header"]["msg_id"]))


guard = threading.Lock()
runs = set()
ended = threading.Event()
manager = KernelManager()
manager.start_kernel()
try:
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=60)
    threading.Thread(target=listen, args=(client,), daemon=True).start()
    say(ready=True)
    for line in sys.stdin:
        command = json.loads(line)
        if "run" in command:
            # A cell may have ended before its number is known here.
            with guard:
                runs.add(client.execute(command["run"], stop_on_error=False))
        elif "interrupt" in command:
            manager.interrupt_kernel()
        else:
            manager.signal_kernel(9)
            say(done="killed")
    ended.set()
    client.stop_channels()
finally:
    manager.shutdown_kernel(now=True)
# Without the farewells of jupyter_client's objects, which some versions of it print errors at.
sys.stdout.flush()
os._exit(0)
