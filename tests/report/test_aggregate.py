"""The files that DVC compares, and the tables that people read."""

from __future__ import annotations

import json

import experiment
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from ship.artifacts import Run
from ship.errors import BadInput
from ship.evaluation.statistics import holm
from ship.experiment.params import parse_params
from ship.report.aggregate import COLUMNS, LEAKY, aggregate, mean_by_method, missing_runs, read_table, summarise
from ship.report.pairs import compare
from ship.report.text import table_cells, text_table
from ship.storage import read_json, write_json

FILES = (
    "metrics.json",
    "table.csv",
    "paired.csv",
    "classes.csv",
    "plots/accuracy.csv",
    "plots/curves.csv",
    "plots/affinity.csv",
)


def test_metrics_are_means_of_what_the_runs_say(finished):
    """Tasks over seeds, groups over tasks, group mean over groups."""
    found = read_json(finished.root / "results/metrics.json")["accuracy"]["vit_mini"]["ship"]
    task = {
        t: sum(
            read_json(finished.root / Run("vit_mini", t, "ship", s).folder / "run.json")["result"]["accuracy"]
            for s in (0, 1)
        )
        / 2
        for t in finished.params.grid.tasks
    }
    natural = (task["digits"] + task["textures"]) / 2
    assert found["tasks"] == pytest.approx(task, abs=2e-6)
    assert found["groups"] == pytest.approx({"natural": natural, "structured": task["counting"]}, abs=2e-6)
    assert found["group_mean"] == pytest.approx((natural + task["counting"]) / 2, abs=2e-6)
    assert found["task_mean"] == pytest.approx(sum(task.values()) / 3, abs=2e-6)


def test_a_mean_by_method_is_over_its_tasks(finished):
    """Those that it has, each once."""
    table = finished.table
    few = table[(table["task"] == "digits") | (table["method"] != "vpt")]
    found = mean_by_method(few, "tuned_parameters")
    assert found == {name: few.loc[few["method"] == name, "tuned_parameters"].mean() for name in experiment.LEVEL}


def test_metrics_have_sorted_keys_and_six_decimals(finished):
    """So that `dvc metrics diff` shows numbers that changed and nothing else."""
    text = (finished.root / "results/metrics.json").read_text()
    assert text == json.dumps(json.loads(text), sort_keys=True, indent=2) + "\n"
    assert all(len(number.split(".")[1]) <= 6 for number in text.replace(",", " ").split() if number.startswith("0."))


def test_table_follows_the_grid(finished):
    """Tasks, then methods, in the order of params.yaml."""
    table = pd.read_csv(finished.root / "results/table.csv")
    grid = finished.params.grid
    pairs = list(zip(table["task"], table["method"], strict=True))
    assert pairs == [(task, method) for task in grid.tasks for method in grid.methods]
    assert ((table["low"] < table["accuracy"]) & (table["accuracy"] < table["high"])).all()


def test_every_pair_of_methods_is_compared_on_every_task_and_in_the_mean(finished):
    """By the difference of the table's accuracies, in the order of the grid; corrected p is never below p."""
    table = finished.table.set_index(["task", "method"])["accuracy"]
    means = read_json(finished.root / "results/metrics.json")["accuracy"]["vit_mini"]
    table = pd.concat([table, pd.Series({("group mean", name): mean["group_mean"] for name, mean in means.items()})])
    found = pd.read_csv(finished.root / "results/paired.csv")
    pairs = [("linear", "vpt"), ("linear", "ship"), ("vpt", "ship")]
    expected = [(task, *pair) for task in [*finished.params.grid.tasks, "group mean"] for pair in pairs]
    assert list(found[["task", "first", "second"]].itertuples(index=False, name=None)) == expected
    for row in found.itertuples():
        assert row.difference == pytest.approx(table[row.task, row.first] - table[row.task, row.second], abs=3e-6)
        assert row.low <= row.difference <= row.high
    assert (found["p_holm"] >= found["p"]).all()


def test_methods_that_lack_a_task_are_not_compared_in_the_mean(fresh):
    """It would be a mean over something else."""
    (fresh.root / Run("vit_mini", "digits", "vpt", 1).folder / "run.json").unlink()
    (fresh.root / Run("vit_mini", "digits", "vpt", 0).folder / "run.json").unlink()
    aggregate(fresh.params, fresh.root, without=missing_runs(fresh.params, fresh.root))
    found = pd.read_csv(fresh.root / "results/paired.csv")
    assert found.loc[found["task"] == "group mean", ["first", "second"]].to_numpy().tolist() == [["linear", "ship"]]


def test_methods_that_lack_a_seed_are_compared_on_the_others(fresh):
    """And so in the mean; who has none of the other's is not compared."""
    (fresh.root / Run("vit_mini", "digits", "vpt", 1).folder / "run.json").unlink()
    aggregate(fresh.params, fresh.root, without=missing_runs(fresh.params, fresh.root))
    found = pd.read_csv(fresh.root / "results/paired.csv").set_index(["task", "first", "second"])["seeds"]
    assert found["digits", "linear", "ship"] == 2
    assert found["digits", "linear", "vpt"] == found["group mean", "linear", "vpt"] == 1
    assert len(found) == 12
    (fresh.root / Run("vit_mini", "digits", "linear", 0).folder / "run.json").unlink()
    aggregate(fresh.params, fresh.root, without=missing_runs(fresh.params, fresh.root))
    found = pd.read_csv(fresh.root / "results/paired.csv").set_index(["task", "first", "second"])["seeds"]
    assert ("digits", "linear", "vpt") not in found
    assert found["digits", "linear", "ship"] == 1


def test_p_is_corrected_within_the_family_of_a_baseline(finished):
    """All tasks and all methods that are compared with the same first one, and no others; all pairs of group means."""
    found = pd.read_csv(finished.root / "results/paired.csv")
    mean, first = found["task"] == "group mean", found["first"]
    for rows, size in ((~mean & (first == "linear"), 6), (~mean & (first == "vpt"), 3), (mean, 3)):
        family = found[rows]
        assert len(family) == size
        assert list(family["p_holm"]) == pytest.approx(holm(list(family["p"])), rel=1e-4)


def drawn(seeds, methods=("x", "y", "z")):
    """Hits of methods on 300 images; seeds differ much, methods a little."""
    random = np.random.default_rng(2)
    return {
        Run("one", "digits", method, seed): pd.Series(random.random(300) < 0.4 + 0.1 * seed + 0.05 * number)
        for number, method in enumerate(methods)
        for seed in seeds
    }


def test_runs_of_the_same_seed_are_compared():
    """In whatever order they come; what differs from seed to seed in both is no difference."""
    hits = drawn((0, 1, 2), ("x",))
    hits |= {run._replace(method="y"): hits[run] for run in reversed(hits)}
    (row,) = compare(hits, {"digits": "own", "textures": "own"}).to_dict("records")
    assert (row["difference"], row["low"], row["high"], row["seeds"]) == (0, 0, 0, 3)


def test_another_backbone_changes_no_p():
    """It has families of its own."""
    hits, groups = drawn((0,)), {"digits": "own"}
    others = {run._replace(backbone="other"): found for run, found in hits.items()}
    both, alone = compare(hits | others, groups), compare(hits, groups)
    assert both[both["backbone"] == "one"].reset_index(drop=True).equals(alone)


def test_plots_hold_every_run_epoch_and_pair_of_blocks(finished):
    """With a header that DVC can name."""
    plots = {
        name: pd.read_csv(finished.root / f"results/plots/{name}.csv") for name in ("accuracy", "curves", "affinity")
    }
    assert list(plots["accuracy"]) == ["backbone", "task", "method", "seed", "accuracy"]
    assert list(plots["curves"]) == ["backbone", "task", "method", "seed", "epoch", "loss", "accuracy", "lr"]
    assert list(plots["affinity"]) == ["backbone", "task", "block_i", "block_j", "affinity"]
    assert [len(plot) for plot in plots.values()] == [18, 18 * experiment.EPOCHS, 3 * experiment.BLOCKS**2]


def test_what_is_measured_beside_accuracy_is_compared_too(finished):
    """Balanced accuracy is the mean recall of results/classes.csv; `dvc metrics diff` has every measure, with means."""
    metrics = read_json(finished.root / "results/metrics.json")
    classes = read_table(finished.root / "results/classes.csv")
    assert list(classes) == ["backbone", "task", "method", "class", "precision", "recall", "f1", "support"]
    assert len(classes) == 9 * len(experiment.CLASSES)
    own = classes[(classes["task"] == "counting") & (classes["method"] == "vpt")]
    assert list(own["class"]) == experiment.CLASSES
    assert own["support"].sum() == experiment.IMAGES
    for measure, column in (("balanced_accuracy", "recall"), ("macro_f1", "f1")):
        found = metrics[measure]["vit_mini"]["vpt"]
        assert found["tasks"]["counting"] == pytest.approx(own[column].mean(), abs=2e-6)
        assert found["task_mean"] == pytest.approx(sum(found["tasks"].values()) / 3, abs=2e-6)
    assert 0 < metrics["calibration_error"]["vit_mini"]["ship"]["group_mean"] < 1


@pytest.mark.parametrize("text", ["{}", "", "epoch,loss\n1,2\n"])
def test_a_log_of_other_columns_is_refused(fresh, text):
    """Else the curves of the run would be lacking."""
    path = fresh.root / Run("vit_mini", "digits", "ship", 1).folder / "log.csv"
    path.write_text(text)
    with pytest.raises(BadInput, match=r"log\.csv: expected a row an epoch, got: .*ship/1\)"):
        aggregate(fresh.params, fresh.root)


def test_bytes_do_not_depend_on_the_folder(finished, fresh):
    """The same runs give the same files anywhere."""
    aggregate(fresh.params, fresh.root)
    for name in FILES:
        assert (fresh.root / "results" / name).read_bytes() == (finished.root / "results" / name).read_bytes()


def test_one_seed_has_no_deviation(tmp_path):
    """Its cell is empty."""
    params = experiment.params(seeds=(4,))
    experiment.write(tmp_path, params)
    aggregate(params, tmp_path)
    assert pd.read_csv(tmp_path / "results/table.csv")["std"].isna().all()


def test_a_missing_run_is_an_error_that_names_it(fresh):
    """A table that lacks a run would pass for a whole one."""
    (fresh.root / Run("vit_mini", "digits", "vpt", 1).folder / "run.json").unlink()
    with pytest.raises(
        BadInput, match=r"vpt/1/run.json: expected .* 1 of 18 runs \(ship train vit_mini/digits/vpt/1\)"
    ):
        aggregate(fresh.params, fresh.root)


def test_a_result_without_its_predictions_is_missing(fresh):
    """As in a clone, where git brings results and nothing else."""
    (fresh.root / Run("vit_mini", "digits", "vpt", 1).folder / "predictions.parquet").unlink()
    with pytest.raises(BadInput, match=r"digits/vpt/1/predictions.parquet: expected .* 1 of 18 runs"):
        aggregate(fresh.params, fresh.root)


def test_a_partial_table_has_no_means_over_other_tasks(fresh):
    """A mean over two tasks is not comparable with one over three."""
    for seed in (0, 1):
        (fresh.root / Run("vit_mini", "digits", "vpt", seed).folder / "run.json").unlink()
    table = aggregate(fresh.params, fresh.root, without=missing_runs(fresh.params, fresh.root))
    found = read_json(fresh.root / "results/metrics.json")["accuracy"]["vit_mini"]
    assert list(found["vpt"]) == ["tasks"]
    assert "group_mean" in found["ship"]
    assert missing_runs(fresh.params, fresh.root) == [
        Run("vit_mini", "digits", "vpt", 0),
        Run("vit_mini", "digits", "vpt", 1),
    ]
    cells = {row[0]: row[1:] for row in table_cells(table)}
    assert [cells["vpt"][i] for i in (0, 3, 4, 5)] == ["-"] * 4


def test_seeds_must_have_seen_the_same_images(fresh):
    """Else their hits cannot be averaged image by image."""
    path = fresh.root / Run("vit_mini", "digits", "ship", 1).folder / "predictions.parquet"
    table = pq.read_table(path)
    pq.write_table(table.take(list(range(len(table)))[::-1]), path)
    with pytest.raises(BadInput, match="digits/ship: expected the same test images for every run"):
        aggregate(fresh.params, fresh.root)


def test_predictions_must_be_those_of_the_result(fresh):
    """A result from one run beside predictions from another would give an interval of something else."""
    path = fresh.root / Run("vit_mini", "digits", "ship", 1).folder / "run.json"
    about = read_json(path)
    write_json(path, {**about, "result": {**about["result"], "accuracy": 0.123}})
    with pytest.raises(BadInput, match=r"1/run.json: expected the accuracy of predictions.parquet, 0.\d+, got 0.123"):
        aggregate(fresh.params, fresh.root)


def test_leaky_figures_stand_apart(fresh):
    """Under a name that says so, where the protocol made them; the others are what they were."""
    honest = aggregate(fresh.params, fresh.root)
    files = {name: (fresh.root / "results" / name).read_bytes() for name in FILES}
    expected = read_json(fresh.root / "results/metrics.json")["accuracy"]
    assert LEAKY not in honest
    for path in (fresh.root / "runs").rglob("run.json"):
        about = read_json(path)
        about["result"]["best_test_epoch_accuracy"] = about["result"]["accuracy"] + 0.01
        write_json(path, about)
    table = aggregate(fresh.params, fresh.root)
    found = read_json(fresh.root / "results/metrics.json")
    assert found["accuracy"] == expected
    for method, values in found[LEAKY]["vit_mini"].items():
        assert values["task_mean"] == pytest.approx(expected["vit_mini"][method]["task_mean"] + 0.01, abs=3e-6)
    assert "(leaky)" in text_table(table, width=200)
    assert (fresh.root / "results/paired.csv").read_bytes() == files["paired.csv"]
    assert table.drop(columns=LEAKY).equals(honest)


def test_a_leaky_mean_is_of_all_seeds(fresh):
    """Where one was trained by another protocol, there is none."""
    for seed in (0, 1):
        path = fresh.root / Run("vit_mini", "digits", "vpt", seed).folder / "run.json"
        about = read_json(path)
        about["result"]["best_test_epoch_accuracy"] = 0.9
        write_json(path, about)
        means = aggregate(fresh.params, fresh.root).query("task == 'digits' and method == 'vpt'")[LEAKY]
        assert means.notna().item() == (seed == 1)


@pytest.mark.parametrize("names", [["None", "NA", "null"], ["8", "16", "32"]])
def test_names_are_text(tmp_path, names):
    """Though pandas would read nothing, or numbers."""
    raw = experiment.params().model_dump()
    raw["methods"] = dict(zip(names, raw["methods"].values(), strict=True))
    raw["grid"]["methods"] = names
    params = parse_params(raw)
    experiment.write(tmp_path, params)
    aggregate(params, tmp_path)
    table = read_table(tmp_path / "results/table.csv")
    assert list(table["method"].unique()) == names
    assert text_table(table).count("\n") == len(names) + 1
    assert set(read_table(tmp_path / "results/paired.csv")["second"]) == {*names[1:]}


def test_equal_hits_are_a_tie(fresh):
    """Of 797 images: rounded accuracies of the runs would differ in the sixth digit of their mean."""
    results, hits = [], {}
    for method, counts in (("vpt", (708, 718, 708)), ("ship", (709, 717, 708))):
        for seed, count in enumerate(counts):
            right = pd.Series([number < count for number in range(797)])
            hits[Run("vit_mini", "digits", method, seed)] = right
            about = {
                "backbone": "vit_mini",
                "task": "digits",
                "method": method,
                "seed": seed,
                "group": "natural",
                "test_images": 797,
            }
            about |= {"tuned_parameters": 1, "tuned_parameters_without_head": 0}
            results.append({**about, "accuracy": round(count / 797, 6)})
    first, second = summarise(pd.DataFrame(results), hits)["accuracy"]
    assert first == second


@pytest.mark.parametrize("name", ["table.csv", "paired.csv", "classes.csv", "plots/accuracy.csv", "plots/curves.csv"])
def test_tables_of_other_columns_are_refused(fresh, name):
    """A column that is gone, or words where numbers are: git brings these files, and people edit them."""
    aggregate(fresh.params, fresh.root)
    path = fresh.root / "results" / name
    whole = path.read_text()
    header = whole.split("\n", 1)[0].split(",")
    for column, kind in COLUMNS[path.name].items():
        path.write_text(whole.replace(column, "other", 1))
        if column not in path.read_text().split("\n", 1)[0].split(","):
            with pytest.raises(BadInput, match=rf"{path.name}: expected the columns .*, found no {column}"):
                read_table(path)
        if kind is not str:
            first, *rows = pd.read_csv(path, dtype=str, header=None, skiprows=1).to_numpy().tolist()
            first[header.index(column)] = "nan" if kind is int else "many"
            path.write_text("\n".join([",".join(header), *(",".join(map(str, row)) for row in [first, *rows])]))
            with pytest.raises(BadInput, match=rf"{path.name}: expected the table of an experiment, got"):
                read_table(path)
        path.write_text(whole)


def test_an_accuracy_that_is_no_number_is_refused(fresh):
    """Nothing is further from the predictions."""
    path = fresh.root / Run("vit_mini", "digits", "ship", 1).folder / "run.json"
    path.write_text(path.read_text().replace('"accuracy": 0', '"accuracy": NaN, "was": 0', 1))
    with pytest.raises(BadInput, match=r"run.json: result.accuracy: expected .*, got nan \(ship train .*ship/1\)"):
        aggregate(fresh.params, fresh.root)


def test_predictions_that_are_broken_are_made_again_by_their_run(fresh):
    """The error says which."""
    path = fresh.root / Run("vit_mini", "digits", "ship", 1).folder / "predictions.parquet"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(BadInput, match=r"predictions.parquet: .* \(ship train vit_mini/digits/ship/1\)$"):
        aggregate(fresh.params, fresh.root)
