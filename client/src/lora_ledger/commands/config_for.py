"""`lora-ledger config`: a runnable configuration from a weight file, or from a run of another trainer."""

from __future__ import annotations

import argparse
import math
import re
from pathlib import Path
from typing import Any, Callable

from ..core.api import Api
from ..core.architectures import arch_of
from ..core.errors import CommandError, NoAdapterError
from ..core.language import t
from ..core.output import put
from ..core.settings import Settings
from ..core.types import section
from ..imports.adapter import Adapter, whole
from ..imports.tensor_names import PEFT_NAME, lokr_factor, rank_stabilised
from ..imports.weight_file import WeightFileRun
from . import config_diffusers as diffusers
from . import config_image as image
from . import config_kohya as kohya
from . import config_llm as llm
from .config_draft import Draft, Facts, as_json, as_shell, as_toml, as_yaml, notes_of, one_line, words_of
from .options import add_command, add_ledger_options

# Each trainer's maker and the form of what it reads; `json+notes` takes no key that is not its own.
MAKERS: dict[str, tuple[Callable[[Draft], str], str]] = {
    "kohya": (kohya.kohya, "toml"),
    "lora-scripts": (kohya.lora_scripts, "toml"),
    "kohya-gui": (kohya.kohya_gui, "json"),
    "musubi-tuner": (kohya.musubi, "toml"),
    "lora-easy-training-scripts": (kohya.easy, "toml"),
    "onetrainer": (image.onetrainer, "json"),
    "ai-toolkit": (image.ai_toolkit, "yaml"),
    "diffusion-pipe": (image.diffusion_pipe, "toml"),
    "diffusers": (diffusers.diffusers, "shell"),
    "simpletuner": (diffusers.simpletuner, "json+notes"),
    "diffsynth-studio": (diffusers.diffsynth, "shell"),
    "ltx-trainer": (diffusers.ltx, "yaml"),
    "flymyai": (diffusers.flymyai, "yaml"),
    "axolotl": (llm.axolotl, "yaml"),
    "llama-factory": (llm.llama_factory, "yaml"),
    "ms-swift": (llm.ms_swift, "yaml"),
    "trl": (llm.trl, "yaml"),
    "unsloth": (llm.unsloth, "shell"),
    "torchtune": (llm.torchtune, "shell"),
    "mlx-lm": (llm.mlx_lm, "yaml"),
    "peft": (llm.peft, "json+notes"),
}
TRAINERS = tuple(MAKERS)
MOST_TARGETS = 50


def facts_of_file(path: Path) -> Facts:
    """Facts of a weight file. Raises CommandError, also for what is no adapter that can be trained again."""
    try:
        adapter = Adapter(path)
    except NoAdapterError as error:
        raise CommandError(f"{path}: {error}") from error
    if adapter.algorithm is None:
        raise CommandError(t("{path}: its tensors are of no adapter that this client knows", path=path))
    past = WeightFileRun(adapter)
    if adapter.conv_rank is None:
        # A setting for convolutions that none of the tensors has trained nothing.
        past.fields = {k: v for k, v in past.fields.items() if k not in ("conv_lora_rank", "conv_alpha")}
    m, extra = adapter.metadata, {}
    if past.fields.get("trainer") in ("kohya", "musubi-tuner"):
        extra = dict(past.extra, network_dim=whole(m.get("ss_network_dim")))
        if m.get("modelspec.prediction_type") == "v" or m.get("ss_base_model_version") == "sd_v2_v":
            extra["v_parameterization"] = True
    elif past.fields.get("trainer") == "peft":
        extra = {"peft": past.extra}
    spelled = (m.get("ss_base_model_version"), m.get("modelspec.architecture"), past.fields.get("base_model_path"))
    facts = Facts(past.fields, past.read, extra, past.datasets, past.steps, words_of(*spelled))
    facts.notes, facts.dora = adapter.notes, adapter.shapes.dora
    facts.rslora = past.extra.get("use_rslora") is True or rank_stabilised(m)
    facts.targets = targets_of(adapter)
    args = [arg.partition("=")[2] for arg in extra.get("network_args") or [] if str(arg).startswith("factor=")]
    factor = whole(args[0]) if args else lokr_factor(adapter.tensors)
    facts.factor = factor if factor and factor > 0 else None
    for name, tensor in adapter.tensors.items():
        if re.search(r"\.oft_R(?:\.weight)?\Z", name) and len(tensor["shape"]) == 2:
            # A block of b×b is kept as its b·(b−1)/2 numbers above the diagonal.
            size = (1 + math.isqrt(1 + 8 * min(tensor["shape"][1], 10**9))) // 2
            facts.oft_block = size if size * (size - 1) // 2 == tensor["shape"][1] else None
            break
    return facts


def targets_of(adapter: Adapter) -> list[str]:
    """The names of the layers by which PEFT finds them, where the tensors are named by their path; [] where not."""
    found: dict[str, None] = {}
    for name in adapter.tensors:
        match = PEFT_NAME.search(name)
        if not match:
            continue
        parts = name[: match.start()].rstrip(".").split(".")
        start = len(parts) - 1
        while start > 0 and (parts[start].isdigit() or parts[start] == "proj"):
            start -= 1
        found[".".join(parts[start:])] = None
    return sorted(found) if len(found) <= MOST_TARGETS else []


def facts_of_task(api: Api, task: int) -> Facts:
    """Facts of a recorded run. Raises CommandError."""
    row = api.get(f"/api/tasks/{task}")
    datasets = api.get(f"/api/tasks/{task}/datasets").get("datasets") or []
    defaults = set(row.get("defaulted_fields") or [])
    trainer = row.get("trainer") or t("its trainer")
    where: dict[str, str] = {
        k: t("task {task}, {trainer}'s default there", task=task, trainer=trainer)
        if k in defaults
        else t("task {id}", id=task)
        for k in row
    }
    snapshot = row.get("config_snapshot")
    snapshot = snapshot if isinstance(snapshot, dict) else {}
    extra = {}
    if trainer in ("kohya", "lora-scripts", "musubi-tuner"):
        for name, value in snapshot.items():
            extra.update(value if isinstance(value, dict) else {name: value})
    progress = section(row, "progress")
    fields = {k: v for k, v in row.items() if v not in (None, "")}
    if not datasets and fields.get("data_dir") and row.get("model_type") != "llm":
        datasets = [
            {"name": re.split(r"[\\/]", folder.rstrip("\\/"))[-1], "source_path": folder}
            for folder in str(fields["data_dir"]).split(", ")
        ]
    if fields.get("base_arch"):
        fields["base_arch"] = arch_of(fields["base_arch"]) or fields["base_arch"]
    elif fields.get("model_type") == "llm":
        fields["base_arch"], where["base_arch"] = "llm", t("task {task}, its model_type", task=task)
    process = section(snapshot, "config").get("process")
    first = process[0] if isinstance(process, list) and process and isinstance(process[0], dict) else {}
    named = section(first, "model").get("arch")
    words = words_of(fields.get("base_model_path"), named if isinstance(named, str) else None)
    facts = Facts(fields, where, extra, datasets, progress.get("total_steps"), words)
    if facts.algorithm == "rslora":
        fields["network_algo"], facts.rslora = "lora", True
    if facts.full and not snapshot:
        raise CommandError(
            t("task {task} does not say whether its LoKr trains the full matrix or of which rank it is", task=task)
        )
    stated = (section(first, "network").get("lokr_factor"), snapshot.get("lokr_decompose_factor"))
    stated += tuple(str(a)[7:] for a in extra.get("network_args") or () if str(a).startswith("factor="))
    facts.factor = next((f for f in map(whole, stated) if f and f > 0), None)
    return facts


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Adds the command to the command line."""
    parser = add_command(
        commands,
        "config",
        t("make a configuration from a weight file or a run"),
        t(
            "Writes a runnable configuration for a trainer from a safetensors file's metadata and tensors, or from a "
            "recorded run of another trainer. Each value says whether it was read, is the trainer's default, or has to "
            "be filled in because nobody can know it. Nothing is written that would train something else: where the "
            "architecture is not certain, it asks for --arch and names the choices, and it refuses an architecture or "
            "an algorithm that the trainer does not have."
        ),
        "  lora-ledger config aki.safetensors --for kohya -o aki.toml\n"
        "  lora-ledger config aki.safetensors --for ai-toolkit --arch flux2/klein-4b\n"
        "  lora-ledger config 42 --for onetrainer",
    )
    parser.add_argument("source", metavar="FILE|ID", help=t("a .safetensors file, or a task's number"))
    parser.add_argument(
        "--for",
        dest="trainer",
        metavar="TRAINER",
        choices=TRAINERS,
        required=True,
        help=t("the trainer to write it for: {trainers}", trainers=", ".join(TRAINERS)),
    )
    parser.add_argument("--arch", metavar="ARCH", help=t("the base architecture, where nothing tells it"))
    parser.add_argument("-o", "--output", metavar="FILE", help=t("write it there (default: print it)"))
    parser.add_argument("--force", action="store_true", help=t("write over a file that is there"))
    add_ledger_options(parser)


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Writes the configuration to -o, else to standard output. Raises CommandError."""
    path = Path(options.source).expanduser()
    if path.is_file():
        facts, source = facts_of_file(path), path.name
    elif options.source.isdigit():
        facts, source = facts_of_task(Api(settings), int(options.source)), t("task {id}", id=options.source)
    else:
        raise CommandError(t("{source}: there is no such file, and it is no task's number", source=options.source))
    facts.asked = options.arch
    text, more = write(facts, options.trainer, source)
    fills = text.count("FILL IN: ")
    beside = second_name(options.trainer)
    if not options.output:
        put(
            text
            + ("".join(f"\n# {line}".rstrip() for line in [f"--- {beside} ---", *more.splitlines()]) if more else "")
        )
        return 0
    output = Path(options.output).expanduser()
    other = output.with_name(beside if beside != "notes" else f"{output.name}.notes.txt")
    for target, content in [(output, text)] + ([(other, more)] if more else []):
        try:
            with open(target, "w" if options.force else "x", encoding="utf-8", newline="\n") as file:
                file.write(content)
        except FileExistsError as error:
            raise CommandError(t("{target} is there already; --force writes over it", target=target)) from error
        except OSError as error:
            raise CommandError(t("{path} cannot be written ({error})", path=target, error=error.strerror)) from error
        put(t("wrote {target}", target=target))
    if fills:
        put(t("{fills} values say FILL IN: nobody can know them from {source}", fills=fills, source=source))
    return 0


def second_name(trainer: str) -> str:
    """What the second file is called; `notes`: by the first one's name."""
    return "notes" if MAKERS[trainer][1] == "json+notes" else "dataset.toml"


def write(facts: Facts, trainer: str, source: str) -> tuple[str, str | None]:
    """(the configuration's text, a second file's text or None). Raises CommandError where the trainer lacks what it
    needs, or the facts are not certain."""
    draft = Draft(facts)
    make, form = MAKERS[trainer]
    launch = make(draft)
    if form.startswith("json"):
        noted = form == "json"
        return as_json(draft.rows, noted), None if noted else notes_of(draft.rows)
    head = (
        f"# {trainer} configuration made from {one_line(source)} by lora-ledger. After each value: read (and where),\n"
        f"# default (the trainer's own, because nothing says otherwise), or FILL IN (nobody can know it).\n"
    )
    if form == "shell":
        return head + as_shell(draft.rows, launch), None
    body = as_yaml(draft.rows) if form == "yaml" else as_toml(draft.rows)
    return f"{head}# Run: {launch}\n\n{body}", draft.second
