"""A workflow that fails ends in one block: which runs, the command's own last line, its log, and what to do."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import cluster
import pytest
from PIL import Image
from project import command, environment_of, make_project, write_params

pytestmark = pytest.mark.slow
SMALL = {"grid.tasks": ["digits", "own"], "grid.methods": ["linear"]}
LONG = {"train.epochs": 100_000}
LOUD, QUIET = ("snakemake", "--cores", "2"), ("snakemake", "--cores", "2", "--logger", "ship")  # as `make quickstart`
PUT_RIGHT = "Put right what failed, and give the same command again"


def settings(images, **more):
    """The small experiment: a built-in task, and one of `images`."""
    own = {"source": "folder", "path": str(images), "train": 8, "val": 4, "test": 4}
    return {**SMALL, "tasks.own": own, **{key.replace("__", "."): value for key, value in more.items()}}


@pytest.fixture(scope="module")
def prepared(once):
    """A project that has all that its two runs need, and none of the runs; its images lie beside it."""

    def make(folder):
        for name in ("a", "b"):
            (folder / "images" / name).mkdir(parents=True)
            for number in range(8):
                Image.effect_noise((20, 20), 30 + number).save(folder / "images" / name / f"{number}.png")
        project = make_project(folder / "project", settings(folder / "images"))
        done = command(*LOUD, "--until", "search", cwd=project)
        assert done.returncode == 0, done.stderr

    return once("prepared", make)


@pytest.fixture
def project(prepared, tmp_path):
    """A copy."""
    shutil.copytree(prepared / "images", tmp_path / "images")
    folder = shutil.copytree(prepared / "project", tmp_path / "project", symlinks=True)
    write_params(folder, settings(tmp_path / "images"))
    return folder


def block(folder, call=LOUD):
    """The last lines that a failing workflow prints, after the last empty one."""
    around = environment_of(folder)
    around["PYTHONPATH"] += f"{os.pathsep}{folder / 'workflow/plugins'}"
    done = subprocess.run(
        call, cwd=folder, env=around, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode != 0
    return done.stdout.rpartition("\n\n")[2].splitlines()


@pytest.mark.parametrize("call", [LOUD, QUIET], ids=["plain", "quick start"])
class TestEnd:
    """The last block of each way to fail."""

    def test_a_bad_image(self, project, call):
        """Its task alone fails."""
        image = project.parent / "images/a/0.png"
        image.write_bytes(image.read_bytes()[:60])
        found = block(project, call)
        assert found[0].startswith("vit_random/own/linear/0: failed: ship: ")
        assert "a/0.png" in found[0]
        assert found[0].endswith(" (logs/prepare/own.log)")
        assert found[1] == "2 runs: 1 done, 1 failed"
        assert found[2].startswith(PUT_RIGHT)
