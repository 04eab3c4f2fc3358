"""Reads the defaults that trainers' own packages hold, from their source text: nothing of them is imported or run.

Standard input is {"folder": CACHE, "packages": {NAME: VERSION or ""}, "sources": {NAME: FOLDER},
"places": {KEY: [PLACE, …]}}. A package is downloaded with pip (its wheel alone, for any Python), or read from a folder
that `sources` names. A place is

    {"package": NAME, "file": PATH, "class": NAME}         fields of a dataclass or a pydantic model
    {"package": NAME, "file": PATH, "function": NAME}      parameters of a function or method
    {"package": NAME, "file": PATH, "options": true}       `add_argument("--name", default=…)` of argparse
    {"package": NAME, "file": PATH, "call": NAME, "name": KEYWORD, "default": KEYWORD}   a registry made of calls
    {"package": NAME, "file": PATH, "pattern": REGEX, "as": NAME}   group 1 of an expression, where only code says it

and may have "prefix", which goes before its names. Of several places the later ones win. Standard output is
{"versions": {NAME: VERSION}, "values": {KEY: {NAME: VALUE}}, "faults": {KEY: [TEXT, …]}}; a value that no literal gives
is {"code": TEXT}.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path


class PlaceError(Exception):
    """What was to be read is not where the table says."""


def download(name: str, version: str, folder: Path) -> Path:
    """The package's wheel. Without a version the newest. Raises PlaceError."""
    wanted = f"{name}=={version}" if version else name
    kept = re.sub(r"[-_.]+", "_", name)
    target = folder / (f"{kept}-{version}" if version else f"{kept}-newest")
    found = sorted(target.glob("*.whl"))
    if found and version:
        return found[0]
    for old in found:
        old.unlink()
    # Any Python's wheel: it is read and never installed.
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", "--python-version", "3.13", "--dest", str(target), wanted]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    found = sorted(target.glob("*.whl"))
    if done.returncode or not found:
        raise PlaceError(f"{wanted} cannot be downloaded: {done.stderr.strip()[-300:]}")
    return found[0]


class Package:
    """The files of a wheel or of a folder."""

    def __init__(self, path: Path) -> None:
        self.archive = zipfile.ZipFile(path) if path.is_file() else None
        self.path = path
        self.version = path.name.split("-")[1] if self.archive else "folder"
        self.trees: dict[str, tuple[str, ast.Module]] = {}

    def parse(self, file: str) -> tuple[str, ast.Module]:
        """(text, syntax tree) of a file. Raises PlaceError."""
        if file not in self.trees:
            try:
                data = self.archive.read(file) if self.archive else (self.path / file).read_bytes()
                text = data.decode("utf-8")
                self.trees[file] = text, ast.parse(text)
            except (KeyError, OSError, SyntaxError, UnicodeDecodeError) as error:
                raise PlaceError(f"{self.path.name} has no readable {file}: {error}") from None
        return self.trees[file]


def names_of(body: list[ast.stmt]) -> dict[str, ast.expr]:
    """What plain names are assigned, also within conditions; the last one counts, as with the newest libraries."""
    found: dict[str, ast.expr] = {}
    for statement in body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            found[statement.targets[0].id] = statement.value
        elif isinstance(statement, ast.If):
            found.update(names_of(statement.body))
    return found


def value_of(node: ast.expr | None, names: dict[str, ast.expr], depth: int = 0) -> object:
    """The literal that an expression stands for; {"code": TEXT} for one that only runs."""
    if node is None:
        return None
    try:
        value = ast.literal_eval(node)
        return sorted(value) if isinstance(value, set) else value
    except (ValueError, TypeError):
        pass
    if isinstance(node, ast.Name) and node.id in names and depth < 5:
        return value_of(names[node.id], names, depth + 1)
    if isinstance(node, ast.Lambda):
        return value_of(node.body, names, depth)
    # Members of enumerations, whose values are their names in small letters: OptimizerNames.ADAMW_TORCH.
    if isinstance(node, ast.Attribute) and node.attr.isupper():
        return node.attr.lower()
    if isinstance(node, ast.Attribute) and node.attr == "value":
        return value_of(node.value, names, depth)
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Path" and len(node.args) == 1:
        return value_of(node.args[0], names, depth)
    return {"code": ast.unparse(node)[:100]}


def field_default(node: ast.expr, names: dict[str, ast.expr]) -> tuple[bool, object]:
    """(whether there is a default, its value) of a dataclass's or pydantic's field."""
    called = node.func if isinstance(node, ast.Call) else None
    name = called.id if isinstance(called, ast.Name) else called.attr if isinstance(called, ast.Attribute) else ""
    if not isinstance(node, ast.Call) or name not in ("field", "Field"):
        return True, value_of(node, names)
    for keyword in node.keywords:
        if keyword.arg in ("default", "default_factory"):
            return True, value_of(keyword.value, names)
    if node.args and not (isinstance(node.args[0], ast.Constant) and node.args[0].value is ...):
        return True, value_of(node.args[0], names)
    return False, None


def find(tree: ast.Module, kinds: tuple[type, ...], name: str, file: str) -> ast.AST:
    """The first class or function of that name. Raises PlaceError."""
    for node in ast.walk(tree):
        if isinstance(node, kinds) and getattr(node, "name", None) == name:
            return node
    raise PlaceError(f"{file} has no {name}")


def read_class(tree: ast.Module, name: str, file: str) -> dict[str, object]:
    node = find(tree, (ast.ClassDef,), name, file)
    names = {**names_of(tree.body), **names_of(node.body)}
    found = {}
    for field in node.body:
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            has_default, value = field_default(field.value, names) if field.value else (False, None)
            found[field.target.id] = value if has_default else None
    return found


def read_function(tree: ast.Module, name: str, file: str) -> dict[str, object]:
    node = find(tree, (ast.FunctionDef, ast.AsyncFunctionDef), name, file)
    names = names_of(tree.body)
    last = node.args.args[len(node.args.args) - len(node.args.defaults) :]
    pairs = [*zip(last, node.args.defaults), *zip(node.args.kwonlyargs, node.args.kw_defaults)]
    return {argument.arg: value_of(default, names) for argument, default in pairs}


def read_options(tree: ast.Module, file: str) -> dict[str, object]:
    names = names_of(tree.body)
    found = {}
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and getattr(node.func, "attr", None) == "add_argument"):
            continue
        words = [word.value for word in node.args if isinstance(word, ast.Constant) and isinstance(word.value, str)]
        given = {keyword.arg: keyword.value for keyword in node.keywords}
        option = value_of(given["dest"], names) if "dest" in given else None
        option = option or next((word.lstrip("-") for word in words if word.startswith("--")), None)
        if not option:
            continue
        action = value_of(given.get("action"), names)
        implied = {"store_true": False, "store_false": True}.get(str(action))
        found[str(option).replace("-", "_")] = value_of(given["default"], names) if "default" in given else implied
    if not found:
        raise PlaceError(f"{file} adds no argument")
    return found


def read_calls(tree: ast.Module, place: dict, file: str) -> dict[str, object]:
    names = names_of(tree.body)
    found = {}
    for node in ast.walk(tree):
        called = (
            getattr(node.func, "id", None) or getattr(node.func, "attr", None) if isinstance(node, ast.Call) else None
        )
        if called != place["call"]:
            continue
        given = {keyword.arg: keyword.value for keyword in node.keywords}
        name = value_of(given.get(place["name"]), names)
        if isinstance(name, str):
            found[name.lstrip("-").replace("-", "_")] = value_of(given.get(place["default"]), names)
    if not found:
        raise PlaceError(f"{file} has no {place['call']}")
    return found


def read_place(package: Package, place: dict) -> dict[str, object]:
    """{name: default} of one place. Raises PlaceError."""
    file = place["file"]
    text, tree = package.parse(file)
    if "class" in place:
        found = read_class(tree, place["class"], file)
    elif "function" in place:
        found = read_function(tree, place["function"], file)
    elif "call" in place:
        found = read_calls(tree, place, file)
    elif "pattern" in place:
        match = re.search(place["pattern"], text)
        if not match:
            raise PlaceError(f"{file} no longer says {place['as']} by {place['pattern']!r}")
        try:
            found = {place["as"]: ast.literal_eval(match[1])}
        except (ValueError, SyntaxError):
            found = {place["as"]: match[1]}
    else:
        found = read_options(tree, file)
    return {place.get("prefix", "") + name: value for name, value in found.items()}


def main() -> None:
    asked = json.load(sys.stdin)
    folder = Path(asked["folder"])
    packages: dict[str, Package | PlaceError] = {}

    def package_of(name: str) -> Package:
        if name not in packages:
            try:
                source = asked["sources"].get(name)
                path = Path(source) if source else download(name, asked["packages"][name], folder)
                packages[name] = Package(path)
            except PlaceError as error:
                packages[name] = error
        found = packages[name]
        if isinstance(found, PlaceError):
            raise found
        return found

    values: dict[str, dict[str, object]] = {}
    faults: dict[str, list[str]] = {}
    for key, places in asked["places"].items():
        values[key], faults[key] = {}, []
        for place in places:
            try:
                values[key].update(read_place(package_of(place["package"]), place))
            except PlaceError as error:
                faults[key].append(str(error))
    versions = {name: found.version for name, found in packages.items() if isinstance(found, Package)}
    json.dump({"versions": versions, "values": values, "faults": faults}, sys.stdout, default=str)


if __name__ == "__main__":
    main()
