"""Who may import whom: the package is a stack of rows, and a module imports only from rows below its own."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "ship"
ROWS = [  # from the top
    ["cli"],
    ["run", "restore", "measure", "pretrain", "tune", "report", "presets"],
    ["fit"],
    ["resume"],
    ["train", "predict", "evaluate"],
    ["methods"],
    ["models"],
    ["data", "compute"],
    ["chosen"],
    ["artifacts"],
    ["config"],
    ["rows"],
    ["fields"],
    ["complaints"],
    ["errors"],
]
HEAVY = {"torch", "timm", "torchvision", "sklearn", "safetensors"}
LIGHT = [
    "cli",
    "config",
    "chosen",
    "presets",
    "evaluate",
    "data.tasks",
    "data.prepare",
    "report.page",
    "report.partial",
]
MODULES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))


def imports(module):
    """Dotted names that a module imports, those for type checking left out."""
    for node in ast.walk(ast.parse((PACKAGE / module).read_text())):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
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


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_no_module_is_crowded(module):
    """At most 250 lines."""
    assert len((PACKAGE / module).read_text().splitlines()) <= 250


def test_methods_do_not_import_each_other():
    """What two methods share goes down into `models` or `methods/base.py`."""
    for module in (PACKAGE / "methods").glob("*.py"):
        if module.stem not in ("__init__", "base"):
            names = {
                name.split(".")[2] for name in imports(module.relative_to(PACKAGE)) if name.startswith("ship.methods.")
            }
            assert names <= {"base"}, module
