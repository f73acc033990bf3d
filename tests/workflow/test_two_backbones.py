"""The backbone is an axis: two in one clone, each with its own files, through both engines."""

import csv
import json
import shutil
import subprocess
import sys
from functools import partial

import pytest
from forking import forking
from project import contents, write_params
from versioned import UP_TO_DATE, commit, make_repository

pytestmark = [pytest.mark.dvc, pytest.mark.slow, pytest.mark.timeout(1800)]

FEW = {"source": "builtin", "train": 20, "val": 8, "test": 8}
TASKS, METHODS = ["digits", "textures"], ["linear", "vpt", "ship"]
ONE = {"grid.tasks": TASKS, "grid.methods": METHODS, "tasks": dict.fromkeys(TASKS, FEW), "train.epochs": 2}
LARGE = {"name": "test_vit", "weights": "random", "image_size": 96}
BOTH = ["vit_random", "vit_random_large"]
TWO = {**ONE, "grid.backbones": BOTH, "backbones.vit_random_large": LARGE}


def test_two_backbones_stand_beside_each_other(tmp_path):
    """One table by backbone; without the second, all of the first stays; and both engines agree at every step."""
    folder = make_repository(tmp_path / "repository", TWO)
    with forking(folder, tmp_path / "bin") as environment:
        do = partial(said, folder, environment)
        do("snakemake", "--cores", "2")
        rows = list(csv.DictReader((folder / "results/table.csv").read_text().splitlines()))
        axes = {(row["backbone"], row["task"], row["method"]) for row in rows}
        assert axes == {(b, t, m) for b in BOTH for t in TASKS for m in METHODS}
        assert all(f"\n{name}, random weights: " in "\n" + do("ship", "table") for name in BOTH)
        agree(do, folder, "Compare two backbones")
        whole, first = files(folder), metrics(folder)["vit_random"]

        write_params(folder, ONE)
        assert planned(do) == {"aggregate", "report"}
        do("snakemake", "--cores", "2")
        assert metrics(folder) == {"vit_random": first}
        assert files(folder) == whole
        refused = do("python", "workflow/state.py", "record", fails=True)
        assert "runs/vit_random_large/digits/ship/0/log.csv" in refused
        for name in ("runs", "hierarchy"):
            shutil.rmtree(folder / name / "vit_random_large")
        agree(do, folder, "Leave one")
        assert files(folder, BOTH[0]) == {path: held for path, held in whole.items() if f"/{BOTH[0]}/" in path}

        do("git", "checkout", "--quiet", "HEAD~1")
        do("dvc", "checkout")
        do("python", "workflow/state.py", "sync")
        assert files(folder) == whole
        assert not planned(do)


def agree(do, folder, message):
    """Record and commit; then no engine has anything to do, and a forced table is the same."""
    do("python", "workflow/state.py", "record")
    commit(folder, message)
    assert UP_TO_DATE in do("dvc", "repro")
    do("dvc", "repro", "--force", "--single-item", "aggregate")
    assert not do("git", "status", "--porcelain")
    assert not planned(do)


def planned(do):
    """The rules of which Snakemake would run a job."""
    header, *lines = [line.split("\t") for line in do("snakemake", "--cores", "1", "--detailed-summary").splitlines()]
    table = [dict(zip(header, line, strict=True)) for line in lines if len(line) == len(header)]
    return {job["rule"] for job in table if job["plan"] != "no update"}


def files(folder, backbone="*"):
    """All that was measured and trained on a backbone."""
    return contents(folder, *(f"{name}/{backbone}/**/*" for name in ("features", "hierarchy", "runs")))


def metrics(folder):
    """Accuracies by backbone."""
    return json.loads((folder / "results/metrics.json").read_text())["accuracy"]


def said(folder, environment, *words, fails=False):
    """What a command says, which must succeed (or fail)."""
    words = (sys.executable, *words[1:]) if words[0] == "python" else words
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert bool(done.returncode) == fails, done.stdout + done.stderr
    return done.stdout if words[-1] == "--detailed-summary" else done.stdout + done.stderr
