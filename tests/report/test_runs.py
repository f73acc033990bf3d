"""What lies beside the files that the runs of an experiment leave."""

import pytest
from project import ROOT

from ship.artifacts import LOOKS, OUTPUTS, TUNED, Run
from ship.report.runs import UNFINISHED, expected_runs, missing_runs, strays

RUN = Run("vit_mini", "digits", "ship", 0)


@pytest.mark.parametrize("file", OUTPUTS)
def test_a_run_is_missing_without_what_the_tables_are_made_of(fresh, file):
    """Its model and its looks are for others. Seeds ascend."""
    shuffled = fresh.params.model_copy(update={"grid": fresh.params.grid.model_copy(update={"seeds": [1, 0]})})
    assert expected_runs(shuffled) == expected_runs(fresh.params)
    (fresh.root / RUN.folder / file).unlink(missing_ok=True)
    assert missing_runs(shuffled, fresh.root) == ([] if file in {TUNED, LOOKS} else [RUN])


def test_what_the_grid_leaves_is_no_stray(fresh):
    """Nor is what an unfinished run needs."""
    folder = fresh.root / RUN.folder
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
