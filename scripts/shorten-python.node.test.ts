import { expect, test } from "vitest";
import { shortenPython } from "./shorten-python.ts";

/** Shortens lines of Python; what comes back has as many. */
function shorten(...lines: string[]): string[] {
  const short = shortenPython(`${lines.join("\n")}\n`).split("\n");
  expect(short).toHaveLength(lines.length + 1);
  return short.slice(0, -1);
}

test("docstrings and comments end, strings stay, and every line keeps its number", () => {
  expect(
    shorten(
      '"""What it is.',
      "",
      '    More of it."""',
      "",
      "import re",
      "",
      "",
      "class One:",
      '    """A class."""',
      "",
      "    def two(self, text=''):",
      "        r'''Another.'''",
      '        word = """kept,  ',
      '    as it is # here"""  # and "this',
      "        return (",
      '            "a \\" b"',
      "            f'{text}'",
      "        )",
      "",
      "    def three(self):",
      '        """Has nothing',
      '        else."""',
    ),
  ).toEqual([
    "",
    "",
    "",
    "",
    "import re",
    "",
    "",
    "class One:",
    "",
    "",
    "\tdef two(self, text=''):",
    "",
    '\t\tword = """kept,  ',
    '    as it is # here"""',
    "\t\treturn (",
    '\t\t\t"a \\" b"',
    "\t\t\tf'{text}'",
    "\t\t)",
    "",
    "\tdef three(self):",
    '\t\t""',
    "",
  ]);
  const documented = shortenPython('def one(a: int) -> int:\n    """Says one."""\n', true);
  expect(documented).toBe('def one(a: int) -> int:\n\t"""Says one."""\n');
});

test("annotations of functions and of names end, and those of a class's fields stay", () => {
  expect(
    shorten(
      "async def one(a: int, *rest: str, key: Callable[[int], str] = lambda x: x, **more: Any) -> dict[str, int]:",
      "    found: dict[str, int] = {1: 2}",
      "    self.found[a:b] = found[1:2]",
      "    later: int",
      "def two(",
      "    a: dict[",
      "        str, int",
      "    ],",
      "    /,",
      "    b: str | None = None,  # why",
      "    *,",
      '    c: "One: two" = ":",',
      ") -> tuple[",
      "    int, int",
      "]:",
      "    return {a: b}",
      "class Three(NamedTuple):",
      "    a: int = 0",
      "    def four(self: Three, b=(1, 2)) -> Three:",
      "        else_: int = 1",
      "        return self if self.a else lambda: None",
      "    b: str",
    ),
  ).toEqual([
    "async def one(a, *rest, key=lambda x: x, **more):",
    "\tfound = {1: 2}",
    "\tself.found[a:b] = found[1:2]",
    "\tlater: int",
    "def two(",
    "\ta",
    "",
    ",",
    "\t/,",
    "\tb=None,",
    "\t*,",
    '\tc=":",',
    "",
    "",
    "):",
    "\treturn {a: b}",
    "class Three(NamedTuple):",
    "\ta: int = 0",
    "\tdef four(self, b=(1, 2)):",
    "\t\telse_ = 1",
    "\t\treturn self if self.a else lambda: None",
    "\tb: str",
  ]);
});

test("imports that only annotations need end; names in formatted strings count", () => {
  const head = [
    "from __future__ import annotations",
    "from typing import TYPE_CHECKING, Any, cast",
  ];
  expect(
    shorten(
      ...head,
      "from a import (",
      "    One,",
      "    Two as Second,",
      "    three,",
      ")",
      "from b import version, other",
      "if TYPE_CHECKING:",
      "    from c import Four",
      "",
      "def five(a: One, b: Four) -> Any:",
      "    return cast('Any', f'{version} {Second!r}')",
    ),
  ).toEqual([
    "",
    "from typing import cast",
    "from a import (",
    "",
    "\tTwo as Second,",
    "",
    ")",
    "from b import version",
    "",
    "",
    "",
    "def five(a, b):",
    "\treturn cast('Any', f'{version} {Second!r}')",
  ]);
  expect(shorten(...head, "class One:", "    a: Any")).toEqual([
    head[0],
    "from typing import Any",
    "class One:",
    "\ta: Any",
  ]);
  expect(shorten("from a import B, C", "__all__ = ['B', 'C']")).toEqual([
    "from a import B, C",
    "__all__ = ['B', 'C']",
  ]);
  expect(() =>
    shorten("if TYPE_CHECKING:", "    from a import B", "else:", "    B = None"),
  ).toThrow("has an else");
});
