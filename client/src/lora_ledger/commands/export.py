"""`lora-ledger export`: filtered runs as a file, or one run as an archive with, if wanted, its weights."""

import http.client
import json
import os
import ssl
import sys
import tempfile
import zipfile
from pathlib import Path

from ..core import terminal
from ..core.transport import USER_AGENT, Later, _connect
from ..core.api import Api, Plain, put, query_of
from .pull import fetch

FORMATS = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".pq": "parquet"}
BLOCK = 256 * 1024


def export(settings, options):
    """Writes what was asked for; the exit code. Raises Plain."""
    api = Api(settings)
    words = options.what
    if len(words) == 1 and words[0].isdigit():
        return _archive(api, int(words[0]), options)
    if options.weights:
        raise Plain("--weights goes with one run: lora-ledger export 42 --weights")
    return _table(api, " ".join(words).strip() or None, options)


def _get(api, path, sink):
    """Streams an answer's body to sink(bytes); returns its headers, small letters. Raises Plain, with `status` if any."""
    connection, target = _connect(api.url + path, 120.0)
    try:
        headers = {"Authorization": f"Bearer {api.ledger.key}", "User-Agent": USER_AGENT}
        connection.request("GET", target, headers=headers)
        response = connection.getresponse()
        if response.status != 200:
            # The ledger's own words, as any other command has them.
            body = response.read(1 << 20)
            try:
                detail = json.loads(body).get("detail")
            except (ValueError, AttributeError):
                detail = None
            raise Plain(f"{response.status} {detail or http.client.responses.get(response.status, '')}")
        while True:
            block = response.read(BLOCK)
            if not block:
                return {k.lower(): v for k, v in response.getheaders()}
            sink(block)
    except (OSError, http.client.HTTPException, ssl.SSLError, Later) as error:
        raise Plain(
            f"the ledger stopped answering before the end ({error or type(error).__name__}); try again"
        ) from error
    finally:
        connection.close()


def _table(api, chosen, options):
    """All runs that the filter lets through, answer after answer."""
    output = Path(options.output).expanduser() if options.output else None
    form = options.format or (FORMATS.get(output.suffix.lower()) if output else None) or "csv"
    if form == "parquet" and output is None:
        raise Plain("Parquet is no text: name a file with -o runs.parquet")
    query = {
        **{"format": form, "filter": chosen, "order_by": options.order_by, "columns": options.columns},
        **{"limit": options.limit, "deleted": "true" if options.deleted else None},
        "bom": "true" if options.excel and form == "csv" else None,
    }
    given = {k: v for k, v in query.items() if v is not None}
    part, cursor, written = 0, None, []
    try:
        while part == 0 or cursor:
            part += 1
            path = "/api/tasks/export?" + query_of({**given, **({"cursor": cursor} if cursor else {})})
            if form == "parquet":
                target = output if part == 1 else output.with_name(f"{output.stem}-{part}{output.suffix}")
            else:
                target = output
            cursor = _part(
                api, path, target, append=part > 1 and form != "parquet", headless=part > 1 and form == "csv"
            ).get("x-next-cursor")
            if target and target not in written:
                written.append(target)
    except OSError as error:
        raise Plain(f"{output} cannot be written ({error.strerror or error})") from error
    for target in written:
        terminal.notice(f"{target}: {terminal.size_text(target.stat().st_size)}")
    return 0


def _part(api, path, target, append, headless):
    """One answer into the file, or to standard output; without its first line where that is there already."""
    file = open(target, "ab" if append else "wb") if target else None
    out = file or sys.stdout.buffer
    skipping = [headless]

    def sink(block):
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


def _archive(api, task, options):
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
                raise Plain("the archive arrived damaged; try again")
        if options.weights:
            _add_weights(api, partial)
        os.replace(partial, output)
    except zipfile.BadZipFile as error:
        raise Plain("the archive arrived damaged; try again") from error
    except OSError as error:
        raise Plain(f"{output} cannot be written ({error.strerror or error})") from error
    finally:
        if partial.exists():
            os.unlink(partial)
    put(f"{output}: task {task}, {terminal.size_text(output.stat().st_size)}")
    return 0


def _add_weights(api, path):
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
