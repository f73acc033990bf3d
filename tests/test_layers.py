"""Who may import whom: the package is a stack of rows, and a module imports only from rows below its own."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

PACKAGE = Path(__file__).parents[1] / "ship"
ROWS = [  # from the top; a module imports from its own room and from the rows below
    ["cli"],
    ["cli_data"],
    ["training"],
    ["report", "inference", "pretrain"],
    ["methods"],
    ["models"],
    ["data", "compute"],
    ["experiment"],
    ["artifacts"],
    ["errors"],
]
LOOSE = {"__init__.py", "cli.py", "artifacts.py", "compute.py", "errors.py"}
HEAVY = {"torch", "timm", "torchvision", "sklearn", "safetensors"}
LIGHT = [
    "cli",
    "experiment.params",
    "experiment.settings",
    "experiment.presets",
    "training.progress",
    "report.statistics",
    "data.tasks",
    "data.prepare",
    "report.page",
    "report.partial",
]
WORDS = ("__init__", "fields", "messages", "params", "rows")
SETTINGS = {"ship/errors.py", *(f"ship/experiment/{name}.py" for name in WORDS)}
ENTRIES = {  # of a stage's command
    "prepare": ["data/prepare.py"],
    "backbone": ["models/backbones.py"],
    "features": ["models/features.py"],
    "hierarchy": ["models/hierarchy.py"],
    "search": ["training/search.py"],
    "train": ["training/train.py"],
    "aggregate": ["report/aggregate.py"],
}
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
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def reached(*modules):
    """These modules of ours, and all that they import."""
    found, left = set(), [Path(module) for module in modules]
    while left:
        if (module := left.pop()) not in found:
            found.add(module)
            for name in imports(module):
                parts = name.split(".")[1:] if name.startswith("ship.") else []
                tried = [Path(*parts[:length]) for length in range(len(parts), 0, -1)]  # a module, or a name in one
                files = [file for path in tried for file in (path.with_suffix(".py"), path / "__init__.py")]
                left += [file for file in files if file in MODULES][:1]
    return {f"ship/{module}" for module in found}


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
        if module.stem not in ("__init__", "base", "options"):
            names = {
                name.split(".")[2] for name in imports(module.relative_to(PACKAGE)) if name.startswith("ship.methods.")
            }
            assert names <= {"base"}, module


@pytest.mark.parametrize("stage", ENTRIES)
def test_a_stage_names_every_module_that_its_command_imports(stage):
    """An edit of any makes its results stale; what only reads params.yaml is left out, since its keys are tracked."""
    named = yaml.safe_load((PACKAGE.parent / "dvc.yaml").read_text())["stages"][stage]["deps"]
    lacking = {path for path in reached(*ENTRIES[stage]) if not any(path.startswith(name) for name in named)}
    assert lacking <= SETTINGS
    assert not {path for path in named if path.endswith(".py")} - reached(*ENTRIES[stage])
