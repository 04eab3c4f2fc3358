"""`lora-ledger dialect`: checks, stores and lists dialects, by which runs of any trainer are read."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from ..core.api import Api
from ..core.errors import CommandError
from ..core.language import join_texts, t
from ..core.output import put
from ..core.settings import Settings
from ..core.terminal import printable
from ..trainers.dialect_file import faults_of, read_dialect
from .options import add_command, add_ledger_options

# So many of a ledger are looked through for a name.
MOST_LISTED = 500


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Adds the command to the command line."""
    parser = add_command(
        commands,
        "dialect",
        t("teach the ledger a trainer"),
        t(
            "A dialect is a small file (TOML) that says how a trainer's settings, lines and files are read: "
            "docs/dialects.md has the form. `check` names mistakes by line, `store` keeps it on the ledger, `ls` "
            "lists, `show` prints one, `rm` deletes yours."
        ),
        "  lora-ledger dialect check my-trainer.toml\n"
        "  lora-ledger dialect store --share my-trainer.toml\n"
        "  lora-ledger run --dialect my-trainer -- python my_trainer.py --config my.yaml",
    )
    parser.add_argument("action", choices=("check", "store", "ls", "show", "rm"))
    parser.add_argument("what", nargs="?", metavar="FILE|NAME", help=t("a file (check, store) or a name (show, rm)"))
    parser.add_argument("--share", action="store_true", help=t("store: other users' files are read by it, too"))
    add_ledger_options(parser)


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Does what the words say. Raises CommandError."""
    action, what = options.action, options.what
    if action == "ls":
        for row in Api(settings).pages("/api/dialects", MOST_LISTED):
            shared = t(", shared") if row.get("shared") else ""
            put(join_texts("", (printable(f"{row.get('name')}\t{row.get('user')}"), shared)))
        return 0
    if not what:
        needs = t("`dialect {action}` needs a name", action=action)
        if action in ("check", "store"):
            needs = t("`dialect {action}` needs a file", action=action)
        raise CommandError(needs, 2)
    if action in ("check", "store"):
        table, text = _read(what)
        if action == "store":
            row = Api(settings).ask("PUT", "/api/dialects", {"text": text, "shared": options.share}, keep=("text",))
            put(
                printable(
                    t("stored {name}: files of no known trainer are read by it from now on", name=row.get("name"))
                )
            )
        else:
            put(printable(t("{what} is a dialect for {name}", what=what, name=table["name"])))
        return 0
    row = find(Api(settings), what, own=action == "rm")
    if action == "show":
        put(str(row.get("text")))
        return 0
    Api(settings).ask("DELETE", f"/api/dialects/{int(row['id'])}")
    put(printable(t("deleted {what}; runs that were read by it stay as they are", what=what)))
    return 0


def _read(path: str) -> tuple[dict[str, Any], str]:
    try:
        return read_dialect(path)
    except OSError as error:
        raise CommandError(
            t("the dialect {path} cannot be read: {error}", path=path, error=error.strerror), 2
        ) from error


def find(api: Api, name: str, own: bool = False) -> dict[str, Any]:
    """The dialect of that name on the ledger; one's own goes before what others share. Raises CommandError."""
    me = api.get("/api/me")
    user = me.get("user")
    mine = user.get("id") if isinstance(user, dict) else me.get("user_id")
    rows = [row for row in api.pages("/api/dialects", MOST_LISTED) if row.get("name") == name]
    rows.sort(key=lambda row: row.get("user_id") != mine)
    if not rows or (own and rows[0].get("user_id") != mine):
        raise CommandError(
            t("the ledger has no dialect of yours named {name}; `lora-ledger dialect ls` lists them", name=name)
            if own
            else t("the ledger has no dialect named {name}; `lora-ledger dialect ls` lists them", name=name)
        )
    return rows[0]


def dialect_of(settings: Settings, named: str | None) -> tuple[dict[str, Any], str] | None:
    """(the table, its text) of `--dialect FILE|NAME`; None without one. Raises CommandError."""
    if not named:
        return None
    if os.path.exists(named) or named.endswith(".toml") or Path(named).name != named:
        return _read(named)
    text = str(find(Api(settings), named).get("text"))
    table, faults = faults_of(text)
    if faults:
        raise CommandError(
            t(
                "the ledger's dialect {named} is of a form that this client does not know: {fault}",
                named=named,
                fault=faults[0],
            ),
            2,
        )
    return table, text
