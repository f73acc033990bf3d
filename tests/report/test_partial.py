"""The page of an experiment that could not be finished: apart from the whole tables, with the reasons."""

import shutil

import experiment
import pytest

from ship.artifacts import Run, backbone_file, data_folder
from ship.errors import BadInput
from ship.experiment.params import parse_params
from ship.report.partial import write_partial
from ship.report.status import check_done
from ship.storage import read_json, write_json


@pytest.fixture
def root(tmp_path):
    """A finished experiment without a run, whose log is still there."""
    experiment.write(tmp_path, experiment.params())
    (tmp_path / Run("vit_mini", "digits", "ship", 1).folder / "run.json").unlink()
    experiment.write_inputs(tmp_path, experiment.params())
    log = tmp_path / "logs/train/vit_mini/digits/ship/1.log"
    log.parent.mkdir(parents=True)
    log.write_text("digits ship 1: epoch 1/10\nship: loss: expected a number, got nan in epoch 2\n\n")
    return tmp_path


def test_it_shows_what_there_is_and_why_the_rest_is_not(root):
    """On its page, and nowhere else."""
    page = write_partial(experiment.params(), root)
    text = page.read_text()
    assert "1 of 18 runs missing" in text
    reason = "failed: ship: loss: expected a number, got nan in epoch 2 (logs/train/vit_mini/digits/ship/1.log)"
    assert reason in text
    assert page == root / "report/partial/index.html"
    assert not (root / "results/table.csv").exists()


def test_what_other_settings_or_files_have_left_is_not_shown(root):
    """Results in git outlive an edit: a row's new rate, another image, other weights."""
    raw = experiment.params().model_dump()
    raw["methods"]["vpt"]["train"] = {"lr": 0.5}
    assert "7 of 18 runs missing" in write_partial(parse_params(raw), root).read_text()
    raw["methods"]["vpt"] |= {"method": "cvpt", "train": {}}
    assert "7 of 18 runs missing" in write_partial(parse_params(raw), root).read_text()
    raw["compute"] |= {"precision": "bf16"}
    with pytest.raises(BadInput, match="got stale: .* so for 18 of 18 runs"):
        write_partial(parse_params(raw), root)
    write_json(
        root / data_folder("textures") / "task.json",
        experiment.told(test=(400, "0" * 64)),
    )
    text = write_partial(experiment.params(), root).read_text()
    assert "7 of 18 runs missing" in text
    assert text.count("stale: the images of test") == 6
    (root / backbone_file("vit_mini")).write_bytes(b"other weights")
    with pytest.raises(BadInput, match="got stale: .* so for 18 of 18 runs"):
        write_partial(experiment.params(), root)


def test_the_whole_page_is_of_the_experiment_that_there_is(root):
    """Numbers of six epochs never stand under twenty."""
    experiment.write(root, experiment.params())
    check_done(experiment.params(), root)
    raw = experiment.params().model_dump()
    raw["train"]["epochs"] = 20
    with pytest.raises(
        BadInput, match=r"runs/vit_mini/digits/linear/0: expected .* stale: train.epochs 12 -> 20; so for 18 of 18 runs"
    ):
        check_done(parse_params(raw), root)


def test_runs_of_an_older_version_are_not_there(root):
    """They do not say all that is asked of them."""
    path = root / Run("vit_mini", "digits", "vpt", 0).folder / "run.json"
    about = read_json(path)
    write_json(path, {key: about[key] for key in about if key != "hierarchy"})
    assert "2 of 18 runs missing" in write_partial(experiment.params(), root).read_text()


def test_a_clone_without_runs_is_no_page_but_a_reason(root):
    """Git brings results alone."""
    shutil.rmtree(root / "runs")
    with pytest.raises(BadInput, match="expected a run of .*, got missing.*; so for 18 of 18 runs"):
        write_partial(experiment.params(), root)


def test_nothing_at_all_is_no_page(tmp_path):
    """And it is said which run is missing first."""
    with pytest.raises(BadInput, match="expected a run of .*, got missing.*; so for 18 of 18 runs"):
        write_partial(experiment.params(), tmp_path)
    assert not (tmp_path / "report").exists()
