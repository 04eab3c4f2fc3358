"""What a run's fields are called in spreadsheets and trackers, and how their values are written there.

Names in English and Chinese; numbers with points or commas, per cent, thousands; dates in several forms; durations.
"""

from __future__ import annotations

import math
import re
import shlex
import unicodedata
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from re import Match
from typing import Any

from ..core.language import t
from ..core.reading import loads
from ..core.run_fields import RUN_FIELDS

_KINDS_BY_NAME = {
    "model_type": "model", "mixed_precision": "precision", "status": "status", "failure_reason": "reason",
    "tags": "tags", "command": "command", "total_duration_sec": "duration",
}  # fmt: skip
# Columns that no table has.
_NEVER_IMPORTED = {"parent_task_id", "progress", "defaulted_fields"}


def _field(name: str, line: dict[str, Any]) -> tuple[str, Any]:
    kind = _KINDS_BY_NAME.get(name) or {"integer": "whole"}.get(str(line["type"]), str(line["type"]))
    if kind == "text":
        return kind, line["longest"]
    bounds = line.get("min"), line.get("max")
    return kind, None if bounds == (None, None) else bounds


_LINES = {name: line for name, line in RUN_FIELDS.items() if name not in _NEVER_IMPORTED}
# field: (kind, how many characters at most or (lowest, highest)). What belongs to the end of a run stands in ENDED.
FIELDS: dict[str, tuple[str, Any]] = {
    name: _field(name, line) for name, line in _LINES.items() if line["by"] in ("trainer", "client", "import")
}
FIELDS.update(config_snapshot=("json", None), additional_args=("json", None))
ENDED = {name for name, line in _LINES.items() if line["by"] == "import"}

# Other spellings of a field, best first where one word may mean several. The field's own name always counts.
_SPELLINGS = {
    "task_name": "name|run|run name|task|title|lora|lora name|output name|experiment name|ss output name|mlflow run name"
    "|名称|名字|任务|任务名|任务名称|实验名|实验名称|模型名|模型名称|训练名称|lora名称|lora名|文件名|标题",
    "model_type": "type|kind of model|模型类型|类型",
    "base_arch": "arch|architecture|base|base version|base type|架构|模型架构|基础架构|底模类型|版本",
    "trainer": "tool|script|training script|framework|训练器|训练工具|训练脚本|工具|框架",
    "network_algo": "algo|algorithm|network type|lora type|network module|lycoris algo|算法|网络类型|lora类型|网络模块",
    "experiment_group": "group|project|experiment|run group|series|character|组|组别|分组|项目|实验|实验组|系列|角色",
    "base_model_path": "base model|model|checkpoint|ckpt|pretrained model|pretrained model name or path|model name or path"
    "|base model name|sd model|foundation model|底模|基础模型|基模|大模型|主模型|预训练模型|模型|模型路径|底模路径",
    "lora_rank": "rank|dim|r|network dim|network rank|lora r|lora dim|net dim|秩|维度|网络维度|网络秩|lora秩|lora维度|dim值|rank值",
    "lora_alpha": "alpha|network alpha|net alpha|α|阿尔法|网络alpha|alpha值|缩放",
    "dropout": "lora dropout|network dropout|丢弃率|随机失活|dropout率",
    "conv_lora_rank": "conv rank|conv dim|卷积维度|卷积秩",
    "conv_alpha": "卷积alpha",
    "batch_size": "batch|bs|train batch size|batchsize|per device train batch size|批大小|批量|批次大小|批量大小|批次|批处理大小",
    "gradient_accumulation_steps": "grad accum|gradient accumulation|grad acc|ga|accumulation|accum|grad accumulation steps"
    "|梯度累积|梯度累加|梯度累积步数|累积步数",
    "epochs": "epoch|num epochs|max train epochs|num train epochs|train epochs|n epochs|轮数|轮次|轮|训练轮数|训练轮次|周期|迭代轮数|总轮数",
    "max_steps": "steps|step|total steps|max train steps|num steps|train steps|步数|总步数|训练步数|最大步数|步",
    "learning_rate": "lr|unet lr|base lr|learn rate|ss learning rate|学习率|学习速率|unet学习率",
    "optimizer": "optim|optimizer type|opt|优化器|优化器类型",
    "scheduler": "lr scheduler|schedule|lr schedule|lr scheduler type|学习率调度器|学习率调度|调度器|学习率策略",
    "mixed_precision": "precision|dtype|精度|混合精度|训练精度",
    "seed": "random seed|种子|随机种子",
    "resolution": "res|size|image size|img size|train resolution|分辨率|图像尺寸|尺寸|训练分辨率",
    "data_dir": "dataset|data|train data dir|training data|train data|dataset path|数据集|数据|训练集|训练数据|数据目录|数据集路径|素材",
    "output_dir": "output|output path|输出|输出目录|输出路径|保存路径",
    "log_dir": "logging dir|logs|日志|日志目录",
    "sample_prompts": "prompt|prompts|sample prompt|提示词|示例提示词|预览提示词",
    "save_every_n_epochs": "save every|每n轮保存|保存间隔",
    "gpu_info": "gpu|card|graphics card|hardware|device|gpu type|gpu model|显卡|硬件|设备|gpu型号|显卡型号|机器",
    "cuda_version": "cuda",
    "git_commit": "commit|git|revision|sha",
    "hourly_price": "price per hour|hourly|hourly rate|单价|每小时价格|时价",
    "notes": "note|comment|comments|remark|remarks|description|备注|说明|注释|描述|评论|心得|评价",
    "tags": "tag|labels|label|标签",
    "status": "state|result|outcome|状态|结果|是否成功",
    "started_at": "date|start|started|start time|begin|begun|day|when|time|created|日期|时间|开始|开始时间|训练日期|训练时间|创建时间|启动时间",
    "finished_at": "end|ended|finished|end time|finish time|completed|结束|结束时间|完成时间",
    "final_loss": "loss|train loss|last loss|avg loss|average loss|avr loss|loss average|loss current|training loss|end loss"
    "|损失|最终损失|最终loss|损失值|loss值|平均损失|平均loss|训练损失",
    "total_duration_sec": "duration|runtime|run time|train time|training time|took|elapsed|time taken|hours|minutes|seconds|time"
    "|时长|耗时|用时|训练时长|训练耗时|训练时间|运行时间|总时长",
    "cost": "price|total cost|spent|费用|花费|成本|总价|总费用|价格",
    "error_message": "error|failure|错误|错误信息|失败原因",
    "failure_reason": "failed because",
    "weights_path": "weights|weight|file|lora file|path|权重|权重文件|文件|模型文件|保存文件",
    "convergence_step": "收敛步数",
}  # fmt: skip

_UNITS = {
    "s": 1, "sec": 1, "secs": 1, "second": 1, "seconds": 1, "秒": 1, "秒钟": 1,
    "m": 60, "min": 60, "mins": 60, "minute": 60, "minutes": 60, "分": 60, "分钟": 60,
    "h": 3600, "hr": 3600, "hrs": 3600, "hour": 3600, "hours": 3600, "时": 3600, "小时": 3600, "个小时": 3600,
    "d": 86400, "day": 86400, "days": 86400, "天": 86400, "日": 86400,
}  # fmt: skip


def plain_name(text: str) -> str:
    """A header as it is looked up: full-width forms narrowed, small letters, letters and digits alone."""
    text = unicodedata.normalize("NFKC", str(text)[:200]).casefold()
    return "".join(c for c in text if c.isalnum())


def _lookup() -> dict[str, list[str]]:
    table = {}
    for field in FIELDS:
        table.setdefault(plain_name(field), []).append(field)
    for field, words in _SPELLINGS.items():
        for word in words.split("|"):
            fields = table.setdefault(plain_name(word), [])
            if field not in fields:
                fields.append(field)
    return table


_BY_NAME = _lookup()
# Names, and values other than texts, are not longer; what is would be looked at for ever.
LONGEST_NAME = 200
LONGEST_VALUE = 200
LONGEST_COMMAND = 20_000


def _word(text: str) -> str:
    """The text as values are compared: full-width forms narrowed, small letters. Raises ValueError for what is too
    long."""
    text = str(text)
    if len(text) > LONGEST_VALUE:
        raise ValueError(t("{text!r}… is longer than such a value is", text=text[:40]))
    return unicodedata.normalize("NFKC", text).strip().casefold()


def candidates(header: str) -> tuple[list[str], str | None]:
    """([fields that the header may mean, best first], its unit or None): `时长(小时)`, `duration_h`, `Final Loss`."""
    text = unicodedata.normalize("NFKC", str(header)[:LONGEST_NAME]).strip()
    inside = re.search(r"[(\[]([^()\[\]]*)[)\]]\s*$", text)
    unit, bare = None, text
    if inside:
        unit, bare = inside[1].strip().casefold(), text[: inside.start()]
    fields = _BY_NAME.get(plain_name(bare)) or _BY_NAME.get(plain_name(text)) or []
    if not fields:
        # `runtime_min`, `duration h`: the unit behind the name.
        parts = re.match(r"(.*?)[\s_-]+([a-z]+)$", bare.casefold())
        if parts and parts[2] in _UNITS:
            fields, unit = _BY_NAME.get(plain_name(parts[1])) or [], parts[2]
    if plain_name(bare) in ("hours", "minutes", "seconds"):
        unit = plain_name(bare)
    if bare == "total_duration_sec":
        unit = "s"
    return list(fields), unit


class Context:
    """How a column writes its values: the decimal mark, the order of day and month ("dmy", "mdy"), a unit."""

    def __init__(self, decimal: str = ".", order: str = "mdy", unit: str | None = None) -> None:
        self.decimal = decimal
        self.order = order
        self.unit = unit


_CURRENCY = "$€£¥￥₽₩"
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?$")


def number(text: str, context: Context | None = None) -> float | int:
    """A number as people write it. Raises ValueError with what is wrong in plain words."""
    decimal = context.decimal if context else "."
    word = _word(text).strip(_CURRENCY).strip()
    word = re.sub(r"(?<=\d)[\s\u00a0\u202f'_](?=\d{3}(?:\D|$))", "", word).replace("\u2212", "-")
    word = re.sub(r"\s*[×x*]\s*10\s*\^?\s*([-+]?\d+)$", r"e\1", word)
    share = word.endswith("%")
    word = word.rstrip("% ")
    if decimal == ",":
        word = word.replace(".", "").replace(",", ".") if "," in word else word
    else:
        word = re.sub(r",(?=\d{3}(?:\D|$))", "", word)
    if not _NUMBER.match(word):
        raise ValueError(t("{text!r} is no number", text=str(text)[:80]))
    value = float(word)
    if not math.isfinite(value):
        raise ValueError(t("{text!r} is too large", text=str(text)[:80]))
    # `32` stays whole, and a large seed exact.
    exact = int(word) if re.fullmatch(r"[-+]?\d+", word) else value
    return exact / 100 if share else exact


def decimal_mark(texts: Sequence[str]) -> str:
    """The decimal mark that a column's values use: a comma where one of them could be nothing else."""
    comma = False
    for text in texts:
        if len(text) > LONGEST_VALUE:
            continue
        word = _word(text)
        if re.search(r"\d\.\d*e|^[-+]?\d*\.\d+%?$|,\d{3}\.", word):
            return "."
        if re.search(r"^[-+]?(?:\d{1,3}(?:\.\d{3})+|\d+),\d+", word) and not re.fullmatch(
            r"[-+]?[1-9]\d{0,2}(?:,\d{3})+", word
        ):
            comma = True
    return "," if comma else "."


_ZERO = datetime(1899, 12, 30)
_CLOCK = r"(?:\s+(\d{1,2})[:时点](\d{1,2})(?:[:分](\d{1,2}(?:[.,]\d+)?))?\s*秒?分?\s*(am|pm)?)?"
_ZONE = r"\s*(z|utc|gmt|[+-]\d\d:?\d\d)?$"
_MONTHS = {m: n for n, m in enumerate("jan feb mar apr may jun jul aug sep oct nov dec".split(), 1)}
_DATES = (
    ("ymd", re.compile(r"(\d{4})[-/.年](\d{1,2})[-/.月](\d{1,2})日?" + _CLOCK + _ZONE)),
    ("ymd", re.compile(r"(\d{4})(\d\d)(\d\d)" + _CLOCK + _ZONE)),
    ("dmy", re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4}|\d\d)" + _CLOCK + _ZONE)),
    (None, re.compile(r"(\d{1,2})[/-](\d{1,2})[/-](\d{4}|\d\d)" + _CLOCK + _ZONE)),
    ("dby", re.compile(r"(\d{1,2})(?:st|nd|rd|th)?[\s-]+([a-z]{3})[a-z]*\.?,?[\s-]+(\d{4})" + _CLOCK + _ZONE)),
    ("bdy", re.compile(r"([a-z]{3})[a-z]*\.?\s+(\d{1,2})(?:st|nd|rd|th)?,?\s+(\d{4})" + _CLOCK + _ZONE)),
)


def _match(text: str) -> tuple[None, None] | tuple[str | None, Match[str]]:
    if len(str(text)) > LONGEST_VALUE:
        return None, None
    word = re.sub(r"\s+", " ", _word(text))
    word = re.sub(r"(?<=\d)t(?=\d)", " ", word)
    for order, pattern in _DATES:
        found = pattern.match(word)
        if found:
            return order, found
    return None, None


def time(text: str, context: Context | None = None) -> str:
    """A moment as ISO 8601 UTC. What names no zone is this machine's own time. Raises ValueError."""
    word = str(text)[: LONGEST_VALUE + 1].strip()
    if re.fullmatch(r"\d{5}(?:\.\d+)?", word) and 20_000 < float(word) < 80_000:
        # A spreadsheet's own number of days.
        return _utc(_ZERO + timedelta(days=float(word)), None)
    if re.fullmatch(r"\d{10}(?:\.\d+)?|\d{13}", word):
        seconds = float(word) / (1000 if len(word) == 13 else 1)
        return _iso(datetime.fromtimestamp(seconds, timezone.utc))
    order, found = _match(word)
    if not found:
        raise ValueError(
            t("{word!r} is no date that can be read (write 2026-05-01, or 2026-05-01 13:45)", word=word[:80])
        )
    parts = dict(zip(order or (context.order if context else "mdy"), found.groups()[:3]))
    year = int(parts["y"])
    month = _MONTHS.get(parts["b"]) if "b" in parts else int(parts["m"])
    hour, minute, second, half, zone = found.groups()[3:]
    hours = int(hour or 0) % 12 + (12 if half == "pm" else 0) if half else int(hour or 0)
    try:
        moment = datetime(year + 2000 if year < 100 else year, month or 0, int(parts["d"]), hours, int(minute or 0))
        return _utc(moment + timedelta(seconds=float((second or "0").replace(",", "."))), zone)
    except (ValueError, OverflowError) as error:
        raise ValueError(t("{word!r} is no date: {error}", word=word[:80], error=error)) from error


def _utc(moment: datetime, zone: Any) -> str:
    if zone in ("z", "utc", "gmt"):
        return _iso(moment.replace(tzinfo=timezone.utc))
    if zone:
        sign = -1 if zone[0] == "-" else 1
        digits = zone[1:].replace(":", "")
        offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
        return _iso(moment.replace(tzinfo=timezone(sign * offset)))
    return _iso(moment.astimezone())


def _iso(moment: datetime) -> str:
    moment = moment.astimezone(timezone.utc)
    if not 1970 <= moment.year <= 2200:
        raise ValueError(t("the year {year} is none of this time", year=moment.year))
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def day_order(texts: Sequence[str]) -> str | None:
    """Whether a column's 5/1/2026 is day or month first: as soon as one of its values tells."""
    for text in texts:
        order, found = _match(text)
        if found and order is None:
            if int(found[1]) > 12:
                return "dmy"
            if int(found[2]) > 12:
                return "mdy"
    return None


def duration(text: str, context: Context | None = None) -> int | float:
    """Seconds of `1:30:00`, `2h30m`, `90 min`, `1小时30分`, or a number in the column's unit (seconds). ValueError."""
    word = _word(text)
    clock = re.fullmatch(r"(?:(\d+)\s*(?:d|days?,?|天)\s*)?(\d+):(\d{1,2})(?::(\d{1,2})(?:\.\d+)?)?", word)
    if clock:
        days, first, second, third = (int(v) if v else 0 for v in clock.groups())
        return days * 86400 + (first * 3600 + second * 60 + third)
    parts = re.findall(r"(\d+(?:[.,]\d+)?)\s*([a-z]+|[分秒时天日]钟?|个?小时)", word)
    if parts and re.fullmatch(r"(?:\d+(?:[.,]\d+)?\s*(?:[a-z]+|[分秒时天日]钟?|个?小时)[\s,]*)+", word):
        if all(unit in _UNITS for _, unit in parts):
            return sum(float(value.replace(",", ".")) * _UNITS[unit] for value, unit in parts)
    try:
        value = number(word, context)
    except ValueError:
        raise ValueError(t("{text!r} is no duration (write 5400, 90 min or 1:30:00)", text=str(text)[:80])) from None
    return value * _UNITS.get((context.unit if context else None) or "s", 1)


_STATUS = {
    "success": "success succeeded done ok okay finished complete completed yes y 1 true good pass passed 成功 完成 已完成 好 "
    ""
    "是 训练完成 √ ✓ ✔ ✅",
    "failed": "failed failure fail error crashed crash no n 0 false bad lost oom preempted 失败 错误 崩溃 未成功 否 × ✗ ✘ ❌",
    "cancelled": "cancelled canceled cancel aborted abort stopped killed interrupted 取消 已取消 中止 停止 中断",
}
_STATES = {word: state for state, words in _STATUS.items() for word in words.split()}
_UNDER_WAY = set("running pending queued scheduled planned todo 进行中 运行中 训练中 等待 排队 计划 待训练".split())
_ARCHS = tuple(
    (re.compile(pattern), arch)
    for pattern, arch in (
        (r"(?:sd|stable ?diffusion) ?v?1(?:[. ]?[45])?(?!\d)", "sd15"), (r"(?:sd|stable ?diffusion) ?v?2(?:[. "
            r"]?[01])?(?!\d)", "sd2"),
        (r"sd ?xl|xl$|pony|illustrious|noobai|animagine", "sdxl"), (r"(?:sd|stable ?diffusion) ?v?3(?!\d)", "sd3"),
        (r"flux", "flux"), (r"chroma", "chroma"), (r"lumina", "lumina2"), (r"qwen ?image", "qwen-image"),
        (r"wan ?\d?", "wan"), (r"hunyuan ?video", "hunyuan-video"), (r"hunyuan ?image", "hunyuan-image"),
        (r"z ?image", "z-image"), (r"anima(?![a-z])", "anima"), (r"llm|llama|mistral|qwen|gemma|phi ?\d", "llm"),
    )
)  # fmt: skip


def status(text: str, _context: Any = None) -> str:
    """success, failed or cancelled. Raises ValueError; a run that is not over cannot be imported."""
    word = _word(text)
    if word in _UNDER_WAY:
        raise ValueError(t("{text!r}: a run that is not over yet cannot be imported", text=str(text)[:80]))
    if word not in _STATES:
        raise ValueError(t("{text!r} is no status (success, failed, cancelled)", text=str(text)[:80]))
    return _STATES[word]


def _reason(text: str, _context: Any = None) -> str:
    word = _word(text)
    reasons = RUN_FIELDS["failure_reason"]["values"]
    if word not in reasons:
        raise ValueError(
            t("{text!r} is no failure reason ({reasons})", text=str(text)[:80], reasons=", ".join(reasons))
        )
    return word


def _model(text: str, _context: Any = None) -> str:
    word = _word(text)
    if re.search(r"llm|llama|mistral|gpt|qwen(?!.?image)|language|text|语言", word):
        return "llm"
    if re.search(r"sd|stable|diffusion|flux|xl|image|video|wan|pony|图|视频|扩散", word):
        return "stable-diffusion"
    raise ValueError(t("{text!r} is no model type (stable-diffusion, llm)", text=str(text)[:80]))


def _precision(text: str, _context: Any = None) -> str:
    word = plain_name(text)
    known = {"fp16": "fp16", "float16": "fp16", "half": "fp16", "bf16": "bf16", "bfloat16": "bf16", "no": "no", "none": "no",
             "fp32": "no", "float32": "no", "full": "no"}  # fmt: skip
    if word not in known:
        raise ValueError(t("{text!r} is no precision (fp16, bf16, no)", text=str(text)[:80]))
    return known[word]


def _tags(text: str, _context: Any = None) -> dict[str, str]:
    """{name: value} of JSON, or of words with commas or semicolons between."""
    value = _json(text) if str(text).lstrip()[:1] in ("{", "[") else None
    if isinstance(value, dict):
        return {str(k)[:100]: str(v)[:1000] for k, v in list(value.items())[:100] if str(k)}
    words = value if isinstance(value, list) else re.split(r"[,;，；、|]", str(text), maxsplit=100)
    return {str(w).strip()[:100]: "yes" for w in words[:100] if str(w).strip()}


def _json(text: str, _context: Any = None) -> Any:
    try:
        return loads(str(text))
    except ValueError:
        raise ValueError(t("it is no JSON")) from None


def _command(text: str, _context: Any = None) -> list[str]:
    if len(str(text)) > LONGEST_COMMAND:
        # Splitting as a shell does takes time with the square of the longest word.
        return str(text).split()
    if str(text).lstrip().startswith("["):
        value = _json(text)
        if isinstance(value, list):
            return [str(word) for word in value]
    try:
        return shlex.split(str(text))
    except ValueError:
        return str(text).split()


_KINDS = {
    "number": number, "whole": number, "time": time, "duration": duration, "status": status, "reason": _reason,
    "model": _model, "precision": _precision, "tags": _tags, "json": _json, "command": _command,
    "text": lambda text, _context=None: str(text).strip(),
}  # fmt: skip


def parse(field: str, text: str, context: Context | None = None) -> Any:
    """The field's value out of a text as people write it. Raises ValueError with the reason in plain words."""
    kind, bounds = FIELDS[field]
    value: Any = _KINDS[kind](text, context)
    if kind == "whole":
        if value != int(value) or abs(value) >= 2**53:
            raise ValueError(t("{text!r} is no whole number", text=str(text)[:80]))
        value = int(value)
    if kind == "text":
        return value[:bounds]
    if isinstance(bounds, tuple):
        low, high = bounds
        if (low is not None and value < low) or (high is not None and value > high):
            between = (
                t("between {low} and {high}", low=low, high=high) if high is not None else t("{low} or more", low=low)
            )
            raise ValueError(
                t("{text!r} is out of range: {field} is {between}", text=str(text)[:80], field=field, between=between)
            )
    return value


def arch_of(text: str) -> str | None:
    """The architecture that a text begins with, or None."""
    word = re.sub(r"[\s_-]+", " ", _word(str(text)[:LONGEST_VALUE]))
    return next((arch for pattern, arch in _ARCHS if pattern.match(word)), None)
