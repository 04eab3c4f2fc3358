"""Hands a run's number down to a trainer whose own tracker logs to this ledger too, so that both are one task.

A ledger takes `KEY.runN` wherever a tracker's client gives its token: all that this client creates is run N then.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping
from typing import NamedTuple

from ..core import withhold


class Tracker(NamedTuple):
    """A client: the variable of the address, what the ledger's address is with it, and the variable of the token."""

    name: str
    address: str
    path: str
    token: str


TRACKERS = (
    Tracker("MLflow", "MLFLOW_TRACKING_URI", "/mlflow", "MLFLOW_TRACKING_TOKEN"),
    Tracker("Trackio", "TRACKIO_SERVER_URL", "", "TRACKIO_WRITE_TOKEN"),
    Tracker("SwanLab", "SWANLAB_API_HOST", "/swanlab", "SWANLAB_API_KEY"),
)
# What goes before a tracker's token or address in its client.
_BESIDE = {
    "MLFLOW_TRACKING_TOKEN": ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"),
    "TRACKIO_WRITE_TOKEN": ("TRACKIO_SPACE_ID",),
}
_PORTS = {"http": 80, "https": 443}
TASK = "LEDGER_TASK_ID"


def _place(url: str) -> tuple[str, str, int | None] | None:
    """(scheme, host, port) of an address; None for what is none."""
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return None
    return (parts.scheme, parts.hostname, port) if parts.hostname else None


def pointed_here(environment: Mapping[str, str], url: str) -> list[Tracker]:
    """The trackers whose address is at the ledger `url`: of its scheme, host and port."""
    here = _place(url)
    return [one for one in TRACKERS if here is not None and _place(environment.get(one.address, "")) == here]


def point_here(environment: dict[str, str], url: str) -> None:
    """Sets every tracker's address to the ledger `url`."""
    environment.update({one.address: url + one.path for one in TRACKERS})


def join(environment: dict[str, str], key: str, trackers: list[Tracker], task: int) -> None:
    """Sets the tokens of the trackers so that what they log becomes the task's."""
    token = f"{key}.run{task}"
    withhold.know({"LEDGER_KEY": key, "token": token})
    for one in trackers:
        environment[one.token] = token
        for name in _BESIDE.get(one.token, ()):
            environment.pop(name, None)
        if one.name == "Trackio":
            # A token in the address would go before the variable.
            parts = urllib.parse.urlsplit(environment[one.address])
            environment[one.address] = urllib.parse.urlunsplit(parts[:3] + ("", ""))
