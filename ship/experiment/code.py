"""The code that decides what a step of the workflow writes, as digests of the modules that it reaches by imports.

A digest is that of a module's syntax tree without docstrings: comments, blank lines and docstrings do not count, a
changed constant does. Of the methods, a step reaches the one that its row names. Modules are read as text, so no torch
is loaded.
"""

from __future__ import annotations

import ast
import hashlib
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from ship.errors import BadInput

_log = logging.getLogger(__name__)

PACKAGE = Path(__file__).parents[1]
STEPS = {  # where the work of a step starts; its command in ship/cli only hands on what it is given
    "prepare": "data/prepare.py",
    "backbone": "models/backbones.py",
    "features": "models/features.py",
    "hierarchy": "models/hierarchy.py",
    "settings": "experiment/settings.py",  # what `search` does for a row that has none
    "search": "training/search.py",
    "train": "training/train.py",
    "aggregate": "report/aggregate.py",
    "report": "report/partial.py",
}
WORDS = {  # read params.yaml, whose values are tracked themselves
    "errors.py",
    *(
        f"experiment/{name}.py"
        for name in ("__init__", "code", "fields", "messages", "options", "params", "rows", "task", "yaml_file")
    ),
}
REGISTRY = "methods/__init__.py"
TABLE = "METHODS"


class Code:
    """The modules of the package as they are when each is first asked for; a module is read once."""

    def __init__(self, package: Path | None = None) -> None:
        self.package = PACKAGE if package is None else package
        self._sources: dict[str, bytes] = {}
        self._found: dict[tuple[str, str | None], dict[str, str]] = {}

    def modules(self, step: str, method: str | None = None) -> dict[str, str]:
        """Digest of every module that a step reaches, by its path in the package; `method` is a key of METHODS."""
        if (step, method) not in self._found:  # a workflow asks for every one of its runs
            self._found[step, method] = self._modules(step, method)
        return dict(self._found[step, method])

    def _modules(self, step: str, method: str | None) -> dict[str, str]:
        found, left = set[str](), [STEPS[step]]
        entry = {TABLE: self.methods()[method]} if method in self.methods() else {}
        left += [f"methods/{target.partition('.')[0]}.py" for target in entry.values()]
        while left:
            if (module := left.pop()) not in found:
                found.add(module)
                left += self.imports(module)
        words = set() if step == "search" else WORDS  # a search makes its trials' settings itself
        return {module: self.digest(module) for module in sorted(found - words)} | entry

    def of(self, step: str, method: str | None = None) -> str:
        """One digest for all that a step reaches."""
        return _short(repr(self.modules(step, method)))

    def of_row(self, step: str, method: str, searched: bool) -> str:
        """One digest for all that a step reaches for a row of that method: where nothing is searched, no search."""
        return self.of("settings") if step == "search" and not searched else self.of(step, method)

    def methods(self) -> dict[str, str]:
        """The table METHODS, read as text."""
        for node in _tree(self.source(REGISTRY)).body:
            if _assigns(node):
                table: dict[str, str] = ast.literal_eval(node.value)  # type: ignore[attr-defined]
                return table
        raise BadInput(f"{self.package / REGISTRY}: expected the table {TABLE}, found none")

    def options(self, method: str) -> dict[str, Any]:
        """The options of a method, a key of METHODS, with their defaults, as its class has them.

        They are read as text, so without their types; a default that is no plain value is its text.
        """
        module, _, name = self.methods()[method].partition(".")
        classes = {
            node.name: node
            for node in _tree(self.source(f"methods/{module}.py")).body
            if isinstance(node, ast.ClassDef)
        }
        while found := classes.get(name):
            for part in found.body:
                if isinstance(part, ast.FunctionDef) and part.name == "__init__":
                    pairs = zip(part.args.kwonlyargs, part.args.kw_defaults, strict=True)
                    return {option.arg: _value(default) for option, default in pairs if default is not None}
            name = next((base.id for base in found.bases if isinstance(base, ast.Name)), "")
        return {}

    def digest(self, module: str) -> str:
        """Of a module's syntax tree, without the table of methods, of which a row depends on its own entry alone."""
        return _digest(self.source(module), module == REGISTRY)

    def imports(self, module: str) -> list[str]:
        """The modules of ours that a module imports, wherever it does; those for type checking are left out."""
        parts = [name.split(".") for name in _imported(self.source(module))]
        return [file for package, *inner in parts if package == "ship" for file in self._files(inner)]

    def source(self, module: str) -> bytes:
        """A module's text."""
        if module not in self._sources:
            self._sources[module] = (self.package / module).read_bytes()
            try:
                _tree(self._sources[module])
            except (SyntaxError, ValueError) as error:
                raise BadInput(f"{self.package / module}: expected Python, got: {error}") from None
        return self._sources[module]

    def _files(self, parts: list[str]) -> Iterator[str]:
        """The file of a module, or of the one that holds the last of `parts`, and the rooms around it."""
        for length in range(1, len(parts) + 1):
            stem = "/".join(parts[:length])
            for file in (f"{stem}.py", f"{stem}/__init__.py"):
                if (self.package / file).is_file():
                    yield file


def digests(rows: Mapping[str, tuple[str, bool]], defaults: str) -> dict[str, Any]:
    """Of every step; of those of a row, by row: `rows` maps its name to its method, and to whether it has a search.

    They are for DVC, which tracks what `params.yaml` says and not what it leaves out: so of the `defaults`, too.
    """
    code, by_row = Code(), ("search", "train")
    steps = {step: code.of(step) for step in STEPS if step not in (*by_row, "settings")}
    return {step: _short(found + defaults) for step, found in steps.items()} | {
        step: {name: _short(code.of_row(step, *row) + defaults) for name, row in sorted(rows.items())}
        for step in by_row
    }


@contextmanager
def unchanged(step: str, method: str | None = None) -> Iterator[dict[str, str]]:
    """The digests of a step's modules, which must be the same when the block ends.

    Raises BadInput where they are not: what was computed is of the old code, or of a mixture.
    """
    before = Code().modules(step, method)
    yield before
    if edited := differing(before, Code().modules(step, method)):
        raise BadInput(
            f"{step}: expected code that stays as it is while it runs, got edits of {', '.join(edited)} (again)"
        )
    _log.info("%s: done", step)  # so that a log tells an end from a kill


def differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The modules that one has and the other has not, or has otherwise."""
    return sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))


@cache  # a step looks at its modules when it starts and when it ends
def _tree(source: bytes) -> ast.Module:
    """The syntax tree of a module's text."""
    return ast.parse(source)


@cache
def _digest(source: bytes, registry: bool) -> str:
    """Of the tree of a module's text; of a registry without its table."""
    return _short(repr(_plain([node for node in _tree(source).body if not (registry and _assigns(node))])))


@cache
def _imported(source: bytes) -> list[str]:
    """The names that a module's text imports, with that of the module they come from, as `import a.b` has it."""
    names: list[str] = []
    left: list[ast.AST] = [_tree(source)]
    while left:
        node = left.pop()
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [f"{node.module}.{alias.name}" for alias in node.names]
        elif not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)):
            left += [child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.expr)]
    return names


def _value(node: ast.expr) -> Any:
    """What an expression stands for, or its text."""
    try:
        return ast.literal_eval(node)
    except ValueError:
        return ast.unparse(node)


def _assigns(node: ast.AST) -> bool:
    """Whether a statement gives the table of methods its value."""
    return isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == TABLE for t in node.targets)


def _plain(node: Any) -> Any:
    """A syntax tree as nested tuples, the same in every Python: without positions, empty fields and docstrings."""
    if isinstance(node, list):
        return [_plain(part) for part in node if not _is_docstring(part)]
    if isinstance(node, ast.AST):
        fields = ((name, _plain(value)) for name, value in ast.iter_fields(node) if value not in (None, []))
        return (type(node).__name__, *((name, value) for name, value in fields if name not in ("kind", "type_comment")))
    return repr(node)


def _is_docstring(node: Any) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
