"""General rules for lines that tell a step and its loss, for trainers whose own forms nobody has written down.

Iter 10: Train loss 3.500, Learning Rate 1.000e-05, It/sec 1.022, …                              mlx-lm
Step 1 | loss:1.23 lr:0.0003 tokens_per_second_per_gpu:910.2                                     torchtune
 [2025-11-25 07:19:01] iteration 1/ 12 | … | learning rate: 4.9E-05 | lm loss: 2.3E+00 | …       Megatron-LM
iter 250: loss 1.9512, time 30.21ms, mfu 1.2%                                                    nanoGPT
Epoch [1/3], Step [100/500], Loss: 0.1234                                                        tutorials of PyTorch

A loss counts that is named behind a step on the same line. Losses of validation, means of an epoch, best and last ones
do not, nor do lines that report on something else.
"""

from __future__ import annotations

import re

NUMBER = r"[-+]?(?:nan|inf(?:inity)?|(?:\d[\d.]{0,40}|\.\d{1,40})(?:e[-+]?\d{1,5})?)"
LONGEST = 2000

_STEP = re.compile(
    r"(?<![\w.])(?:(?:global|train(?:ing)?|optimizer)[ _]?)?(?:iteration|iter|step)\s{0,2}[:=#]?\s{0,12}"
    r"\[?(\d{1,15})(?![\w.])(?:\s{0,4}(?:/|of)\s{0,12}(\d{1,15})(?![\w.]))?",
    re.I,
)
_EPOCH = re.compile(
    r"(?<![\w.])epoch\s{0,2}[:=#]?\s{0,4}\[?(\d{1,9}(?:\.\d{1,9})?)(?:\s{0,2}(?:/|of)\s{0,2}(\d{1,9}))?", re.I
)
# At most three words before `loss` belong to its name.
_LOSS = re.compile(
    r"(?<![\w/.-])((?:[A-Za-z][\w/.-]{0,40} ){0,3}?(?:[A-Za-z][\w/.]{0,40}[_/.-])?loss)(\s{0,4}[:=]\s{0,8}|\s{1,8})"
    rf"({NUMBER})(?![\w%])(?!\.\d)",
    re.I,
)
# Names that need no sign before their number, and go before other losses of a line.
_PLAINLY = ("loss", "train loss", "training loss", "total loss", "lm loss")
_OTHER = re.compile(
    r"(?<![\w/.-])(learning[ _]rate|lr|grad(?:ient)?[ _]norm)(?:\s{0,4}[:=]\s{0,8}|\s{1,8})"
    rf"({NUMBER})(?![\w%])(?!\.\d)",
    re.I,
)
_RATE = re.compile(r"(?:lr|learning[ _]?rate)(?:[_/]?\w{1,20})?|(?:train/)?lr|grad(?:ient)?[_ ]?norm|gnorm")
_JOINED = re.compile("[_/.-]")
# Words of a name that say that it is not the training loss of this step.
_NOT_TRAINING = re.compile(
    r"(?<![a-z])(?:val|valid|validation|eval|evaluation|test|dev|best|min|minimum|max|maximum|scale|prev|previous|last"
    r"|final|epoch|initial|target|lowest|ema|smooth|smoothed|total time|no)(?![a-z])",
    re.I,
)
# Words before the loss's name on a line that reports something else.
_REPORT = re.compile(
    r"(?<![a-z])(?:val|valid|validation|validating|eval|evaluate|evaluating|evaluation|test|testing|dev|sampling|resum\w{0,6}"
    r"|load\w{0,5}|sav\w{0,4}|checkpoint\w{0,5}|finish\w{0,3}|complete\w{0,2}|done|best|summary|average|warning|error"
    r"|skip\w{0,5}|early|expected|config)(?![a-z])",
    re.I,
)


def is_training_loss(name: str) -> bool:
    """Whether a series of that name, such as `global_avg_loss`, tells the training loss of one step."""
    plain = name.lower()
    return "loss" in plain and not _NOT_TRAINING.search(_JOINED.sub(" ", plain))


def best_loss(values: dict[str, float], known: tuple[str, ...]) -> str | None:
    """Which of a bar's values is the training loss: one of the known names, else the first whose name says so."""
    for name in known:
        if name in values:
            return name
    return next((name for name in values if is_training_loss(name)), None)


def is_report(text: str) -> bool:
    """Whether a bar's description, or a line's beginning, announces something else than a step of training."""
    return bool(_REPORT.search(_JOINED.sub(" ", text)))


def is_rate(name: str) -> bool:
    """Whether a bar's value is a series worth keeping beside the loss: a learning rate, or the gradients' norm."""
    return bool(_RATE.fullmatch(name.lower()))


def epoch_of(text: str) -> tuple[float | None, int | None]:
    """(epoch, number of epochs) of `Epoch 1/3`, `epoch: 2` and the like; None for what is not told."""
    found = _EPOCH.search(text)
    return (float(found[1]), int(found[2]) if found[2] else None) if found else (None, None)


def read_told(line: str) -> dict[str, float] | None:
    """{"step", "total", "loss", "epoch", "total_epochs", other series} of a line that tells a step and the loss; else
    None. What the line does not tell is left out.
    """
    if len(line) > LONGEST:
        return None
    step = _STEP.search(line)
    if not step:
        return None
    losses = list(_LOSS.finditer(line, step.end()))
    if not losses or is_report(line[: losses[0].start()]):
        return None
    named = [(_JOINED.sub(" ", match[1].lower()), match) for match in losses]
    named = [one for one in named if is_training_loss(one[0]) and (one[0] in _PLAINLY or one[1][2].strip())]
    if not named:
        return None
    _, loss = min(named, key=lambda one: one[0] not in _PLAINLY)
    found = {"step": float(step[1]), "loss": _number(loss[3])}
    if step[2]:
        found["total"] = float(step[2])
    epoch, epochs = epoch_of(line[: loss.start()])
    if epoch is not None:
        found["epoch"] = epoch
        if epochs:
            found["total_epochs"] = epochs
    for match in _OTHER.finditer(line, step.end()):
        name = re.sub(" ", "_", match[1].lower()).replace("gradient_", "grad_")
        found.setdefault(name, _number(match[2]))
    return {name: value for name, value in found.items() if value is not None} if found["loss"] is not None else None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        # 1.2.3
        return None
