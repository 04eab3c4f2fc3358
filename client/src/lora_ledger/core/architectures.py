"""Base architectures, the same as for the service, whose src/shared/architectures.ts says what each part means.

Made by `node scripts/run.mjs run-fields`; change nothing here.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Optional

# (id, medium, what trainers and metadata call it, what names of models hold), the more special ones first.
ARCHITECTURES: tuple[tuple[str, str, str, str], ...] = (
    ("zeta-chroma", "image", r"^zeta[-_. ]?chroma", r"(?<![a-z])zeta[-_. ]?chroma"),
    ("chroma", "image", r"^chroma(?![a-z])|^chroma[-_. ]?hd|^chroma[-_. ]?unlocked|^chroma[-_. ]?radiance", r"(?<![a-z])chroma(?![a-z])|(?<![a-z])chroma[-_. ]?hd|(?<![a-z])chroma[-_. ]?unlocked|(?<![a-z])chroma[-_. ]?radiance"),
    ("flux2", "image", r"^flux[-_. ]?2(?![0-9])", r"(?<![a-z])flux[-_. ]?2(?![0-9])"),
    ("z-image", "image", r"^z[-_. ]?image", r"(?<![a-z])z[-_. ]?image"),
    ("lumina2", "image", r"^lumina(?![a-z])|^lumina[-_. ]?image|^neta[-_. ]?lumina", r"(?<![a-z])lumina(?![a-z])|(?<![a-z])lumina[-_. ]?image|(?<![a-z])neta[-_. ]?lumina"),
    ("qwen-image", "image", r"^qwen[-_. ]?image", r"(?<![a-z])qwen[-_. ]?image"),
    ("hunyuan-video-1.5", "video", r"^hunyuan[-_. ]?video[-_. ]?1[-_. ]?5(?![0-9])|^hunyuan[-_. ]?video[-_. ]?v1[-_. ]?5(?![0-9])|^hv[-_. ]?1[-_. ]?5(?![0-9])", r"(?<![a-z])hunyuan[-_. ]?video[-_. ]?1[-_. ]?5(?![0-9])|(?<![a-z])hunyuan[-_. ]?video[-_. ]?v1[-_. ]?5(?![0-9])"),
    ("framepack", "video", r"^framepack|^frame[-_. ]?pack|^hy[-_. ]?framepack|^fpack(?![a-z])", r"(?<![a-z])framepack|(?<![a-z])frame[-_. ]?pack|(?<![a-z])hy[-_. ]?framepack"),
    ("hunyuan-video", "video", r"^hunyuan[-_. ]?video|^hv(?![a-z])", r"(?<![a-z])hunyuan[-_. ]?video"),
    ("hunyuan-image-3", "image", r"^hunyuan[-_. ]?image[-_. ]?3(?![0-9])", r"(?<![a-z])hunyuan[-_. ]?image[-_. ]?3(?![0-9])"),
    ("hunyuan-image", "image", r"^hunyuan[-_. ]?image", r"(?<![a-z])hunyuan[-_. ]?image"),
    ("hunyuan-dit", "image", r"^hunyuan[-_. ]?dit|^hydit(?![a-z])", r"(?<![a-z])hunyuan[-_. ]?dit"),
    ("wan", "video", r"^wan[-_. ]?1|^wan[-_. ]?2|^wan[-_. ]?video|^wan(?![a-z])", r"(?<![a-z])wan[-_. ]?1|(?<![a-z])wan[-_. ]?2|(?<![a-z])wan[-_. ]?video"),
    ("anima", "image", r"^anima(?![a-z])", r"(?<![a-z])anima(?![a-z])"),
    ("hidream-o1", "image", r"^hidream[-_. ]?o1(?![0-9])", r"(?<![a-z])hidream[-_. ]?o1(?![0-9])"),
    ("hidream", "image", r"^hidream|^hi[-_. ]?dream", r"(?<![a-z])hidream|(?<![a-z])hi[-_. ]?dream"),
    ("ltx-2", "video", r"^ltx[-_. ]?2(?![0-9])", r"(?<![a-z])ltx[-_. ]?2(?![0-9])"),
    ("ltx-video", "video", r"^ltx[-_. ]?video|^ltxv|^ltx(?![a-z])", r"(?<![a-z])ltx[-_. ]?video|(?<![a-z])ltxv"),
    ("kandinsky5", "video", r"^kandinsky[-_. ]?5", r"(?<![a-z])kandinsky[-_. ]?5"),
    ("kandinsky", "image", r"^kandinsky", r"(?<![a-z])kandinsky"),
    ("cosmos-predict2", "image", r"^cosmos[-_. ]?predict[-_. ]?2|^cosmos[-_. ]?2[-_. ]?image(?![a-z])", r"(?<![a-z])cosmos[-_. ]?predict[-_. ]?2|(?<![a-z])cosmos[-_. ]?2[-_. ]?image(?![a-z])"),
    ("cosmos3", "video", r"^cosmos[-_. ]?3(?![0-9])", r"(?<![a-z])cosmos[-_. ]?3(?![0-9])"),
    ("cosmos", "video", r"^cosmos[-_. ]?1|^cosmos[-_. ]?predict[-_. ]?1|^cosmos(?![a-z])", r"(?<![a-z])cosmos[-_. ]?1|(?<![a-z])cosmos[-_. ]?predict[-_. ]?1"),
    ("longcat-video", "video", r"^longcat[-_. ]?video", r"(?<![a-z])longcat[-_. ]?video"),
    ("longcat-image", "image", r"^longcat[-_. ]?image", r"(?<![a-z])longcat[-_. ]?image"),
    ("cogvideox", "video", r"^cogvideo", r"(?<![a-z])cogvideo"),
    ("cogview4", "image", r"^cogview[-_. ]?4", r"(?<![a-z])cogview[-_. ]?4"),
    ("mochi", "video", r"^mochi[-_. ]?1|^mochi(?![a-z])", r"(?<![a-z])mochi[-_. ]?1"),
    ("minimax-h3", "video", r"^minimax[-_. ]?h3", r"(?<![a-z])minimax[-_. ]?h3"),
    ("ace-step", "audio", r"^ace[-_. ]?step", r"(?<![a-z])ace[-_. ]?step"),
    ("stable-audio", "audio", r"^stable[-_. ]?audio", r"(?<![a-z])stable[-_. ]?audio"),
    ("heartmula", "audio", r"^heartmula", r"(?<![a-z])heartmula"),
    ("musicgen", "audio", r"^musicgen", r"(?<![a-z])musicgen"),
    ("pixart", "image", r"^pixart", r"(?<![a-z])pixart"),
    ("sana-video", "video", r"^sana[-_. ]?video", r"(?<![a-z])sana[-_. ]?video"),
    ("sana", "image", r"^sana[-_. ]?1|^sana[-_. ]?sprint|^sana[-_. ]?600m|^sana(?![a-z])", r"(?<![a-z])sana[-_. ]?1|(?<![a-z])sana[-_. ]?sprint|(?<![a-z])sana[-_. ]?600m"),
    ("auraflow", "image", r"^auraflow|^aura[-_. ]?flow|^pony[-_. ]?v7", r"(?<![a-z])auraflow|(?<![a-z])aura[-_. ]?flow|(?<![a-z])pony[-_. ]?v7"),
    ("kolors", "image", r"^kolors", r"(?<![a-z])kolors"),
    ("omnigen2", "image", r"^omnigen[-_. ]?2", r"(?<![a-z])omnigen[-_. ]?2"),
    ("omnigen", "image", r"^omnigen", r"(?<![a-z])omnigen"),
    ("krea2", "image", r"^krea[-_. ]?2(?![0-9])", r"(?<![a-z])krea[-_. ]?2(?![0-9])"),
    ("ideogram4", "image", r"^ideogram[-_. ]?4(?![0-9])", r"(?<![a-z])ideogram[-_. ]?4(?![0-9])"),
    ("ernie-image", "image", r"^ernie[-_. ]?image|^ernie(?![a-z])", r"(?<![a-z])ernie[-_. ]?image"),
    ("nucleus-image", "image", r"^nucleus[-_. ]?image", r"(?<![a-z])nucleus[-_. ]?image"),
    ("boogu-image", "image", r"^boogu[-_. ]?image", r"(?<![a-z])boogu[-_. ]?image"),
    ("ming-image", "image", r"^ming[-_. ]?image", r"(?<![a-z])ming[-_. ]?image"),
    ("mage-flow", "image", r"^mage[-_. ]?flow", r"(?<![a-z])mage[-_. ]?flow"),
    ("f-lite", "image", r"^f[-_. ]?lite(?![a-z])", r"(?<![a-z])f[-_. ]?lite(?![a-z])"),
    ("fibo", "image", r"^fibo(?![a-z])", r"(?<![a-z])fibo(?![a-z])"),
    ("stable-cascade", "image", r"^stable[-_. ]?cascade", r"(?<![a-z])stable[-_. ]?cascade"),
    ("wuerstchen", "image", r"^wuerstchen", r"(?<![a-z])wuerstchen"),
    ("deepfloyd", "image", r"^deepfloyd", r"(?<![a-z])deepfloyd"),
    ("flux", "image", r"^flux|^flex[-_. ]?1(?![0-9])|^flex[-_. ]?2(?![0-9])", r"flux|(?<![a-z])flex[-_. ]?1(?![0-9])|(?<![a-z])flex[-_. ]?2(?![0-9])"),
    ("sd3", "image", r"^sd[-_. ]?3(?![0-9])|^sd[-_. ]?35(?![0-9])|^sd[-_. ]?v3(?![0-9])|^stable[-_. ]?diffusion[-_. ]?3|^stable[-_. ]?diffusion[-_. ]?v3", r"(?<![a-z])sd[-_. ]?3(?![0-9])|(?<![a-z])sd[-_. ]?35(?![0-9])|(?<![a-z])sd[-_. ]?v3(?![0-9])|(?<![a-z])stable[-_. ]?diffusion[-_. ]?3|(?<![a-z])stable[-_. ]?diffusion[-_. ]?v3"),
    ("sdxl", "image", r"^sd[-_. ]?xl|^stable[-_. ]?diffusion[-_. ]?xl|^illustrious|^noobai|^pony|^animagine|^ssd[-_. ]?1b|^segmind[-_. ]?vega|^xl(?![a-z])|^ssd(?![a-z])|^vega(?![a-z])", r"sd[-_. ]?xl|(?<![a-z])stable[-_. ]?diffusion[-_. ]?xl|illustrious|noobai|(?<![a-z])pony|(?<![a-z])animagine|(?<![a-z])ssd[-_. ]?1b|(?<![a-z])segmind[-_. ]?vega"),
    ("sd2", "image", r"^sd[-_. ]?2[-_. ]?1(?![0-9])|^sd[-_. ]?2[-_. ]?0(?![0-9])|^sd[-_. ]?v2(?![0-9])|^stable[-_. ]?diffusion[-_. ]?2|^stable[-_. ]?diffusion[-_. ]?v2|^v2-1(?![0-9])|^sd[-_. ]?2(?![0-9])|^sd[-_. ]?2x(?![a-z])", r"(?<![a-z])sd[-_. ]?2[-_. ]?1(?![0-9])|(?<![a-z])sd[-_. ]?2[-_. ]?0(?![0-9])|(?<![a-z])sd[-_. ]?v2(?![0-9])|(?<![a-z])stable[-_. ]?diffusion[-_. ]?2|(?<![a-z])stable[-_. ]?diffusion[-_. ]?v2|(?<![^/])v2-1(?![0-9])"),
    ("sd15", "image", r"^sd[-_. ]?1[-_. ]?5(?![0-9])|^sd[-_. ]?1[-_. ]?4(?![0-9])|^sd[-_. ]?v1(?![0-9])|^sd[-_. ]?v1[-_. ]?5(?![0-9])|^sd[-_. ]?v1[-_. ]?4(?![0-9])|^stable[-_. ]?diffusion[-_. ]?1|^stable[-_. ]?diffusion[-_. ]?v1|^v1-5(?![0-9])|^sd[-_. ]?1(?![0-9])|^sd[-_. ]?1x(?![a-z])", r"(?<![a-z])sd[-_. ]?1[-_. ]?5(?![0-9])|(?<![a-z])sd[-_. ]?1[-_. ]?4(?![0-9])|(?<![a-z])sd[-_. ]?v1(?![0-9])|(?<![a-z])sd[-_. ]?v1[-_. ]?5(?![0-9])|(?<![a-z])sd[-_. ]?v1[-_. ]?4(?![0-9])|(?<![a-z])stable[-_. ]?diffusion[-_. ]?1|(?<![a-z])stable[-_. ]?diffusion[-_. ]?v1|(?<![^/])v1-5(?![0-9])"),
    ("llm", "text", r"^llama|^mistral|^mixtral|^qwen|^gemma|^phi[-_. ]?1|^phi[-_. ]?2|^phi[-_. ]?3|^phi[-_. ]?4|^deepseek|^smollm|^internlm|^baichuan|^chatglm|^glm[-_. ]?4|^olmo|^starcoder|^pythia|^gpt[-_. ]?oss|^gpt[-_. ]?2(?![0-9])|^llm(?![a-z])|^causal[-_. ]?lm(?![a-z])|^language[-_. ]?model(?![a-z])", r"llama|(?<![a-z])mistral|(?<![a-z])mixtral|(?<![a-z])qwen|(?<![a-z])gemma|(?<![a-z])phi[-_. ]?1|(?<![a-z])phi[-_. ]?2|(?<![a-z])phi[-_. ]?3|(?<![a-z])phi[-_. ]?4|(?<![a-z])deepseek|(?<![a-z])smollm|(?<![a-z])internlm|(?<![a-z])baichuan|(?<![a-z])chatglm|(?<![a-z])glm[-_. ]?4|(?<![a-z])olmo|(?<![a-z])starcoder|(?<![a-z])pythia|(?<![a-z])gpt[-_. ]?oss|(?<![a-z])gpt[-_. ]?2(?![0-9])"),
)
_LONGEST_SPELLING = 200
_LONGEST_NAME = 2000


@lru_cache(maxsize=None)
def _compiled() -> list[tuple[str, str, re.Pattern[str], re.Pattern[str]]]:
    return [(id, media, re.compile(spelled), re.compile(named)) for id, media, spelled, named in ARCHITECTURES]


def arch_of(spelling: Optional[str]) -> Optional[str]:
    """The id of what a trainer's setting, `ss_base_model_version` or `modelspec.architecture` states."""
    text = re.sub(r"^[^a-z0-9]+", "", (spelling or "")[:_LONGEST_SPELLING].lower())
    text = re.split(r"[/:]", text, maxsplit=1)[0]
    return next((id for id, _, spelled, _ in _compiled() if spelled.search(text)), None)


def arch_of_name(name: Optional[str], diffusion: bool = False) -> Optional[str]:
    """The architecture that the file or hub name of a model tells; `diffusion` leaves language models out."""
    path = (name or "")[-_LONGEST_NAME:].lower().replace("\\", "/").rstrip("/")
    last = path.rsplit("/", 1)[-1]
    for among, text in ((not diffusion, last), (False, path)):
        for id, media, _, named in _compiled():
            if (among or media != "text") and named.search(text):
                return id
    return None


def model_type_of(id: Optional[str]) -> Optional[str]:
    """`stable-diffusion` or `llm`; None where the catalogue does not have the id."""
    media = next((media for one, media, _, _ in ARCHITECTURES if one == id), None)
    return media and ("llm" if media == "text" else "stable-diffusion")
