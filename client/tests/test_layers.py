"""The order of the client's folders: a module imports what is below its own folder, and its own folder."""

import ast
import sys
import unittest

from tests.helpers import SOURCE

ROOT = SOURCE / "lora_ledger"
# From the ground up.
FLOORS = ("chinese", "core", "follow", "trainers", "recording", "imports", "commands", "cli")
# What may be at the top: the package's face, and the program.
TOP = {"__init__", "__main__", "cli"}
MODULES = {path.relative_to(ROOT).with_suffix("").parts: path for path in ROOT.rglob("*.py")}


def imported(path, parts):
    """The modules of the client that a module imports, as parts of their names, and the other modules' names."""
    own, others = set(), set()
    package = parts[:-1]
    tree = ast.parse(path.read_text("utf-8"))
    # Only for a checker of types, never when it runs.
    tree.body = [
        node for node in tree.body if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
    ]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            others.update(name.name.split(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            others.add(node.module.split(".")[0])
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] + tuple((node.module or "").split(".")) * bool(node.module)
            for name in node.names:
                inner = (*base, name.name)
                own.add(inner if inner in MODULES else base)
    return own, others


class LayersTest(unittest.TestCase):
    def test_a_folder_imports_what_is_below_it(self):
        faults = []
        for parts, path in MODULES.items():
            if parts[0] in ("__init__", "__main__"):
                continue
            self.assertIn(parts[0], FLOORS, f"{'.'.join(parts)} has no place in the order")
            floor = FLOORS.index(parts[0])
            for target in imported(path, parts)[0]:
                # The package itself has the version alone.
                if target and FLOORS.index(target[0]) > floor:
                    faults.append(f"{'.'.join(parts)} imports {'.'.join(target)}")
        self.assertEqual(faults, [])

    def test_the_top_has_no_other_module(self):
        self.assertEqual({parts[0] for parts in MODULES if len(parts) == 1}, TOP)

    def test_no_module_is_part_of_a_circle(self):
        uses = {parts: imported(path, parts)[0] for parts, path in MODULES.items() if parts[-1] != "__init__"}
        done, under_way = set(), []

        def visit(module):
            self.assertNotIn(module, under_way, f"a circle: {[*under_way, module]}")
            if module in done:
                return
            under_way.append(module)
            for target in uses.get(module, ()):
                visit(target)
            under_way.pop()
            done.add(module)

        for module in uses:
            visit(module)

    @unittest.skipIf(sys.version_info < (3, 10), "Python 3.9 does not name the modules of its library")
    def test_python_is_all_that_it_needs(self):
        for parts, path in MODULES.items():
            foreign = imported(path, parts)[1] - set(sys.stdlib_module_names) - {"__future__"}
            self.assertEqual(foreign, set(), ".".join(parts))


if __name__ == "__main__":
    unittest.main()
