"""Files beside a pulled LoRA that let the person's usual tools show trigger words, description and preview.

`NAME.json` is what AUTOMATIC1111 and Forge read, `NAME.civitai.info` what Civitai Helper reads,
`NAME.metadata.json` what the LoRA manager of ComfyUI reads; all of them show `NAME.preview.png`.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core import terminal
from ..core.errors import CommandError
from ..core.language import t
from ..core.reading import loads, read_file
from .downloads import fetch_link, local_path

if TYPE_CHECKING:
    from .models import Version

MARK = "lora_ledger"
MOST_BYTES = 64_000_000
CIVITAI = {
    "sd15": "SD 1.5",
    "sd2": "SD 2.1",
    "sdxl": "SDXL 1.0",
    "sd3": "SD 3",
    "flux": "Flux.1 D",
    "chroma": "Chroma",
    "lumina2": "Lumina",
    "wan": "Wan Video",
    "hunyuan-video": "Hunyuan Video",
    "qwen-image": "Qwen",
    "z-image": "ZImageTurbo",
}
WEBUI = {"sd15": "SD1", "sd2": "SD2", "sdxl": "SDXL"}
PREVIEWS = (".png", ".jpg", ".jpeg", ".webp")


def beside(target: Path, ending: str) -> Path:
    """The sidecar of a file: `aki.safetensors` → `aki.json`."""
    return target.with_name(target.stem + ending)


def _read(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file; None when there is no file, {} when it is something else."""
    try:
        value = loads(read_file(path, MOST_BYTES))
    except FileNotFoundError:
        return None
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _mark(path: Path) -> dict[str, Any]:
    value = (_read(path) or {}).get(MARK)
    return value if isinstance(value, dict) else {}


def pulled_sha256(target: Path) -> str | None:
    """The SHA-256 of the version that was pulled to this file last, by the mark in its sidecars; None without one."""
    for ending in (".json", ".civitai.info", ".metadata.json"):
        found = _mark(beside(target, ending)).get("sha256")
        if found:
            return found
    return None


def write(version: Version, target: Path) -> list[Path]:
    """Writes the sidecars of a pulled version that are not there yet, or are another version's; gives their paths.

    What a person wrote into them stays, and files that are not ours are left alone. Raises CommandError or OSError.
    """
    about = version.about
    mark = {
        "model": version.name,
        "version": version.number,
        "sha256": about["sha256"],
        "ledger": version.api.url,
    }
    stale = {}
    for ending, make in (("json", _webui), ("civitai.info", _civitai), ("metadata.json", _comfy)):
        path = beside(target, "." + ending)
        old = _read(path)
        if old is not None and MARK not in old:
            terminal.notice(t("{path} is there and not from a ledger; it is left alone", path=path))
        elif old is None or old[MARK] != mark:
            stale[path] = (old or {}, make)
    if not stale:
        return []
    card = version.card()
    preview, written = _preview(card, target, mark)
    for path, (old, make) in stale.items():
        content = {**make(version, card, target, preview, old), MARK: mark}
        temporary = path.with_name(path.name + ".new")
        temporary.write_text(json.dumps({**old, **content}, ensure_ascii=False, indent=2) + "\n", "utf-8")
        os.replace(temporary, path)
        written.append(path)
    return written


def _preview(card: dict[str, Any], target: Path, mark: Any) -> tuple[Path | None, list[Path]]:
    """(the preview's path or None, what was written of it)."""
    for sample in card["samples"]:
        ending = Path(sample["file"]).suffix.lower()
        if ending not in PREVIEWS:
            continue
        path = beside(target, ".preview" + ending)
        if path.exists() and not pulled_sha256(target):
            return path, []
        fresh = local_path(target.parent, f".{path.name}.{mark['sha256'][:12]}")
        try:
            fetch_link(sample["url"], sample, fresh)
        except CommandError as error:
            terminal.warn(t("no preview: {error}", error=error))
            break
        os.replace(fresh, path)
        return path, [path]
    return None, []


def _webui(
    version: Version, card: dict[str, Any], target: Path, preview: Path | None, old: dict[str, Any]
) -> dict[str, Any]:
    arch = version.about.get("base_arch")
    return {
        "description": card["description"] or "",
        "sd version": WEBUI.get(str(arch), "Other" if arch else "Unknown"),
        "activation text": ", ".join(card["trigger_words"]),
        "preferred weight": old.get("preferred weight", 0),
        "notes": old.get("notes") or version.about.get("notes") or "",
    }


def _civitai(
    version: Version, card: dict[str, Any], target: Path, preview: Path | None, old: dict[str, Any]
) -> dict[str, Any]:
    about = version.about
    return {
        "name": f"v{version.number}",
        "description": about.get("notes") or "",
        "baseModel": CIVITAI.get(str(about.get("base_arch")), "Other"),
        "trainedWords": card["trigger_words"],
        "createdAt": about["created_at"],
        "model": {"name": version.name, "type": "LORA", "nsfw": False, "description": card["description"] or ""},
        "files": [
            {
                "name": target.name,
                "sizeKB": about["size"] / 1024,
                "type": "Model",
                "primary": True,
                "hashes": {"SHA256": about["sha256"].upper()},
            }
        ],
        "images": [
            {"url": preview.name, "type": "image", "meta": {"prompt": sample["prompt"], "seed": sample["seed"]}}
            for sample in card["samples"][:1]
            if preview
        ],
    }


def _comfy(
    version: Version, card: dict[str, Any], target: Path, preview: Path | None, old: dict[str, Any]
) -> dict[str, Any]:
    about = version.about
    return {
        "file_name": target.stem,
        "model_name": f"{version.name} v{version.number}",
        "file_path": str(target.absolute()).replace("\\", "/"),
        "size": about["size"],
        "modified": old.get("modified") or time.time(),
        "sha256": about["sha256"],
        "base_model": CIVITAI.get(str(about.get("base_arch")), "Unknown"),
        "preview_url": str(preview.absolute()).replace("\\", "/") if preview else "",
        "notes": old.get("notes") or about.get("notes") or "",
        "tags": old.get("tags") or [],
        "modelDescription": card["description"] or "",
        "civitai": {"trainedWords": card["trigger_words"], "model": {"type": "LORA"}},
    }
