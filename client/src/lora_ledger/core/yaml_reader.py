"""Reads YAML 1.1 without a YAML package, with the same results as PyYAML's safe_load, which most trainers use.

All of the language: block and flow collections, plain and quoted scalars over several lines, `|` and `>` texts,
anchors, aliases, merge keys, tags, directives. yaml_scalars says what the words mean, yaml_text where a scalar begins
and ends. Otherwise than PyYAML: keys are the texts that stand there (`yes: 1` has the key "yes"), and dates and `=` are
texts, too; a binary, a set, an ordered map, a key that is a collection and an alias within its own anchor are refused.
Source of the grammar: yaml.org/spec/1.1, with PyYAML's choices where that leaves some (a tab is no indentation, a key
stands on one line and has at most 1024 characters).
"""

# Builds values of any kind, whose parts have no type that a checker could know.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import re
from typing import Any

from . import yaml_scalars
from .errors import NoYamlError
from .language import t
from .yaml_text import BLANK, COLON, DIRECTIVE, ENDS, FLOW_PLAIN, MARK, MASK, NO_START, PLAIN, YamlText

# The longest text that is read: settings are a hundredth of it.
LIMIT = 500_000
DEPTH = 100
LONGEST_KEY = 1024


def parse_yaml(text: str) -> Any:
    """The document as dicts (with texts as keys), lists, texts, numbers, booleans and None; None for an empty one.

    Raises NoYamlError, whose message names the line.
    """
    if len(text) > LIMIT:
        raise NoYamlError(t("it has more than {limit:,} characters", limit=LIMIT))
    return _Reader(text).document()


def read_yaml(text: str) -> Any:
    """The document as dicts, lists and scalars; None where it is neither a mapping nor a list. Never raises."""
    try:
        found = parse_yaml(text)
    except NoYamlError:
        return None
    return found if isinstance(found, (dict, list)) else None


def scalar(text: str) -> Any:
    """The value of one setting, as `name=value` of a command gives it: whatever YAML it is, else the text itself."""
    try:
        return parse_yaml(text)
    except NoYamlError:
        return text


class _Node:
    """A value, how large it is with all its aliases written out, and its own text where it is a scalar."""

    __slots__ = ("value", "size", "text", "merge")

    def __init__(self, value: Any, size: int = 1, text: str | None = None, merge: bool = False) -> None:
        self.value = value
        self.size = size
        self.text = text
        # Whether it is `<<`.
        self.merge = merge


def _text(text: str) -> _Node:
    return _Node(text, text=text)


class _Pairs:
    """A mapping's entries as they come; merged ones give way to its own."""

    __slots__ = ("own", "merged", "size")

    def __init__(self) -> None:
        self.own: dict[str, Any] = {}
        self.merged: dict[str, Any] = {}
        self.size = 1

    def node(self) -> _Node:
        if self.merged:
            self.own = {**self.merged, **self.own}
        return _Node(self.own, self.size)


class _Reader(YamlText):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._masked = MASK in self.text
        self._anchors: dict[str, _Node | None] = {}
        self._handles = {"!": "!", "!!": yaml_scalars.TAG}
        # What aliases may still expand to, so that a small file cannot become a large one.
        self._budget = 2 * len(text) + 65_536

    # The document

    def document(self) -> Any:
        self.skip()
        directives = self.directives()
        if ENDS.match(self.text, self.at) and self.at == self.line and self.text[self.at] == "-":
            self.at += 3
            self.fresh = False
            self.skip()
        elif directives:
            raise self.fault(t("`---` has to follow the directives"))
        node = _Node(None) if self.over() else self.block(-1, 0, False)
        self.end_of_line()
        ended = False
        while not self.text[self.at] == "\0":
            if not (self.over() and self.text[self.at] == "."):
                raise self.fault(
                    t("a second document begins here") if self.over() or ended else t("the document does not end here")
                )
            self.at += 3
            ended = True
            if not self.skip() and self.text[self.at] != "\0":
                raise self.unexpected()
        return node.value

    def directives(self) -> bool:
        found = False
        while self.text[self.at] == "%" and self.at == self.line:
            match = DIRECTIVE.match(self.text, self.at)
            if not match:
                raise self.unexpected()
            words = match[2].split("#")[0].split()
            if match[1] == "YAML" and not re.fullmatch(r"1\.[0-9]+", " ".join(words)):
                raise self.fault(t("the directive names no YAML 1"))
            if match[1] == "TAG":
                if len(words) != 2:
                    raise self.fault(t("a %TAG directive needs a handle and a prefix"))
                self._handles[words[0]] = words[1]
            self.at = match.end()
            self.skip()
            found = True
        return found

    def end_of_line(self) -> None:
        """Goes on behind a node, where nothing else may stand on its line."""
        self.skip()
        if not self.fresh and self.text[self.at] != "\0":
            raise self.unexpected()

    # Blocks

    def block(self, indent: int, depth: int, indentless: bool) -> _Node:
        """The node that stands here or on the lines below, deeper than `indent`; an empty one where none does.

        `indentless`: a list may stand as deep as the key that it is the value of.
        """
        if depth > DEPTH:
            raise self.fault(t("it nests deeper than {depth} levels", depth=DEPTH))
        self.skip()
        anchor = tag = None
        # Properties on a line of their own are the collection's below, those on a key's line the key's.
        above: tuple[str | None, str | None] = (None, None)
        start, may_begin = self.at, self.fresh
        while True:
            if self.over() or (self.fresh and self.at == start and self.column() <= indent):
                if not (indentless and not self.over() and self.column() == indent and self.mark("-")):
                    return self.made(_Node(None, text=""), *self.both(above, (anchor, tag)), True)
            letter = self.text[self.at]
            if letter == "&" and anchor is None:
                anchor = self.anchor()
            elif letter == "!" and tag is None:
                tag = self.full_tag()
            else:
                break
            self.fresh = False
            if self.skip():
                above = self.both(above, (anchor, tag))
                anchor = tag = None
                start, may_begin = self.at, True
        own = (anchor, tag)
        if not anchor and not tag:
            if self.mark("-"):
                if not may_begin:
                    raise self.fault(t("a list's `- ` cannot begin here"))
                return self.collection(above, lambda: self.sequence(indent, depth))
            if self.mark("?"):
                if not may_begin:
                    raise self.fault(t("a mapping's entry cannot begin here"))
                return self.collection(above, lambda: self.mapping(self.column(), depth, None))
        if letter in "|>":
            return self.made(_text(self.lines_below(indent)), *self.both(above, own), False)
        if letter == "*" and (self.both(above, own) != (None, None)):
            raise self.fault(t("an alias has an anchor or a tag of its own"))
        column, line = start - self.line, self.line
        node, is_plain = self.simple(indent, depth, own != (None, None))
        colon = COLON.match(self.text, self.at)
        if not colon:
            return self.made(node, *self.both(above, own), is_plain)
        if not may_begin or self.line != line or self.at - start > LONGEST_KEY:
            self.at = colon.end() - 1
            raise self.fault(t("a `:` stands here that follows no key; a text with `: ` needs quotes"))
        key = self.made(node, *own, is_plain)
        self.at = colon.end()
        return self.collection(above, lambda: self.mapping(column, depth, key))

    def both(self, above: Any, own: Any) -> tuple[str | None, str | None]:
        if (above[0] and own[0]) or (above[1] and own[1]):
            raise self.fault(t("a value has two anchors or two tags"))
        return above[0] or own[0], above[1] or own[1]

    def collection(self, properties: tuple[str | None, str | None], read: Any) -> _Node:
        anchor, tag = properties
        if anchor:
            self.name(anchor, None)
        node = read()
        self.check_tag(tag, node.value)
        if anchor:
            self._anchors[anchor] = node
        return node

    def check_tag(self, tag: str | None, value: Any) -> None:
        kind = "map" if isinstance(value, dict) else "seq"
        if tag not in (None, "!", yaml_scalars.TAG + kind):
            raise self.fault(yaml_scalars.unknown(str(tag)))

    def sequence(self, indent: int, depth: int) -> _Node:
        column = self.column()
        found: list[Any] = []
        size = 1
        while True:
            self.at += 1
            self.fresh = True
            node = self.block(column, depth + 1, False)
            found.append(node.value)
            size += node.size
            self.end_of_line()
            if self.over() or self.column() < column:
                break
            if self.column() > column or not self.mark("-"):
                if self.column() == column == indent:
                    break
                raise self.fault(t("this line belongs to nothing above it"))
        return _Node(found, size)

    def mapping(self, column: int, depth: int, key: _Node | None) -> _Node:
        """A mapping's entries; `key` is the first one, whose colon was read."""
        pairs = _Pairs()
        while True:
            if key is None and self.mark("?"):
                self.at += 1
                self.fresh = True
                key = self.block(column, depth + 1, True)
                self.end_of_line()
                value = _Node(None)
                if not self.over() and self.column() == column and self.mark(":"):
                    self.at += 1
                    self.fresh = True
                    value = self.block(column, depth + 1, True)
                    self.end_of_line()
            else:
                key = self.key(column, depth) if key is None else key
                self.fresh = False
                value = self.block(column, depth + 1, True)
                self.end_of_line()
            self.put(pairs, key, value)
            key = None
            if self.over() or self.column() < column:
                return pairs.node()
            if self.column() > column:
                raise self.fault(t("this line is deeper than the entries of its mapping, and no value of any"))

    def key(self, column: int, depth: int) -> _Node:
        """A further key of a block mapping, up to behind its colon."""
        start, line = self.at, self.line
        anchor = tag = None
        while self.text[self.at] in "&!":
            if self.text[self.at] == "&" and anchor is None:
                anchor = self.anchor()
            elif self.text[self.at] == "!" and tag is None:
                tag = self.full_tag()
            else:
                raise self.unexpected()
            if self.skip():
                raise self.fault(t("a key has to stand on one line"))
        if self.text[self.at] in "|>" or self.mark("-"):
            raise self.fault(t("a mapping's key is missing"))
        node, is_plain = self.simple(column, depth, bool(anchor or tag))
        colon = COLON.match(self.text, self.at)
        if not colon or self.line != line or self.at - start > LONGEST_KEY:
            self.at = start
            raise self.fault(t("a `:` is missing behind this key"))
        self.at = colon.end()
        return self.made(node, anchor, tag, is_plain)

    def put(self, pairs: _Pairs, key: _Node, value: _Node) -> None:
        if key.text is None:
            raise self.fault(t("a key has to be a single text"))
        pairs.size += 1 + value.size
        if not key.merge:
            pairs.own[key.text] = value.value
            return
        parts = value.value if isinstance(value.value, list) else [value.value]
        for part in reversed(parts):
            if not isinstance(part, dict):
                raise self.fault(t("`<<` needs a mapping, or a list of mappings"))
            pairs.merged.update(part)

    # Nodes

    def simple(self, indent: int, depth: int, named: bool) -> tuple[_Node, bool]:
        """(a scalar, an alias or a flow collection, whether it is a plain scalar) in a block; an empty key has to be
        `named` by a property."""
        self.fresh = False
        if named and self.mark(":"):
            return _text(""), True
        letter = self.text[self.at]
        if letter == "*":
            return self.alias(), False
        if letter in "\"'":
            return _text(self.quoted()), False
        if letter in "[{":
            return self.flow(depth), False
        if letter in NO_START and not (letter in "-?:" and self.text[self.at + 1] not in BLANK):
            raise self.unexpected()
        return _Node(None, text=self.plain(PLAIN, indent)), True

    def made(self, node: _Node, anchor: str | None, tag: str | None, is_plain: bool) -> _Node:
        """The node with its properties, its value read."""
        if node.text is not None and (is_plain or tag):
            try:
                value = yaml_scalars.plain(node.text) if tag is None else yaml_scalars.tagged(tag, node.text)
            except NoYamlError as error:
                raise self.fault(str(error)) from None
            node = _Node(value, node.size, node.text, tag in (None, "!") and node.text == "<<")
        elif node.text is None and tag:
            self.check_tag(tag, node.value)
        if isinstance(node.value, str) and self._masked:
            node.value = node.value.replace(MASK, MARK)
            node.text = node.text and node.text.replace(MASK, MARK)
        if anchor:
            self.name(anchor, node)
        return node

    def name(self, anchor: str, node: _Node | None) -> None:
        if anchor in self._anchors:
            raise self.fault(t("the anchor &{anchor} is there twice", anchor=anchor[:60]))
        self._anchors[anchor] = node

    def alias(self) -> _Node:
        name = self.anchor()
        if name not in self._anchors:
            raise self.fault(t("nothing above is named &{name}", name=name[:60]))
        node = self._anchors[name]
        if node is None:
            raise self.fault(t("*{name} stands within what it names", name=name[:60]))
        self._budget -= node.size
        if self._budget < 0:
            raise self.fault(t("aliases expand to far more than the file holds"))
        return _Node(node.value, node.size, node.text, node.merge)

    def full_tag(self) -> str:
        handle, rest = self.tag()
        if handle is None:
            return rest
        prefix = self._handles.get(handle)
        if prefix is None:
            raise self.fault(t("no directive says what {handle} means", handle=handle[:60]))
        return prefix + rest

    # Brackets

    def within(self) -> None:
        """Goes on to the next token between brackets."""
        self.skip()
        if self.over():
            raise self.fault(t("a bracket is not closed"))

    def flow(self, depth: int) -> _Node:
        """A list in `[…]`, or a mapping in `{…}`."""
        if depth > DEPTH:
            raise self.fault(t("it nests deeper than {depth} levels", depth=DEPTH))
        close = "]" if self.text[self.at] == "[" else "}"
        found: list[Any] = []
        pairs = _Pairs()
        size = 1
        self.at += 1
        self.within()
        while self.text[self.at] != close:
            key, value = self.entry(depth + 1, close == "}")
            if close == "}":
                self.put(pairs, key, value)
            elif value is None:
                found.append(key.value)
                size += key.size
            else:
                pair = _Pairs()
                self.put(pair, key, value)
                found.append(pair.node().value)
                size += pair.size
            self.within()
            if self.text[self.at] != close:
                if self.text[self.at] != ",":
                    raise self.unexpected()
                self.at += 1
                self.within()
        self.at += 1
        self.fresh = False
        return _Node(found, size) if close == "]" else pairs.node()

    def entry(self, depth: int, in_mapping: bool) -> tuple[_Node, Any]:
        """(key, value) of an entry; where it is no pair, an empty value in a mapping, and None in a list."""
        start, line = self.at, self.line
        explicit = self.text[self.at] == "?"
        if explicit:
            self.at += 1
            self.within()
            key = _Node(None, text="") if self.text[self.at] in ":,]}" else self.part(depth)
        else:
            key = self.part(depth)
        self.within()
        if self.text[self.at] == ":" and (explicit or (self.line == line and self.at - start <= LONGEST_KEY)):
            self.at += 1
            self.within()
            return key, _Node(None) if self.text[self.at] in ",]}" else self.part(depth)
        return key, _Node(None) if explicit or in_mapping else None

    def part(self, depth: int) -> _Node:
        """A node between brackets."""
        anchor = tag = None
        while self.text[self.at] in "&!":
            if self.text[self.at] == "&" and anchor is None:
                anchor = self.anchor()
            elif self.text[self.at] == "!" and tag is None:
                tag = self.full_tag()
            else:
                raise self.unexpected()
            self.within()
        letter = self.text[self.at]
        if (anchor or tag) and letter in ":,]}":
            return self.made(_Node(None, text=""), anchor, tag, True)
        if letter == "*":
            if anchor or tag:
                raise self.fault(t("an alias has an anchor or a tag of its own"))
            return self.alias()
        if letter in "[{":
            return self.collection((anchor, tag), lambda: self.flow(depth))
        if letter in "\"'":
            return self.made(_text(self.quoted()), anchor, tag, False)
        if letter in NO_START and not (letter == "-" and self.text[self.at + 1] not in BLANK):
            raise self.unexpected()
        return self.made(_Node(None, text=self.plain(FLOW_PLAIN, None)), anchor, tag, True)
