"""The page of an experiment that could not be finished: apart from the whole tables, with the reasons."""

import experiment
import pytest

from ship.artifacts import Run, backbone_file, data_folder, features_file, hierarchy_file, settings_file
from ship.errors import BadInput
from ship.report.partial import why, write_partial


@pytest.fixture
def root(tmp_path):
    """A finished experiment without a run, whose log is still there."""
    experiment.write(tmp_path, experiment.params())
    (tmp_path / Run("digits", "ship", 1).result).unlink()
    before = (data_folder("digits") / "task.json", backbone_file("vit_mini"), features_file("digits"))
    for file in (*before, hierarchy_file("digits")):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    log = tmp_path / "logs/train/digits/ship/1.log"
    log.parent.mkdir(parents=True)
    log.write_text("digits ship 1: epoch 1/10\nship: loss: expected a number, got nan in epoch 2\n\n")
    return tmp_path


def test_it_shows_what_there_is_and_why_the_rest_is_not(root):
    """On its page, and nowhere else."""
    page = write_partial(experiment.params(), root)
    text = page.read_text()
    assert "1 of 18 runs missing" in text
    assert "logs/train/digits/ship/1.log: ship: loss: expected a number, got nan in epoch 2" in text
    assert page == root / "report/partial/index.html"
    assert not (root / "results/table.csv").exists()


def test_the_first_unfinished_step_is_the_reason(root):
    """A run cannot be made without its task, whatever an older log of it says."""
    params, run = experiment.params(), Run("digits", "ship", 1)
    (root / data_folder("digits") / "task.json").unlink()
    assert why(params, run, root) == "not started"
    log = root / "logs/prepare/digits.log"
    log.parent.mkdir()
    log.write_text("ship: images/7.png: expected an image, got a truncated file\n")
    assert (
        why(params, run, root) == "logs/prepare/digits.log: ship: images/7.png: expected an image, got a truncated file"
    )
    log.write_text("")
    assert why(params, run, root) == "logs/prepare/digits.log: ended without a word"


def test_a_search_that_failed_is_a_reason(root):
    """Without settings there is no run."""
    (root / settings_file("digits", "ship")).unlink()
    log = root / "logs/tune/digits/ship.log"
    log.parent.mkdir(parents=True)
    log.write_text("ship: params.yaml: methods.ship.search: expected a trial that ends well, got 3 others\n")
    assert "expected a trial that ends well" in why(experiment.params(), Run("digits", "ship", 1), root)


def test_nothing_at_all_is_no_page(tmp_path):
    """And it is said which run is missing first."""
    with pytest.raises(BadInput, match="expected the result of a run, found none, as for 18 of 18 runs"):
        write_partial(experiment.params(), tmp_path)
    assert not (tmp_path / "report").exists()
