"""YAML documents made by chance out of what people write, and PyYAML as the measure of how they are read."""

import math
import re

WORDS = (
    "a", "b c", "1", "01", "1_000", "1e-4", "1.0e-05", "0x1F", "0b11", "1:30", "1:30.5", "yes", "No", "ON", "null", "~", "true", ".5", "-.5", "-3", "+4",
    "2024-01-01", "2024-01-01 10:00:00", "a#b", "x:y", "http://h:1/p?q", "C:\\d", "a - b", "-x", "?y", ":z", "é", "风格", "08", "0o14", "0_1", "<<x", "a&b",
    "-", "--", "---x", "...y", "it's", 'say "x"', "d%", "z]", "z}", "x , y", "12e03", "1.", "+.5", "1e", "0x", "1__2", "_1", "", "key", "true ", "$" + "{A}",
)  # fmt: skip
ESCAPES = (
    "a", " ", "b", "\\n", "\\t", "\\u98ce", "\\U0001F600", "\\x41", "\\\\", '\\"', "\\/", "\\ ", "\\_", "\\N", "\\0", "\\e", "#", ": ", "- ", "é",
)  # fmt: skip
TAGS = ("!!str ", "!!int ", "!!float ", "!!bool ", "!!null ", "! ", "!foo ", "!!python/name:os.system ", "!<tag:yaml.org,2002:str> ")  # fmt: skip
LINES = ("one", "two words", "# c", "three", "a: b", "- x", "", " deep", "é", "\tx", "1", "...", "key:")
MORE = ("more", "of it", "", "x:y", "a#b", "1", "- z", "# c", "p: q", "? r")
QUOTED = ("a", "b c ", "", " x", "\te", "---", "... ")
DAMAGE = "\t :-#?[]{},&*!|>'\"%@`\n\x01ab"


class Documents:
    """Makes documents by the given random.Random; most are whole, some are broken."""

    def __init__(self, random):
        self.random = random
        self.anchors = []

    def one(self):
        """A document."""
        self.anchors = []
        pick, chance = self.random.choice, self.random.random
        body = self.block(0, 0) if chance() < 0.9 else pick((self.flow, lambda _: self.lines(0), self.scalar))(0)
        text = pick(("", "", "", "---\n", "--- ", "# c\n", "%YAML 1.1\n---\n", "\ufeff", "\n")) + body
        text += pick(("", "\n", "\n", "\n...\n", "\n---\nb: 1\n", "\n...\nx", "\n# end"))
        if chance() < 0.1:
            text = text.replace("\n", pick(("\r\n", "\r", "\x85", "\u2028")))
        if text and chance() < 0.15:
            at = self.random.randrange(len(text))
            text = text[:at] + pick(DAMAGE) + text[at + self.random.randint(0, 1) :]
        return text

    def anchor(self):
        self.anchors.append(f"a{len(self.anchors)}")
        return self.anchors[-1]

    def scalar(self, _=0):
        pick, kind = self.random.choice, self.random.random()
        word = pick(WORDS)
        if kind < 0.65:
            return word if kind < 0.55 else "'" + word.replace("'", "''") + "'"
        if kind < 0.8:
            parts = [pick(ESCAPES) for _ in range(self.random.randint(0, 6))]
            return '"' + "".join(parts) + pick(("", "", "", "", "", "\\q")) + '"'
        if kind < 0.84:
            return pick(TAGS) + pick((word, '"3"', "'yes'"))
        if kind < 0.88 and self.anchors:
            return "*" + pick(self.anchors) + pick(("", " ", " "))
        return f"&{self.anchor()} {word}" if kind < 0.92 else pick(("text", "more text", "x"))

    def flow(self, depth=0):
        pick, kind, count = self.random.choice, self.random.random(), self.random.randint(0, 4)
        if depth > 3 or kind < 0.45:
            return self.scalar()

        def gap():
            return pick(("", " ", "", " ", "", " ", "", " ", "  ", "\n  ", "\n", " # c\n ", "\n\n   "))

        def pair(signs):
            return pick(("", "", "? ")) + self.scalar() + pick(signs) + self.flow(depth + 1)

        signs = (": ", ": ", " : ", ":", ":\n ")
        if kind < 0.75:
            items = [self.flow(depth + 1) if self.random.random() < 0.9 else pair(signs) for _ in range(count)]
        else:
            items = [pair((*signs, "")) for _ in range(count)]
        inner = f"{gap()},{gap()}".join(items) + pick(("", ",", "")) + gap()
        return f"[{gap()}{inner}]" if kind < 0.75 else f"{{{gap()}{inner}}}"

    def lines(self, indent):
        """A value of several lines."""
        pick, kind = self.random.choice, self.random.random()
        pad = " " * (indent + pick((0, 1, 1, 2, 2, 3)))
        if kind < 0.3:
            head = pick("|>") + pick(("", "-", "+", "1", "2", "2-", "+1", "-3", "0", "")) + pick(("", "", " # c", " "))
            return "\n".join([head, *(pad + pick(LINES) for _ in range(self.random.randint(0, 5)))])
        if kind < 0.55:
            return "\n".join([pick(("one", "two")), *(pad + pick(MORE) for _ in range(self.random.randint(1, 3)))])
        if kind < 0.8:
            quote = pick("\"'")
            own = ("\\", "d\\n") if quote == '"' else ("it''s",)
            return quote + "\n".join(pick((*QUOTED, *own)) for _ in range(self.random.randint(1, 4))) + quote
        return self.flow()

    def value(self, indent, depth):
        pick, kind = self.random.choice, self.random.random()
        if kind < 0.5:
            return " " + (self.scalar() if kind < 0.35 else self.lines(indent))
        if kind < 0.65 or depth > 3:
            return " " + self.flow() if kind < 0.6 else pick(("", " ", "  # c"))
        name = f" &{self.anchor()}" + pick((" !!map", "", "", " !!seq")) if self.random.random() < 0.1 else ""
        return name + pick(("", "", " # c")) + "\n" + self.block(indent + pick((0, 2, 2, 2, 4, 1)), depth + 1)

    def key(self):
        fixed = ("a", "b", "c d", '"q"', "'s'", "1", "yes", "<<", "key", "x.y", "!!str n", "[f]", "{g: h}", "? e", "aaa", "a" * 1100)  # fmt: skip
        return self.random.choice((*fixed, *([f"*{self.anchors[0]} "] if self.anchors else []), f"&{self.anchor()} m"))

    def block(self, indent, depth):
        pick, kind, found = self.random.choice, self.random.random(), []
        for _ in range(self.random.randint(1, 4)):
            if self.random.random() < 0.1:
                found.append(pick(("", "# comment", " " * indent + "# c", "   ")))
            pad = " " * (indent if self.random.random() < 0.97 else indent + 1)
            if kind < 0.6:
                found.append(pad + self.key() + pick((":", ":", ":", " :")) + self.value(indent, depth))
            elif kind < 0.95 and self.random.random() < 0.25 and depth < 4:
                found.append(pad + "- " + self.block(indent + 2, depth + 1).lstrip(" "))
            elif kind < 0.95:
                found.append(pad + "-" + self.value(indent, depth))
            else:
                one = self.scalar()
                found.append(pad + pick((f"? {one}\n{pad}: {self.scalar()}", f": {one}", f"? {one}", one)))
        return "\n".join(found)


# A number as YAML 1.1 or 1.2 writes it, such as 1e-4.
FLOAT = re.compile(
    r"(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+"
    r"|[-+]?\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
)


def reference(yaml):
    """A function that reads text as PyYAML (the module `yaml`) does, but for what yaml_reader says it does otherwise.

    Raises for what PyYAML refuses.
    """

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node, deep=False):
            if not isinstance(node, yaml.MappingNode):
                raise ValueError("no mapping")
            self.flatten_mapping(node)
            found = {}
            for key, value in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    raise ValueError("a key that is a collection")
                self.construct_object(key, deep)
                found[key.value] = self.construct_object(value, deep)
            return found

    prefix = "tag:yaml.org,2002:"
    Loader.yaml_implicit_resolvers = {
        first: [(tag, form) for tag, form in forms if tag not in (f"{prefix}timestamp", f"{prefix}float")]
        for first, forms in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    Loader.add_implicit_resolver(f"{prefix}float", FLOAT, list("-+0123456789."))
    Loader.add_constructor(f"{prefix}timestamp", lambda loader, node: loader.construct_scalar(node))
    return lambda text: yaml.load(text, Loader)


def same(one, other):
    """Whether two documents are equal in their values' types, too."""
    if isinstance(one, float) and isinstance(other, float):
        return one == other or (math.isnan(one) and math.isnan(other))
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other
