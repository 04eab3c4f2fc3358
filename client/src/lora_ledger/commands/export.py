"""`lora-ledger export`: filtered runs as a file, or one run as an archive with, if wanted, its weights."""

from __future__ import annotations

import argparse
import http.client
import json
import os
import ssl
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any, Callable

from ..core import terminal
from ..core.api import Api, query_of
from ..core.errors import CommandError, RetryLaterError
from ..core.language import t
from ..core.output import put
from ..core.settings import Settings
from .downloads import fetch
from .options import add_command, add_ledger_options, count

FORMATS = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".pq": "parquet"}
BLOCK = 256 * 1024


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Adds the command to the command line."""
    parser = add_command(
        commands,
        "export",
        t("runs as a file, or one run as an archive"),
        t(
            "With a number: the run as one zip (settings byte for byte, curves, data facts, list of files) that "
            "`lora-ledger import` reads into another ledger. Else the runs that FILTER lets through, as CSV, JSON "
            "Lines or Parquet; --columns takes a run's columns, user, config.<path>, metrics.<name>, tags.<key>. "
            "Parquet comes in further files where one answer does not hold all: runs.parquet, runs-2.parquet, …"
        ),
        "  lora-ledger export 42 -o run.zip --weights\n"
        "  lora-ledger export 'lora_rank >= 32' -o runs.csv --columns id,task_name,final_loss,config.network_module\n"
        "  lora-ledger export -o runs.parquet --limit 20000",
    )
    parser.add_argument(
        "what", nargs="*", metavar="ID|FILTER", help=t("one run's number, or which runs (default: all)")
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", help=t("write it there (default: standard output; run-ID.zip for a run)")
    )
    parser.add_argument(
        "--format", choices=("csv", "jsonl", "parquet"), help=t("default: by the file's ending, else csv")
    )
    parser.add_argument("--columns", metavar="A,B", help=t("which columns (default: all)"))
    parser.add_argument("--order-by", metavar="COLUMN", help=t("sort by a column, such as final_loss or '-created_at'"))
    parser.add_argument("--limit", type=count, metavar="N", help=t("runs an answer (default: 200, at most 20000)"))
    parser.add_argument(
        "--excel", action="store_true", help=t("begin CSV with the mark by which Excel knows its encoding")
    )
    parser.add_argument("--deleted", action="store_true", help=t("the trash instead"))
    parser.add_argument("--weights", action="store_true", help=t("of one run: the files themselves too"))
    add_ledger_options(parser)


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Writes what was asked for; the exit code. Raises CommandError."""
    api = Api(settings)
    words = options.what
    if len(words) == 1 and words[0].isdigit():
        return _archive(api, int(words[0]), options)
    if options.weights:
        raise CommandError(t("--weights goes with one run: lora-ledger export 42 --weights"))
    return _table(api, " ".join(words).strip() or None, options)


def _get(api: Api, path: str, sink: Callable[[bytes], Any]) -> dict[str, str]:
    """Streams an answer's body to sink(bytes); returns its headers, small letters. Raises CommandError, with `status`
    if any."""
    try:
        with api.stream(path, 120.0) as response:
            if response.status != 200:
                # The ledger's own words, as any other command has them.
                body = response.read(1 << 20)
                try:
                    detail = json.loads(body).get("detail")
                except (ValueError, AttributeError):
                    detail = None
                raise CommandError(
                    t(
                        "{status} {detail}",
                        status=response.status,
                        detail=detail or http.client.responses.get(response.status, ""),
                    )
                )
            while True:
                block = response.read(BLOCK)
                if not block:
                    return {k.lower(): v for k, v in response.getheaders()}
                sink(block)
    except (OSError, http.client.HTTPException, ssl.SSLError, RetryLaterError) as error:
        raise CommandError(
            t("the ledger stopped answering before the end ({error}); try again", error=error or type(error).__name__)
        ) from error


def _table(api: Api, chosen: str | None, options: argparse.Namespace) -> int:
    """All runs that the filter lets through, answer after answer."""
    output = Path(options.output).expanduser() if options.output else None
    form = options.format or (FORMATS.get(output.suffix.lower()) if output else None) or "csv"
    if form == "parquet" and output is None:
        raise CommandError(t("Parquet is no text: name a file with -o runs.parquet"))
    query = {
        **{"format": form, "filter": chosen, "order_by": options.order_by, "columns": options.columns},
        **{"limit": options.limit, "deleted": "true" if options.deleted else None},
        "bom": "true" if options.excel and form == "csv" else None,
    }
    given = {k: v for k, v in query.items() if v is not None}
    part, cursor = 0, None
    written: list[Path] = []
    try:
        while part == 0 or cursor:
            part += 1
            path = "/api/tasks/export?" + query_of({**given, **({"cursor": cursor} if cursor else {})})
            if form == "parquet" and output:
                target = output if part == 1 else output.with_name(f"{output.stem}-{part}{output.suffix}")
            else:
                target = output
            cursor = _part(
                api, path, target, append=part > 1 and form != "parquet", headless=part > 1 and form == "csv"
            ).get("x-next-cursor")
            if target and target not in written:
                written.append(target)
    except OSError as error:
        raise CommandError(
            t("{output} cannot be written ({error})", output=output, error=error.strerror or error)
        ) from error
    for target in written:
        terminal.notice(t("{target}: {size}", target=target, size=terminal.size_text(target.stat().st_size)))
    return 0


def _part(api: Api, path: str, target: Path | None, append: bool, headless: bool) -> dict[str, str]:
    """One answer into the file, or to standard output; without its first line where that is there already."""
    file = open(target, "ab" if append else "wb") if target else None
    out = file or sys.stdout.buffer
    skipping = [headless]

    def sink(block: bytes) -> None:
        if skipping[0]:
            _, line_end, block = block.partition(b"\n")
            skipping[0] = not line_end
        out.write(block)

    try:
        return _get(api, path, sink)
    finally:
        out.flush()
        if file:
            file.close()


def _archive(api: Api, task: int, options: argparse.Namespace) -> int:
    """One run as a zip, whole or not at all: a broken one never stands under the name."""
    output = Path(options.output or f"run-{task}.zip").expanduser()
    if output.is_dir():
        output = output / f"run-{task}.zip"
    partial = output.with_name(output.name + ".part")
    try:
        with open(partial, "wb") as file:
            _get(api, f"/api/tasks/{task}/archive", file.write)
        with zipfile.ZipFile(partial) as made:
            if made.testzip() is not None:
                raise CommandError(t("the archive arrived damaged; try again"))
        if options.weights:
            _add_weights(api, partial)
        os.replace(partial, output)
    except zipfile.BadZipFile as error:
        raise CommandError(t("the archive arrived damaged; try again")) from error
    except OSError as error:
        raise CommandError(
            t("{output} cannot be written ({error})", output=output, error=error.strerror or error)
        ) from error
    finally:
        if partial.exists():
            os.unlink(partial)
    put(
        t(
            "{output}: task {task}, {size}",
            output=output,
            task=task,
            size=terminal.size_text(output.stat().st_size),
        )
    )
    return 0


def _add_weights(api: Api, path: Path) -> None:
    """Puts the run's files behind what the archive holds, and says in its ledger.json where they are."""
    with zipfile.ZipFile(path) as archive:
        about = json.loads(archive.read("ledger.json"))
    rewritten = path.with_name(path.name + ".new")
    try:
        with tempfile.TemporaryDirectory(dir=path.parent) as folder, zipfile.ZipFile(rewritten, "w") as new:
            for weight in about["weights"]:
                weight["file"] = f"weights/{weight['id']}/{Path(weight['filename']).name}"
                local = Path(folder) / str(weight["id"]) / Path(weight["filename"]).name
                fetch(api, weight, local)
                new.write(local, weight["file"])
                os.unlink(local)
            with zipfile.ZipFile(path) as archive:
                for entry in archive.infolist():
                    if entry.filename == "ledger.json":
                        continue
                    with archive.open(entry) as source, new.open(entry.filename, "w", force_zip64=True) as target:
                        while block := source.read(BLOCK):
                            target.write(block)
            new.writestr("ledger.json", json.dumps(about, ensure_ascii=False, indent=1))
        os.replace(rewritten, path)
    finally:
        if rewritten.exists():
            os.unlink(rewritten)
