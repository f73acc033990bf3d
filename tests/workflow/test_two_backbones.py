"""The backbone is an axis: two in one clone, each with its own files, through both engines."""

import csv
import json
import shutil

import pytest
from project import contents, summary, write_params
from versioned import UP_TO_DATE, commit, make_repository, run, state

pytestmark = [pytest.mark.dvc, pytest.mark.slow, pytest.mark.timeout(1800), pytest.mark.usefixtures("at_once")]

FEW = {"source": "builtin", "train": 20, "val": 8, "test": 8}
TASKS, METHODS = ["digits", "textures"], ["linear", "ship"]
ONE = {"grid.tasks": TASKS, "grid.methods": METHODS, "tasks": dict.fromkeys(TASKS, FEW), "train.epochs": 2}
LARGE = {"name": "test_vit", "weights": "random", "image_size": 96}
BOTH = ["vit_random", "vit_random_large"]
TWO = {**ONE, "grid.backbones": BOTH, "backbones.vit_random_large": LARGE}


def test_two_backbones_stand_beside_each_other(tmp_path):
    """One table by backbone; without the second, all of the first stays; and both engines agree at every step."""
    folder = make_repository(tmp_path / "repository", TWO)
    run(folder, "snakemake", "--cores", "2")
    rows = list(csv.DictReader((folder / "results/table.csv").read_text().splitlines()))
    axes = {(row["backbone"], row["task"], row["method"]) for row in rows}
    assert axes == {(b, t, m) for b in BOTH for t in TASKS for m in METHODS}
    assert all(f"\n{name}, random weights: " in "\n" + run(folder, "ship", "table") for name in BOTH)
    agree(folder, "Compare two backbones")
    whole, first = files(folder), metrics(folder)["vit_random"]

    write_params(folder, ONE)
    assert planned(folder) == {"aggregate", "report"}
    run(folder, "snakemake", "--cores", "2")
    assert metrics(folder) == {"vit_random": first}
    assert files(folder) == whole
    assert "runs/vit_random_large/digits/ship/0/log.csv" in state(folder, "record", fails=True)
    for name in ("runs", "hierarchy"):
        shutil.rmtree(folder / name / "vit_random_large")
    agree(folder, "Leave one")
    assert files(folder, BOTH[0]) == {path: held for path, held in whole.items() if f"/{BOTH[0]}/" in path}

    run(folder, "git", "checkout", "--quiet", "HEAD~1")
    run(folder, "dvc", "checkout")
    state(folder, "sync")
    assert files(folder) == whole
    assert not planned(folder)


def agree(folder, message):
    """Record and commit; then no engine has anything to do, and a forced table is the same."""
    state(folder, "record")
    commit(folder, message)
    assert UP_TO_DATE in run(folder, "dvc", "repro")
    run(folder, "dvc", "repro", "--force", "--single-item", "aggregate")
    assert not run(folder, "git", "status", "--porcelain")
    assert not planned(folder)


def planned(folder):
    """The rules of which Snakemake would run a job."""
    return {job["rule"] for job in summary(folder) if job["plan"] != "no update"}


def files(folder, backbone="*"):
    """All that was measured and trained on a backbone."""
    return contents(folder, *(f"{name}/{backbone}/**/*" for name in ("features", "hierarchy", "runs")))


def metrics(folder):
    """Accuracies by backbone."""
    return json.loads((folder / "results/metrics.json").read_text())["accuracy"]
