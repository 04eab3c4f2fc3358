"""`lora-ledger enrol`, and what a box does with the token: a key of its own that can be taken from it with one call."""

import os
import shlex
import socket

from ..recording import host

from ..core import terminal
from ..core.transport import Denied, Later, Ledger, Refused
from . import credentials
from ..core.api import Api, Plain, moment, put


def enrol(settings, options):
    """Prints the line for a box's start script. Raises Plain."""
    body = {
        "name": options.name,
        "hourly_price": options.hourly_price,
        "shared": True if options.shared else None,
        "days": options.days,
        "minutes": options.minutes,
    }
    answer = Api(settings).ask("POST", "/api/boxes/enrol", {k: v for k, v in body.items() if v is not None})
    command = options.exec or "accelerate launch train_network.py --config_file {config}"
    labels = f" --labels {shlex.quote(options.labels)}" if options.labels else ""
    terminal.notice(
        f"good once, until {moment(answer['expires_at'])}; the box's key lasts {answer['days']:g} days, and "
        f"it runs {'everyone’s' if answer['shared'] else 'your own'} runs"
    )
    for warning in answer.get("warnings") or []:
        terminal.warn(warning)
    put(
        f"curl -fsS {settings.url}/client.py -o ledger.py && LEDGER_URL={shlex.quote(settings.url)} "
        f"LEDGER_ENROL={answer['token']} python3 ledger.py agent --exec {shlex.quote(command)}{labels}"
    )
    return 0


def join(settings, options):
    """Exchanges the token in LEDGER_ENROL for a key and stores it, unless this box has a key already. Raises Plain."""
    token = os.environ.get("LEDGER_ENROL")
    if settings.key or not token:
        return
    terminal.configure(options.quiet, [token])
    if not settings.url:
        raise Plain("LEDGER_URL is not set: it says which ledger the token in LEDGER_ENROL is for")
    facts = host.facts([], os.getcwd())
    body = {"token": token, "name": socket.gethostname()[:100] or None}
    body.update(gpu_info=facts.get("gpu_info"), hourly_price=options.hourly_price)
    try:
        answer = Ledger(settings.url, None).ask("POST", "/api/boxes/exchange", body, keep=("token",))
    except Denied as error:
        raise Plain(f"the token in LEDGER_ENROL was not taken: {error}") from error
    except Later as error:
        raise Plain(
            f"the ledger at {settings.url} did not answer ({error}); start again while the token is good"
        ) from error
    except Refused as error:
        raise Plain(f"{settings.url} does not enrol boxes ({error})") from error
    settings.key = answer["key"]
    terminal.configure(options.quiet, [settings.key])
    terminal.notice(f"enrolled as {answer['name']}; the key lasts until {moment(answer['expires_at'])}")
    try:
        credentials.store(settings.url, settings.key)
    except OSError as error:
        terminal.warn(
            f"the key cannot be stored in {credentials.place()} ({error.strerror}): an agent that starts again needs a new token"
        )
