"""Reads the subset of YAML that trainers' configuration files use, without a YAML package.

Nested mappings, lists (block and `[a, b]`), scalars plain and quoted, comments, `|` and `>` texts, one document. What
goes beyond (anchors, tags, `{…}` over lines) reads as plain text: the ledger itself reads the file in full, here only
paths and names are looked for.
"""

import re

_NUMBER = re.compile(r"[-+]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?$")
_DOUBLE = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.S)
_SINGLE = re.compile(r"'[^']*(?:''[^']*)*'")
_COLON = re.compile(r":(?=\s|$)")
_WORDS = {"true": True, "false": False, "null": None, "~": None, "": None}
_ESCAPE = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "\\": "\\", '"': '"', "/": "/"}
# Characters that are read; what lies behind is none of what is looked for here.
LIMIT = 500_000
DEPTH = 40
# How deep `[…]` and `{…}` nest within one value; deeper ones stay text.
FLOW_DEPTH = 6
LONGEST_NUMBER = 100


def read_yaml(text):
    """The document as dicts, lists and scalars; None where it is neither a mapping nor a list. Never raises."""
    try:
        return _Reader(text[:LIMIT]).document()
    except (ValueError, IndexError, RecursionError):
        return None


def _key(text):
    """(key, what stands behind its colon) where the line begins a mapping's entry, else None."""
    first = text[:1]
    if first in ('"', "'"):
        quoted = (_DOUBLE if first == '"' else _SINGLE).match(text)
        end = quoted.end() if quoted else len(text)
        colon = _COLON.match(text, end + len(text[end:]) - len(text[end:].lstrip()))
    elif first in tuple("#[]{},"):
        return None
    else:
        colon = _COLON.search(text, 1)
        if colon and "#" in text[: colon.start()]:
            return None
    return (text[: colon.start()].rstrip(), text[colon.end() :].strip()) if colon else None


def scalar(text, depth=0):
    """A scalar's value: number, true, false, null, quoted or plain text, or a list in `[…]`."""
    text = text.strip()
    if text[:1] == '"':
        return _double(text)
    if text[:1] == "'":
        return text[1:-1].replace("''", "'") if text.endswith("'") and len(text) > 1 else text
    if depth < FLOW_DEPTH and text[:1] == "[" and text[-1:] == "]":
        return [scalar(part, depth + 1) for part in _split(text[1:-1])]
    if depth < FLOW_DEPTH and text[:1] == "{" and text[-1:] == "}":
        pairs = (part.partition(":") for part in _split(text[1:-1]))
        return {str(scalar(name, FLOW_DEPTH)): scalar(value, depth + 1) for name, _, value in pairs}
    if len(text) > LONGEST_NUMBER:
        return text
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if _NUMBER.match(text):
        plain = text.replace("_", "")
        return int(plain) if re.fullmatch(r"[-+]?\d+", plain) else float(plain)
    return text


def _double(text):
    inner = text[1:-1] if text.endswith('"') and len(text) > 1 else text[1:]
    return re.sub(r"\\(.)", lambda found: _ESCAPE.get(found[1], found[0]), inner)


def _split(text):
    """The parts between the commas that stand outside quotes and brackets."""
    parts, depth, quote, start = [], 0, "", 0
    for at, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        elif letter in "[{":
            depth += 1
        elif letter in "]}":
            depth -= 1
        elif letter == "," and not depth:
            parts.append(text[start:at])
            start = at + 1
    return [part for part in (*parts, text[start:]) if part.strip()]


def _without_comment(line):
    if "#" not in line:
        return line.rstrip()
    quote = ""
    for at, letter in enumerate(line):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'" and (at == 0 or line[at - 1] in " \t[,:{-"):
            quote = letter
        elif letter == "#" and (at == 0 or line[at - 1] in " \t"):
            return line[:at].rstrip()
    return line.rstrip()


class _Reader:
    def __init__(self, text):
        self.raw = text.lstrip("\ufeff").splitlines()
        self.lines = []
        for number, line in enumerate(self.raw):
            kept = _without_comment(line.expandtabs(2))
            if kept.strip() and not kept.startswith(("---", "...", "%")):
                self.lines.append((len(kept) - len(kept.lstrip()), kept.strip(), number))
        self.at = 0

    def document(self):
        if not self.lines:
            return None
        found = self.block(self.lines[0][0], 0)
        return found if isinstance(found, (dict, list)) else None

    def block(self, indent, depth):
        if depth > DEPTH:
            raise ValueError("nested too deeply")
        if self.lines[self.at][1].startswith("- ") or self.lines[self.at][1] == "-":
            return self.list(indent, depth)
        if _key(self.lines[self.at][1]):
            return self.mapping(indent, depth)
        value = self.lines[self.at][1]
        self.at += 1
        return scalar(value)

    def list(self, indent, depth):
        found = []
        while self.at < len(self.lines):
            at, text, number = self.lines[self.at]
            if at != indent or not (text.startswith("- ") or text == "-"):
                break
            rest = text[1:].lstrip()
            if not rest:
                self.at += 1
                found.append(self.nested(indent + 1, depth))
            elif rest[0] not in "\"'[{" and _key(rest) or rest.startswith("- "):
                # A mapping that begins on the dash's own line stands as deep as its first key.
                inner = at + len(text) - len(rest)
                self.lines[self.at] = (inner, rest, number)
                found.append(self.block(inner, depth + 1))
            else:
                self.at += 1
                found.append(self.value(rest, indent, number))
        return found

    def mapping(self, indent, depth):
        found = {}
        while self.at < len(self.lines):
            at, text, number = self.lines[self.at]
            entry = _key(text) if at == indent else None
            if not entry:
                if at > indent:
                    # Deeper than expected and no value of anything: left out.
                    self.at += 1
                    continue
                break
            self.at += 1
            name, rest = str(scalar(entry[0])), entry[1]
            if rest:
                found[name] = self.value(rest, indent, number)
            elif (
                self.at < len(self.lines)
                and self.lines[self.at][0] == indent
                and self.lines[self.at][1].startswith("- ")
            ):
                found[name] = self.list(indent, depth + 1)
            else:
                found[name] = self.nested(indent + 1, depth)
        return found

    def nested(self, least, depth):
        """The block below, when there is one at least so deep; else null."""
        if self.at < len(self.lines) and self.lines[self.at][0] >= least:
            return self.block(self.lines[self.at][0], depth + 1)
        return None

    def value(self, text, indent, number):
        if re.fullmatch(r"[|>][-+0-9]*", text):
            return self.text_block(text[0], indent, number)
        if text[:1] == "[" and text[-1:] != "]":
            parts = [text]
            while self.at < len(self.lines) and not parts[-1].endswith("]"):
                parts.append(self.lines[self.at][1])
                self.at += 1
            text = " ".join(parts)
        elif text[:1] not in "\"'[{":
            # A plain scalar may go on in deeper lines.
            parts = [text]
            while self.at < len(self.lines) and self.lines[self.at][0] > indent:
                parts.append(self.lines[self.at][1])
                self.at += 1
            text = " ".join(parts)
        return scalar(text)

    def text_block(self, style, indent, number):
        body = []
        for at in range(number + 1, len(self.raw)):
            line = self.raw[at]
            if line.strip() and len(line) - len(line.lstrip()) <= indent:
                break
            body.append(line.strip())
        last = number + len(body)
        while self.at < len(self.lines) and self.lines[self.at][2] <= last:
            self.at += 1
        return ("\n" if style == "|" else " ").join(body).strip()
