"""Facts about training data, computed from names, sizes and captions: no image is ever read."""

from __future__ import annotations

import hashlib
import io
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Callable

from ..core import terminal
from ..core.errors import OutOfBoundsError, TooMuchError
from ..core.language import t
from ..core.reading import loads, open_file, read_file
from ..core.types import StrPath

IMAGES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".avif", ".jxl"}
VIDEOS = {".mp4", ".webm", ".avi", ".mkv", ".mov", ".m4v", ".gif", ".mpg", ".mpeg", ".wmv"}
MAX_TAGS = 1000
MAX_TAG = 200
MAX_KNOWN = 200_000
MAX_FILES = 200_000
MAX_SECONDS = 120.0
# A run that has ended waits no longer than this for them.
END_SECONDS = 10.0
MAX_CAPTION = 65_536
# A file of captions or rows beyond this is known by its name and size alone.
MAX_ROWS_FILE = 64 * 1024 * 1024
# The ledger takes so many datasets of one task.
MAX_SOURCES = 50


class Source:
    """Where training data lie, and how the trainer reads them.

    `path` is a folder of images, or a file of captions or rows (`is_file`). `endings` are the images'. `extension` is
    the captions' (with its
    dot); `recursive` looks into folders below; `skip(stem)` leaves out images by their name without its ending;
    `fallback` is the caption of an image that has none; `every_line` takes each line of a caption file as a caption
    of its own, else only the first counts; `by_name` takes the images' own names for captions; `captions_file` names
    one JSON file with all captions of the folder.
    """

    def __init__(
        self,
        path: Path,
        repeats: int | None = None,
        name: str | None = None,
        extension: str = ".txt",
        recursive: bool = False,
        skip: Callable[[str], bool] | None = None,
        fallback: str | None = None,
        every_line: bool = False,
        captions_file: Path | None = None,
        is_file: bool = False,
        endings: Any = IMAGES | VIDEOS,
        by_name: bool = False,
    ) -> None:
        self.path = path
        self.repeats = _whole(repeats)
        self.name = name or path.name or str(path)
        self.extension = extension if not extension or extension.startswith(".") else f".{extension}"
        self.recursive = recursive
        self.skip = skip
        self.fallback = fallback
        self.every_line = every_line
        self.captions_file = captions_file
        self.is_file = is_file
        self.endings = endings
        self.by_name = by_name


def _whole(value: Any) -> int | None:
    """A count of repeats as the ledger takes it: whole and not negative, else None."""
    try:
        number = float(value)
        return int(number) if number >= 0 and number == int(number) else None
    except (TypeError, ValueError, OverflowError):
        return None


def _walk(source: Source, late: Callable[[], bool]) -> tuple[dict[str, int], dict[str, str]]:
    """({relative name: size}, {relative stem: path of its caption}) of the images and videos."""
    images, captions = {}, {}
    folders: list[tuple[StrPath, str]] = [(source.path, "")]
    seen = 0
    while folders:
        folder, prefix = folders.pop()
        with os.scandir(folder) as found:
            for entry in found:
                seen += 1
                if seen > MAX_FILES or late():
                    raise OutOfBoundsError
                stem, ending = os.path.splitext(entry.name)
                if source.recursive and entry.is_dir(follow_symlinks=False):
                    # ai-toolkit and others keep what is no training image in hidden and `_controls` folders.
                    if not entry.name.startswith(".") and entry.name != "_controls":
                        folders.append((entry.path, f"{prefix}{entry.name}/"))
                elif ending.lower() in source.endings:
                    if not (source.skip and source.skip(stem)):
                        images[prefix + entry.name] = _size(entry)
                elif ending == source.extension:
                    captions[prefix + stem] = entry.path
    return images, captions


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat().st_size
    except OSError:
        # A link that leads nowhere, or in a circle.
        return 0


def _tags(counter: Counter[str], caption: Any) -> None:
    """Counts a caption's tags as sd-scripts does: split at commas, lower case."""
    if len(counter) > MAX_KNOWN:
        # Sentences rather than tags: the rarest are forgotten, since only the most frequent are recorded.
        kept = counter.most_common(MAX_KNOWN // 2)
        counter.clear()
        counter.update(dict(kept))
    counter.update(tag[:MAX_TAG] for tag in (part.strip().lower() for part in caption.split(",")) if tag)


def folder_facts(source: Source, late: Callable[[], bool]) -> dict[str, Any] | None:
    """One folder's facts as the ledger takes them; None when it cannot be read, only its name when it is beyond the
    bounds,
    which `late()` tells.

    Tags are not multiplied by repeats. The hash covers sorted names, sizes and the captions' text.
    """
    digest = hashlib.sha256()
    tags = Counter()
    try:
        images, captions = _walk(source, late)
        common = _captions_of(source.captions_file) if source.captions_file else {}
        for image in sorted(images):
            stem = os.path.splitext(image)[0]
            text = b""
            if late():
                raise OutOfBoundsError
            if source.by_name:
                text = os.path.basename(stem).encode("utf-8", "replace")
            elif stem in captions:
                try:
                    with open_file(captions[stem]) as file:
                        text = file.read(MAX_CAPTION)
                except OSError:
                    pass
            elif common:
                text = common.get(image, common.get(stem, "")).encode("utf-8", "replace")
            digest.update(f"{image}\0{images[image]}\0".encode("utf-8", "surrogateescape") + text + b"\0")
            lines = text.decode("utf-8-sig", "replace").strip().splitlines() or [source.fallback or ""]
            for line in lines if source.every_line else lines[:1]:
                _tags(tags, line)
    except OSError:
        return None
    except OutOfBoundsError:
        return _named_only(source)
    return {
        "name": source.name,
        "source_path": str(source.path),
        "image_count": len(images),
        "repeats": source.repeats,
        "tag_distribution": dict(tags.most_common(MAX_TAGS)),
        "content_hash": digest.hexdigest(),
    }


def _named_only(source: Source) -> dict[str, Any]:
    terminal.notice(
        t(
            "the data in {path} are too many to be looked through; they are recorded by their name alone",
            path=source.path,
        )
    )
    return {"name": source.name, "source_path": str(source.path), "repeats": source.repeats}


def _caption_text(value: Any) -> str:
    """A caption out of the forms that metadata files have: text, a list of texts, {caption, tags}."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return _caption_text(value[0]) if value else ""
    if isinstance(value, dict):
        parts = [_caption_text(value.get(key)) for key in ("caption", "caption_content", "text", "tags")]
        return ", ".join(part for part in parts if part)
    return ""


def _captions_of(path: Path) -> dict[str, str]:
    """{name: caption} of a JSON file such as diffusion-pipe's captions.json."""
    try:
        document = loads(read_file(path, MAX_ROWS_FILE))
    except (OSError, ValueError):
        return {}
    return {str(k): _caption_text(v) for k, v in document.items()} if isinstance(document, dict) else {}


def file_facts(source: Source, late: Callable[[], bool]) -> dict[str, Any] | None:
    """Facts of one file of rows: JSON (a list, or a mapping by path), JSON lines, CSV or text, one row a line.

    What is larger than 64 MB or cannot be read as text is told by name and size, without a count.
    """
    digest = hashlib.sha256()
    tags = Counter()
    count = None
    try:
        size = os.path.getsize(source.path)
        if size > MAX_ROWS_FILE or source.path.suffix in (".parquet", ".arrow"):
            digest.update(f"{source.path.name}\0{size}".encode("utf-8", "surrogateescape"))
        else:
            data = read_file(source.path, MAX_ROWS_FILE)
            digest.update(data)
            count = 0
            for row in _rows(data, source.path.suffix):
                count += 1
                if count % 100 == 0 and late():
                    return _named_only(source)
                if isinstance(row, dict) and ("caption" in row or "tags" in row):
                    _tags(tags, _caption_text(row))
    except (OSError, TooMuchError):
        return None
    return {
        "name": source.name,
        "source_path": str(source.path),
        "image_count": count,
        "repeats": source.repeats,
        "tag_distribution": dict(tags.most_common(MAX_TAGS)),
        "content_hash": digest.hexdigest(),
    }


def _rows(data: bytes, ending: str) -> Iterator[Any]:
    """The rows of a file one after another: of JSON as they are, of other files None for each."""
    if ending == ".json":
        try:
            document = loads(data.removeprefix(b"\xef\xbb\xbf"))
            rows = document.values() if isinstance(document, dict) else document
            yield from rows if not isinstance(rows, (str, int, float, type(None))) else ()
            return
        except ValueError:
            # Some trainers' .json files are JSON lines.
            pass
    for number, line in enumerate(filter(bytes.strip, io.BytesIO(data))):
        if ending in (".json", ".jsonl"):
            if not line.lstrip().startswith((b"{", b"[", b'"', b"\xef\xbb\xbf")):
                continue
            try:
                yield loads(line.decode("utf-8-sig", "replace"))
            except ValueError:
                continue
        elif number or ending != ".csv":
            yield None


def collect(
    sources: Sequence[Source], seconds: float = MAX_SECONDS, ended: threading.Event | None = None
) -> list[dict[str, Any]]:
    """Facts of all sources that can be looked through in the given time; once `ended` (an Event) is set, in
    END_SECONDS."""
    start = time.monotonic()
    last = None

    def late() -> bool:
        nonlocal last
        now = time.monotonic()
        if last is None and ended is not None and ended.is_set():
            last = now + END_SECONDS
        return now - start > seconds or (last is not None and now > last)

    facts = ((file_facts if s.is_file else folder_facts)(s, late) for s in sources[:MAX_SOURCES])
    return [fact for fact in facts if fact]
