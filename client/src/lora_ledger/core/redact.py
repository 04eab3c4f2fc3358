"""Replaces secrets by `[redacted]` before anything leaves this machine; the ledger does the same again.

The rules are the service's (redact_rules.py). Everything works on bytes, so that a file keeps its encoding, and in
time that grows with the length alone.
"""

# Builds values of any kind, whose parts have no type that a checker could know.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import base64
import collections
import functools
import os
import re
from collections.abc import Iterable, Sequence
from re import Match, Pattern
from typing import Any

from .types import StrPath

MARK = "[redacted]"
_MARK = MARK.encode()
LONGEST_KEY = 80
REACH = 400
# No sentence has more between a secret's name and the secret, and no secret that it tells is shorter.
TOLD_REACH, SHORTEST = 80, 6

_QUOTES = b"\"'`"
_BLANKS = b" \t"
_SPACES = b" \t\r\n"


class Key:
    """A key whose values are secrets. `prose`: an everyday word too; `weak`: only values that look like a secret
    are."""

    __slots__ = ("name", "prose", "weak")

    def __init__(self, name: str, prose: bool = False, weak: bool = False) -> None:
        self.name, self.prose, self.weak = name, prose, weak


class _Rules:
    """The rules as sets and expressions, made at first use: importing the client takes no longer for them."""

    def __init__(self) -> None:
        from . import redact_rules as rules

        self.exact = set(rules.NAMES)
        self.flat = {name.replace("_", ""): name for name in rules.NAMES}
        self.prose, self.cores, self.issuers = set(rules.PROSE), set(rules.CORES), set(rules.ISSUERS)
        self.weak, self.harmless, self.suffixes = set(rules.WEAK), set(rules.HARMLESS), set(rules.SUFFIXES)
        self.query, self.nothing, self.sentence = set(rules.QUERY), set(rules.NOTHING), set(rules.SENTENCE)
        self.pair_names, self.pair_values = list(rules.PAIR_NAMES), set(rules.PAIR_VALUES)
        self.programs = {}
        for program, *rest in rules.PROGRAMS:
            self.programs.setdefault(program, []).append(rest)
        classes = {name: f"[{ranges}]" for name, ranges in rules.CLASSES.items()}
        shapes = [
            f"{re.escape(prefix)}{classes[of]}{{{least},}}{'(?![0-9A-Za-z_])' if exact else ''}"
            for prefix, least, of, exact in sorted(rules.SHAPES, key=lambda shape: -len(shape[0]))
            if not prefix.endswith(" ")
        ]
        self.prefixes = {prefix.encode() for prefix, *_ in rules.SHAPES}
        # Of `Bearer x` and `wandb login x` the words stay, and prose has no digits there.
        spoken = [
            f"(?<={re.escape(prefix)})(?={classes[of]}{{0,127}}[0-9]){classes[of]}{{{least},}}"
            for prefix, least, of, _ in rules.SHAPES
            if prefix.endswith(" ")
        ]
        begins = r"(?:(?<![0-9A-Za-z_])|(?<=\\[nrt])|(?<=%[0-9A-Fa-f]{2}))"
        jwt = "eyJ(?=([0-9A-Za-z_-]{9,}))\\1\\.(?=([0-9A-Za-z_-]{7,}))\\2\\.[0-9A-Za-z_-]*"
        # A ledger key may name a run behind it.
        jwt += "(?:\\.run[0-9]{1,15}(?![0-9A-Za-z_-]))?"
        telegram = "(?<![0-9])[0-9]{8,10}:AA[0-9A-Za-z_-]{32,}"
        basic = "(?<=Basic )(?=[0-9A-Za-z+/=_-]{12,200})[0-9A-Za-z+/=_-]+"
        # No token of this kind begins within another, so that each is looked at once.
        jwt = begins.replace("0-9A-Za-z_", "0-9A-Za-z_-", 1) + jwt
        self.shapes = _compile("|".join([jwt, f"{begins}(?:{'|'.join(shapes)})", *spoken, telegram]))
        self.basic = _compile(basic)
        places = "|".join(re.escape(place) for place in rules.WEBHOOKS)
        self.webhook = _compile(f"://(?:{places})([^ \\t\\r\\n,;&)\\]}}\"'`<>]{{8,}})")
        # The authority of an address, up to its last @.
        self.login = _compile("://([^\\s/\"'`<]{1,1024})@")
        words = "|".join(
            sorted({name.rpartition("_")[2] for name in [*rules.NAMES, *rules.CORES, *rules.WEAK]}, key=len)
        )
        # For texts in small letters: ignoring case would take several times as long.
        self.spoken = _compile(f"(?:{words})[0-9a-z_-]{{0,12}}(?= )")
        # The name, a sign, and a word in ASCII.
        self.chinese = _compile(f"({'|'.join(rules.CHINESE)}) ?(?:是|为|：|:|=) ?([!#-%(*+\\--:=?-\\\\^_a-|]{{1,512}})")
        programs = "|".join(re.escape(name) for name in sorted(self.programs, key=len, reverse=True))
        self.option = _compile(f"(?<![0-9A-Za-z_])({programs})(?![0-9A-Za-z_-])|(?<![0-9A-Za-z_-])--?[A-Za-z][a-z-]*")


def _compile(text: str) -> Pattern[bytes]:
    return re.compile(text.encode())


@functools.lru_cache(maxsize=1)
def _rules() -> _Rules:
    return _Rules()


@functools.lru_cache(maxsize=5000)
def secret_key(name: str) -> Key | None:
    """The Key of this name, if its values are secrets. Whole words of the name decide, never parts of them."""
    if not 3 <= len(name) <= LONGEST_KEY or not name.isascii():
        return None
    rules = _rules()
    parts = [p for p in re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).replace("-", "_").lower().split("_") if p]
    while len(parts) > 1 and parts[-1] in rules.suffixes:
        parts.pop()
    if not parts:
        return None
    parts[-1] = last = re.sub(r"(?<=[a-z]{3})[0-9]{1,2}$", "", parts[-1])
    whole = "_".join(parts)
    if whole in rules.exact:
        return Key(whole, prose=whole in rules.prose)
    flat = rules.flat.get("".join(parts))
    if flat and not re.search("[_-]", name):
        return Key(flat)
    before = parts[-2] if len(parts) > 1 else ""
    if last in rules.cores or f"{before}_{last}" in rules.cores:
        return Key(whole)
    if last not in rules.weak:
        return None
    if last in ("token", "key") and before in rules.issuers:
        return Key(whole)
    return None if any(part in rules.harmless for part in parts) else Key(whole, weak=True)


# References and blanks to fill in: `${HF_TOKEN}`, `%TOKEN%`, `<your token>`, `hf_...`.
_PLACEHOLDER = re.compile(
    r"(?:\$\{[^{}]*\}|\$\w*[A-Z_]{3}\w*|\$env:\w+|\{\{[^{}]*\}\}|\{\w+\}|%\w+%|<[^<>]*>|your[-_ ][\w "
    r"-]*|(?:[a-z]{2,4}[-_])?(?:x{3,}|\*{3,}|\.{3,}))\Z",
    re.I | re.A,
)
# Beginnings of expressions that fetch a secret: none of them holds one.
_REFERENCE = re.compile(
    r"os\.(?:environ|getenv)|getenv\(|process\.env|env[.(]|secrets\.|self\.|args\.|opt(?:ion)?s?\.|c(?:on)?fi?g\.|settings\.|!(?:env|secret|vault|ref|include)\b|\$\(|\$\{|\{\{"
)
_PROSE_NUMBER = re.compile(r"[-+\d._e]*\Z", re.I | re.A)
# Counts and weights of words, as texts hold them: `{"password": 3}`, `(password:1.2)`.
_COUNT = re.compile(r"[-+]?\d{0,3}(?:\.\d+)?\Z", re.A)
_DOTTED = re.compile(r"[a-z_]+(?:\.[a-z_]+)*\Z", re.I)
_LONG_HEX = re.compile("[0-9a-fA-F]{64}\\Z")
_PASSWORD_NAME = re.compile(r"(?:pass(?:word|wd|phrase|code)?|pwd|_pw)\Z")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z", re.I)
_TURNS = re.compile(r"[a-z](?=[0-9])|[0-9](?=[a-z])", re.I)


def is_secret_value(value: Any, key: Key) -> bool:
    """Whether a value under a secret key is worth hiding; empty values and references are not."""
    text = value.strip()
    if not re.search(r"[a-z0-9\u0080-\uffff]", text, re.I):
        return False
    if len(text) <= 9 and text.lower() in _rules().nothing:
        return False
    if text.startswith(("[redacted", "://[redacted")):
        return False
    if len(text) < 200 and (_PLACEHOLDER.match(text) or _REFERENCE.match(text)):
        return False
    # Code that passes a secret on by its name: `login(token=hf_token)`.
    if len(text) <= LONGEST_KEY and _DOTTED.match(text) and secret_key(text.rpartition(".")[2]):
        return False
    if key.weak:
        return is_random(text)
    return not (key.prose and len(text) <= 12 and _PROSE_NUMBER.match(text))


def is_random(text: str) -> bool:
    """Whether it looks drawn by chance, as keys are; names of files and layers, UUIDs and SHA-256 hashes do not."""
    if len(text) < 16 or not re.fullmatch(r"[\w+~-]{16,512}={0,2}", text, re.A):
        return False
    if re.fullmatch(r"[0-9a-fA-F]{64}", text) or _UUID.match(text):
        return False
    digits, turns = sum(c.isdigit() for c in text), len(_TURNS.findall(text))
    if digits < 3 or turns < 3:
        return digits > 0 and _is_mixed(text)
    if re.search(r"[0-9a-zA-Z]{16}", text):
        return True
    return len(text) >= 20 and turns >= 4 and text.lower() != text and text.upper() != text


def _is_mixed(text: str) -> bool:
    """Few digits, but capitals beside capitals and small letters as no name in camel case has them."""
    if len(text) < 24 or not text.isalnum():
        return False
    changes = len(re.findall("[a-z](?=[A-Z])|[A-Z](?=[a-z])", text))
    return changes >= len(text) * 0.3 and len(re.findall("[A-Z](?=[A-Z])", text)) >= 3


def _is_password(key: Key) -> bool:
    return bool(_PASSWORD_NAME.search(key.name))


def _is_long_key(text: str, key: Key) -> bool:
    """As SHA-256 hashes look, under a name that no hash has."""
    named = secret_key(key.name)
    return bool(_LONG_HEX.match(text)) and not (named and named.weak)


def _is_told(text: str, key: Key) -> bool:
    """Whether this is what a sentence tells under the key's name."""
    return _looks_chosen(text) if _is_password(key) else is_random(text) or _is_long_key(text, key)


def _looks_chosen(text: str) -> bool:
    return len(text) >= 6 and bool(re.search("[a-zA-Z]", text) and re.search(r"[0-9!@#$%^&*+=?~|]", text))


def _looks_mixed(text: str) -> bool:
    """Letters and digits mixed, and long: a token rather than a word of a sentence."""
    return bool(
        len(text) >= 8
        and re.search("[a-zA-Z]", text)
        and re.search("[0-9]", text)
        and re.fullmatch(r"[\w.+/=-]+", text, re.A)
    )


# A name before `=`, `:` or their encoded forms. The repeated group keeps the search from going back.
_KEYED = re.compile(
    rb"""(?<![0-9A-Za-z_-])(?=([0-9A-Za-z_-]+))\1(\\?["'`]|%2[27])?(?:(?<=["'`])\])?[ \t]{0,64}(=|:|%3[DdAa])"""
)
_WORD_END = re.compile(rb"""[ \t\r\n,;&)\]}"'`<>]""")
_PLAIN_END = re.compile(rb"[ \t]#|[\r\n]")
_FLOW_END = re.compile(rb"[ \t]#|[\r\n,}\]]")
_LINE_END = re.compile(rb"[\r\n]")
_TEXT_LINE = re.compile(rb"(?:\r\n?|\n)(?:[ \t]*(?:\r\n?|\n))*([ \t]*)(?=[^ \t\r\n])")
_MAPPING = re.compile(rb"""["'`]?[0-9A-Za-z_-]{1,199}["'`]?:(?:[ \t\r\n]|\Z)""")
_WEAK_VALUE = re.compile(rb"""\\?["'`]?([0-9A-Za-z_+~-]{16,512}={0,2})(?=[ \t\r\n,;&)\]}"'`<>\\#]|\Z)""")
_NAMED = re.compile(rb"""[ \t\r\n]{0,64}\\?["'`]?([0-9A-Za-z_-]{3,80})""")
_ENCODED_VALUE = re.compile(rb"""(?:%20)*(?:%2[27])?((?:[^ \t\r\n,;&)\]}"'`<>%]|%(?!2[2-7Cc]|7[Dd]|20|0[Aa]))+)""")
_LINK = re.compile(rb"(?:(?:is|was|are|set to|to be|=>|->|of|\||\xe2\x94\x82)(?: now)?:? +){1,2}")
_LOGIN = re.compile(rb" login \S{1,80} $")
# A value behind its quoted name in a call: `setenv("HF_TOKEN", "…")`.
_LISTED = re.compile(rb"""(["'`])([0-9A-Za-z_-]{3,80})\1,(?=[ \t]*["'`])""")
# A sign of a sentence behind which a secret may follow that it named before.
_TOLD = re.compile(rb""":(?=[ \t])|(?<![0-9A-Za-z_-])is(?= )""")
_OPENING = re.compile(rb"""\\?["'`]?""")
_KEY_BEGIN = re.compile(rb"-----BEGIN ([A-Z0-9 ]{0,37})-----")
_KEY_BLOCK = re.compile(rb"[0-9A-Za-z+/=\\ \t\r\n:,-]*?(?=-----END |\Z|[^0-9A-Za-z+/=\\ \t\r\n:,-])")
_KEY_END = re.compile(rb"-----END [A-Z0-9 ]{0,37}-*")
_ONLY_END = re.compile(rb"-----END [A-Z0-9 ]{0,30}PRIVATE KEY")
_KEY_LINE = re.compile(rb"[0-9A-Za-z+/=]{1,80}")
_NAME_CHARS = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_-"
_PROGRAM_VALUE = re.compile(rb"""["'`]?,?[ \t]{0,64}=?(?:(["'`])([^\r\n]{1,512}?)\1|([^ \t\r\n,;&)\]}"'`<>]{1,512}))""")
_PASSWORD = Key("password")


class _Scan:
    """One look through a text. `anywhere`: a log or message, where a key may be in the middle of a line."""

    def __init__(self, data: bytes, anywhere: bool) -> None:
        self.data = data
        self.anywhere = anywhere
        self.found = []
        self.pair = None
        self.value_at = None
        # Where sentences named a secret that does not follow at once: (from, to).
        self.told = []
        self.logins = collections.deque()

    def spans(self) -> list[tuple[int, int, bool]]:
        """(from, to, whether the mark needs quotes of its own) of each secret, in order and apart."""
        data, rules = self.data, _rules()
        if b"-----" in data:
            self._private_keys()
        for match in rules.shapes.finditer(data):
            # `hf_xxxxxxxx`, as examples have it, is none.
            if match.group().rstrip(b"xX") not in rules.prefixes:
                self._add(*match.span())
        for match in rules.basic.finditer(data):
            text = match.group()
            if re.search(b"[a-z]", text) and re.search(b"[A-Z]", text) and re.search(b"[0-9=]", text):
                self._add(*match.span())
        if b"://" in data:
            self._addresses()
        at = 0
        for match in _KEYED.finditer(data):
            if match.start(3) >= at and not self._in_login(match.start(3)):
                at = (self._encoded if match[3][:1] == b"%" else self._keyed)(match) or at
        at = 0
        for match in rules.spoken.finditer(data.lower()):
            if match.start() >= at:
                at = self._spoken(match.end()) or at
        if self.anywhere:
            self._later()
            self._chinese()
        for match in _LISTED.finditer(data):
            key = secret_key(match[2].decode())
            if key:
                self._weak(match.end(), key)
        self._options()
        spans = []
        for start, end, quoted in sorted(self.found):
            if spans and start < spans[-1][1]:
                start, quoted = spans[-1][0], spans[-1][2]
                end = max(end, spans.pop()[1])
            spans.append((start, end, quoted))
        return spans

    def _add(self, start: int, end: int, quoted: bool = False) -> None:
        self.found.append((start, end, quoted))

    def _add_if_secret(self, start: int, end: int, key: Key, quoted: bool = False) -> None:
        # Long values are judged by their beginning.
        text = self._text(start, min(end, start + 256))
        if end > start and is_secret_value(text, key) and not (self.anywhere and _COUNT.match(text)):
            self._add(start, end, quoted)

    def _text(self, start: int, end: int) -> str:
        return self.data[start:end].decode("latin-1")

    def _end(self, pattern: Pattern[bytes], start: int, most: int | None = None) -> int:
        match = pattern.search(self.data, start, len(self.data) if most is None else min(len(self.data), start + most))
        return match.start() if match else len(self.data) if most is None else min(len(self.data), start + most)

    def _skip(self, start: int, of: bytes = _BLANKS) -> int:
        data = self.data
        while start < len(data) and data[start] in of:
            start += 1
        return start

    def _private_keys(self) -> None:
        data, at = self.data, 0
        while True:
            match = _KEY_BEGIN.search(data, at)
            if not match:
                break
            at = match.end()
            if match[1].endswith(b"PRIVATE KEY"):
                at = _end_of(_KEY_BLOCK, data, at)
                closing = _KEY_END.match(data, at)
                at = closing.end() if closing else at
                self._add(match.start(), match.start() + len(data[match.start() : at].rstrip()))
        least = 0
        for match in _ONLY_END.finditer(data):
            # The rest of a key whose beginning is cut off.
            start = match.start()
            for _ in range(80):
                end = start - 1 if data[start - 1 : start] == b"\n" else least
                line = max(data.rfind(b"\n", max(least, end - 82), max(least, end)) + 1, least)
                if not _KEY_LINE.fullmatch(data[line:end].rstrip(b"\r")):
                    break
                start = line
            if start < match.start():
                self._add(start, start + len(data[start : match.start()].rstrip()))
            least = match.end()

    def _addresses(self) -> None:
        rules = _rules()
        for match in rules.webhook.finditer(self.data):
            if not match[1].startswith(_MARK):
                self._add(*match.span(1))
        for match in rules.login.finditer(self.data):
            self.logins.append(match.span(1))
            text = match[1].decode("latin-1")
            _, colon, password = text.partition(":")
            if colon and is_secret_value(password, _PASSWORD) or not colon and is_random(text):
                self._add(*match.span(1))

    def _in_login(self, at: int) -> int:
        """Whether it is within an address's user and password. Asked in ascending order."""
        while self.logins and self.logins[0][1] < at:
            self.logins.popleft()
        return bool(self.logins) and self.logins[0][0] <= at

    def _name(self, start: int, end: int) -> int:
        """Where the name in it begins: an escape's letters, an option's dashes and a list's hyphen are left out."""
        data = self.data
        before = data[start - 1 : start]
        if before == b"\\" and data[start : start + 1] in (b"n", b"r", b"t"):
            start += 1
        elif before == b"%" and re.match(rb"[0-9A-Fa-f]{2}", data[start : start + 2]):
            start += 2
        while start < end and data[start : start + 1] == b"-":
            start += 1
        return start

    def _encoded(self, match: Match[bytes]) -> int | None:
        """`token%3D…`, `%22hf_token%22%3A%22…`."""
        start = self._name(*match.span(1))
        key = secret_key(self._text(start, match.end(1)))
        # Only behind a key, since a value may be as long as the text.
        value = _ENCODED_VALUE.match(self.data, match.end()) if key else None
        if not key or not value:
            return None
        if not key.prose or _looks_mixed(self._text(*value.span(1))[:64]):
            self._add_if_secret(*value.span(1), key)
        return value.end()

    def _paired(self, word: str, start: int, at: int) -> Key | None:
        """The key that a value is meant for where its setting is named beside it, in either order."""
        rules, data = _rules(), self.data
        if word in rules.pair_names:
            named = _NAMED.match(data, at)
            key = secret_key(named[1].decode()) if named else None
            self.pair = (Key(key.name, weak=key.weak), named.end()) if key and named else None
            last, self.value_at = self.value_at, None
            if not key or last is None or start - last > REACH:
                return None
            value = self._short(last)
            if not re.search(b"[{}]", data[value[1] : start]):
                self._add_if_secret(*value, Key(key.name, weak=key.weak))
            return None
        if word not in rules.pair_values:
            return None
        pair, self.pair = self.pair, None
        if pair and start - pair[1] < REACH and not re.search(b"[{}]", data[pair[1] : start]):
            return pair[0]
        self.value_at = at
        return None

    def _short(self, at: int) -> tuple[int, int]:
        """The range of a short value, its quotes left out."""
        data = self.data
        at = self._skip(at, _SPACES)
        if data[at : at + 1] == b"\\":
            at += 1
        quote = data[at : at + 1]
        if quote and quote in _QUOTES:
            match = re.compile(rb"[\r\n\\" + quote + rb"]").search(data, at + 1, at + 513)
            return at + 1, match.start() if match else min(len(data), at + 513)
        return at, self._end(_WORD_END, at, 512)

    def _keyed(self, match: Match[bytes]) -> int | None:
        """What comes behind a `=` or `:`; returns where to go on."""
        if match.end(1) - match.start(1) < 3:
            return None
        data, anywhere = self.data, self.anywhere
        sign, after = match[3], match.end()
        start, end = self._name(*match.span(1)), match.end(1)
        name = self._text(start, end)
        query = start > 0 and data[start - 1 : start] in (b"?", b"&")
        key = self._paired(name.lower(), start, after)
        if not key:
            key = self._spoken_key(start, end) if anywhere else secret_key(name)
        if not key and query and name.lower().replace("-", "_") in _rules().query:
            key = Key(name.lower(), weak=name.lower() in ("key", "auth"))
        if not key:
            return None
        following = data[after : after + 1]
        arrow = sign == b"=" and following == b">"
        if arrow:
            after += 1
            following = data[after : after + 1]
        if following == b"=" or (sign == b":" and following and following in b":/"):
            return None
        if key.weak:
            return self._weak(after, key)
        quoted_key, escaped = bool(match[2]), bool(match[2]) and len(match[2]) > 1
        spaced = match.start(3) > (match.end(2) if quoted_key else end)
        tight = sign == b"=" and not arrow and not spaced and not (following and following in _SPACES)
        before = start - 1 - (len(match[2]) if quoted_key else 0)
        comment = flow = False
        opened = b""
        if before >= 0 and data[before] not in b"\r\n":
            adjacent = data[before] not in _BLANKS
            back = before
            while back >= 0 and data[back] in _BLANKS:
                back -= 1
            unit = data[back : back + 1] if back >= 0 else b"\n"
            usual = b"{,[#.;:&?(-\"'`|\r\n" if adjacent else b"{,[#;-|\r\n"
            if not (unit in usual or (tight and not adjacent) or (anywhere and not key.prose)):
                return self._weak(after, key) if anywhere else None
            comment, flow = unit == b"#", unit in (b"{", b",")
            if adjacent and not quoted_key and unit in (b'"', b"'", b"`"):
                opened = unit
        if sign == b":" and not anywhere and not quoted_key and following and following not in b" \t\r\n\"'`":
            return None
        at = self._skip(after)
        if quoted_key:
            at = self._skip(at, _SPACES)
        unit, second = data[at : at + 1], data[at + 1 : at + 2]
        if (escaped or anywhere or tight) and unit == b"\\" and second and second in _QUOTES:
            # JSON inside a string: its quotes are escaped, so the value ends at the next backslash.
            stop = self._end(re.compile(rb"[\\\r\n]"), at + 2)
            self._add_if_secret(at + 2, stop, key)
            return stop
        if second and second in _QUOTES and unit in (b"b", b"r", b"u"):
            at, unit = at + 1, second
        if unit in (b'"', b"'"):
            return self._quoted(at, key)
        if unit == b"`":
            at += 1
        if key.name.endswith("authorization"):
            scheme = re.compile(rb"(?:basic|bearer|token) (?=\S)", re.I).match(data, at)
            at = scheme.end() if scheme else at
        if unit == b"{":
            return None
        if unit == b"[" and not data.startswith(_MARK, at):
            return None if anywhere and key.prose else self._items(at + 1, key, comment or anywhere)
        as_word = anywhere or (tight and before >= 0 and data[before] not in b"\r\n")
        if opened and not as_word:
            # A header or setting that is a string as a whole, as in `-H "X-Api-Key: …"`.
            stop = self._end(re.compile(rb"[\r\n" + opened + rb"]"), at)
            # What goes on behind the word is a sentence: `"password: 123, on a note"`.
            if self._end(_WORD_END, at) == stop:
                self._add_if_secret(at, stop, key)
            return stop
        if as_word or comment:
            return self._word(match, at, key, comment and not as_word, tight, quoted_key, query)
        if sign == b":" and not flow and not quoted_key:
            line = max(data.rfind(b"\n", 0, start), data.rfind(b"\r", 0, start)) + 1
            return self._yaml(at, start - line, key)
        stop = self._plain(at, flow or quoted_key)
        # A vocabulary's entry: `"password": 3`.
        if quoted_key and _COUNT.match(self._text(at, min(stop, at + 8))):
            return stop
        self._add_if_secret(at, stop, key, quoted=bool(unit) and unit in b"0123456789-+.")
        return stop

    def _word(
        self, match: Match[bytes], at: int, key: Key, comment: bool, tight: bool, quoted_key: bool, query: bool
    ) -> int | None:
        """A value that ends with its word."""
        stop = self._end(_WORD_END, at)
        text = self._text(at, min(stop, at + 256))
        if comment:
            # Prose in a comment goes on behind the word; a commented-out setting does not.
            rest = self._skip(stop)
            if rest < len(self.data) and self.data[rest] not in b"\r\n#":
                return None
        if self.anywhere and key.prose and not query and not _looks_mixed(text[:64]):
            return None
        if self.anywhere and match[3] == b":" and not tight and not quoted_key and len(key.name) <= 12:
            rest = self._skip(stop)
            if text.isascii() and text.isalpha() and len(text) <= 40:
                goes_on = rest > stop and re.match(b"[0-9A-Za-z]", self.data[rest : rest + 1])
                if goes_on or text.lower() in _rules().sentence:
                    return None
        self._add_if_secret(at, stop, key)
        return stop

    def _quoted(self, at: int, key: Key) -> int:
        """A value that opens with a quote; returns where it ends, after the quote."""
        data = self.data
        quote = data[at : at + 1]
        triple = data.startswith(quote * 3, at)
        if not triple and data.startswith(quote * 2, at):
            return at + 2
        start = at + (3 if triple else 1)
        stop = _closing(quote, triple).match(data, start)
        if not stop:
            end = self._end(_LINE_END, start)
            self._add_if_secret(start, end, key)
            return end
        self._add_if_secret(start, stop.end() - (3 if triple else 1), key)
        return stop.end()

    def _plain(self, start: int, flow: bool) -> int:
        end = self._end(_FLOW_END if flow else _PLAIN_END, start)
        return start + len(self.data[start:end].rstrip())

    def _deeper(self, at: int, column: int) -> int | None:
        """The text of the next line that is not blank, if it is indented deeper than `column`; else None."""
        line = _TEXT_LINE.match(self.data, self._end(_LINE_END, at))
        return line.end() if line and len(line[1]) > column else None

    def _deeper_end(self, text: int, column: int) -> int:
        end, further = text, self._deeper
        at: int | None = text
        while at is not None:
            end = self._end(_LINE_END, at)
            at = further(end, column)
        return end

    def _yaml(self, at: int, column: int, key: Key) -> int:
        """A YAML value that may go on below its key: a block, a list, or a folded plain value."""
        data = self.data
        unit = data[at : at + 1]
        below = self._deeper(at, column)
        plain = unit not in (b"|", b">")
        if not plain or not unit or unit in b"\r\n#":
            if below is None or (plain and _MAPPING.match(data, below)):
                return at
            if plain and data[below] in _QUOTES[:2]:
                return self._quoted(below, key)
            if plain and data[below : below + 1] == b"-" and data[below + 1 : below + 2] in (b" ", b"\t"):
                return self._list(below, column, key)
            end = self._deeper_end(below, column)
            end = below + len(data[below:end].rstrip())
            self._add_if_secret(below, end, key)
            return end
        end = self._plain(at, False)
        if below is not None and (end >= len(data) or data[end] in b"\r\n") and not _MAPPING.match(data, below):
            end = self._deeper_end(below, column)
            end = at + len(data[at:end].rstrip())
        self._add_if_secret(at, end, key)
        return end

    def _list(self, item: Any, column: int, key: Key) -> int:
        """A YAML list under a secret key, up to where an item is a mapping with keys of its own."""
        end = item
        while item is not None:
            if self.data[item : item + 1] == b"-":
                item = self._skip(item + 1)
            if _MAPPING.match(self.data, item):
                return item
            if self.data[item : item + 1] in (b'"', b"'"):
                end = self._quoted(item, key)
            else:
                end = self._plain(item, False)
                self._add_if_secret(item, end, key)
            item = self._deeper(end, column)
        return end

    def _items(self, at: int, key: Key, one_line: bool) -> int:
        """`["a", "b"]` under a secret key."""
        data = self.data
        while at < len(data) and data[at : at + 1] != b"]":
            unit = data[at : at + 1]
            if one_line and unit in b"\r\n":
                return at
            if unit in (b'"', b"'"):
                at = self._quoted(at, key)
            elif unit in b" \t\r\n,":
                at += 1
            else:
                end = self._plain(at, True)
                self._add_if_secret(at, end, key)
                at = max(end, at + 1)
        return at

    def _spoken(self, end: int) -> int | None:
        """A secret behind its name in a sentence or a command: `logged in with key …`, `password is …`."""
        data = self.data
        word = data[max(0, end - LONGEST_KEY - 1) : end]
        start = self._name(end - len(word) + len(word.rstrip(_NAME_CHARS)), end)
        key = secret_key(self._text(start, end))
        if not key:
            return None
        at = self._skip(end)
        link = _LINK.match(data, at, at + 24)
        if link:
            at = link.end()
        quote = data[at : at + 1] if data[at : at + 1] in (b'"', b"'", b"`") else b""
        at += len(quote)
        stop = self._end(_WORD_END, at, 512)
        if quote and link and _is_password(key):
            closing = re.compile(rb"[\r\n" + quote + b"]").search(data, at, at + 129)
            stop = closing.start() if closing and closing.group() == quote else stop
        while stop > at and data[stop - 1] in b".,;:!?":
            stop -= 1
        self.told.append((start, end))
        if data[stop : stop + 1] in (b"=", b":") or (stop - at < SHORTEST and not _is_password(key)):
            return None
        found = self._spoken_key(start, end)
        if not found or stop == at:
            return None
        text = self._text(at, stop)
        login = not link and _is_password(found) and _LOGIN.search(data[max(0, start - 100) : start])
        if login or is_random(text) or (_is_told(text, found) if link else _is_long_key(text, found)):
            self.told.pop()
            self._add_if_secret(at, stop, Key(found.name))
            return stop
        return None

    def _spoken_key(self, start: int, end: int) -> Key | None:
        """The key that a sentence names: the word before may make it no secret's name, or be a part of it."""
        data = self.data
        word = self._text(start, end)
        found = secret_key(word)
        may = found.weak or found.prose if found else len(word) <= 4
        if not may or data[start - 1 : start] != b" ":
            return found
        before = data[max(0, start - 26) : start - 1]
        before = before[len(before.rstrip(_NAME_CHARS)) :].decode()
        if found and before.lower() in _rules().harmless:
            return None
        joined = secret_key(f"{before}_{word}")
        return Key(joined.name, weak=True) if joined and not joined.weak and not joined.prose else found

    def _weak(self, at: int, key: Key) -> int | None:
        """A value that is a secret only where it looks like one."""
        data = self.data
        at = self._skip(at)
        if _is_password(key):
            start = _end_of(_OPENING, data, at)
            stop = self._end(_WORD_END, start, 512)
        else:
            value = _WEAK_VALUE.match(data, at)
            start, stop = value.span(1) if value else (at, at)
        if stop == start or not _is_told(self._text(start, stop), key):
            return None
        self._add(start, stop)
        return stop

    def _later(self) -> None:
        """A secret further on in the sentence that named it: `Your token has been saved: …`."""
        data, names, said, last = self.data, self.told, 0, None
        for sign in _TOLD.finditer(data):
            while said < len(names) and names[said][1] <= sign.start():
                last, said = names[said], said + 1
            if not last or sign.end() - last[1] > TOLD_REACH:
                continue
            (start, end), last = last, None
            if re.search(b"[\r\n]", data[end : sign.end()]):
                continue
            at = self._skip(sign.end())
            if data[at : at + 1] in (b'"', b"'", b"`"):
                at += 1
            stop = self._end(_WORD_END, at, 512)
            while stop > at and data[stop - 1] in b".,;:!?":
                stop -= 1
            key = self._spoken_key(start, end) if stop - at >= SHORTEST else None
            if key and _is_told(self._text(at, stop), key):
                self._add_if_secret(at, stop, Key(key.name))

    def _chinese(self) -> None:
        """A password or key behind its Chinese name: `密码：…`, `密码是 …`."""
        for match in _rules().chinese.finditer(self.data):
            text = match[2].decode()
            if _looks_chosen(text) if match[1].decode() in ("密码", "口令") else is_random(text):
                self._add_if_secret(*match.span(2), _PASSWORD)

    def _options(self) -> None:
        """`--hf_token value`, and `-u user:password` of a program that was named on this line."""
        data = self.data
        program = None
        for match in _rules().option.finditer(data):
            if match[1]:
                program = match
                continue
            word = match.group().decode()
            if program and match.start() - program.start() <= REACH and self._program_option(program, match.start()):
                continue
            if word.startswith("--"):
                self._option(match.start())

    def _option(self, at: int) -> None:
        data = self.data
        name = re.compile(rb"--([0-9A-Za-z_-]{1,80})").match(data, at)
        key = secret_key(name[1].decode()) if name else None
        if not key or not name:
            return
        at = name.end()
        quote = data[at : at + 1]
        if quote and quote in _QUOTES:
            at = self._skip(at + 1)
            if data[at : at + 1] == b",":
                at = self._skip(at + 1, _SPACES)
                if data[at : at + 1] in (b'"', b"'"):
                    self._quoted(at, key)
            return
        if not quote or quote not in _BLANKS:
            return
        at = self._skip(at)
        if data[at : at + 1] in (b'"', b"'"):
            self._quoted(at, key)
        elif data[at : at + 1] != b"-":
            self._add_if_secret(at, self._end(_WORD_END, at), key)

    def _program_option(self, program: Any, at: int) -> bool:
        between = self.data[program.start() : at]
        if re.search(b"[\n;|]", between) or between[-1] not in b" \t\r\"'`":
            return False
        for options, form, pair, sub in _rules().programs[program[1].decode()]:
            if sub and f" {sub} ".encode() not in between:
                continue
            for option in options:
                if not self.data.startswith(option.encode(), at):
                    continue
                begin = at + len(option)
                apart = self.data[begin : begin + 1] in (b" ", b"\t", b"=", b'"', b"'", b"`")
                if form == "glued" if apart else (form == "apart" or option.startswith("--")):
                    continue
                value = _PROGRAM_VALUE.match(self.data, begin)
                if not value:
                    continue
                start, end = value.span(2) if value[2] else value.span(3)
                if apart and self.data[start : start + 1] == b"-":
                    continue
                if pair:
                    user = re.compile(rb"[^:%\s]*[:%]").match(self.data, start, end)
                    if not user:
                        continue
                    start = user.end()
                self._add_if_secret(start, end, _PASSWORD)
                return True
        return False


@functools.lru_cache(maxsize=8)
def _closing(quote: bytes, triple: bool) -> Pattern[bytes]:
    """Up to and with the quote that closes. A backslash escapes it within double quotes, a second one within single
    ones."""
    if quote == b'"':
        body, inside = rb'[^"\\]*', rb'\\.|"(?!"")' if triple else rb"\\."
    else:
        body, inside = rb"[^']*", rb"'(?!'')" if triple else rb"''"
    return re.compile(body + rb"(?:(?:" + inside + rb")" + body + rb")*" + quote * (3 if triple else 1), re.S)


def _end_of(pattern: Pattern[bytes], data: bytes, at: int) -> int:
    """Where the pattern's match at `at` ends; `at` where there is none."""
    match = pattern.match(data, at)
    return match.end() if match else at


def _replaced(data: bytes, anywhere: bool) -> bytes:
    parts, last = [], 0
    for start, end, quoted in _Scan(data, anywhere).spans():
        # A bare number becomes a string, or TOML and JSON would no longer parse.
        parts += [data[last:start], b'"%s"' % _MARK if quoted else _MARK]
        last = end
    return b"".join(parts) + data[last:] if parts else data


def redact_bytes(data: bytes) -> bytes:
    """What a trainer printed, with its secrets replaced."""
    return _replaced(data, True)


def redact_text(text: str) -> str:
    """Like `redact_bytes`, for a string."""
    data = text.encode("utf-8", "surrogatepass")
    clean = _replaced(data, True)
    return text if clean is data else clean.decode("utf-8", "surrogatepass")


def redact_config(data: bytes) -> bytes:
    """A trainer's file (bytes) with its secrets replaced; every other byte stays."""
    for mark, encoding in ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        if data.startswith(mark) and len(data) % 2 == 0:
            text = data.decode(encoding, "surrogatepass").encode("utf-8", "surrogatepass")
            clean = _replaced(text, False)
            return data if clean is text else clean.decode("utf-8", "surrogatepass").encode(encoding, "surrogatepass")
    return _replaced(data, False)


def redact_command(command: Sequence[str]) -> list[str]:
    """The argument list with the values of secret options and anything that looks like a secret replaced."""
    clean, program, since = [], None, 0
    for n, argument in enumerate(command):
        previous = command[n - 1] if n else ""
        replaced = _program_value(program, command[since : min(n, since + 8)], previous, argument)
        if replaced is None:
            replaced = _argument(argument, previous, command[n - 2] if n > 1 else "")
        clean.append(replaced)
        name = argument.rpartition("/")[2]
        if name in _rules().programs:
            program, since = name, n
    return clean


def _program_value(program: Any, before: Any, previous: Any, argument: str) -> str | None:
    for options, form, pair, sub in _rules().programs.get(program, ()):
        if sub and sub not in before:
            continue
        for option in options:
            long = option.startswith("--")
            glued = f"{option}=" if long else option
            value = None
            if previous == option and form != "glued" and not argument.startswith("-"):
                value = argument
            elif argument.startswith(glued) and len(argument) > len(glued) and (long or form != "apart"):
                value = argument[len(glued) :]
            if value is None:
                continue
            if pair:
                user = re.match(r"[^:%\s]*[:%]", value)
                if not user:
                    continue
                value = value[user.end() :]
                if not value:
                    continue
            if not is_secret_value(value, _PASSWORD):
                return argument
            return argument[: len(argument) - len(value)] + MARK
    return None


def _argument(argument: str, previous: Any, before: Any) -> str:
    option = re.fullmatch(r"(--?)?([A-Za-z][\w-]*)", previous, re.A)
    key = secret_key(option[2]) if option else None
    if key and option and not argument.startswith("--"):
        # `config set api-key VALUE` names it by a word of its own, as prose may.
        if is_secret_value(argument, key) if option[1] else is_random(argument):
            return MARK
        if option[1] and not key.weak:
            return argument
    login = before if previous == "--relogin" else previous if before.endswith("wandb") else ""
    if login == "login" and re.fullmatch(r"\w{32,}", argument, re.A):
        return MARK
    name, equals, value = argument.partition("=")
    named = re.fullmatch(r"-{0,2}([A-Za-z][\w.-]*)", name, re.A) if equals else None
    key = secret_key(named[1].rpartition(".")[2]) if named else None
    if key:
        return f"{name}={MARK}" if is_secret_value(value, key) else argument
    return redact_text(argument)


def redact_json(value: Any, key: Key | None = None) -> Any:
    """A JSON value with its secrets replaced, in names too; the same value when it has none."""
    if isinstance(value, str):
        if key and is_secret_value(value, key):
            return MARK
        return value if key and not key.weak else redact_text(value)
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, (int, float)):
        return MARK if key and is_secret_value(str(value), key) and not _COUNT.match(str(value)) else value
    if isinstance(value, (list, tuple)):
        if not key and value and all(isinstance(item, str) for item in value):
            return redact_command(value)
        return [redact_json(item, key) for item in value]
    if not isinstance(value, dict):
        return value
    rules = _rules()
    named = (secret_key(value[name]) for name in rules.pair_names if isinstance(value.get(name), str))
    paired = next((Key(found.name, weak=found.weak) for found in named if found), None)
    return {
        (name if len(str(name)) < 20 else redact_text(str(name))): redact_json(
            item, (paired if name in rules.pair_values else None) or secret_key(str(name))
        )
        for name, item in value.items()
    }


# Parts of a body that hold numbers under any name.
_COUNTS = ("logs", "tag_distribution")


def redact_body(body: Any, keep: Iterable[str] = ()) -> Any:
    """A request's body with its secrets replaced, but for the fields that `keep` names."""
    if not isinstance(body, dict):
        return redact_json(body)
    clean = {}
    for name, value in body.items():
        if name in keep or name in _COUNTS:
            clean[name] = value
        elif name in ("config", "dataset_file") and isinstance(value, dict):
            clean[name] = _redact_file(value)
        elif name == "datasets" and isinstance(value, list):
            clean[name] = [redact_body(item) for item in value]
        else:
            clean.update(redact_json({name: value}))
    return clean


def _redact_file(sent: Any) -> Any:
    """`{"text": …}` or `{"base64": …}` of a file, redacted as one."""
    clean = redact_json({k: v for k, v in sent.items() if k not in ("text", "base64")})
    if isinstance(sent.get("text"), str):
        data = sent["text"].encode("utf-8", "surrogatepass")
        clean["text"] = redact_config(data).decode("utf-8", "surrogatepass")
    if isinstance(sent.get("base64"), str):
        clean["base64"] = base64.b64encode(redact_config(base64.b64decode(sent["base64"]))).decode()
    return clean


_PIECE = 1 << 22


def redact_file(path: StrPath, copy: StrPath) -> bool:
    """Writes the file with its secrets replaced to `copy`; False, and nothing is kept, where it has none. Raises
    OSError."""
    changed, rest = False, b""
    with open(path, "rb") as source, open(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as target:
        while True:
            data = source.read(_PIECE)
            # Cut at line ends, so that no secret is torn in two.
            cut = data.rfind(b"\n") + 1 or len(data)
            piece, rest = rest + data[:cut], data[cut:]
            clean = redact_config(piece)
            changed = changed or clean != piece
            target.write(clean)
            if not data:
                break
    if not changed:
        os.unlink(copy)
    return changed
