"""Replaces secrets by `[redacted]` before anything leaves this machine; the ledger does the same again."""

import re

MARK = "[redacted]"

_SECRET_OPTIONS = {
    "hf_token",
    "huggingface_token",
    "hub_token",
    "wandb_api_key",
    "api_key",
    "apikey",
    "api_token",
    "access_token",
    "auth_token",
    "token",
    "password",
    "passwd",
    "secret",
    "secret_key",
    "client_secret",
    "ledger_key",
    "civitai_api_key",
    "aws_secret_access_key",
    "comet_api_key",
}

TOKEN_SHAPES = re.compile(
    rb"hf_[A-Za-z0-9]{20,}"
    rb"|sk-[A-Za-z0-9_-]{20,}"
    rb"|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}"
    rb"|xox[abpr]-[A-Za-z0-9-]{10,}"
    rb"|AKIA[A-Z0-9]{16}"
    rb"|eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"
)


def redact_bytes(data):
    """Replaces known token shapes (Hugging Face, OpenAI, GitHub, Slack, AWS, JWT)."""
    return TOKEN_SHAPES.sub(MARK.encode(), data)


def redact_text(text):
    """Like `redact_bytes`, for a string."""
    return redact_bytes(text.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")


def _is_secret(name):
    return name.lstrip("-").replace("-", "_").lower() in _SECRET_OPTIONS


def redact_command(command):
    """The argument list with the values of secret options and known token shapes replaced."""
    clean = []
    hide_next = False
    for argument in command:
        if hide_next and not argument.startswith("--"):
            clean.append(MARK if argument else argument)
            hide_next = False
            continue
        hide_next = False
        name, equals, value = argument.partition("=")
        if equals and value and _is_secret(name):
            clean.append(f"{name}={MARK}")
            continue
        hide_next = argument.startswith("-") and not equals and _is_secret(argument)
        clean.append(redact_text(argument))
    return clean
