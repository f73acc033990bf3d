"""A workflow that fails ends in one block: which runs, the command's own last line, its log, and what to do.

On a laptop, as the quick start, and on a cluster.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path

import cluster
import pytest
from PIL import Image
from project import command, commands_in, environment_of, make_project

pytestmark = pytest.mark.slow
LOUD, QUIET = ("snakemake", "--cores", "2"), ("snakemake", "--cores", "2", "--logger", "ship")  # as `make quickstart`
SLURM = (*cluster.SNAKEMAKE, "--retries", "0")
ENDLESS = 1_000_000  # epochs
PAGE = "4k"  # of a disk
SETTINGS = {  # of `own`, an image is broken; of `textures`, the option of a row; each other row fails in its own way
    "grid.tasks": ["digits", "textures", "own"],
    "grid.methods": ["mlp", "diverging", "killed", "full"],
    "methods": {
        "mlp": {"method": "mlp", "tasks": {"textures": {"options": {"width": 0}}}},
        "diverging": {"method": "linear", "train": {"lr": 1e30}},
        "killed": {"method": "linear", "train": {"epochs": ENDLESS}},
        "full": {"method": "linear"},
    },
}


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(LOUD, id="plain"),
        pytest.param(QUIET, id="quick start"),
        pytest.param(SLURM, id="cluster", marks=pytest.mark.slurm),
    ],
)
def block(request, started, tmp_path_factory):
    """The last lines that the workflow prints, after the last empty one, once all that can be done is done."""
    top = tmp_path_factory.mktemp("failures")
    for name in ("a", "b"):
        (top / "images" / name).mkdir(parents=True)
        for number in range(8):
            Image.effect_noise((20, 20), 30 + number).save(top / "images" / name / f"{number}.png")
    image = top / "images/a/0.png"
    image.write_bytes(image.read_bytes()[:60])
    own = {"source": "folder", "path": str(top / "images"), "train": 8, "val": 4, "test": 4}
    folder = make_project(top / "project", {**SETTINGS, "tasks.own": own})
    cluster.describe(folder)
    disk = folder / "runs/vit_random/digits/full"
    disk.mkdir(parents=True)
    with commands_in(started), contextlib.ExitStack() as stack:
        if request.param is SLURM:
            stack.enter_context(request.getfixturevalue("all_of_slurm").used())
        command("mount", "-t", "tmpfs", "-o", f"size={PAGE}", "tmpfs", str(disk), cwd=top)
        stack.callback(command, "umount", "--lazy", str(disk), cwd=top)
        return said(folder, request.param).rpartition("\n\n")[2].splitlines()


def said(folder, call):
    """All that the workflow says, while one of its trainings is killed."""
    around = environment_of(folder)
    around["PYTHONPATH"] += f"{os.pathsep}{folder / 'workflow/plugins'}"
    with (folder / "said").open("wb") as file:  # not a pipe, which a job of the cluster would hold open
        process = subprocess.Popen(call, cwd=folder, env=around, stdout=file, stderr=file)
    run = "vit_random/digits/killed/0"
    cluster.wait((folder / "runs" / run / "resume.safetensors").exists, "a first epoch", 400)
    for path in Path("/proc").glob("[0-9]*"):
        if is_training(path, run, folder):
            os.kill(int(path.name), signal.SIGKILL)
    code, text = process.wait(600), (folder / "said").read_text()
    assert code == 1, text
    return text


def is_training(process, run, folder):
    """Whether a process, by its place in /proc, trains a run in `folder`."""
    try:
        words = (process / "cmdline").read_bytes().split(b"\0")
        return [b"train", run.encode()] == words[-3:-1] and (process / "cwd").readlink() == folder
    except OSError:  # it has ended, or is somebody else's
        return False


def line_of(block, name):
    """The line about runs, without their name."""
    [line] = [line for line in block if line.startswith(f"{name}: ")]
    return line.removeprefix(f"{name}: ")


def test_a_bad_image(block):
    """All runs of its task, and the file."""
    line = line_of(block, "vit_random/own/*/0")
    assert line.startswith("failed: ship: ")
    assert "a/0.png" in line
    assert line.endswith(" (logs/prepare/own.log)")


def test_a_bad_option(block):
    """Before anything is computed on that task; the key is named."""
    line = line_of(block, "vit_random/textures/*/0")
    assert line.startswith("failed: ship: params.yaml: methods.mlp.tasks.textures.options.width: ")
    assert line.endswith(" (logs/features/vit_random/textures.log)")


def test_a_loss_that_is_no_number(block):
    """With the rate that is to be lowered."""
    line = line_of(block, "vit_random/digits/diverging/0")
    assert line.startswith("failed: ship: train: expected a finite loss, got nan at epoch")
    assert line.endswith("(lower the learning rate, now 1e+30) (logs/train/vit_random/digits/diverging/0.log)")


def test_a_killed_job(block):
    """It could say nothing itself."""
    line = line_of(block, "vit_random/digits/killed/0")
    assert line.startswith("unfinished: still running, or killed (memory, time, disk): it said last 'vit_random/digits")
    assert line.endswith(" (logs/train/vit_random/digits/killed/0.log)")


def test_a_full_disk(block):
    """Which file had no room."""
    if os.geteuid():
        pytest.skip("needs a small disk, which only root may mount")
    line = line_of(block, "vit_random/digits/full/0")
    assert line.startswith("failed: ship: runs/vit_random/digits/full/0/")
    assert ": expected room on the disk for it, got " in line
    assert line.endswith(" (logs/train/vit_random/digits/full/0.log)")


def test_what_to_do_stands_below(block):
    """After the number of runs in each state."""
    total, failed, unfinished = block[5:]
    assert total.startswith("12 runs: 1 done, ")
    assert total.endswith(" 1 unfinished")
    assert failed.startswith("Put right what failed, and give the same command again")
    assert unfinished.startswith("What was cut off goes on where it was saved, by the same command")
