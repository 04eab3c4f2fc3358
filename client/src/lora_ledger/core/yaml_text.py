"""Reads YAML's single texts and signs: where a line begins, comments, scalars of all styles, anchors' names, tags."""

from __future__ import annotations

import re

from . import yaml_scalars
from .errors import NoYamlError
from .language import t

MARK = "[redacted]"
# Stands in the mark's place, which YAML takes for a list; private characters, so that nobody writes it.
MASK = "\ue000redacted\ue000"

BREAK = "\n\u2028\u2029"
BLANK = " \t\n\u2028\u2029\0"
_NOT_PRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_COMMENT = rf"(?:#[^{BREAK}\0]*)?"
_SKIP = re.compile(rf"(?: *{_COMMENT}[{BREAK}])* *{_COMMENT}")
ENDS = re.compile(rf"(?:---|\.\.\.)(?=[{BLANK}])")
_ENDS_IN = re.compile(rf"[{BREAK}](?:---|\.\.\.)(?=[{BLANK}])")
COLON = re.compile(rf" *:(?=[{BLANK}])")
_DOUBLE = re.compile(r'"([^"\\]*(?:\\.[^"\\]*)*)"', re.S)
_SINGLE = re.compile(r"'([^']*(?:''[^']*)*)'")
_ANCHOR = re.compile(rf"[0-9A-Za-z_-]+(?=[{BLANK}?:,\]}}%@`])")
_TAG = re.compile(
    rf"!(?:<([-\w;/?:@&=+$,.!~*'()\[\]%]+)>|([0-9A-Za-z_-]*!)?([-\w;/?:@&=+$,.!~*'()\[\]%]*))(?=[ {BREAK}\0])",
    re.ASCII,
)
# One line's part of a plain scalar.
PLAIN = re.compile(rf"(?: *(?!(?<= )#)(?:[^{BLANK}:]+|:(?![{BLANK}])))+")
FLOW_PLAIN = re.compile(rf"(?: *(?!(?<= )#)(?:[^{BLANK}:,?\[\]{{}}]+|:(?![{BLANK},\[\]{{}}])))+")
_NEXT_LINE = re.compile(rf" *(?:[{BREAK}] *)+")
_TEXT_HEAD = re.compile(rf"[|>](?:([+-])([0-9])?|([0-9])([+-])?)?(?=[ {BREAK}\0]) *{_COMMENT}(?=[{BREAK}\0])")
_LEAD = re.compile(rf"[ {BREAK}]*")
_LINE = re.compile(rf"[^{BREAK}\0]*")
_LINE_END = re.compile(rf"[{BREAK}]")
DIRECTIVE = re.compile(rf"%([\w-]+)(?=[ {BREAK}\0])([^{BREAK}\0]*)", re.ASCII)
NO_START = set("-?:,[]{}#&*!|>'\"%@`\0 \t" + BREAK)


def _run(pattern: re.Pattern[str], text: str, at: int = 0) -> str:
    match = pattern.match(text, at)
    return match[0] if match else ""


class YamlText:
    """A place in a YAML text, which the methods go on from. They raise NoYamlError, whose message names the line."""

    def __init__(self, text: str) -> None:
        text = text[1:] if text.startswith("\ufeff") else text
        text = text.replace(MARK, MASK).replace("\r\n", "\n").replace("\r", "\n").replace("\x85", "\n")
        self.text = text + "\0"
        self.at: int = 0
        # Where the current line begins.
        self.line: int = 0
        # Whether a block collection may begin here.
        self.fresh = True
        odd = _NOT_PRINTABLE.search(text)
        if odd:
            raise self.fault(t("the character #x{code:04x} is none that YAML allows", code=ord(odd[0])), odd.start())

    def fault(self, reason: str, at: int | None = None) -> NoYamlError:
        """The error to raise, with the line of the place `at`, which is this one unless given."""
        line = sum(self.text.count(mark, 0, self.at if at is None else at) for mark in BREAK) + 1
        return NoYamlError(t("line {line}: {reason}", line=line, reason=reason))

    def unexpected(self) -> NoYamlError:
        """The error for what stands here."""
        letter = self.text[self.at]
        if letter == "\0":
            return self.fault(t("the text ends too early"))
        if letter == "\t":
            return self.fault(t("a tab stands where only spaces may"))
        return self.fault(t("unexpected {text!r}", text=_run(_LINE, self.text[self.at : self.at + 20])))

    def skip(self) -> bool:
        """Goes on to the next token; whether it stands on another line."""
        return self.move(self.at + len(_run(_SKIP, self.text, self.at)))

    def move(self, end: int) -> bool:
        """Goes on to a place; whether it is on another line."""
        last = max(self.text.rfind(mark, self.at, end) for mark in BREAK)
        self.at = end
        if last < 0:
            return False
        self.line = last + 1
        self.fresh = True
        return True

    def column(self) -> int:
        return self.at - self.line

    def over(self) -> bool:
        """Whether the document ends here."""
        return self.text[self.at] == "\0" or bool(self.at == self.line and ENDS.match(self.text, self.at))

    def mark(self, letter: str) -> bool:
        """Whether the sign stands here with a blank behind it."""
        return self.text[self.at] == letter and self.text[self.at + 1] in BLANK

    def anchor(self) -> str:
        """The name behind the sign & or * that stands here."""
        match = _ANCHOR.match(self.text, self.at + 1)
        if not match:
            raise self.fault(t("an anchor or alias needs a name of letters, digits, - and _"))
        self.at = match.end()
        return match[0]

    def tag(self) -> tuple[str | None, str]:
        """(handle such as `!!`, the rest) of the tag that stands here; (None, all of it) where it is written out."""
        match = _TAG.match(self.text, self.at)
        if not match or (match[2] and not match[3]):
            raise self.fault(t("a tag cannot be read"))
        self.at = match.end()
        if match[1] or not match[3]:
            return None, match[1] or "!"
        return f"!{match[2] or ''}", match[3]

    def quoted(self) -> str:
        """The text between the quotes that begin here."""
        quote = self.text[self.at]
        match = (_DOUBLE if quote == '"' else _SINGLE).match(self.text, self.at)
        if not match:
            raise self.fault(t("a quote is not closed"))
        if _ENDS_IN.search(self.text, self.at, match.end()):
            raise self.fault(t("a quote is not closed before the document ends"))
        try:
            text = yaml_scalars.double(match[1]) if quote == '"' else yaml_scalars.single(match[1])
        except NoYamlError as error:
            raise self.fault(str(error)) from None
        self.move(match.end())
        self.fresh = False
        return text

    def plain(self, one_line: re.Pattern[str], indent: int | None) -> str:
        """A plain scalar; its lines end where one is not deeper than `indent` (None: within brackets)."""
        parts: list[str] = []
        while True:
            match = one_line.match(self.text, self.at)
            if not match:
                break
            parts.append(match[0])
            self.at = match.end()
            breaks = _NEXT_LINE.match(self.text, self.at)
            if not breaks:
                break
            kept = (self.at, self.line)
            if self._ends_plain(breaks, indent):
                self.at, self.line = kept
                break
            lines = breaks[0].replace(" ", "")
            parts.append((lines[1:] or " ") if lines[0] == "\n" else lines)
            if self.text[self.at] == "#" or not one_line.match(self.text, self.at):
                parts.pop()
                self.at, self.line = kept
                break
        self.fresh = False
        return "".join(parts)

    def _ends_plain(self, breaks: re.Match[str], indent: int | None) -> bool:
        if _ENDS_IN.search(self.text, breaks.start(), min(breaks.end() + 4, len(self.text))):
            return True
        self.move(breaks.end())
        return indent is not None and self.column() <= indent

    def lines_below(self, indent: int) -> str:
        """A `|` or `>` text, up to the beginning of the line behind it."""
        head = _TEXT_HEAD.match(self.text, self.at)
        digit = head and (head[2] or head[3])
        if not head or digit == "0":
            raise self.fault(t("behind `{mark}` only 1 to 9, + and - may stand", mark=self.text[self.at]))
        folded, chomp = head[0][0] == ">", head[1] or head[4]
        at = min(head.end() + 1, len(self.text) - 1)
        deep = max(indent + 1, 1)
        if digit:
            deep += int(digit) - 1
        else:
            # As deep as its first line, or as a blank line above that.
            deep = max(deep, *map(len, _LINE_END.split(_run(_LEAD, self.text, at))))
        parts: list[str] = []
        ended, plainly = "", False
        while True:
            breaks, at = self._blank_lines(at, deep)
            begin = at + deep
            if not self.text.startswith(" " * deep, at) or self.text[begin] == "\0":
                break
            text = _run(_LINE, self.text, begin)
            was, plainly = plainly, text[0] not in " \t"
            if folded and ended == "\n" and was and plainly:
                parts.append("" if breaks else " ")
            else:
                parts.append(ended)
            parts += [breaks, text]
            at = begin + len(text)
            ended = "" if self.text[at] == "\0" else self.text[at]
            at += len(ended)
        parts += [ended if chomp != "-" else "", breaks if chomp == "+" else ""]
        self.at = self.line = at
        self.fresh = True
        return "".join(parts)

    def _blank_lines(self, at: int, deep: int) -> tuple[str, int]:
        """(the ends of lines that hold at most `deep` spaces and nothing else, where the line behind them begins)."""
        breaks: list[str] = []
        while True:
            end = at
            while end - at < deep and self.text[end] == " ":
                end += 1
            if self.text[end] not in BREAK:
                return "".join(breaks), at
            breaks.append(self.text[end])
            at = end + 1
