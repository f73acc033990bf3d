"""params.yaml: what it may say, and what is said of what it may not."""

import copy
import json

import pytest
import yaml
from project import EXPERIMENTS, ROOT

from ship.errors import BadInput
from ship.experiment.length import for_images
from ship.experiment.params import Compute, Hierarchy, Task, json_schema, parse_params, read_params
from ship.experiment.rows import Train

GOOD = {
    "grid": {"backbones": ["vit_mini"], "tasks": ["digits"], "methods": ["ship"], "seeds": [0]},
    "backbones": {"vit_mini": {"name": "vit_mini"}},
    "tasks": {"digits": {}},
    "methods": {"ship": {"method": "ship", "train": {"lr": 0.5}, "tasks": {"digits": {"train": {"epochs": 12}}}}},
    "data_root": ".",
    "hierarchy": {},
    "train": {},
    "protocol": "last-epoch",
    "compute": {},
}
BAD = [
    ("train.lr", "1e-3", r"train\.lr: expected a number, got '1e-3' \(YAML reads 1e-3 as text: write 1\.0e-3\)"),
    ("train.lr", "1e2", r"\(YAML reads 1e2 as text: write 1\.0e\+2\)"),
    ("methods.ship.options.prompt_length", "4", r"ship\.options\.prompt_length: expected a whole number, got '4'$"),
    ("methods.ship.options.prompt_length", 4.5, r"expected a whole number, got 4\.5$"),
    ("methods.ship.options.decoupled", 1, r"decoupled: expected true or false, got 1$"),
    ("methods.ship.options.threshold", True, r"threshold: expected a number, got True$"),
    (
        "methods.ship.tasks.digits.options",
        {"image_weight": "x"},
        r"tasks\.digits\.options\.image_weight: expected a num",
    ),
    ("backbones.vit.name", 7, r"expected text, got 7 \(YAML reads it as a whole number: write it in quotes\)$"),
    ("grid.methods", ["a" * 101], r"expected text of at most 100 characters, got 'a"),
    ("methods.2e5", {"method": "ship"}, r"methods\.2e5: expected a name that DVC reads as text, got 2e5, a number"),
    ("grid.tasks", ["0o7"], r"grid\.tasks\.0: expected a name that DVC reads as text, got 0o7, a number"),
    ("train.batch_size", "1e3", r"expected an integer, got '1e3' \(write 1000\)"),
    ("train.batch_size", "1e-3", r"expected an integer, got '1e-3'$"),
    ("train.lr", "1.0e2", r"\(YAML reads 1\.0e2 as text: write 1\.0e\+2\)"),
    ("train.epochs", 2.5, r"train\.epochs: expected an integer, got 2\.5"),
    ("train.epochs", 0, r"train\.epochs: expected greater than or equal to 1, got 0"),
    ("train.epoch", 3, r"train\.epoch: expected one of .* \(did you mean 'epochs'\?\)"),
    ("trane", {}, r"trane: expected one of .* \(did you mean 'train'\?\)"),
    ("grid.backbones", ["vit_b"], r"got 'vit_b' .*\(a new row needs a key: backbones\.vit_b\.name\)"),
    ("grid.tasks", ["digit"], r"grid\.tasks: expected one of digits, got 'digit' \(did you mean 'digits'\?\)"),
    (
        "methods.ship.options",
        {"prompt_lenght": 5, "depth": 1},
        r"ship\.options\.prompt_lenght: expected one of .* \(did you mean 'prompt_length'\?\); .*\.options\.depth: ",
    ),
    ("methods.ship.tasks.digits", {"options": {"x": 1}}, r"methods\.ship\.tasks\.digits\.options\.x: expected one of"),
    (
        "methods.ship.search",
        {"trials": 2, "choices": {"options.x": [1, 2]}},
        r"methods\.ship\.search\.choices\.options\.x: expected one of",
    ),
    ("grid.methods", ["shp"], r"grid\.methods: expected one of ship, got 'shp'"),
    ("grid.seeds", [1, 1], r"grid\.seeds: expected each seed once"),
    (
        "methods",
        {"ship_0.95": {"method": "ship"}},
        r"methods\.ship_0\.95: expected text that matches '.*', got 'ship_0\.95'",
    ),
    ("tasks", {"a/b": {}}, r"tasks\.a/b: expected text that matches '.*', got 'a/b'"),
    ("grid.seeds", [], r"grid\.seeds: expected one or more, got \[\]"),
    ("backbones", {"vit_mini": {}}, r"backbones\.vit_mini\.name: expected a value, found none"),
    ("compute.precision", "fp16", r"compute\.precision: expected 'fp32', 'bf16' or 'auto', got 'fp16'"),
    ("tasks.digits", {"source": "vtab"}, r"tasks\.digits: expected either path or url"),
    (
        "tasks.digits",
        {"source": "vtab", "url": "file:///x"},
        r"tasks\.digits\.url: expected text that matches '\^https",
    ),
    ("tasks.digits", {"source": "vtab", "path": ""}, r"tasks\.digits\.path: expected text that matches .*, got ''"),
    ("backbones.vit_mini.sha256", "", r"backbones\.vit_mini\.sha256: expected text that matches .*\{64\}.*, got ''"),
    ("backbones.vit_mini.std", [0.5, 0, 0.5], r"backbones\.vit_mini\.std\.1: expected greater than 0, got 0"),
    ("backbones", {"v" * 101: {"name": "vit_mini"}}, r"expected.* at most 100 characters"),
    ("data_root", "a\0b", r"data_root: expected text that matches"),
    ("mirrors", ["ftp//x"], r"mirrors\.0: expected text that matches"),
    ("compute.threads", 2**40, r"compute\.threads: expected less than or equal to 1024"),
    ("train.epochs", 2**31, r"train\.epochs: expected an integer below 2\*\*31, got 2147483648"),
    ("train.optimiser", "x" * 400, r"got '?x{199}\.\.\. \(402 characters\)"),
    ("train.floor_lr", 5.0, r"train: expected floor_lr at most lr, got 5 and .* \(set train\.floor_lr or train\.lr\)"),
    ("train.warmup_lr", 5.0, r"train: expected warmup_lr at most lr, got 5 and .*"),
    (
        "methods.ship.search",
        {"trials": 2, "choices": {"options.rank": [2, 2]}},
        r"ship\.search: expected each of the choices of options\.rank once, got \[2, 2\]",
    ),
    ("tasks.digits", {"source": "vtab", "url": "https://x/y.zip"}, r"tasks\.digits: expected sha256 beside url"),
    (
        "tasks.digits",
        {"path": "images"},
        r"tasks\.digits: expected source vtab, folder or csv beside path",
    ),
    ("tasks.digits", {"source": "vtab", "path": "x", "train": 9}, r"tasks\.digits: expected no train with source"),
    (
        "tasks.digits",
        {"source": "vtab1k", "path": "x"},
        r"tasks\.digits: expected source vtab, folder or csv beside path",
    ),
    ("tasks.digits", {"source": "vtab1k", "seed": 1}, r"tasks\.digits: expected no seed with source 'vtab1k', whose"),
    ("tasks.digits", {"source": "fgvc", "val": 9}, r"tasks\.digits: expected no val with source 'fgvc', whose splits"),
    ("train.optimiser", "adam", r"train\.optimiser: expected 'adamw' or 'sgd', got 'adam'"),
    ("train.consistency", "fast", r"train: expected noise above 0 beside consistency fast, got 0"),
    ("train.consistency", 0.1, r"train\.consistency: expected 0, fast, lazy, two-pass, got 0\.1 .*consistency_weight"),
    ("train.consistency", False, r"train\.consistency: expected 0, fast, lazy, two-pass, got False"),
    ("protocol", "best-epoch", r"protocol: expected 'last-epoch' or 'best-test-epoch', got 'best-epoch'"),
    ("methods.ship.search", {}, r"methods\.ship\.search: expected choices or ranges, found neither"),
    ("methods.ship.search", {"trial": 3}, r"methods\.ship\.search\.trial: expected one of .*'trials'"),
    ("methods.ship.search", {"choices": {"lr": [1]}}, r"ship\.search: expected keys as options\.KEY or train\.KEY"),
    (
        "methods.ship.search",
        {"choices": {"options": [1]}},
        r"ship\.search: expected keys as options\.KEY or train\.KEY",
    ),
    ("methods.ship.options", {"x": float("nan")}, r"methods\.ship\.options\.x: expected a finite number, text"),
    (
        "methods.ship.search",
        {"trials": 2, "choices": {"train.epochs": [12, 20], "train.warmup_epochs": [5, 15]}},
        r"methods\.ship\.search\.train: expected warmup_epochs below epochs, got 15 and 12 "
        r"\(set methods\.ship\.search\.choices\.train\.warmup_epochs or "
        r"methods\.ship\.search\.choices\.train\.epochs\)",
    ),
    (
        "methods.ship.search",
        {"trials": 2, "choices": {"train.epochs": [20, 30]}},
        r"methods\.ship\.tasks\.digits\.train\.epochs: expected it here or in methods\.ship\.search, found it in both",
    ),
    ("methods.ship.search", {"choices": {"train.lr": [0.1]}}, r"ship\.search: expected trials with the sampler tpe"),
    (
        "methods.ship.search",
        {"sampler": "grid", "trials": 3, "choices": {"train.lr": [0.1]}},
        r"expected choices alone",
    ),
    (
        "methods.ship.search",
        {"sampler": "grid", "choices": {"train.lr": [0.1, "x"]}},
        r"methods\.ship\.search\.train\.lr: expected a number, got 'x'",
    ),
    (
        "methods.ship.search",
        {"trials": 2, "ranges": {"train.lr": {"low": 1.0, "high": 0.1}}},
        r"ship\.search\.ranges\.train\.lr: expected low below high, got 1 and 0\.1",
    ),
    ("methods.ship.tasks", {"digit": {}}, r"methods\.ship\.tasks: expected one of digits, got 'digit'"),
    (
        "methods.ship.tasks",
        {"digits": {"prompt_length": 3}},
        r"methods\.ship\.tasks\.digits\.prompt_length: expected one of options, train, got 'prompt_length'",
    ),
    ("methods.ship.train", {"lrr": 1}, r"methods\.ship\.train\.lrr: expected one of .*'lr'"),
    (
        "methods.ship.train",
        {"warmup_epochs": 100},
        r"methods\.ship\.train: expected warmup_epochs below epochs, got 100 and \d+ "
        r"\(set methods\.ship\.train\.warmup_epochs or train\.epochs\)",
    ),
    ("train.warmup_epochs", 500, r"train: .*, got 500 and \d+ \(set train\.warmup_epochs or train\.epochs\)"),
]


def test_all_faults_are_told_at_once():
    """A user goes round once."""
    raw = changed("train", {"epochs": -8, "batch_size": 0, "epoch": 3})
    raw["compute"] = {"device": "gpu"}
    with pytest.raises(BadInput) as error:
        parse_params(raw)
    parts = str(error.value).removeprefix("params.yaml: ").split("; ")
    assert [part.split(":")[0] for part in parts] == [
        "train.epochs",
        "train.batch_size",
        "train.epoch",
        "compute.device",
    ]


def changed(key, value):
    """The good experiment with one key set."""
    raw = copy.deepcopy(GOOD)
    tree = raw
    *groups, last = key.split(".")
    for group in groups:
        tree = tree.setdefault(group, {})
    tree[last] = value
    return raw


@pytest.mark.parametrize(("key", "value", "message"), BAD, ids=[f"{key}={value}" for key, value, _ in BAD])
def test_a_bad_value_names_file_and_key(key, value, message):
    """One line: file, key, rule, value."""
    with pytest.raises(BadInput, match=message) as error:
        parse_params(changed(key, value))
    assert str(error.value).startswith("params.yaml: ")
    assert "\n" not in str(error.value)


def test_settings_that_go_together_only_with_each_other_may_be_searched():
    """Combinations are checked, not values alone."""
    together = {"trials": 2, "choices": {"train.noise": [0.5, 1.0], "train.consistency": ["fast", "lazy"]}}
    assert parse_params(changed("methods.ship.search", together)).methods["ship"].search.total == 2


def test_every_candidate_is_checked_however_many_there_are():
    """One that stands behind more than a thousand combinations too."""
    rates = [number / 2000 for number in range(1, 1500)]
    search = {"trials": 2, "choices": {"train.lr": rates, "train.batch_size": [8, -5]}}
    with pytest.raises(BadInput, match=r"ship\.search\.train\.batch_size: expected .* got -5"):
        parse_params(changed("methods.ship.search", search))


@pytest.mark.parametrize("group", ["data_root", "hierarchy", "train", "protocol", "compute"])
def test_every_group_must_be_there(group):
    """DVC looks for each, and would miss it only after hours of computing."""
    with pytest.raises(BadInput, match=rf"{group}: expected a value, found none"):
        parse_params({key: value for key, value in GOOD.items() if key != group})


def test_defaults_are_those_that_results_were_made_with():
    """DVC compares the text of params.yaml, so it cannot see a default that changes: that takes `dvc repro --force`."""
    found = {"task": Task(), "hierarchy": Hierarchy(), "compute": Compute()}
    assert {name: group.model_dump(exclude_none=True) for name, group in found.items()} == {
        "task": {
            "source": "builtin",
            "train": 800,
            "val": 200,
            "seed": 0,
            "broken": "refuse",
            "orientation": "stored",
            "bits": 16,
            "frames": "first",
            "pixels": 100_000_000,
        },
        "hierarchy": {"prototypes": 200, "seed": 0},
        "compute": {"device": "auto", "precision": "fp32", "threads": 2},
    }


def test_a_merge_key_is_refused_in_words(tmp_path):
    """Its keys would be read twice."""
    (tmp_path / "params.yaml").write_text("a: &a {x: 1}\nb: {<<: *a}\n")
    with pytest.raises(BadInput, match=r"params.yaml: expected YAML, got the merge key << \(repeat its keys, or write"):
        read_params(tmp_path / "params.yaml")


def test_broken_and_missing_files(tmp_path):
    """A file that is absent, no YAML, or no mapping is named."""
    with pytest.raises(BadInput, match=r"absent\.yaml: expected a file .*ship init"):
        read_params(tmp_path / "absent.yaml")
    for text, rule in (
        ("a: [", "expected YAML"),
        ("- 1", "expected keys and values, got list"),
        ("a: 1\na: 2", "the key 'a' twice"),
        ("1: 2", "p.yaml: grid: expected a value, found none"),
        ("# gr\u00f6\u00dfe", "p.yaml: expected UTF-8 text"),
    ):
        (tmp_path / "p.yaml").write_text(text, encoding="latin-1")
        with pytest.raises(BadInput, match=rule):
            read_params(tmp_path / "p.yaml")


@pytest.mark.parametrize("path", [ROOT / "params.yaml", *EXPERIMENTS], ids=lambda p: p.name)
def test_presets_are_valid_and_fit_the_schema(path):
    """What we ship passes our own check, and the schema that editors use."""
    import jsonschema

    read_params(path)
    jsonschema.validate(yaml.safe_load(path.read_text()), json_schema())


@pytest.mark.parametrize("train", [{"lrr": 0.1}, {"lr": "high"}, {"head": "rigde"}])
def test_editors_check_what_a_row_says_of_its_recipe(train):
    """By key and kind, as in `train`, in the row and for one of its tasks."""
    import jsonschema

    for row in ({"train": train}, {"tasks": {"digits": {"train": train}}}):
        raw = GOOD | {"methods": {"vpt": {"method": "vpt", **row}}}
        with pytest.raises(jsonschema.ValidationError, match=next(iter(map(str, train.values()))) + "|lrr"):
            jsonschema.validate(raw, json_schema())


def test_the_schema_for_editors_is_current():
    """workflow/schemas/params.schema.json is what `ship schema` prints."""
    assert json.loads((ROOT / "workflow/schemas/params.schema.json").read_text()) == json_schema()


def test_runs_that_dvc_would_take_for_one_are_refused():
    """It joins the names of a stage's task and method with a dash."""
    raw = copy.deepcopy(GOOD)
    raw["tasks"] = {"cifar": {}, "cifar-noisy": {}}
    raw["methods"] = {"vpt": {"method": "vpt"}, "noisy-vpt": {"method": "vpt"}}
    raw["grid"] |= {"tasks": ["cifar"], "methods": ["vpt", "noisy-vpt"], "seeds": [0]}
    parse_params(raw)
    raw["grid"]["tasks"] = ["cifar", "cifar-noisy"]
    with pytest.raises(BadInput, match=r"grid: expected names that differ when DVC joins them, got .*'noisy-vpt'"):
        parse_params(raw)


@pytest.mark.parametrize(
    ("images", "epochs", "warmup"),
    [(1000, 10, 2), (50, 150, 30), (100, 150, 30), (128, 75, 15), (460, 22, 4), (5000, 10, 2)],
)
def test_few_images_get_more_epochs(images, epochs, warmup):
    """As many optimiser steps as are asked for at the least, with warm-up in proportion."""
    recipe = for_images(Train(epochs=10, warmup_epochs=2, batch_size=64, steps=150), images)
    assert (recipe.epochs, recipe.warmup_epochs) == (epochs, warmup)


def test_without_steps_a_recipe_has_the_epochs_that_it_says():
    """However few images there are."""
    recipe = Train(epochs=10, warmup_epochs=2)
    assert for_images(recipe, 3) == recipe


@pytest.mark.parametrize(
    "key", [{"steps": 9}, {"class_weights": "balanced"}, {"label_smoothing": 0.1}, {"augment": "flip"}]
)
def test_what_is_written_of_a_recipe_has_the_later_keys_only_where_they_are_used(key):
    """Results from before there were such keys stay those of the same recipe; what is written is read again."""
    plain, used = Train().model_dump(), Train(**key).model_dump()
    assert not key.keys() & plain.keys()
    assert used == plain | key
    assert Train(**used) == Train(**key)


def test_the_weight_of_consistency_is_written_wherever_there_is_some():
    """Else another default would make other runs of the same settings."""
    assert "consistency_weight" in Train(noise=1.0, consistency="fast").model_dump()
    assert "consistency_weight" not in Train().model_dump()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"source": "folder", "path": "x", "train": 0.8, "val": 0.3}, "expected shares that make 1 at most, got 1.1"),
        ({"train": 0.5}, "expected sizes in images with source 'builtin', got the share 0.5"),
        ({"broken": "skip"}, "expected source folder or csv beside broken, got builtin"),
        (
            {"train": "70%"},
            "tasks.mine.train: expected a number of images from 1 on, or a share above 0 and below 1, got",
        ),
        ({"val": 0}, "tasks.mine.val: expected a number of images from 1 on, or a share above 0 and below 1, got 0"),
    ],
)
def test_settings_of_a_task_that_do_not_go_together(settings, message):
    """Shares are for images of your own."""
    with pytest.raises(BadInput, match=message):
        parse_params(changed("tasks.mine", settings))


def test_what_a_task_says_goes_before_what_its_row_says():
    """In options and recipe, key by key; and the row before `train`."""
    own = {"options": {"threshold": 0.7}, "train": {"lr": 0.2}}
    row = {"method": "ship", "options": {"threshold": 0.5, "prompt_length": 3}, "train": {"lr": 0.5, "epochs": 30}}
    common = {"lr": 0.1, "epochs": 20, "batch_size": 8}
    params = parse_params({**GOOD, "train": common, "methods": {"ship": {**row, "tasks": {"digits": own}}}})
    assert params.options_of("ship", "digits") == {"threshold": 0.7, "prompt_length": 3}
    assert params.options_of("ship") == row["options"]
    for task, rate in (("digits", 0.2), (None, 0.5)):
        recipe = params.train_of("ship", task)
        assert (recipe.lr, recipe.epochs, recipe.batch_size) == (rate, 30, 8)
