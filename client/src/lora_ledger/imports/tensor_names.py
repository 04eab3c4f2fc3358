"""What the names and shapes of an adapter's tensors tell: ranks, the algorithm, and whether it is one at all.

The service's src/files/adapter.ts has the same lines, and test/shared/safetensors.json holds both to them.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from ..core.language import t
from ..core.reading import loads

# No trainer calls a tensor by a longer name.
LONGEST_NAME = 1000
# diffusers saves an embedding under its token alone; no text encoder has fewer channels.
SMALLEST_EMBEDDING = 256

_LORA = r"lora(?:_linear_layer|\d{1,3})?[._]"
_ADAPTER = r"(?:\.[\w-]{1,200})?"
# (how the name ends, the algorithm, which extent is the rank, what the tensor is). The first that matches counts.
# Sources: sd-scripts and musubi-tuner (lora_down), PEFT (lora_A), diffusers (lora.down, lora_linear_layer), XLabs
# (qkv_lora1.down), mlx-lm (lora_a), LyCORIS (lora_mid, hada, lokr, oft_blocks, on_input, diff, lambda_layer),
# ai-toolkit (magnitude).
_PARTS: list[tuple[re.Pattern[str], str, int | None, str]] = [
    (re.compile(ends + r"\Z", re.ASCII), algorithm, rank, use)
    for ends, algorithm, rank, use in (
        (_LORA + r"(?:down|A)" + _ADAPTER + r"\.weight", "lora", 0, ""),
        (_LORA + r"(?:up|B)" + _ADAPTER + r"\.weight", "lora", 1, "up"),
        (r"\.lora_mid\.weight", "lora", 0, "kernel"),
        (r"\.lora_embedding_A" + _ADAPTER, "lora", 0, ""),
        (r"\.lora_a", "lora", 1, ""),
        (r"\.lora_b", "lora", 0, "up"),
        (r"\.hada_w1_b", "loha", 0, ""),
        (r"\.hada_t1", "loha", 0, "kernel"),
        (r"\.hada_w1_a", "loha", 1, "up"),
        (r"\.hada_\w+", "loha", None, ""),
        (r"\.lokr_w[12]_b", "lokr", 0, ""),
        (r"\.lokr_t[12]", "lokr", 0, "kernel"),
        (r"\.lokr_w[12]_a", "lokr", 1, "up"),
        (r"\.lokr_\w+", "lokr", None, ""),
        (r"\.lambda_layer", "tlora", 1, ""),
        (r"\.boft_\w+", "boft", None, ""),
        (r"\.oft_(?:blocks|diag|[Rr])(?:\.weight)?", "oft", None, ""),
        (r"\.(?:on_input|ia3_l)", "ia3", None, ""),
        (r"\.diff(?:_b)?", "full", None, ""),
        (r"\.(?:dora_scale|magnitude|lora_magnitude_vector" + _ADAPTER + ")", "dora", None, ""),
    )
]
# PEFT's tuners whose prefix is their name; their ranks, where they have one, are not in a shape alike.
_TUNER = re.compile(
    r"\.(adamss|beft|c3a|deft|delora|fourierft|frod|gralora|hira|hra|lily|miss|peanut|psoft|pvera|randlora|road|shira"
    r"|tinylora|unilora|vblora|vera|waveft)_\w+\Z",
    re.ASCII,
)
# Which algorithm a file is of, where its tensors have marks of several.
_STRONGEST = ("lokr", "loha", "boft", "oft", "glora", "ia3", "tlora")
_GLORA = re.compile(r"\.b[2m]\.weight\Z")
_CONV = re.compile(r"(?:^|[._])conv(?:_in|_out|\d)?\Z", re.ASCII)
_EMBEDDING = re.compile(r"emb_params|clip_[gl]|t5(?:xxl)?|text_encoders?_\d|string_to_param\..*", re.ASCII | re.DOTALL)
PEFT_NAME = re.compile(r"\blora_[AB]\b|\.lora_[ab]\Z", re.ASCII)
_DIFFUSION = re.compile(
    r"(?:diffusion_model|unet|text_encoders?(?:_\d)?|(?:single_|double_)?(?:transformer_)?blocks"
    r"|transformer(?!\.h\.))[._]",
    re.ASCII,
)


class Shapes:
    """`rank`, `conv_rank`, `algorithm` (None where nothing tells), the modules that have the ranks (`linear`, `conv`),
    `dora` (whether weights are decomposed), and `notes`, sentences about what the file holds."""

    def __init__(self, tensors: Mapping[str, dict[str, Any]]) -> None:
        linear: list[tuple[int, str]] = []
        conv: list[tuple[int, str]] = []
        ups: list[tuple[int, str]] = []
        kernels: set[str] = set()
        found: dict[str, None] = {}
        for name, tensor in tensors.items():
            shape = tensor["shape"]
            glora = _GLORA.search(name)
            if glora and all(f"{name[: glora.start()]}.{part}.weight" in tensors for part in ("a1", "a2", "b1", "b2")):
                found["glora"] = None
                module = name[: glora.start()]
                if name.endswith(".bm.weight"):
                    kernels.add(module)
                (conv if any(extent > 1 for extent in shape[2:]) else linear).append((shape[0] if shape else 0, module))
                continue
            # No ending is longer; of a name as long as allowed the rest would be searched in vain.
            start = max(0, len(name) - 300)
            match, part = next(((m, p) for p in _PARTS for m in (p[0].search(name, start),) if m), (None, None))
            if match is None or part is None:
                # mlx-lm keeps DoRA's magnitudes under one letter, which means nothing by itself.
                if name.endswith(".m") and f"{name[:-1]}lora_a" in tensors:
                    found["dora"] = None
                tuner = _TUNER.search(name)
                if tuner:
                    found[tuner[1]] = None
                continue
            _, algorithm, axis, use = part
            boft = algorithm == "oft" and name.endswith(".oft_blocks") and len(shape) == 4
            found["boft" if boft else algorithm] = None
            if axis is None or len(shape) < 2:
                continue
            entry = (shape[axis], re.sub(r"[._]\Z", "", name[: match.start()]))
            if use == "kernel":
                kernels.add(entry[1])
                conv.append(entry)
            elif use == "up":
                ups.append(entry)
            # A kernel larger than 1×1 is a convolution; 1×1 is a linear layer in disguise, unless its layer is called a
            # convolution: then it is of a Tucker decomposition. LoHa and LoKr flatten a 3×3 kernel into one extent.
            elif any(extent > 1 for extent in shape[2:]) or (
                _CONV.search(entry[1]) and (len(shape) > 2 or (algorithm != "lora" and shape[1] % 9 == 0))
            ):
                conv.append(entry)
            else:
                linear.append(entry)
        # The factors beside a Tucker kernel look like a linear layer's.
        linear = [entry for entry in linear if entry[1] not in kernels]
        ranked = linear or ([] if conv else ups)
        self.rank, self.conv_rank = _most(ranked), _most(conv)
        self.linear = {module for rank, module in ranked if rank == self.rank}
        self.conv = {module for rank, module in conv if rank == self.conv_rank}
        self.dora = "dora" in found
        marked = ("locon" if conv else "lora") if "lora" in found else "full" if "full" in found else None
        tuner = next((name for name in found if name not in ("lora", "dora", "full")), None)
        self.algorithm = next((a for a in _STRONGEST if a in found), tuner) or ("dora" if self.dora else marked)
        self.notes = (
            _differing(ranked, t("modules")) + _differing(conv, t("convolutions"))
            if self.algorithm
            else _other(tensors)
        )


def _most(ranks: list[tuple[int, str]]) -> int | None:
    common = Counter(rank for rank, _ in ranks).most_common(1)
    return common[0][0] if common else None


def _differing(ranks: list[tuple[int, str]], what: str) -> list[str]:
    counts = Counter(rank for rank, _ in ranks).most_common()
    if len(counts) < 2:
        return []
    said = ", ".join(f"{rank} ({count})" for rank, count in counts[:5])
    more = t(" and {count} more", count=len(counts) - 5) if len(counts) > 5 else ""
    return [
        t(
            "The file's {what} have different ranks: {said}{more}; the most frequent is taken.",
            what=what,
            said=said,
            more=more,
        )
    ]


def _other(tensors: Mapping[str, dict[str, Any]]) -> list[str]:
    """What a file without an adapter holds; nothing where nothing tells."""
    shapes = {name: tensor["shape"] for name, tensor in tensors.items()}
    if shapes and all(
        len(shape) <= 2
        and (
            _EMBEDDING.fullmatch(name)
            or (len(shapes) == 1 and "." not in name and shape and shape[-1] >= SMALLEST_EMBEDDING)
        )
        for name, shape in shapes.items()
    ):
        return [t("The file holds embeddings and no adapter.")]
    if any(name.endswith(".weight") and shape for name, shape in shapes.items()):
        return [t("The file holds a model's own weights and no adapter.")]
    return []


def json_of(text: str | None) -> dict[str, Any]:
    """The object of a metadata string that holds JSON; empty where it is another."""
    try:
        value = loads(text) if text else None
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def refine_algorithm(algorithm: str | None, metadata: Mapping[str, str]) -> str | None:
    """sd-scripts' algorithms whose tensors are named and shaped as LoRA's or OFT's."""
    module = metadata.get("ss_network_module", "").rpartition(".")[2]
    stated = json_of(metadata.get("ss_network_args")).get("algo")
    stated = stated.lower() if isinstance(stated, str) else ""
    if algorithm in ("lora", "locon"):
        if "dylora" in (stated, module):
            return "dylora"
        if module == "lora_fa":
            return "lora-fa"
    return stated if algorithm == "oft" and stated == "diag-oft" else algorithm


def rank_stabilised(metadata: Mapping[str, str]) -> bool:
    """Whether LyCORIS scaled by the rank's root: then the tensors keep alpha times that root, and not the setting."""
    return str(json_of(metadata.get("ss_network_args")).get("rs_lora")).lower() == "true"


def alpha_in_metadata(metadata: Mapping[str, str]) -> float | None:
    """The alpha that metadata states: diffusers' `lora_adapter_metadata` has flat keys, the component before them
    (`transformer.lora_alpha`), and OneTrainer's `ot_config` its own."""
    stated = json_of(metadata.get("lora_adapter_metadata"))
    keys = sorted(k for k in stated if k == "lora_alpha" or k.endswith(".lora_alpha"))
    alphas = (stated[keys[-1]] if keys else None, json_of(metadata.get("ot_config")).get("lora_alpha"))
    numbers = (a for a in alphas if isinstance(a, (int, float)) and not isinstance(a, bool) and math.isfinite(a))
    return next(numbers, None)


def implies_rank(names: Iterable[str]) -> bool:
    """Whether a file that has no alpha at all means alpha = rank, as every loader of such files takes it. An adapter of
    PEFT's own layout keeps its alpha in adapter_config.json, so that nothing can be said of it."""
    return all(not n.startswith("base_model.") and (not PEFT_NAME.search(n) or _DIFFUSION.match(n)) for n in names)


# No layer of a model is wider; what is called so is hostile.
_WIDEST = 1 << 20


def _nearest_divisor(number: int) -> int:
    """The largest divisor that is no larger than the root, as LyCORIS splits a side that no factor splits."""
    return next((n for n in range(math.isqrt(number), 0, -1) if number % n == 0), 1)


def lokr_factor(tensors: Mapping[str, dict[str, Any]]) -> int | None:
    """The factor by which LoKr split the layers' sides; None where it chose each split itself, or nothing tells."""
    sides: Counter[tuple[int, int]] = Counter()
    for name, tensor in tensors.items():
        if not name.endswith(".lokr_w1") or len(tensor["shape"]) != 2:
            continue
        module, (up, down) = name[: -len("1")], tensor["shape"]
        whole = tensors.get(f"{module}2", {}).get("shape") or []
        a, b = (tensors.get(f"{module}2_{side}", {}).get("shape") or [] for side in "ab")
        inner = whole[:2] if len(whole) >= 2 else [a[0], b[1]] if len(a) == len(b) == 2 else []
        if len(inner) == 2 and f"{module[:-1]}t2" not in tensors:
            sides.update([(up, up * inner[0]), (down, down * inner[1])])
    sides = Counter({pair: count for pair, count in sides.items() if pair[1] <= _WIDEST})
    if len(sides) > 1000 or all(part == _nearest_divisor(side) for part, side in sides):
        return None
    parts = Counter(part for part, _ in sides.elements()).most_common(1)
    return parts[0][0] if parts and 2 * parts[0][1] > sum(sides.values()) else None
