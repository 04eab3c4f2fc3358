import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { root } from "./local/processes.ts";

const python = process.env.PYTHON ?? "python3";
const file = join(root, "client/dist/ledger.py");

test("the client is one file below 600 kB, and half a second is enough to import it", () => {
  const { size } = statSync(file);
  const seconds = () =>
    Number(
      execFileSync(
        python,
        [
          "-c",
          `import sys, time
sys.path.insert(0, ${JSON.stringify(join(root, "client/dist"))})
start = time.process_time()
import ledger
print(time.process_time() - start)
assert callable(ledger.track) and callable(ledger.load_ipython_extension)`,
        ],
        { encoding: "utf8" },
      ),
    );
  // The quickest of a few: this machine may have much else to do.
  const best = Math.min(...[1, 2, 3, 4, 5].map(seconds));
  console.log(`the client: ${size} bytes, imported in ${best.toFixed(2)} s`);
  expect(size).toBeLessThan(600_000);
  expect(best).toBeLessThan(0.5);
});

test("every module of the one file means what the module of the repository means, line by line", () => {
  const said = execFileSync(
    python,
    [
      "-c",
      `import ast, sys
sys.path.insert(0, ${JSON.stringify(join(root, "client/dist"))})
import ledger
class Bare(ast.NodeTransformer):
    "Takes out what the one file leaves out: docstrings, annotations outside of classes, imports that only these need."
    def __init__(self, kept):
        self.kept = kept
    def visit(self, node):
        body = getattr(node, "body", None)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            if len(body) > 1 or isinstance(node, ast.Module):
                body.pop(0)
            else:
                body[0].value.value = ""
        if isinstance(node, ast.ClassDef):
            # Annotated fields stay; the methods between them do not keep theirs.
            node.body = [one if isinstance(one, ast.AnnAssign) else self.visit(one) for one in body]
            return node
        return super().visit(node)
    def visit_FunctionDef(self, node):
        node.returns = None
        return self.generic_visit(node)
    def visit_arg(self, node):
        node.annotation = None
        return node
    def visit_AnnAssign(self, node):
        new = ast.Assign([node.target], node.value, lineno=node.lineno, col_offset=0, end_lineno=node.end_lineno)
        return self.generic_visit(new)
    def visit_If(self, node):
        return None if ast.unparse(node.test) == "TYPE_CHECKING" else self.generic_visit(node)
    def visit_ImportFrom(self, node):
        if node.col_offset:
            return node
        node.names = [one for one in node.names if (one.asname or one.name) in self.kept]
        return node if node.names else None
def meaning(tree):
    # Positions count as well, but for columns, where a tab is one.
    return ast.dump(tree), [getattr(node, "lineno", 0) for node in ast.walk(tree)]
def imported(tree):
    return {one.asname or one.name for node in tree.body if isinstance(node, ast.ImportFrom) for one in node.names}
for name, (path, _, _) in ledger._MODULES.items():
    text = "\\n" + ledger._Embedded().get_source(name)
    with open(${JSON.stringify(join(root, "client/src/"))} + path, encoding="utf-8") as file:
        old, new = ast.parse(file.read()), ast.parse(text[1:])
    kept = imported(new)
    if path in ("lora_ledger/__init__.py", "lora_ledger/recording/track.py"):
        assert ast.get_docstring(old) == ast.get_docstring(new), path
    # An import that is gone is one that nothing in the module names.
    named = {node.id for node in ast.walk(new) if isinstance(node, ast.Name)}
    assert not (imported(old) - kept) & named, path
    # Annotations that stayed are not evaluated, as before.
    if any(isinstance(node, ast.AnnAssign) or getattr(node, "annotation", None) for node in ast.walk(new)):
        assert "annotations" in kept, path
    assert meaning(Bare(kept).visit(old)) == meaning(Bare(kept).visit(new)), path
print(len(ledger._MODULES))`,
    ],
    { encoding: "utf8" },
  );
  expect(Number(said)).toBeGreaterThan(80);
  expect(readFileSync(file, "utf8")).toMatch(/^#!\/usr\/bin\/env python3\n/);
});

test("the one file says every sentence in the same Chinese", () => {
  const sentences = (folder: string, file: string) =>
    execFileSync(
      python,
      [
        "-c",
        `import sys
sys.path[:0] = ${JSON.stringify([join(root, folder), join(root, "client/src")])}
import ${file}
from lora_ledger.chinese import SENTENCES, SYSTEM
assert SENTENCES.get("no such sentence", None) is None
del sys.path[:2]
for name in [name for name in sys.modules if name.startswith("lora_ledger")]:
    del sys.modules[name]
sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__name__ != "_Embedded"]
sys.path.insert(0, ${JSON.stringify(join(root, "client/src"))})
from lora_ledger import chinese
for theirs, ours in ((chinese.SENTENCES, SENTENCES), (chinese.SYSTEM, SYSTEM)):
    for english in theirs:
        print(english, ours.get(english, None))`,
      ],
      { encoding: "utf8", env: { ...process.env, PYTHONIOENCODING: "utf-8" } },
    );
  const ours = sentences("client/dist", "ledger");
  expect(ours).toBe(sentences("client/src", "lora_ledger"));
  expect(ours).toContain("`lora-ledger sync` 发送它");
});

test("every module of the one file can be imported, and has what the others take from it", () => {
  const said = execFileSync(
    python,
    [
      "-c",
      `import ast, importlib, sys
sys.path.insert(0, ${JSON.stringify(join(root, "client/dist"))})
import ledger
taken = 0
for name, (path, is_package, _) in ledger._MODULES.items():
    text = "\\n" + ledger._Embedded().get_source(name)
    if name.endswith("__main__"):
        continue
    module = importlib.import_module(name)
    assert module.__spec__.origin.startswith("<ledger.py>"), name
    tree = ast.parse(text[1:])
    names = {one.asname or one.name for node in tree.body if isinstance(node, ast.ImportFrom) for one in node.names}
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in names):
            continue
        owner = getattr(module, node.value.id)
        if type(owner) is type(sys) and owner.__name__ in ledger._MODULES:
            assert hasattr(owner, node.attr), (name, node.lineno, node.attr)
            taken += 1
print(taken)`,
    ],
    { encoding: "utf8" },
  );
  expect(Number(said)).toBeGreaterThan(200);
});

test("every module of the one file can be read as text, the packed ones too", () => {
  const folder = mkdtempSync(join(tmpdir(), "unpacked-"));
  try {
    execFileSync(python, [file, "--unpack", folder]);
    const names = readdirSync(join(folder, "lora_ledger"), { recursive: true, encoding: "utf8" });
    const inSource = readdirSync(join(root, "client/src/lora_ledger"), {
      recursive: true,
      encoding: "utf8",
    });
    const modules = (all: string[]) => all.filter((name) => name.endsWith(".py")).sort();
    expect(modules(names)).toEqual(modules(inSource));
    const said = execFileSync(python, ["-m", "lora_ledger", "--version"], {
      env: { ...process.env, PYTHONPATH: folder },
      encoding: "utf8",
    });
    expect(said).toMatch(/\d+\.\d+\.\d+/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
