/**
 * Writes client/dist/ledger.py: the whole Python client as one readable file, for boxes that have curl and python3
 * alone. It runs as a program and can be imported; its modules stay modules, so that tracebacks name them.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, relative, sep } from "node:path";
import { deflateSync } from "node:zlib";
import { root } from "./local/processes.ts";
import { shortenPython } from "./shorten-python.ts";

const source = join(root, "client", "src");
const target = join(root, "client", "dist", "ledger.py");

/** Modules whose docstrings and signatures people read by help(). */
const documented = ["lora_ledger/__init__.py", "lora_ledger/recording/track.py"];

const modules = readdirSync(join(source, "lora_ledger"), { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".py"))
  .map((name) => join("lora_ledger", name))
  .sort()
  .map((name) => {
    const path = name.split(sep).join("/");
    const whole = readFileSync(join(source, name), "utf8").replaceAll("\r\n", "\n");
    const code = shortenPython(whole, documented.includes(path));
    if (code.includes("'''") || code.trimEnd().endsWith("\\"))
      throw new Error(`${path} cannot be embedded: it contains ''' or ends in a backslash`);
    return { path, code };
  });

const version = /__version__ = "([^"]+)"/.exec(
  modules.find((m) => m.path === "lora_ledger/__init__.py")?.code ?? "",
)?.[1];
if (!version) throw new Error("client/src/lora_ledger/__init__.py names no __version__");

/**
 * Tables, the Chinese sentences, what no recording of a run needs (past runs' readers, commands for people), and what
 * only reads: YAML and TOML, trainers' settings, the tools of GPUs, W&B's files. They are packed by zlib, to a third;
 * `python3 ledger.py --unpack DIR` writes every module as it is in the file. What withholds secrets, sends and starts
 * programs stays text.
 */
const packed =
  /^lora_ledger\/(?:imports\/|chinese\/|trainers\/|core\/(?:architectures|yaml_|toml_)|follow\/(?:gpu|wandb)|commands\/(?!run|safe|sync|box_records|spool_report|options|parser)).*(?<!__init__)\.py$/;

const fileOf = ({ path }: { path: string }) => path.replace("lora_ledger/", "");
const apart = modules.filter(({ path }) => packed.test(path));
const text = modules
  .filter((module) => !apart.includes(module))
  .map((module) => `_add("${fileOf(module)}", r'''\n${module.code}''')\n`)
  .join("\n");
const bytes = deflateSync(apart.map(({ code }) => code).join("\0"), { level: 9 });
const lines = bytes.toString("base64").match(/.{1,118}/g) ?? [];
const embedded = `${text}
for _place, _file in enumerate("""
${apart.map(fileOf).join("\n")}
""".split()):
    _add(_file, _place)

_PACKED = b"""
${lines.join("\n")}"""
`;

const file = `#!/usr/bin/env python3
"""LoRA Ledger's client ${version} in one file. Python 3.9 or newer, nothing else.

    LEDGER_URL=… LEDGER_KEY=… python3 ledger.py run -- COMMAND…
    python3 ledger.py --help

As a library, beside your script:  import ledger;  ledger.track(config="my_lora.toml")
The modules below are those of client/src/lora_ledger, with tabs, and without comments and annotations. Tables,
readers of files, and what no recording loads, are packed:  python3 ledger.py --unpack DIR  writes them all as text.
"""

import sys

if sys.version_info < (3, 9):
    sys.exit("ledger.py needs Python 3.9 or newer; this is " + sys.version.split()[0])

import base64
import importlib.abc
import importlib.machinery
import linecache
import os
import zlib

_MODULES = {}


def _add(file, text):
    """Takes in the text of a module, or of a packed one its place: its name → its path, whether it is a package, that."""
    path = "lora_ledger/" + file
    *package, name = path[:-3].split("/")
    is_package = name == "__init__"
    _MODULES[".".join(package if is_package else [*package, name])] = (path, is_package, text)


${embedded}

class _Embedded(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Imports lora_ledger and its modules from the text above."""

    # The packed modules' texts, once one was asked for.
    packed = []

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
        text = _MODULES[name][2]
        if isinstance(text, str):
            return text[1:]
        if not self.packed:
            self.packed.extend(zlib.decompress(base64.b64decode(_PACKED)).decode().split("\\0"))
        return self.packed[text]

    def exec_module(self, module):
        name = module.__name__
        source, origin = self.get_source(name), self._origin(name)
        linecache.cache[origin] = (len(source), None, source.splitlines(True), origin)
        exec(compile(source, origin, "exec", dont_inherit=True), module.__dict__)


def _unpack(folder):
    """Writes every module below the folder, as text."""
    for name, (path, _, _) in _MODULES.items():
        to = os.path.join(folder, *path.split("/"))
        os.makedirs(os.path.dirname(to), exist_ok=True)
        with open(to, "w", encoding="utf-8") as out:
            out.write(_Embedded().get_source(name))


if not any(type(finder).__name__ == "_Embedded" for finder in sys.meta_path):
    sys.meta_path.insert(0, _Embedded())

from lora_ledger import Callback, Run, __version__, load_ipython_extension, track  # noqa: E402

__all__ = ["Callback", "Run", "track", "load_ipython_extension", "__version__"]

if __name__ == "__main__" and sys.argv[1:2] == ["--unpack"]:
    if len(sys.argv) != 3:
        sys.exit("usage: python3 ledger.py --unpack DIR")
    _unpack(sys.argv[2])
elif __name__ == "__main__":
    from lora_ledger.cli import main

    sys.exit(main())
`;

mkdirSync(dirname(target), { recursive: true });
writeFileSync(target, file);
console.log(
  `${relative(root, target)}: ${modules.length} modules, ${Math.round(Buffer.byteLength(file) / 1000)} kB`,
);
