/**
 * Writes client/dist/ledger.py: the whole Python client as one readable file, for boxes that have curl and python3
 * alone. It runs as a program and can be imported; its modules stay modules, so that tracebacks name them.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, relative, sep } from "node:path";
import { root } from "./local/processes.ts";

const source = join(root, "client", "src");
const target = join(root, "client", "dist", "ledger.py");

/** Modules whose docstrings people read by help(). */
const documented = ["lora_ledger/__init__.py", "lora_ledger/recording/track.py"];

/** The first token of a Python text from `at` on that is a string, with its prefix; or undefined. */
const stringAt = /[rbfuRBFU]{0,2}("""|'''|"|')/y;

/** Where the Python string ends that begins at `at`; `quote` is what closes it. */
function stringEnd(code: string, at: number, quote: string): number {
  while (!code.startsWith(quote, at)) {
    if (at >= code.length) throw new Error("a string has no end");
    at += code[at] === "\\" ? 2 : 1;
  }
  return at + quote.length;
}

/**
 * A module with tabs for indentation and without docstrings and comments, together a quarter of it. Every line keeps
 * its number, so that tracebacks name the lines of the repository.
 */
export function shortened(code: string, keepDocstrings = false): string {
  let out = "";
  let depth = 0;
  let isLineStart = true;
  for (let at = 0; at < code.length; ) {
    if (isLineStart) {
      const spaces = /^ */.exec(code.slice(at, at + 200))?.[0].length ?? 0;
      out += "\t".repeat(spaces >> 2) + " ".repeat(spaces & 3);
      at += spaces;
    }
    const char = code[at] ?? "";
    stringAt.lastIndex = at;
    // A letter before it belongs to a name, as in `bar"…"`, which no Python text holds.
    const opening = /\w/.test(code[at - 1] ?? "") ? null : stringAt.exec(code);
    if (opening) {
      const end = stringEnd(code, at + opening[0].length, opening[1] ?? "");
      const text = code.slice(at, end);
      const isDocstring = isLineStart && depth === 0 && code[end] === "\n";
      const lines = text.split("\n").length - 1;
      out += isDocstring && !keepDocstrings ? `""${"\n".repeat(lines)}` : text;
      at = end;
      isLineStart = false;
    } else if (char === "#") {
      at = code.indexOf("\n", at);
      out = out.replace(/[ \t]+$/, "");
    } else {
      if ("([{".includes(char)) depth++;
      if (")]}".includes(char)) depth--;
      out += char;
      isLineStart = char === "\n";
      at++;
    }
  }
  return out;
}

const modules = readdirSync(join(source, "lora_ledger"), { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".py"))
  .map((name) => join("lora_ledger", name))
  .sort()
  .map((name) => {
    const path = name.split(sep).join("/");
    const parts = path.replace(/\.py$/, "").split("/");
    const isPackage = parts.at(-1) === "__init__";
    const whole = readFileSync(join(source, name), "utf8").replaceAll("\r\n", "\n");
    const code = shortened(whole, documented.includes(path));
    if (code.includes("'''") || code.trimEnd().endsWith("\\"))
      throw new Error(`${path} cannot be embedded: it contains ''' or ends in a backslash`);
    return { name: (isPackage ? parts.slice(0, -1) : parts).join("."), path, isPackage, code };
  });

const version = /__version__ = "([^"]+)"/.exec(
  modules.find((m) => m.name === "lora_ledger")?.code ?? "",
)?.[1];
if (!version) throw new Error("client/src/lora_ledger/__init__.py names no __version__");

const embedded = modules
  .map(
    (m) =>
      `_MODULES["${m.name}"] = ("${m.path}", ${m.isPackage ? "True" : "False"}, r'''\n${m.code}''')\n`,
  )
  .join("\n");

const file = `#!/usr/bin/env python3
"""LoRA Ledger's client ${version} in one file. Python 3.9 or newer, nothing else.

    LEDGER_URL=… LEDGER_KEY=… python3 ledger.py run -- COMMAND…
    python3 ledger.py --help

As a library, beside your script:  import ledger;  ledger.track(config="my_lora.toml")
The modules below are those of client/src/lora_ledger, with tabs and without comments.
"""

import sys

if sys.version_info < (3, 9):
    sys.exit("ledger.py needs Python 3.9 or newer; this is " + sys.version.split()[0])

import importlib.abc
import importlib.machinery
import linecache

_MODULES = {}

${embedded}

class _Embedded(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Imports lora_ledger and its modules from the text above."""

    def find_spec(self, name, path=None, target=None):
        if name not in _MODULES:
            return None
        spec = importlib.machinery.ModuleSpec(name, self, origin=self._origin(name), is_package=_MODULES[name][1])
        spec.has_location = False
        return spec

    def _origin(self, name):
        return "<ledger.py>/" + _MODULES[name][0]

    def is_package(self, name):
        return _MODULES[name][1]

    def get_source(self, name):
        return _MODULES[name][2][1:]

    def exec_module(self, module):
        name = module.__name__
        source, origin = self.get_source(name), self._origin(name)
        linecache.cache[origin] = (len(source), None, source.splitlines(True), origin)
        exec(compile(source, origin, "exec", dont_inherit=True), module.__dict__)


if not any(type(finder).__name__ == "_Embedded" for finder in sys.meta_path):
    sys.meta_path.insert(0, _Embedded())

from lora_ledger import Callback, Run, __version__, load_ipython_extension, track  # noqa: E402

__all__ = ["Callback", "Run", "track", "load_ipython_extension", "__version__"]

if __name__ == "__main__":
    from lora_ledger.cli import main

    sys.exit(main())
`;

mkdirSync(dirname(target), { recursive: true });
writeFileSync(target, file);
console.log(
  `${relative(root, target)}: ${modules.length} modules, ${Math.round(Buffer.byteLength(file) / 1000)} kB`,
);
