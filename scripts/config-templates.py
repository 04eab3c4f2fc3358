"""Prints a configuration for each trainer and architecture that `lora-ledger config` writes one for, as JSON lines.

Run by scripts/templates.ts. The client's makers are the one source of keys and defaults; what nobody knows before a
run, they write as FILL IN. The rank and alpha of a template are a start, and its notes say so.
"""

import json
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "client" / "src"))

from lora_ledger.commands import config_for  # noqa: E402
from lora_ledger.commands.config_draft import Draft, Facts, as_json, as_shell, as_toml, as_yaml  # noqa: E402
from lora_ledger.core.architectures import arch_of  # noqa: E402
from lora_ledger.core.errors import CommandError  # noqa: E402

RANK = 16
CHOICE = "a common start; choose your own"
HEAD = """\
# A template for {trainer}, {arch}. Behind each value: "default" is the trainer's own, "choose" is a start, and
# FILL IN is what nobody but you knows.
# Run: {launch}

"""
ENDINGS = {"toml": "toml", "yaml": "yaml", "json": "json", "json+notes": "json", "shell": "sh"}


class Asked(Draft):
    """A draft that notes the names of architectures which its maker knows."""

    known: dict[str, object] = {}

    def choose(self, trainer, archs):
        Asked.known = dict(archs)
        return super().choose(trainer, archs)


def facts(arch: str) -> Facts:
    base = arch.partition("/")[0]
    fields = {"base_arch": arch_of(base) or base, "lora_rank": RANK, "lora_alpha": RANK}
    if base == "llm":
        fields["model_type"] = "llm"
    where = {"lora_rank": CHOICE, "lora_alpha": CHOICE, "base_arch": "the template"}
    made = Facts(fields, where, {}, [])
    made.asked = arch if "/" in arch else None
    return made


def clean(text: str) -> str:
    return (
        text.replace(f"read: {CHOICE}", f"choose: {CHOICE}")
        .replace("read: --arch", "the template's architecture")
        .replace("read: the architecture, the template", "the template's architecture")
        .replace("read: the template", "the template's architecture")
        .replace("read: it is an adapter", "an adapter")
        .replace("nobody can know this from the file", "only you know it")
    )


def write(trainer: str, arch: str) -> dict:
    make, form = config_for.MAKERS[trainer]
    draft = Asked(facts(arch))
    launch = make(draft)
    ending = ENDINGS[form]
    name = f"config.{ending}"
    launch = launch.replace("THIS_FILE", name)
    # Some are started from a page, or say in words how.
    words = launch.rpartition("or: ")[2]
    command = None
    if re.match(r"(accelerate launch|python|deepspeed|[a-z_.-]+) \S", words) and re.search(r"\b" + re.escape(name), words):
        command = words.split() if re.fullmatch(r"[\w ./=-]+", words) else None
    head = HEAD.format(trainer=trainer, arch=arch, launch=launch)
    if ending == "json":
        text = as_json(draft.rows, form == "json")
    elif form == "shell":
        text = f"#!/bin/sh\n{head}" + as_shell(draft.rows, launch)
    else:
        text = head + (as_yaml if form == "yaml" else as_toml)(draft.rows)
    second = draft.second
    return {
        "trainer": trainer,
        "arch": arch,
        "format": {"shell": "text"}.get(form, ending),
        "path": name,
        "command": command,
        "text": clean(text),
        "dataset": clean(second) if second else None,
    }


def main() -> None:
    for trainer in config_for.TRAINERS:
        Asked.known = {}
        make, _ = config_for.MAKERS[trainer]
        try:
            make(Asked(facts("none")))
        except CommandError:
            pass
        archs = [arch for arch, value in Asked.known.items() if value is not None] or ["llm"]
        for arch in archs:
            try:
                print(json.dumps(write(trainer, arch), ensure_ascii=False))
            except CommandError as error:
                print(f"{trainer} {arch}: {error}", file=sys.stderr)


main()
