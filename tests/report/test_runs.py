"""What lies beside the files that the runs of an experiment leave."""

import pytest
from project import ROOT

from ship.artifacts import Run
from ship.report.runs import UNFINISHED, strays


def test_what_the_grid_leaves_is_no_stray(fresh):
    """Nor is what an unfinished run needs."""
    folder = fresh.root / Run("vit_mini", "digits", "ship", 0).folder
    for name in ("tuned.safetensors", "resume.safetensors", ".run.lock", ".log.csv.node-7.part"):
        (folder / name).touch()
    (fresh.root / "hierarchy/vit_mini/digits.safetensors").touch()
    assert strays(fresh.params, fresh.root) == []


def test_dvc_passes_over_the_same_files():
    """Else they would change what the table depends on, and nobody would be told."""
    ignored = (ROOT / ".dvcignore").read_text().splitlines()
    assert [name for name in UNFINISHED if name not in ignored and f"*{name}" not in ignored] == []


@pytest.mark.parametrize(
    "file", ["runs/vit_mini/digits/vpt/7/log.csv", "runs/.notes", "runs/vit_mini/digits/ship/0/a", "hierarchy/a.json"]
)
def test_whatever_else_lies_there_is_told(fresh, file):
    """Left over by another experiment, or a person's own."""
    (fresh.root / file).parent.mkdir(parents=True, exist_ok=True)
    (fresh.root / file).touch()
    assert list(map(str, strays(fresh.params, fresh.root))) == [file]
