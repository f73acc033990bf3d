"""Fixtures that every test may use: a tiny backbone, the reference material beside the project, what is built once."""

from __future__ import annotations

import os
import shutil
from itertools import zip_longest
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from forking import ALL, start
from PIL import Image
from project import ROOT, commands_in
from timm.models.vision_transformer import VisionTransformer

SHARED = Path(__file__).resolve().parents[2] / "shared"
LONGEST = ("alone", "dvc", "slurm", "slow")  # marks, those of the longest tests first
APART = tuple(f"tests/workflow/test_{name}.py" for name in ("dvc", "slurm", "workflow"))  # they share by `once`

Image.MAX_IMAGE_PIXELS = None  # as the command has it
torch.set_num_threads(1)  # several processes share the cores


def pytest_addoption(parser):
    """`--device cuda` makes tensors there: for the tests of methods, which ask for no device."""
    parser.addoption("--device", default="cpu", help="where tensors are made that name no device")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Side by side, the tests of a file stay in one process, which makes its fixtures once; those of APART do not."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            file = nodeid.partition("::")[0]
            return nodeid if file in APART else file

    config.option.loadscopereorder = False  # it would put files with many tests first
    return Scheduling(config, log)


def pytest_collection_modifyitems(config, items):
    """Side by side, the longest tests come first, and those that wait for Slurm beside those that compute."""
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs a GPU"))
    if hasattr(config, "workerinput"):
        items.sort(key=rank)
        waiting = [item for item in items if item.get_closest_marker("slurm")]
        computing = [item for item in items if not item.get_closest_marker("slurm")]
        items[:] = [item for pair in zip_longest(waiting, computing) for item in pair if item]


def rank(item):
    """Where a test stands among the longest; the others keep their order behind them."""
    return next((place for place, name in enumerate(LONGEST) if item.get_closest_marker(name)), len(LONGEST))


@pytest.fixture(scope="session")
def root(tmp_path_factory):
    """The folder of this run of the tests, which its processes share."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(scope="session")
def once(root):
    """A function of `name` and `make`: the folder that `make(folder)` filled, once for all processes; read it alone."""

    def build(name, make):
        folder, done = root / name, root / f"{name}.done"
        with FileLock(root / f"{name}.lock"):
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)  # what a failure left
                make(folder)
                done.touch()
        return folder

    return build


@pytest.fixture(scope="session")
def started(once):
    """The folder of commands that start at once, since a process that has imported all of them forks (forking.py)."""
    run = os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()
    return once("started", lambda folder: start(ROOT, folder / "bin", ALL, until=run)) / "bin"


@pytest.fixture
def at_once(started):
    """A test whose commands start at once, but for those within `commands_in()`."""
    with commands_in(started):
        yield


@pytest.fixture(autouse=True)
def _seed(request):
    """Random numbers are the same in every test, whatever ran before, and are drawn on the device of the tests."""
    if (device := request.config.getoption("device")) != "cpu":
        torch.set_default_device(device)
    torch.manual_seed(0)


@pytest.fixture
def tiny_vit():
    """A plain ViT with 4 blocks, 16 + 1 tokens and width 24, in evaluation mode."""
    return VisionTransformer(img_size=16, patch_size=4, embed_dim=24, depth=4, num_heads=3, num_classes=5).eval()


@pytest.fixture
def shared():
    """The folder with reference material beside the clone; tests that need it skip where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("needs the reference material in ../shared, which is not here")
    return SHARED
