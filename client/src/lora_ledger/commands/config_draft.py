"""A configuration in the making: what is known of a run, the values with where each is from, and the texts of formats.

Every value says where it is from: read, the trainer's own default, or unknown (a placeholder to fill in). Nothing is
written that would train something else: where architecture or algorithm are not certain, it asks or refuses.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Any, Callable

from ..core.errors import CommandError
from ..core.language import t

READ, DEFAULT, FILL = "read", "default", "FILL IN"
# sd-scripts, OneTrainer, ai-toolkit and diffusion-pipe spell optimizers each in their own way.
_OPTIMIZERS = {
    "adamw": ("AdamW", "ADAMW", "adamw", "adamw"),
    "adamw8bit": ("AdamW8bit", "ADAMW_8BIT", "adamw8bit", "adamw8bit"),
    "lion": ("Lion", "LION", "lion", "Lion"),
    "lion8bit": ("Lion8bit", "LION_8BIT", "lion8bit", None),
    "adafactor": ("AdaFactor", "ADAFACTOR", "adafactor", None),
    "prodigy": ("Prodigy", "PRODIGY", "prodigy", "Prodigy"),
    "pagedadamw8bit": ("PagedAdamW8bit", None, None, None),
    "dadaptadam": ("DAdaptAdam", "DADAPT_ADAM", "dadaptation", None),
    "sgd": ("SGDNesterov", "SGD", None, None),
}


# Algorithms whose files have no rank, whatever number stands in a setting's place.
RANKLESS = ("full", "ia3", "oft", "diag-oft", "boft")


def words_of(*texts: str | None) -> frozenset[str]:
    """The words by which models of one architecture are told apart: `Wan2.2-T2V-A14B` → wan, 2.2, t2v, a, 14b."""
    text = " ".join(text[-2000:].lower() for text in texts if text)
    return frozenset(re.findall(r"[tiv]2[vi]|\d+(?:\.\d+)?b|\d+(?:\.\d+)?|[a-z]+", text))


class Facts:
    """What is known of the run: `value(name)` → (value or None, where it is from).

    `extra` are settings under sd-scripts' own names, `words` what tells models of one architecture apart, `asked` the
    --arch that a person gave, `targets` the modules that were trained, by PEFT's names.
    """

    def __init__(
        self,
        fields: dict[str, Any],
        where: dict[str, str],
        extra: dict[str, Any],
        datasets: list[dict[str, Any]],
        steps: int | None = None,
        words: Iterable[str] = (),
    ) -> None:
        self.fields = fields
        self.where = where
        self.extra = extra
        self.datasets = datasets
        self.steps = steps
        self.words = frozenset(words)
        self.asked: str | None = None
        self.notes: list[str] = []
        self.targets: list[str] = []
        self.dora = self.rslora = False
        self.oft_block: int | None = None
        self.factor: int | None = None

    def value(self, name: str) -> tuple[Any, str]:
        return self.fields.get(name), self.where.get(name, t("the file"))

    def seen(self, name: str) -> str:
        """Where a column was read."""
        return self.where.get(name, t("the file"))

    @property
    def origin(self) -> str:
        """Where settings without a column were read."""
        return t("task {id}", id=self.fields["id"]) if self.fields.get("id") else t("the metadata")

    @property
    def algorithm(self) -> str:
        """The algorithm; lora where a run with a rank names none."""
        return str(self.fields.get("network_algo") or "lora").lower()

    @property
    def full(self) -> bool:
        """Whether a LoKr trains the whole matrix, which has no rank."""
        return self.algorithm == "lokr" and self.fields.get("lora_rank") is None


def folder_of(data: Any) -> str | None:
    """The folder of a dataset, where the run's facts tell it: a file of captions or rows is none."""
    path = data.get("source_path")
    return path if path and not re.search(r"\.\w{1,5}$", path) else None


def kohya_root(datasets: list[dict[str, Any]]) -> str | None:
    """The folder that holds all datasets as sd-scripts' `N_name` folders, or None."""
    parts = [re.fullmatch(r"(.+)[\\/]\d+_[^\\/]+", folder_of(data) or "") for data in datasets]
    roots = {part[1] if part else None for part in parts}
    return roots.pop() if len(roots) == 1 else None


# (path of keys, value, note) of each setting.
Rows = list[tuple[tuple[str, ...], Any, str]]


class Draft:
    """Rows (path of keys, value, note) of a configuration in the making."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.rows: Rows = []
        self.arch = ""
        # The text of a second file that the trainer needs.
        self.second: str | None = None

    def set(self, path: str, value: Any, kind: str, note: str = "") -> None:
        self.rows.append((tuple(path.split("/")), value, f"{kind}: {note}" if note else kind))

    def take(
        self,
        path: str,
        name: str,
        default: Any = None,
        convert: Callable[[Any], Any] | None = None,
        fill: str | None = None,
        note: str = "",
    ) -> None:
        """A column's value; else the trainer's default; else a placeholder; left out where there is none of them."""
        value, where = self.facts.value(name)
        if value is not None:
            new = convert(value) if convert else value
            if new is not None:
                self.set(path, new, READ, f"{where}; {note}" if note else where)
                return
            if default is not None:
                self.set(path, default, DEFAULT, f"{where} says {value}, which this trainer does not have by that name")
                return
        if default is not None:
            self.set(path, default, DEFAULT, "the trainer's own")
        elif fill is not None:
            self.fill(path, fill)

    def take_all(self, prefix: str, *rows: tuple[Any, ...]) -> None:
        """`take` for each row: (key, column, default, convert), of which the last two may be missing."""
        for key, *rest in rows:
            self.take(prefix + key, *rest)

    def length(self, epochs: str, steps: str, default: int) -> None:
        """How long it trains: its epochs, else its steps, else the trainer's own number of steps."""
        if self.facts.fields.get("epochs"):
            self.take(epochs, "epochs", convert=lambda v: short(max(1, v)))
        else:
            self.steps(steps, default)

    def steps(self, path: str, default: int) -> None:
        """The steps that it was trained for, else those that were set."""
        if self.facts.steps:
            self.set(path, self.facts.steps, READ, "the steps it was trained for")
        else:
            self.take(path, "max_steps", default, lambda v: v or None)

    def fill(self, path: str, what: str) -> None:
        self.set(path, f"FILL IN: {what}", FILL, "nobody can know this from the file")

    def base(self, path: str, what: str = "path or name of the base model") -> None:
        value, where = self.facts.value("base_model_path")
        if value and (":" in value or "/" in value or "\\" in value):
            self.set(path, value, READ, f"{where}; as it was called there")
        elif value:
            self.set(path, f"FILL IN: path of {value}", FILL, f"{where} tells the file's name, not where you keep it")
        else:
            self.fill(path, what)

    def choose(self, trainer: str, archs: Mapping[str, Any]) -> Any:
        """What this trainer has for the run's architecture. The table's keys are ids, with a slash before what tells
        models of one id apart; None: known, and not trained. Sets `arch`. Raises CommandError that names the
        choices."""
        facts, known = self.facts, ", ".join(key for key, value in archs.items() if value is not None)
        arch, asked = facts.fields.get("base_arch"), facts.asked
        if asked and arch and asked.partition("/")[0] != arch:
            raise CommandError(
                t(
                    "it is of {arch} ({where}), and not of {asked}",
                    arch=arch,
                    where=facts.seen("base_arch"),
                    asked=asked,
                )
            )
        name = asked or arch
        if not name:
            raise CommandError(
                t(
                    "nothing tells its architecture; say it by --arch, of what {trainer} trains: {known}",
                    trainer=trainer,
                    known=known,
                ),
                2,
            )
        exact = archs.get(name) if "/" in name else None
        if "/" in name and exact is None:
            raise CommandError(
                t(
                    "{trainer} trains no {name}, as far as this client knows; it trains {known}",
                    trainer=trainer,
                    name=name,
                    known=known,
                )
            )
        of_id = [key for key in archs if key.partition("/")[0] == name.partition("/")[0]]
        fitting = [key for key in of_id if "/" in key and words_of(key.partition("/")[2]) <= facts.words]
        most = max((len(words_of(key)) for key in fitting), default=0)
        best = [name] if exact is not None else [key for key in fitting if len(words_of(key)) == most]
        best = best or [key for key in of_id if "/" not in key]
        if len(best) != 1 and any(archs[key] is not None for key in of_id):
            choices = ", ".join(key for key in of_id if archs[key] is not None)
            raise CommandError(
                t(
                    "{trainer} tells apart what of {name} it is; say it by --arch: {choices}",
                    trainer=trainer,
                    name=name,
                    choices=choices,
                ),
                2,
            )
        if len(best) != 1 or archs[best[0]] is None:
            raise CommandError(
                t(
                    "{trainer} trains no {name}, as far as this client knows; it trains {known}",
                    trainer=trainer,
                    name=(best or [name])[0],
                    known=known,
                )
            )
        self.arch = best[0]
        return archs[best[0]]

    def arch_note(self) -> str:
        return "--arch" if self.facts.asked else f"the architecture, {self.facts.seen('base_arch')}"

    def algo(self, trainer: str, allowed: Iterable[str]) -> str:
        """The run's algorithm, which must be one of these. Raises CommandError."""
        algo = self.facts.algorithm
        if algo not in allowed:
            named = ", ".join(name for name in allowed if " " not in name)
            raise CommandError(
                t(
                    "{trainer} trains no {algo}, as far as this client knows; it trains {named}",
                    trainer=trainer,
                    algo=algo,
                    named=named,
                )
            )
        if self.facts.full and "full lokr" not in allowed and algo in allowed:
            raise CommandError(
                t(
                    "this LoKr trains whole matrices, for which {trainer} has no setting that this client knows",
                    trainer=trainer,
                )
            )
        return algo

    def algo_note(self) -> tuple[str, str]:
        """(kind, note) of the algorithm's row."""
        if self.facts.fields.get("network_algo"):
            return READ, self.facts.seen("network_algo")
        return DEFAULT, "nothing names another algorithm"

    def rank(self, path: str) -> None:
        self.take(path, "lora_rank", fill="the rank, a whole number", note=" ".join(self.facts.notes))

    def alpha(self, path: str, convert: Callable[[Any], Any] | None = None, rslora: bool = False) -> None:
        """The alpha, without any default: it scales all that is trained. `rslora`: the trainer has a setting of its own
        for a scale by the rank's root; else alpha is written so that the scale is the same."""
        value, rank = self.facts.fields.get("lora_alpha"), self.facts.fields.get("lora_rank")
        if self.facts.rslora and not rslora and value is not None and rank:
            same = short(round(value * rank**0.5, 6))
            self.set(path, same, READ, f"{self.facts.seen('lora_alpha')}: {short(value)} by the root of the rank")
            return
        self.take(path, "lora_alpha", convert=convert or short, fill="the alpha, such as the rank")

    def alpha_is_rank(self) -> None:
        """Says what a trainer does that has no alpha."""
        alpha, rank = self.facts.fields.get("lora_alpha"), self.facts.fields.get("lora_rank")
        scaled = (
            f", which scales its updates otherwise than alpha {short(alpha)} did" if alpha not in (None, rank) else ""
        )
        self.set("#", f"the trainer takes alpha = rank and has no setting for it{scaled}", DEFAULT)

    def one_rank(self, trainer: str) -> None:
        """Refuses a run whose convolutions have another rank, for a trainer that knows one rank. Raises
        CommandError."""
        conv, rank = self.facts.fields.get("conv_lora_rank"), self.facts.fields.get("lora_rank")
        if conv not in (None, 0, rank):
            raise CommandError(
                t(
                    "{trainer} has one rank for all layers; here convolutions have {conv} and others {rank}",
                    trainer=trainer,
                    conv=conv,
                    rank=rank,
                )
            )


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", str(name).lower().rpartition(".")[2])


def optimizer_for(column: int) -> Callable[[str], Any]:
    def convert(name: str) -> Any:
        plain = _plain(name)
        plain = {"adamwtorchfused": "adamw", "adamwoptimi": "adamw"}.get(plain, plain)
        if plain in _OPTIMIZERS:
            return _OPTIMIZERS[plain][column]
        # sd-scripts imports any class by its name.
        return str(name) if column == 0 else None

    return convert


def scheduler_for(known: set[str], shape: Callable[..., str] = str) -> Callable[[str], Any]:
    def convert(name: str) -> Any:
        plain = re.sub(r"[^a-z0-9]+", "_", str(name).lower()).strip("_")
        return shape(plain) if plain in known else None

    return convert


def resolution_of(value: Any) -> list[int] | None:
    numbers = [int(n) for n in re.findall(r"\d+", str(value))]
    return numbers[:2] or None


def short(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value == int(value) else value


def file_name(name: str) -> str:
    return re.sub(r'[\\/:*?"<>|\x00-\x1f]+', "_", str(name)).strip(" .") or "my_lora"


def toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(short(value)) if isinstance(value, int) or value == int(value) else repr(value)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(toml_value(v) for v in value) + "]"
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())


def as_toml(rows: Rows) -> str:
    """Rows as TOML, sections after the top level's keys."""
    lines, section = [], ()
    for path, value, note in sorted(rows, key=lambda row: len(row[0]) > 1):
        if path[0] == "#":
            lines.append(f"# {one_line(value)}")
            continue
        if path[:-1] != section:
            section = path[:-1]
            lines += ["", f"[{'.'.join(section)}]"]
        lines.append(f"{path[-1]} = {toml_value(value)}  # {one_line(note)}")
    return "\n".join(lines) + "\n"


def as_yaml(rows: Rows) -> str:
    """Rows as YAML; a number in a path is a place in a list. Strings are written as JSON writes them, which YAML
    reads."""
    lines, open_path = [], ()
    for path, value, note in rows:
        if path[0] == "#":
            lines.append(f"# {one_line(value)}")
            continue
        shared = 0
        while shared < len(path) - 1 and shared < len(open_path) and open_path[shared] == path[shared]:
            shared += 1
        dash = ""
        for depth in range(shared, len(path) - 1):
            if path[depth].isdigit():
                dash = "- "
                continue
            lines.append(f"{_indent(path[:depth], dash)}{path[depth]}:")
            dash = ""
        text = json.dumps(short(value), ensure_ascii=False)
        lines.append(f"{_indent(path[:-1], dash)}{path[-1]}: {text}  # {one_line(note)}")
        open_path = path[:-1]
    return "\n".join(lines) + "\n"


def _indent(above: tuple[str, ...], dash: str) -> str:
    """Two columns for each level; a list's dash takes the last two."""
    return " " * (2 * len(above) - len(dash)) + dash


def as_json(rows: Rows, noted: bool = True) -> str:
    """Rows as JSON; as it has no comments, the notes stand under `__notes`, where the trainer passes over that."""
    document, notes = {}, {}
    for path, value, note in rows:
        if path[0] == "#":
            continue
        place = document
        for key in path[:-1]:
            place = place.setdefault(key, {})
        place[path[-1]] = value
        notes["/".join(path)] = one_line(note)
    return json.dumps({"__notes": notes, **document} if noted else document, indent=4, ensure_ascii=False) + "\n"


def as_shell(rows: Rows, launch: str) -> str:
    """Rows as a command with options, a comment for each above it; True is a switch, False and None are left out."""
    notes, words = [], shlex.split(launch)
    lines = [" ".join(shlex.quote(word) for word in words)]
    for path, value, note in rows:
        if path[0] == "#":
            notes.append(f"# {one_line(value)}")
            continue
        name = path[-1]
        if value in (False, None):
            continue
        notes.append(f"# {name}: {one_line(note)}")
        option = name if "=" in name or not name.startswith("--") else f"{name} {shlex.quote(str(short(value)))}"
        lines.append(
            name if value is True else option if name.startswith("--") else shlex.quote(f"{name}={short(value)}")
        )
    return "\n".join(notes) + "\n\n" + " \\\n  ".join(lines) + "\n"


def notes_of(rows: Rows) -> str:
    """The notes of rows, for a format that has no comments and whose trainer refuses keys of others."""
    return "".join(
        f"{one_line(value) if path[0] == '#' else '/'.join(path)}: {one_line(note)}\n" for path, value, note in rows
    )
