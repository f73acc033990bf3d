"""A small experiment in a folder of its own, for tests that run whole steps."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import os
import shutil
import subprocess
import sys
from itertools import product
from pathlib import Path
from unittest import mock

import yaml

from ship import cli
from ship.artifacts import backbone_file, data_folder
from ship.data.prepare import prepare
from ship.experiment.params import read_params
from ship.experiment.settings import write_settings
from ship.models.backbones import fetch
from ship.models.features import measure_features
from ship.models.hierarchy import measure_hierarchy

ROOT = Path(__file__).resolve().parents[1]
EXPERIMENTS = [path for path in sorted((ROOT / "presets").glob("*.yaml")) if not path.stem.startswith("pretrain_")]
BACKBONE = "vit_random"
FIRST: list[str] = []  # folders of commands that come before those of the environment: see `commands_in`
TINY = {
    "grid": {
        "backbones": [BACKBONE],
        "tasks": ["digits", "textures"],
        "methods": ["linear", "vpt", "ship"],
        "seeds": [0],
    },
    "backbones": {BACKBONE: {"name": "test_vit", "weights": "random", "image_size": 64}},
    "data_root": ".",
    "tasks": {
        "digits": {"source": "builtin", "train": 30, "val": 10, "test": 20},
        "textures": {"source": "builtin", "train": 30, "val": 10, "test": 20},
    },
    "methods": {
        "linear": {"method": "linear", "train": {"lr": 0.01, "steps": 8}},
        "vpt": {"method": "vpt", "options": {"prompt_length": 2}},
        "ship": {"method": "ship", "options": {"prompt_length": 2}},
    },
    "hierarchy": {"prototypes": 8},
    "train": {"epochs": 3, "batch_size": 16, "warmup_epochs": 1},
    "protocol": "last-epoch",
    "compute": {"device": "cpu", "threads": 1},
}


def changed(settings=None):
    """The tiny experiment with dotted keys set."""
    raw = copy.deepcopy(TINY)
    for key, value in (settings or {}).items():
        tree = raw
        *groups, last = key.split(".")
        for group in groups:
            tree = tree.setdefault(group, {})
        tree[last] = value
    return raw


def write_params(folder, settings=None):
    """params.yaml in `folder`."""
    (folder / "params.yaml").write_text(yaml.safe_dump(changed(settings), sort_keys=False))


def make_project(folder, settings=None):
    """A copy of what a clone needs to run the workflow, with the tiny experiment in it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("Snakefile", "workflow", "profiles", "slurm", "ship", "presets"):
        source = ROOT / name
        if source.is_symlink():
            (folder / name).symlink_to(source.readlink())
        elif source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    write_params(folder, settings)
    return folder


@contextlib.contextmanager
def commands_in(*folders):
    """Within, commands come from these folders first; from none, each starts a process of the environment's."""
    before, FIRST[:] = FIRST[:], map(str, folders)
    try:
        yield
    finally:
        FIRST[:] = before


def environment_of(folder):
    """The environment of a command in `folder`: with the package there, or else here."""
    package = folder if (Path(folder) / "ship").is_dir() else ROOT
    if FIRST:
        check_unedited(package)
    path = os.pathsep.join([*FIRST, str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**os.environ, "PATH": path, "PYTHONPATH": str(package), "HF_HUB_OFFLINE": "1"}


def command(*arguments, cwd, **options):
    """Run a command of the environment in `cwd`; the finished process."""
    environment = environment_of(cwd)
    return subprocess.run(arguments, cwd=cwd, env=environment, capture_output=True, text=True, check=False, **options)


def ship(*arguments, cwd):
    """`ship ...` in this process, in `cwd`, as `command` gives it: for tests of what it says, not of the process."""
    return _within(cli.main, "ship", *arguments, cwd=cwd)


def summary(folder):
    """Snakemake's rows, one an output file, by column; in this process, where a look takes a tenth of a second."""
    from snakemake import cli as snakemake

    check_unedited(folder)
    done = _within(snakemake.main, "snakemake", "--cores", "1", "--detailed-summary", cwd=folder)
    assert done.returncode == 0, done.stderr
    header, *rows = [line.split("\t") for line in done.stdout.splitlines()]
    return [dict(zip(header, row, strict=True)) for row in rows]


def check_unedited(folder):
    """Refuse a package that differs from the one here, which processes of the tests have imported."""
    modules = ("ship/*.py", "ship/*/*.py", "ship/*/*/*.py")
    assert contents(folder, *modules) == contents(ROOT, *modules), f"{folder}: expected the package as it is here"


def _within(main, *words, cwd):
    """A command's `main` in this process, in `cwd`, as `command` would give it."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    alone = mock.patch.object(logging.root, "handlers", [])  # so that messages go to stderr, as in a shell
    named = mock.patch.object(sys, "argv", list(words))
    with contextlib.chdir(cwd), alone, named, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())


def contents(folder, *patterns):
    """{relative path: bytes} of the files that match."""
    paths = sorted({path for pattern in patterns for path in Path(folder).glob(pattern) if path.is_file()})
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def copied_package(place):
    """A copy of the package at `place`, to be edited and read as text."""
    return shutil.copytree(ROOT / "ship", place, ignore=shutil.ignore_patterns("__pycache__", "weights"))


def edit(package, module, old, new):
    """Replace text that stands in a module."""
    text = (package / module).read_text()
    assert old in text
    (package / module).write_text(text.replace(old, new, 1))


def measured(folder, monkeypatch, task, settings=None):
    """The tiny experiment with all that fits on `task` need, in `folder`, where the test then works; its parameters."""
    folder.mkdir(exist_ok=True)
    write_params(folder, settings)
    monkeypatch.chdir(folder)
    params = read_params()
    prepare(task, params.tasks[task], params.data_root, data_folder(task))
    (backbone,) = params.grid.backbones
    fetch(backbone, params.backbones[backbone], backbone_file(backbone))
    measure_features(params, backbone, task)
    measure_hierarchy(params, backbone, task)
    return params


def settle(params, task):
    """Write the settings of every row on `task`, as they stand in `params`."""
    for backbone, method in product(params.grid.backbones, params.methods):
        write_settings(params, backbone, task, method)
