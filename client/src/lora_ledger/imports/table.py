"""A spreadsheet of runs (CSV): which column is what, guessed and shown; what cannot be read is named, never dropped."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..core.errors import CommandError, TooMuchError
from ..core.language import join_texts, t
from ..core.output import put, table
from ..core.reading import read_file
from ..core.terminal import printable
from .archive import export_mark
from .fields import ENDED, FIELDS, Context, arch_of, candidates, day_order, decimal_mark, number, parse
from .run import PastRun

MOST_BYTES = 200_000_000
# Cells that say something cost memory; a file of separators alone would have hundreds of millions.
MOST_CELLS = 30_000_000
MOST_COLUMNS = 2000
LONGEST_CELL = 1_000_000
LONGEST_HEADER = 300
ENCODINGS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
# Of a ledger's own export: what another ledger makes itself.
OWN = {
    "id", "user_id", "user", "version", "attempt", "updated_at", "heartbeat_at", "deleted_at", "cancel_requested",
    "progress", "defaulted_fields", "parent_task_id", "import_source", "metrics",
}  # fmt: skip
EMPTY = {"", "-", "--", "—", "n/a", "na", "none", "null", "nan", "无", "?", "？", "/"}


class Column:
    """One column of the file: its `field` (None: kept under its own name; "": left out), and how its values are
    written."""

    def __init__(self, at: int, header: Any, rows: Any) -> None:
        self.at = at
        self.header = header
        filled = [(line, v) for line, cells in rows for v in [value_of(cells, at)] if v is not None]
        self.lines = {line for line, _ in filled}
        values = self.values = [v for _, v in filled]
        self.options, unit = candidates(header)
        self.field = None
        self.context = Context(decimal_mark(values), day_order(values) or "mdy", unit)
        self.sure_of_days = day_order(values) is not None

    def fits(self, field: str) -> float:
        """The share of its values that the field can hold."""
        good = 0
        for value in self.values[:200]:
            try:
                parse(field, value, self.context)
                good += 1
            except ValueError:
                pass
        return good / max(1, len(self.values[:200]))


class Table:
    """A file's rows: `columns`, and `rows` of (line, cells). Raises CommandError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        text = _decoded(path)
        csv.field_size_limit(LONGEST_CELL)
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text))
        self.rows = []
        header = None
        count = 0
        try:
            for cells in reader:
                count += len(cells)
                if len(cells) > MOST_COLUMNS:
                    raise CommandError(
                        t(
                            "{path}: line {line_num} has {count} columns; at most {most_columns} are read",
                            path=path,
                            line_num=reader.line_num,
                            count=len(cells),
                            most_columns=MOST_COLUMNS,
                        )
                    )
                if count > MOST_CELLS:
                    raise CommandError(
                        t("{path} has more than {most_cells} cells: split it", path=path, most_cells=MOST_CELLS)
                    )
                if not any(cell.strip() for cell in cells):
                    continue
                if header is None:
                    header = [cell.strip()[:LONGEST_HEADER] for cell in cells]
                else:
                    # A cell may hold line ends: a row is named by its first line.
                    self.rows.append((reader.line_num - sum(cell.count("\n") for cell in cells), cells))
        except csv.Error as error:
            raise CommandError(
                t("{path}: line {line_num} is no CSV ({error})", path=path, line_num=reader.line_num, error=error)
            ) from error
        if not header or not self.rows:
            raise CommandError(t("{path} holds no rows below a line of column names", path=path))
        self.columns = []
        for at, name in enumerate(header):
            self.columns.append(Column(at, name or f"column {at + 1}", self.rows))
        self._prefixes()
        self._guess()

    def _prefixes(self) -> None:
        """`mlflow experiments csv` writes params.lr, metrics.loss, tags.kind: their own names decide."""
        self.mlflow = {"run_id", "experiment_id", "artifact_uri"} <= {c.header for c in self.columns}
        for column in self.columns if self.mlflow else ():
            kind, dot, name = column.header.partition(".")
            if dot and kind in ("params", "metrics"):
                # A parameter is set before a run, a metric comes out of it.
                found = candidates(re.split(r"[/.]", name)[-1])[0]
                column.options = [f for f in found if (f in ENDED) == (kind == "metrics")]
            elif column.header in ("run_id", "experiment_id", "artifact_uri"):
                column.field = ""
            elif dot and kind == "tags":
                told = {"tags.mlflow.runName": "task_name", "tags.mlflow.note.content": "notes"}.get(column.header)
                column.field = told or ("" if name.startswith("mlflow.") else f"tags.{name[:100]}")

    def _guess(self) -> None:
        """Gives each field to the column that fits best; a column whose values do not fit is kept under its own name.

        Two columns may share a field where no row has both (`lr` of some runs, `learning_rate` of others).
        """
        offers, taken = [], {}
        for column in self.columns:
            if column.header in OWN:
                column.field = ""
            if column.field is not None:
                taken.setdefault(column.field, set()).update(column.lines)
                continue
            for rank, field in enumerate(column.options):
                share = column.fits(field) if column.values else 1.0
                if share >= 0.5:
                    exact = column.header == field
                    offers.append((not exact, rank, -share, column.at, column, field))
        for *_, column, field in sorted(offers, key=lambda offer: offer[:4]):
            if column.field is None and taken.get(field, set()).isdisjoint(column.lines):
                column.field = field
                taken.setdefault(field, set()).update(column.lines)

    def correct(self, pairs: Any, ignored: Iterable[str], days: str | None = None) -> None:
        """Takes `--map COLUMN=FIELD[:UNIT]`, `--ignore COLUMN`, `--dates dmy|mdy`. Raises CommandError."""
        for text in pairs:
            self.map(text)
        for name in ignored:
            self.column(name).field = ""
        for column in self.columns:
            if days:
                column.context.order = days

    def map(self, text: str) -> None:
        """Takes one correction: `COLUMN=FIELD`, `COLUMN=FIELD:UNIT`, `COLUMN=` (left out), `COLUMN=+` (kept as it
        is)."""
        name, equals, field = text.rpartition("=")
        if not equals:
            raise CommandError(t("{text!r} is not of the form COLUMN=FIELD", text=text))
        column = self.column(name)
        field, _, unit = field.strip().partition(":")
        if field and field != "+" and field not in FIELDS and not field.startswith("tags."):
            near = sorted(f for f in FIELDS if field in f or f in field)
            hint = (
                t("; did you mean {near}?", near=join_texts(" or ", near[:3]))
                if near
                else t("; fields are {fields}", fields=", ".join(FIELDS))
            )
            raise CommandError(t("there is no field {field}{hint}", field=field, hint=hint))
        for other in self.columns:
            if field and field != "+" and other is not column and other.field == field:
                other.field = None
        column.field = None if field == "+" else field
        if unit:
            column.context.unit = unit

    def column(self, name: str) -> Any:
        """The column that people mean by the name. Raises CommandError."""
        wanted = name.strip()
        for column in self.columns:
            if column.header == wanted:
                return column
        for column in self.columns:
            if column.header.casefold() == wanted.casefold():
                return column
        raise CommandError(
            t(
                "there is no column {wanted!r}; there are: {columns}",
                wanted=wanted,
                columns=", ".join(c.header for c in self.columns),
            )
        )

    def show(self) -> None:
        """Prints which column becomes what, with an example of each."""
        lines = []
        for column in self.columns:
            sample = column.values[0] if column.values else ""
            becomes, read = column.field, ""
            if column.field == "":
                becomes = t("(left out)")
            elif column.field is None:
                becomes = t("(kept under its own name)")
            elif column.values and not column.field.startswith("tags."):
                try:
                    read = _shown(parse(column.field, sample, column.context))
                except ValueError as error:
                    read = f"! {error}"
            lines.append((column.header, becomes, sample[:40], read[:40]))
        for line in table(("COLUMN", "BECOMES", "FOR EXAMPLE", "READ AS"), lines, 2):
            put(line)
        for column in self.columns:
            if column.field in ("started_at", "finished_at", "created_at") and not column.sure_of_days:
                if any(re.match(r"\d{1,2}[/-]\d{1,2}[/-]", v) for v in column.values):
                    put(
                        t(
                            "{header}: 5/1/2026 is read as May 1; --dates dmy reads it as 5 January",
                            header=column.header,
                        )
                    )
            if column.field == "total_duration_sec" and not column.context.unit and _all_numbers(column):
                put(
                    t(
                        '{header}: read as seconds; --map "{header}=total_duration_sec:min" (or h) changes that',
                        header=column.header,
                    )
                )

    def runs(self) -> tuple[list[PastRun], list[str]]:
        """(runs, mistakes): a PastRun for each row that can be read, and (line, what is wrong) for the others."""
        runs, mistakes, seen = [], [], Counter()
        for line, cells in self.rows:
            mark = self._mark(cells)
            seen[mark] += 1
            source = mark if seen[mark] == 1 else f"{mark}#{seen[mark]}"
            wrong = []
            if any(cell.strip() for cell in cells[len(self.columns) :]):
                wrong.append(t("it has more cells than there are columns"))
            fields, extra, tags = {}, {}, {}
            for column in self.columns:
                value = value_of(cells, column.at)
                name = column.field
                if value is None or name == "" or name in fields:
                    continue
                try:
                    if name is None:
                        self._keep(column, value, extra)
                    elif name.startswith("tags."):
                        tags[name[5:]] = value[:1000]
                    else:
                        fields[name] = parse(name, value, column.context)
                except ValueError as error:
                    wrong.append(t("{header}: {error}", header=column.header, error=error))
            self._round_off(fields, extra, tags, line)
            if wrong:
                mistakes.append((line, join_texts("; ", wrong)))
            else:
                settings = fields.pop("config_snapshot", None)
                runs.append(PastRun(f"line {line}", source, fields, extra, settings))
        return runs, mistakes

    def _keep(self, column: Any, value: Any, extra: dict[str, Any]) -> None:
        try:
            kept = number(value, column.context)
        except ValueError:
            kept = value
        extra[column.header[:200]] = kept

    def _round_off(self, fields: dict[str, Any], extra: dict[str, Any], tags: Any, line: Any) -> None:
        """What belongs together: tags, a run's end by its length, the kind of model by its architecture."""
        if tags:
            fields["tags"] = {**fields.get("tags", {}), **tags}
        additional = fields.pop("additional_args", None)
        if isinstance(additional, dict):
            extra.update(additional)
        arch = fields.get("base_arch")
        if arch:
            fields["base_arch"] = arch_of(arch) or arch
        elif fields.get("base_model_path"):
            fields["base_arch"] = arch_of(re.split(r"[/\\]", fields["base_model_path"])[-1])
        if fields.get("base_arch") and "model_type" not in fields:
            fields["model_type"] = "llm" if fields["base_arch"] == "llm" else "stable-diffusion"
        if "failure_reason" in fields or "error_message" in fields:
            fields.setdefault("status", "failed")
        fields.setdefault("task_name", f"{self.path.stem} line {line}"[:300])

    def _mark(self, cells: Any) -> str:
        """A row's own name for good: by its content, wherever it stands, so that a longer file adds what is new."""
        named = {
            c.header: value_of(cells, c.at)
            for c in self.columns
            if c.header in ("run_id", "id", "created_at", "user_id")
        }
        if self.mlflow and named.get("run_id"):
            return f"mlflow:{named['run_id']}"[:400]
        if all(named.get(name) for name in ("id", "created_at", "user_id")):
            return export_mark(named["id"], named["created_at"])
        content = sorted((c.header, value_of(cells, c.at)) for c in self.columns if value_of(cells, c.at) is not None)
        return "table:" + hashlib.sha256(json.dumps(content, ensure_ascii=True).encode()).hexdigest()[:40]


def value_of(cells: Any, at: int) -> str | None:
    """A cell's text without what protects it from being run as a formula; None where it says nothing."""
    text = cells[at].strip() if at < len(cells) else ""
    if re.match(r"'[=+\-@\t\r]", text):
        text = text[1:]
    return None if text.casefold() in EMPTY else text


def _all_numbers(column: Any) -> bool:
    return column.values and all(re.fullmatch(r"[\d.,]+", v) for v in column.values[:50])


def _shown(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False)
    return printable(value)


def _decoded(path: Path) -> Any:
    try:
        data = read_file(path, MOST_BYTES)
    except TooMuchError as error:
        raise CommandError(t("{path}: {error}: split it", path=path, error=error)) from error
    except OSError as error:
        raise CommandError(t("{path} cannot be read ({error})", path=path, error=error.strerror)) from error
    if data[:4] == b"PK\x03\x04" or data[:4] == b"\xd0\xcf\x11\xe0":
        raise CommandError(t("{path} is a workbook: save the sheet as CSV (UTF-8) and import that", path=path))
    marked = next((name for mark, name in ENCODINGS if data.startswith(mark)), None)
    for encoding in [marked] if marked else ["utf-8", "gb18030", "latin-1"]:
        try:
            return data.decode(encoding).replace("\0", "")
        except UnicodeDecodeError:
            continue
    raise CommandError(t("{path} is no text; save it as CSV (UTF-8)", path=path))


def _delimiter(text: str) -> str:
    """The mark that the line of column names has most of."""
    first = next((line for line in text[:LONGEST_CELL].splitlines() if line.strip()), "")
    bare = re.sub(r'"[^"]*"', "", first)
    return max(",;\t|", key=bare.count)
