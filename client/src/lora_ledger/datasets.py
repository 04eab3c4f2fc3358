"""Facts about training data, computed from names, sizes and captions: no image is ever read."""

import hashlib
import os
import time
from collections import Counter

IMAGES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".avif", ".jxl"}
MAX_TAGS = 1000
MAX_TAG = 200
MAX_FILES = 200_000
MAX_SECONDS = 120.0
MAX_CAPTION = 65_536


def folder_facts(folder, repeats, name, extension, deadline):
    """One folder's facts as the ledger takes them, or None when it cannot be read within the bounds.

    Tags are counted as sd-scripts does: the caption's first line, split at commas, lower case, not multiplied by
    repeats. The hash covers sorted names, sizes and the captions' text.
    """
    images = {}
    captions = {}
    try:
        with os.scandir(folder) as entries:
            for count, entry in enumerate(entries):
                if count > MAX_FILES or time.monotonic() > deadline:
                    return None
                stem, ending = os.path.splitext(entry.name)
                if ending.lower() in IMAGES:
                    images[entry.name] = entry.stat().st_size
                elif ending == extension:
                    captions[stem] = entry.path
    except OSError:
        return None
    digest = hashlib.sha256()
    tags = Counter()
    for image in sorted(images):
        stem = os.path.splitext(image)[0]
        text = b""
        if stem in captions:
            if time.monotonic() > deadline:
                return None
            try:
                with open(captions[stem], "rb") as file:
                    text = file.read(MAX_CAPTION)
            except OSError:
                pass
        digest.update(f"{image}\0{images[image]}\0".encode("utf-8", "surrogateescape") + text + b"\0")
        first = (text.decode("utf-8-sig", "replace").strip().splitlines() or [""])[0]
        tags.update(tag[:MAX_TAG] for tag in (part.strip().lower() for part in first.split(",")) if tag)
    return {
        "name": name,
        "source_path": str(folder),
        "image_count": len(images),
        "repeats": repeats,
        "tag_distribution": dict(tags.most_common(MAX_TAGS)),
        "content_hash": digest.hexdigest(),
    }


def collect(folders, seconds=MAX_SECONDS):
    """Facts of all folders that can be read in the given time."""
    deadline = time.monotonic() + seconds
    facts = (folder_facts(*folder, deadline) for folder in folders)
    return [fact for fact in facts if fact]
