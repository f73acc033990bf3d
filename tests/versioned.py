"""The small experiment as a Git and DVC repository, for tests that record, clone and compare."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time

from project import ROOT, TINY, command, commands_in, environment_of, make_project

SMALL = {"grid.tasks": ["digits"], "grid.methods": ["linear", "vpt"], "train.epochs": 2}
TINY_GRID = {f"grid.{axis}": TINY["grid"][axis] for axis in ("tasks", "methods")}  # all of it
FILES = (".dvcignore", ".gitignore", "dvc.yaml", ".dvc/.gitignore", ".dvc/config")
KEPT = ("data/**/*", "backbones/*", "features/**/*", "hierarchy/**/*", "runs/**/*", "results/**/*")
UP_TO_DATE = "Data and pipelines are up to date."


def run(folder, *arguments, fails=False):
    """Run a command in `folder`, which must succeed (or fail); all that it said."""
    done = command(*arguments, cwd=folder)
    said = done.stdout + done.stderr
    assert bool(done.returncode) == fails, said
    return said


def state(folder, step, *, fails=False):
    """Run `record` or `sync`."""
    return run(folder, "python", "workflow/state.py", step, fails=fails)


def make_repository(folder, settings=None):
    """A committed repository with a remote of its own beside it; nothing is computed yet."""
    make_project(folder, {**SMALL, **(settings or {})})
    shutil.copytree(ROOT / ".dvc/plots", folder / ".dvc/plots")
    for name in FILES:
        shutil.copy(ROOT / name, folder / name)
    run(folder, "git", "init", "--quiet", "--initial-branch", "main")
    identify(folder)
    commit(folder, "Describe the experiment")
    return folder


def make_reproduced(folder):
    """The same, computed by DVC and committed."""
    make_repository(folder)
    run(folder, "dvc", "repro")
    commit(folder, "Reproduce the experiment")
    return folder


def identify(folder):
    """Let Git commit in `folder` whoever runs the tests."""
    run(folder, "git", "config", "user.name", "test")
    run(folder, "git", "config", "user.email", "test@example.org")


def commit(folder, message):
    """Commit all that Git does not ignore."""
    run(folder, "git", "add", "--all")
    run(folder, "git", "commit", "--quiet", "--message", message)


def clone(folder, place):
    """A fresh clone at `place`, which has none of the other's files beyond Git's."""
    run(folder, "git", "clone", "--quiet", str(folder), str(place))
    identify(place)
    return place


def pending(folder):
    """Whether Snakemake has anything to do."""
    return "Nothing to be done" not in run(folder, "snakemake", "--cores", "1", "--dry-run")


def clean(folder):
    """Whether Git, DVC and Snakemake all see nothing to do."""
    git = run(folder, "git", "status", "--porcelain")
    dvc = run(folder, "dvc", "status")
    return not git and UP_TO_DATE in dvc and not pending(folder)


def kill(folder, due, *arguments):
    """Start a command and, once `due()` holds, end it with all that it started (kill -9); whether it was still on."""
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with commands_in():  # whose processes are all its own
        environment = environment_of(folder)
    process = subprocess.Popen(arguments, cwd=folder, env=environment, start_new_session=True, **silent)
    try:
        while process.poll() is None and not due():
            time.sleep(0.002)
        return process.poll() is None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
