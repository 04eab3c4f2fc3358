"""The base architecture that a weight file's metadata states, or its tensors tell.

The service's src/files/base-arch.ts has the same lines, and test/shared/safetensors.json holds both to them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..core.architectures import arch_of
from ..core.language import t
from .tensor_names import json_of

# Modules of sd-scripts and musubi-tuner that train one architecture alone; lora_flux has FLUX.1 and Chroma.
_OWN_MODULE = re.compile(
    r"(?:^|\.)lora_(sd3|lumina|hunyuan_image|anima|wan|framepack|flux_2|hv_1_5|qwen_image|zimage)\Z"
)
# Cross attention of a U-Net: its keys see the text encoder's channels.
_CROSS = re.compile(r"[._]attn2[._]to_k[._](?:lora[._])?(?:lora_)?(?:down|A)(?:\.\w{1,50})?\.weight\Z", re.ASCII)
_UNET = re.compile(r"(?:down_blocks|up_blocks|mid_block|input_blocks|output_blocks|middle_block)[._]")
_LANGUAGE = re.compile(
    r"\.(?:layers|h|blocks)\.\d+\.(?:self_attn|self_attention|attn|attention|mlp|linear_attn)"
    r"\.(?:[qkvo]_proj|qkv_proj|(?:gate|up|down|gate_up)_proj|c_attn|query_key_value)\.",
    re.ASCII,
)
_XLABS = re.compile(r"(?:double|single)_blocks\.\d+\.processor\.\w+lora\d?\.", re.ASCII)


def _of_tensors(tensors: Mapping[str, dict[str, Any]]) -> str | None:
    """An architecture whose tensors nothing else has by the same names and shapes; other layouts are shared."""
    channels = None
    language = other = second = False
    for name, tensor in tensors.items():
        if _XLABS.match(name):
            return "flux"
        if channels is None and len(tensor["shape"]) > 1 and _CROSS.search(name) and _UNET.search(name):
            channels = tensor["shape"][1]
        second = second or name.startswith(("lora_te2_", "text_encoder_2."))
        if name.startswith(("base_model.model.", "model.")):
            language = language or _LANGUAGE.search(name) is not None
            other = other or any(part in name for part in (".text_model.", ".encoder.", ".decoder."))
        else:
            other = True
    if language and not other:
        return "llm"
    # Kolors' U-Net sees as many channels as SDXL's, but its LoRAs train no second text encoder.
    known = {768: "sd15", 1024: "sd2", 2048: "sdxl" if second else None}
    return known.get(channels) if channels else None


def base_arch_of(
    tensors: Mapping[str, dict[str, Any]], metadata: Mapping[str, str], adapter: bool
) -> tuple[str | None, str]:
    """(the architecture, where it stands): what the metadata states, a network module of one architecture, else the
    tensors of an adapter. (None, "") where it is not certain."""
    kind = json_of(metadata.get("ot_config")).get("model_type")
    module = _OWN_MODULE.search(metadata.get("ss_network_module", ""))
    for where, said in (
        ("ss_base_model_version", metadata.get("ss_base_model_version")),
        ("modelspec.architecture", metadata.get("modelspec.architecture")),
        ("ot_config model_type", kind if isinstance(kind, str) else None),
        ("ss_network_module", module[1] if module else None),
    ):
        arch = arch_of(said)
        if arch:
            return arch, where
    arch = _of_tensors(tensors) if adapter else None
    return arch, t("the tensors") if arch else ""
