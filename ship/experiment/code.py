"""The code that decides what a step of the workflow writes, as digests of the modules that it reaches by imports.

A digest is that of a module's syntax tree without docstrings: comments, blank lines and docstrings do not count, a
changed constant does. Of the methods, a step reaches the one that its row names. Modules are read as text, so no torch
is loaded.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ship.errors import BadInput

PACKAGE = Path(__file__).parents[1]
STEPS = {  # where the work of a step starts; its command in cli.py only hands on what it is given
    "prepare": "data/prepare.py",
    "backbone": "models/backbones.py",
    "features": "models/features.py",
    "hierarchy": "models/hierarchy.py",
    "search": "training/search.py",
    "train": "training/train.py",
    "aggregate": "report/aggregate.py",
    "report": "report/partial.py",
}
WORDS = {  # read params.yaml, whose values are tracked themselves
    "errors.py",
    *(
        f"experiment/{name}.py"
        for name in ("__init__", "code", "fields", "messages", "params", "presets", "rows", "task")
    ),
}
REGISTRY = "methods/__init__.py"
TABLE = "METHODS"


class Code:
    """The modules of the package as they are when each is first asked for; a module is read once."""

    def __init__(self, package: Path | None = None) -> None:
        self.package = PACKAGE if package is None else package
        self._trees: dict[str, ast.Module] = {}
        self._digests: dict[str, str] = {}
        self._imports: dict[str, list[str]] = {}

    def modules(self, step: str, method: str | None = None) -> dict[str, str]:
        """Digest of every module that a step reaches, by its path in the package; `method` is a key of METHODS."""
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

    def methods(self) -> dict[str, str]:
        """The table METHODS, read as text."""
        for node in self.tree(REGISTRY).body:
            if _assigns(node, TABLE):
                table: dict[str, str] = ast.literal_eval(node.value)  # type: ignore[attr-defined]
                return table
        raise BadInput(f"{self.package / REGISTRY}: expected the table {TABLE}, found none")

    def digest(self, module: str) -> str:
        """Of a module's syntax tree, without the table of methods, of which a row depends on its own entry alone."""
        if module not in self._digests:
            body = [node for node in self.tree(module).body if not (module == REGISTRY and _assigns(node, TABLE))]
            self._digests[module] = _short(repr(_plain(body)))
        return self._digests[module]

    def imports(self, module: str) -> list[str]:
        """The modules of ours that a module imports, wherever it does; those for type checking are left out."""
        if module not in self._imports:
            self._imports[module] = list(self._imported(module))
        return self._imports[module]

    def _imported(self, module: str) -> Iterator[str]:
        tree = self.tree(module)
        checked = [
            node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        ]
        passed_over = {id(node) for branch in checked for node in ast.walk(branch)}
        names: list[str] = []
        for node in ast.walk(tree):
            if isinstance(node, ast.Import) and id(node) not in passed_over:
                names += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and id(node) not in passed_over:
                names += [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "ship":
                yield from self._files(parts[1:])

    def tree(self, module: str) -> ast.Module:
        """A module's syntax tree."""
        if module not in self._trees:
            self._trees[module] = ast.parse((self.package / module).read_bytes())
        return self._trees[module]

    def _files(self, parts: list[str]) -> Iterator[str]:
        """The file of a module, or of the one that holds the last of `parts`, and the rooms around it."""
        for length in range(1, len(parts) + 1):
            stem = "/".join(parts[:length])
            for file in (f"{stem}.py", f"{stem}/__init__.py"):
                if (self.package / file).is_file():
                    yield file


def digests(rows: Mapping[str, str]) -> dict[str, Any]:
    """Of every step; of those that depend on the method of a row, by row: `rows` maps its name to its method."""
    code, by_row = Code(), ("search", "train")
    steps = {step: code.of(step) for step in STEPS if step not in by_row}
    return steps | {step: {name: code.of(step, method) for name, method in sorted(rows.items())} for step in by_row}


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


def differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The modules that one has and the other has not, or has otherwise."""
    return sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))


def _assigns(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in node.targets)


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
