"""Who may import whom: the package is a stack of rows, and a module imports only from rows below its own."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "ship"
ROWS = [  # from the top; a module imports from its own room and from the rows below
    ["cli"],
    ["training"],
    ["report", "inference", "pretrain"],
    ["methods"],
    ["models", "evaluation"],
    ["data", "compute"],
    ["experiment"],
    ["locks"],
    ["artifacts"],
    ["storage"],
    ["errors"],
]
LOOSE = {"__init__.py", "artifacts.py", "compute.py", "errors.py", "locks.py", "storage.py"}
HEAVY = {"torch", "timm", "torchvision", "sklearn", "safetensors"}
LIGHT = [
    "cli",
    "experiment.params",
    "experiment.settings",
    "experiment.presets",
    "cli.progress",
    "evaluation.statistics",
    "data.tasks",
    "data.prepare",
    "methods",
    "report.page",
    "report.partial",
]
MODULES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))


def imports(module):
    """Dotted names that a module imports, those for type checking left out."""
    tree = ast.parse((PACKAGE / module).read_text())
    checked = [node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)]
    passed_over = {id(node) for branch in checked for node in ast.walk(branch)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) and id(node) not in passed_over:
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and id(node) not in passed_over:
            assert not node.level, (
                f"{module}: expected whole names, which `experiment/code.py` follows, got {ast.unparse(node)}"
            )
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def row_of(dotted):
    """The number of the row that a module of ours stands in."""
    part = dotted.split(".")[1]
    return next((i for i, row in enumerate(ROWS) if part in row), None)


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_imports_go_downwards(module):
    """A module imports from its own package and from rows below."""
    own = module.parts[0].removesuffix(".py")
    if own == "__init__":
        return
    for name in imports(module):
        if name.startswith("ship.") and name.split(".")[1] != "__version__":
            target = name.split(".")[1]
            assert target == own or row_of(name) > row_of(f"ship.{own}"), f"{module} imports {name}"


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_the_package_knows_no_workflow_engine(module):
    """`workflow/` calls the command; nothing calls back."""
    assert not {name.split(".")[0] for name in imports(module)} & {"snakemake", "dvc"}


@pytest.mark.parametrize("module", LIGHT)
def test_words_load_no_torch(module):
    """What every job of a cluster reads while it parses the workflow starts in a fraction of a second."""
    code = f"import sys, ship.{module}; print(*({HEAVY!r} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_what_says_that_it_loads_no_torch_loads_none():
    """In the first lines of a module, as people read it."""
    said = [
        module
        for module in MODULES
        if "Loads no torch" in (ast.get_docstring(ast.parse((PACKAGE / module).read_text())) or "")
    ]
    names = [".".join(("ship", *module.with_suffix("").parts)) for module in said]
    assert len(names) > 40
    code = f"""
import sys
for name in {names!r}:
    __import__(name)
    assert not {HEAVY!r} & sys.modules.keys(), name
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_no_module_is_crowded(module):
    """At most 250 lines."""
    assert len((PACKAGE / module).read_text().splitlines()) <= 250


def test_methods_do_not_import_each_other():
    """What two methods share goes down into `models`, `methods/base.py` or, for prompts, `methods/prompts.py`."""
    for module in (PACKAGE / "methods").glob("*.py"):
        if module.stem not in ("__init__", "base", "options", "prompts"):
            names = {
                name.split(".")[2] for name in imports(module.relative_to(PACKAGE)) if name.startswith("ship.methods.")
            }
            assert names <= {"base", "prompts"}, module


def test_loose_modules_are_few():
    """Everything else lies in a room."""
    assert {path.name for path in PACKAGE.glob("*.py")} == LOOSE
