"""Fixtures that every test may use: a tiny backbone, the reference material beside the project, what is built once."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from timm.models.vision_transformer import VisionTransformer

SHARED = Path(__file__).resolve().parents[2] / "shared"
LONGEST = ("slurm", "dvc", "slow")  # marks, the longest tests first

torch.set_num_threads(1)  # several processes share the cores


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Where tests run side by side: each slow one for itself, the others with their module, the longest first.

    So a module's fixtures are made once, and no process is left alone with long tests at the end. What must not meet
    is marked `xdist_group`; what slow tests share is made by `once`.
    """
    if not hasattr(config, "workerinput"):
        return
    for item in items:
        if not item.get_closest_marker("xdist_group") and not item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
    items.sort(key=rank)


def rank(item):
    """Where a test stands among the longest; the others keep their order behind them."""
    return next((place for place, name in enumerate(LONGEST) if item.get_closest_marker(name)), len(LONGEST))


@pytest.fixture(scope="session")
def once(tmp_path_factory):
    """A function of `name` and `make`: the folder that `make(folder)` filled, once for all processes; read it alone."""
    root = tmp_path_factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root

    def build(name, make):
        folder, done = root / name, root / f"{name}.done"
        with FileLock(root / f"{name}.lock"):
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)  # what a failure left
                make(folder)
                done.touch()
        return folder

    return build


@pytest.fixture(autouse=True)
def _seed():
    """Random numbers are the same in every test, whatever ran before."""
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
