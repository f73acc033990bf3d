"""A search: what it proposes, what it chooses, what it may see, and that a kill changes nothing."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from project import BACKBONE, command, copied_package, edit, measured, write_params

from ship.artifacts import Run, search_folder, settings_file, split_file
from ship.compute import set_up
from ship.data import images
from ship.data.images import decode
from ship.errors import BadInput
from ship.experiment.code import Code
from ship.experiment.length import TRAINING, for_images
from ship.experiment.params import parse_params, read_params
from ship.experiment.rows import Search, Train
from ship.experiment.settings import read_settings, wanted_settings, write_settings
from ship.storage import read_json
from ship.training import fit, search
from ship.training.fit import Setup, assemble, images_of, origin_of, predictions, validate
from ship.training.search import Trial, choose, propose
from ship.training.train import train_run

TASK = "digits"
PACKAGE = Path(search.__file__).parents[1]
SEARCH = {
    "methods.vpt.search": {
        "trials": 4,
        "choices": {"options.prompt_length": [1, 3]},
        "ranges": {"train.lr": {"low": 0.001, "high": 0.1, "log": True}},
    }
}
ONE = {"backbones": [BACKBONE], "tasks": [TASK], "methods": ["linear"], "seeds": [0]}
GRID = {
    "methods.linear.search": {"sampler": "grid", "choices": {"train.lr": [0.01, 1e-5], "train.weight_decay": [0.0]}}
}


def quiet(trial, epochs, record):
    """Show nothing."""


@pytest.mark.usefixtures("at_once")
def test_a_grid_tries_every_combination_once_and_the_best_is_used(tmp_path, monkeypatch):
    """The run has the chosen recipe, with the epochs of its steps, and what was not searched from its row."""
    params = measured(tmp_path, monkeypatch, TASK, GRID)
    search.search_settings(params, BACKBONE, TASK, "linear", quiet)
    found = read_json(settings_file(BACKBONE, TASK, "linear"))
    assert [trial["settings"]["train.lr"] for trial in found["search"]["trials"]] == [0.01, 1e-5]
    accuracies = [trial["accuracy"] for trial in found["search"]["trials"]]
    assert accuracies[found["search"]["chosen"]] == max(accuracies)
    done = command("ship", "train", f"{BACKBONE}/{TASK}/linear/0", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    used = read_json(Run(BACKBONE, TASK, "linear", 0).folder / "run.json")
    recipe = for_images(Train(**found["train"]), images_of(TASK))
    assert (used["train"], used["options"]) == (recipe.model_dump(), found["options"])
    assert used["train"]["lr"] == found["search"]["trials"][found["search"]["chosen"]]["settings"]["train.lr"]
    assert used["train"]["epochs"] == 4  # eight steps of two an epoch


@pytest.mark.parametrize("method", ["linear", "vpt"])
def test_a_trial_is_judged_on_the_images_of_val(tmp_path, monkeypatch, method):
    """What is known of them gives a probe the predictions that a pass through the ViT gives."""
    params = measured(tmp_path, monkeypatch, TASK)
    compute = set_up(params.compute)
    setup = Setup(BACKBONE, TASK, method, {}, params.train, 0, TRAINING[:1])
    assembled = assemble(setup, origin_of(BACKBONE, TASK, {}), compute)
    expected, _ = predictions(assembled, split_file(TASK, "val"), compute)
    found = validate(setup, assembled, compute)
    assert found.labels.equal(expected.labels)
    torch.testing.assert_close(found.every, expected.every)
    torch.testing.assert_close(found.losses, expected.losses)


def test_a_trial_learns_from_train_alone(tmp_path, monkeypatch):
    """With the seed of the search, and with the epochs that its steps take on these images."""
    searched = {"sampler": "grid", "choices": {"train.lr": [0.01]}, "seed": 7}
    params = measured(tmp_path, monkeypatch, TASK, {"methods.linear.search": searched})
    found = search._setup(params, BACKBONE, TASK, "linear", params.methods["linear"].search, {"train.lr": 0.5})
    assert (found.splits, found.seed, found.recipe.lr) == (("train",), 7, 0.5)
    assert found.recipe.epochs == 8  # eight steps, one an epoch on 30 images


def test_trials_share_their_images(tmp_path, monkeypatch):
    """Images that one trial has decoded are there for the next."""
    params = measured(tmp_path, monkeypatch, TASK)
    shutil.rmtree("pixels")  # what was decoded for the features
    fit._decoded.cache_clear()  # and by other tests
    compute, decoded = set_up(params.compute), []
    monkeypatch.setattr(images, "decode", lambda *args, **how: decoded.append(1) or decode(*args, **how))
    setup = Setup(BACKBONE, TASK, "vpt", {"prompt_length": 1}, params.train, 0, TRAINING[:1])
    origin = origin_of(BACKBONE, TASK, {})
    for _ in range(2):
        assemble(setup, origin, compute)
    assert len(decoded) == images_of(TASK, TRAINING[:1])


def test_a_search_may_choose_how_images_are_changed(tmp_path, monkeypatch):
    """And how classes count; what no method without images can take is passed over."""
    choices = {"train.augment": ["none", "flip"], "train.class_weights": ["none", "balanced"]}
    asked = {"sampler": "grid", "choices": choices}
    params = measured(tmp_path, monkeypatch, TASK, {"methods.linear.search": asked, "methods.vpt.search": asked})
    for method, failed in (("vpt", 0), ("linear", 2)):
        search.search_settings(params, BACKBONE, TASK, method, quiet)
        trials = read_json(settings_file(BACKBONE, TASK, method))["search"]["trials"]
        assert len(trials) == 4
        assert sum(trial["accuracy"] is None for trial in trials) == failed


def test_a_row_without_search_keeps_its_settings(tmp_path, monkeypatch):
    """As params.yaml has them for the task; the command needs nothing but params.yaml."""
    monkeypatch.chdir(tmp_path)
    write_params(tmp_path, {"methods.vpt.tasks": {TASK: {"options": {"prompt_length": 7}}}})
    done = command("ship", "search", f"{BACKBONE}/{TASK}/vpt", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found, params = read_json(settings_file(BACKBONE, TASK, "vpt")), read_params()
    assert found == {"options": {"prompt_length": 7}, "train": params.train_of("vpt").model_dump(), "search": None}


def test_a_search_is_the_same_wherever_and_however_often_it_is_killed(tmp_path, monkeypatch):
    """Stopped after every epoch of every trial in turn."""
    params = measured(tmp_path / "whole", monkeypatch, TASK, SEARCH)
    search.search_settings(params, BACKBONE, TASK, "vpt", quiet)
    whole = settings_file(BACKBONE, TASK, "vpt").read_bytes()
    measured(tmp_path / "broken", monkeypatch, TASK, SEARCH)
    seen = []

    def interrupt(trial, epochs, record):
        seen.append((trial, record.epoch))
        raise KeyboardInterrupt

    for _ in range(4 * params.train.epochs):
        with pytest.raises(KeyboardInterrupt):
            search.search_settings(params, BACKBONE, TASK, "vpt", interrupt)
    search.search_settings(params, BACKBONE, TASK, "vpt", interrupt)
    assert seen == [(trial, epoch) for trial in range(4) for epoch in range(params.train.epochs)]
    assert settings_file(BACKBONE, TASK, "vpt").read_bytes() == whole
    assert not search_folder(BACKBONE, TASK, "vpt").exists()


def test_what_another_search_left_is_not_used(tmp_path, monkeypatch):
    """With other settings it starts anew."""
    params = measured(tmp_path, monkeypatch, TASK, GRID)
    search.search_settings(params, BACKBONE, TASK, "linear", quiet)
    expected = settings_file(BACKBONE, TASK, "linear").read_bytes()
    folder = search_folder(BACKBONE, TASK, "linear")
    folder.mkdir(parents=True)
    (folder / "trials.json").write_text(json.dumps({"identity": "another", "trials": [[{"train.lr": 9.0}, 1.0, 0.0]]}))
    search.search_settings(params, BACKBONE, TASK, "linear", quiet)
    assert settings_file(BACKBONE, TASK, "linear").read_bytes() == expected


@pytest.mark.parametrize(("module", "goes_on"), [("report/figures.py", True), ("models/vit.py", False)])
def test_only_code_that_it_runs_starts_it_anew(tmp_path, monkeypatch, module, goes_on):
    """A search that was stopped in its second trial keeps the first after an edit of a figure, and not of the ViT."""
    params, seen = measured(tmp_path, monkeypatch, TASK, GRID), []
    package = copied_package(tmp_path / "ship")

    def interrupt(trial, epochs, record):
        if trial == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search.search_settings(params, BACKBONE, TASK, "linear", interrupt, Code(package).modules("search", "linear"))
    edit(package, module, "\nimport", "\nx = 1\nimport")
    now = Code(package).modules("search", "linear")
    search.search_settings(
        params, BACKBONE, TASK, "linear", lambda trial, epochs, record: seen.append((trial, record.epoch)), now
    )
    assert seen[0] == ((1, 1) if goes_on else (0, 0))


@pytest.mark.usefixtures("at_once")
def test_other_test_labels_choose_the_same_settings(tmp_path, monkeypatch):
    """Nor does it matter whether there is a test split at all."""
    measured(tmp_path, monkeypatch, TASK, SEARCH)
    path = split_file(TASK, "test")
    frame, found = pd.read_parquet(path), []
    for labels in (frame.label, (frame.label + 1) % 10):
        frame.assign(label=labels).to_parquet(path)
        done = command("ship", "search", f"{BACKBONE}/{TASK}/vpt", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        found.append(settings_file(BACKBONE, TASK, "vpt").read_bytes())
    path.unlink()
    path.mkdir()  # which nobody can read
    done = command("ship", "search", f"{BACKBONE}/{TASK}/vpt", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found.append(settings_file(BACKBONE, TASK, "vpt").read_bytes())
    assert found[0] == found[1] == found[2]


def test_the_process_of_a_search_cannot_open_the_test_split(tmp_path, monkeypatch):
    """Not by mistake either: once a search has begun, every read of it is refused."""
    params = measured(tmp_path, monkeypatch, TASK, GRID)

    def peek(trial, epochs, record):
        train_run(params, Run(BACKBONE, TASK, "vpt", 0), lambda epochs, record: None)

    write_settings(params, BACKBONE, TASK, "vpt")
    with pytest.raises(BadInput, match=r"test\.parquet: .*a search never sees test"):
        search.search_settings(params, BACKBONE, TASK, "linear", peek)


def test_prepared_images_are_read_in_one_place():
    """The one that announces what it opens, so that a seal holds; no part of a search imports others that read them."""
    readers = {str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py") if reads_tables(path.read_text())}
    assert readers == {
        "data/images.py",
        "evaluation/outcomes.py",  # what runs predict
        "data/reading.py",
        "data/writing.py",
        "inference/rows.py",
    }
    searching = (
        "import ship.training.search, sys; print(sorted(name for name in sys.modules if name.startswith('ship.')))"
    )
    loaded = subprocess.run([sys.executable, "-c", searching], capture_output=True, text=True, check=True).stdout
    assert "ship.data.images" in loaded
    assert not [name for name in ("ship.data.prepare", "ship.report") if name in loaded]


def reads_tables(code):
    """Whether a module can open parquet files by itself."""
    return "pyarrow.parquet" in code or "pyarrow.dataset" in code or "read_parquet(" in code


def test_proposals_follow_from_seed_number_and_history():
    """Twice the same; another seed, number or history, another proposal; all within the space."""
    search = Search(
        trials=9, choices={"options.a": ["x", "y"]}, ranges={"train.lr": {"low": 1e-4, "high": 1.0, "log": True}}
    )
    trials, found = [], []
    for number in range(9):
        settings = propose(search, trials, number)
        assert settings == propose(search, trials, number)
        assert settings["options.a"] in {"x", "y"}
        assert 1e-4 <= settings["train.lr"] <= 1.0
        found.append(settings["train.lr"])
        trials.append(Trial(settings, None if number == 2 else settings["train.lr"], 1.0))
    assert len(set(found)) == 9
    other = Search(trials=9, seed=1, choices=search.choices, ranges=search.ranges)
    assert propose(other, [], 0) != propose(search, [], 0)


def test_proposals_go_where_accuracy_was_higher():
    """After a third of the trials, which are drawn at random; those that failed say nothing."""
    search, sums = Search(trials=15, ranges={"train.lr": {"low": 1e-4, "high": 1.0, "log": True}}), []
    for sign in (1, -1):
        trials = []
        for number in range(15):
            rate = propose(search, trials, number)["train.lr"]
            trials.append(Trial({"train.lr": rate}, None if number == 2 else sign * rate, 1.0))
        sums.append(sum(trial.settings["train.lr"] for trial in trials[5:]))
    assert sums[0] > 2 * sums[1]


def test_whole_numbers_stay_whole():
    """And within their ends, all of which come up."""
    search = Search(trials=20, sampler="random", ranges={"options.n": {"low": 2, "high": 5, "whole": True}})
    found = {propose(search, [], number)["options.n"] for number in range(20)}
    assert found == {2, 3, 4, 5}
    narrow = Search(trials=20, sampler="random", ranges={"options.n": {"low": 1001, "high": 1009, "whole": True}})
    assert len({propose(narrow, [], number)["options.n"] for number in range(20)}) > 5
    assert all(type(value) is int for value in found)


@pytest.mark.parametrize("whole", [False, True])
def test_the_logarithm_of_a_range_is_drawn_evenly(whole):
    """As many values below the middle of the logarithms as above it."""
    span = {"low": 1.0, "high": 1e4, "log": True, "whole": whole}
    search = Search(trials=40, sampler="random", ranges={"options.n": span})
    assert 12 <= sum(propose(search, [], number)["options.n"] < 100 for number in range(40)) <= 28


def test_the_order_of_the_keys_in_the_file_decides_nothing():
    """Neither what is proposed nor which of equals is chosen."""
    choices = {"options.b": [1, 2, 3], "options.a": [4, 5, 6]}
    for sampler in ({"sampler": "grid"}, {"sampler": "tpe", "trials": 4}):
        one = Search(choices=choices, **sampler)
        other = Search(choices=dict(reversed(choices.items())), **sampler)
        assert [propose(one, [], n) for n in range(4)] == [propose(other, [], n) for n in range(4)]


def test_the_best_is_the_most_accurate_then_the_surest_then_the_first():
    """Those that diverged are passed over."""
    trials = [Trial({}, None, None), Trial({}, 0.5, 0.9), Trial({}, 0.5, 0.7), Trial({}, 0.4, 0.1), Trial({}, 0.5, 0.7)]
    assert choose(trials, "here") == 2
    with pytest.raises(BadInput, match="here: expected a trial that ends well, got 1 others"):
        choose(trials[:1], "here")


def test_a_trial_that_diverges_does_not_end_the_search(tmp_path, monkeypatch):
    """It has no accuracy."""
    rates = {"sampler": "grid", "choices": {"train.lr": [1e30, 0.01]}}
    params = measured(tmp_path, monkeypatch, TASK, {"methods.vpt.search": rates})
    search.search_settings(params, BACKBONE, TASK, "vpt", quiet)
    found = read_json(settings_file(BACKBONE, TASK, "vpt"))
    assert [trial["accuracy"] is None for trial in found["search"]["trials"]] == [True, False]
    assert found["train"]["lr"] == 0.01
    assert read_settings(params, BACKBONE, TASK, "vpt").recipe.lr == 0.01


def test_settings_that_do_not_go_together_are_passed_over(tmp_path, monkeypatch):
    """The constructor refuses them; the trial says why, and the search goes on."""
    space = {"sampler": "grid", "choices": {"options.bottleneck": [4, 6], "options.groups": [4]}}
    rows = {"methods.rep": {"method": "repadapter", "search": space}, "grid.methods": ["rep"]}
    search.search_settings(measured(tmp_path, monkeypatch, TASK, rows), BACKBONE, TASK, "rep", quiet)
    found = read_json(settings_file(BACKBONE, TASK, "rep"))
    assert [trial["accuracy"] is None for trial in found["search"]["trials"]] == [False, True]
    assert "expected a divisor of the bottleneck 6" in found["search"]["trials"][1]["failure"]
    assert found["options"]["bottleneck"] == 4


def test_what_was_tried_is_not_computed_again(tmp_path, monkeypatch):
    """The outcome would be the same."""
    space = {"sampler": "random", "trials": 5, "choices": {"options.prompt_length": [1, 2]}}
    params, seen = measured(tmp_path, monkeypatch, TASK, {"methods.vpt.search": space}), []
    search.search_settings(params, BACKBONE, TASK, "vpt", lambda trial, epochs, record: seen.append(trial))
    assert len(set(seen)) == 2
    assert len(read_json(settings_file(BACKBONE, TASK, "vpt"))["search"]["trials"]) == 5


def test_settings_of_another_experiment_are_refused(tmp_path, monkeypatch):
    """Git keeps the file, so it may be older than params.yaml: of the row, of its search, or broken."""
    params = measured(tmp_path, monkeypatch, TASK, GRID)
    search.search_settings(params, BACKBONE, TASK, "linear", quiet)
    assert read_settings(params, BACKBONE, TASK, "linear").options == {}
    raw = params.model_dump()
    for change in (
        {"train": {"epochs": 2}},
        {"search": None},
        {"search": {**GRID["methods.linear.search"], "seed": 1}},
    ):
        other = parse_params({**raw, "methods": {"linear": {**raw["methods"]["linear"], **change}}, "grid": ONE})
        with pytest.raises(BadInput, match=r"linear\.json: expected the settings that params\.yaml has for linear"):
            read_settings(other, BACKBONE, TASK, "linear")
    settings_file(BACKBONE, TASK, "linear").write_text('{"options": {}, "train": {}}')
    with pytest.raises(BadInput, match=r"linear\.json: expected what ship search writes, got KeyError"):
        read_settings(params, BACKBONE, TASK, "linear")
    for search_of in ('"x"', "7", '{"trials": [], "chosen": 0, "definition": {}}', '{"trials": [7], "chosen": 0}'):
        settings_file(BACKBONE, TASK, "linear").write_text(f'{{"options": {{}}, "train": {{}}, "search": {search_of}}}')
        for read in (read_settings, wanted_settings):
            with pytest.raises(
                BadInput, match=r"linear\.json: (expected what ship search writes, got \w+|search): .*snakemake\)"
            ):
                read(params, BACKBONE, TASK, "linear")


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"options.prompt_len": [1]}, r"methods\.vpt\.search\.choices\.options\.prompt_len: expected one"),
        ({"options.prompt_length": [1, "x"]}, r"search\.choices\.options\.prompt_length: expected .* got 'x'"),
    ],
)
def test_options_that_the_method_does_not_take_are_named(tmp_path, monkeypatch, choices, message):
    """Before anything is trained."""
    write_params(tmp_path, {"methods.vpt.search": {"sampler": "grid", "choices": choices}})
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match=message):
        search.search_settings(read_params(), BACKBONE, TASK, "vpt", quiet)
