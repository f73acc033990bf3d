"""The page: self-contained, escaped, and honest about what is missing."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import experiment
import numpy as np
import pandas as pd
import pytest
import torch

from ship.artifacts import Run, notices_file
from ship.errors import BadInput
from ship.evaluation.outcomes import read_outcomes, write_outcomes
from ship.experiment.params import parse_params
from ship.experiment.settings import write_chosen
from ship.models.hierarchy import first_blocks, hierarchies
from ship.report.aggregate import aggregate, expected_runs, method_means, missing_runs, read_table
from ship.report.comparison import _best, levels
from ship.report.page import headline, write_page
from ship.report.text import percent, points
from ship.storage import read_json, write_json

VOID = {"meta", "link", "br", "img", "hr", "input"}


class Checker(HTMLParser):
    """Refuses tags that do not nest, and collects what a browser would load."""

    def __init__(self):
        super().__init__()
        self.open, self.loads, self.ids = [], [], []

    def handle_starttag(self, tag, attributes):
        if tag not in VOID:
            self.open.append(tag)
        self.loads += [value for key, value in attributes if key in ("src", "href", "xlink:href", "action")]
        self.ids += [value for key, value in attributes if key == "id"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page(finished, tmp_path_factory):
    """The page of the whole experiment."""
    out = tmp_path_factory.mktemp("page") / "index.html"
    write_page(finished.params, finished.root, out)
    return out.read_text()


def check(page: str) -> Checker:
    checker = Checker()
    checker.feed(page)
    assert not checker.open
    return checker


def section(page: str, name: str) -> str:
    """What stands under one heading."""
    return page.split(f'<section id="{name}">')[1].split("</section>", maxsplit=1)[0]


def test_page_loads_nothing(page):
    """Every reference stays within the page, and finds its target there."""
    found = check(page)
    links = [link for link in found.loads if not link.startswith(("data:image/webp;base64,", "data:image/png;base64,"))]
    assert all(link.startswith("#") for link in links)
    assert {link[1:] for link in links} <= set(found.ids)
    assert len(found.ids) == len(set(found.ids))
    assert "url(http" not in page
    assert "@import" not in page
    assert set(re.findall(r"https?://[^\"']*", page)) <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}


def test_page_shows_every_part(page):
    """Each has a heading that can be linked to."""
    ids = set(check(page).ids)
    assert {"results", "protocol", "tasks", "curves", "hierarchies", "costs", "settings", "again"} <= ids
    assert "missing" not in ids
    assert (
        page.count("<svg") - page.count('<svg class="look"') - page.count('role="img" aria-label="Test')
        == 2 + 3 + 3 + 3
    )
    assert "snakemake --cores all" in page


def test_page_says_what_was_run(page):
    """Normalisation, both means, the deviation, defaults of options, versions."""
    for text in ("mean [0.5, 0.5, 0.5]", "group mean", "task mean", " ± ", "matching_weight", "2.9.0", "read once"):
        assert text in page


def test_page_shows_the_levels_of_every_task(page):
    """At the threshold of the row, and of the task within the row."""
    assert "threshold 0.95: <b>12 levels</b>" in page
    assert "threshold 0.9: <b>4 levels</b>, first blocks 0, 4, 7, 10" in page


def test_page_sums_up_each_method(finished, page):
    """Group means, both means, rank, what is tuned; a probe that tunes the head alone has no points per million."""
    rows = dict(re.findall(r'<tr><th scope="row">(\w+)</th>(.*?)</tr>', section(page, "results"), re.DOTALL)[:3])
    cells = {method: re.findall(r"<td[^>]*>(.*?)</td>", row) for method, row in rows.items()}
    means = method_means(finished.table, "ship", finished.params.grid.tasks)
    shown = [*means["groups"].values(), means["group_mean"], means["task_mean"]]
    assert cells["ship"] == [*map(percent, shown), "1.0", "63.4 K", "61.4 K", points(100 * shown[2] / 0.06144)]
    assert cells["linear"][4:] == ["3.0", "1.93 K", "0", "-"]
    assert "inf" not in re.findall(r"<td[^>]*>(.*?)</td>", page)
    assert section(page, "results").count('class="n best"') == 5 + 3  # ship, on every task and in every mean


def test_published_rows_stand_apart(tmp_path):
    """In a section of their own, where nothing is marked: neither ranks nor the best know of them."""
    raw = experiment.params().model_dump()
    raw["grid"]["tasks"], raw["tasks"] = ["kitti"], {"kitti": {"group": "structured"}}
    raw["methods"]["ship"]["tasks"] = {}
    params = parse_params(raw)
    for number, run in enumerate(expected_runs(params)):
        experiment.write_run(tmp_path, run, np.random.default_rng(number))
    aggregate(params, tmp_path)
    write_page(params, tmp_path, tmp_path / "index.html")
    page = (tmp_path / "index.html").read_text()
    assert "VPT-deep" in section(page, "published")
    assert "best" not in section(page, "published").replace("The best of several", "")
    assert "VPT-deep" not in page.replace(section(page, "published"), "")
    ours = pd.read_csv(tmp_path / "results/table.csv")["accuracy"]
    assert f"highest group mean, {percent(ours.max())}\u00a0%" in page


def test_long_tables_are_folded(page, tmp_path):
    """Short ones are not: a page of nineteen tasks begins with what matters."""
    assert page.count("<details open>") == 2
    params = experiment.params(seeds=(0,))
    raw = params.model_dump()
    raw["methods"] |= {f"vpt{i}": raw["methods"]["vpt"] for i in range(3)}
    raw["grid"]["methods"] = list(raw["methods"])
    wide = parse_params(raw)
    for number, run in enumerate(expected_runs(wide)):
        experiment.write_run(tmp_path, run, np.random.default_rng(number))
    aggregate(wide, tmp_path)
    write_page(wide, tmp_path, tmp_path / "index.html")
    text = (tmp_path / "index.html").read_text()
    assert "<details open><summary>18 rows" in text
    assert "<details><summary>60 rows" in text


def test_the_menu_names_every_part_that_is_there(page):
    """And no other."""
    links = re.findall(r'<a href="#(\w+)">', page.split("<nav", 1)[1].split("</nav>")[0])
    assert links == re.findall(r'<section id="(\w+)"', page)


def test_every_task_shows_its_classes_and_surest_mistakes(page):
    """Of its best row: a matrix, the figures of each class, twelve pictures with looks; names are escaped."""
    classes = section(page, "classes")
    assert classes.count('<table class="matrix">') == 3
    assert classes.count('<image href="data:image/webp;base64,') == 3 * 12
    assert classes.count('<image href="data:image/png;base64,') == 3 * 12
    assert classes.count("half of the attention is on") == 3 * 12
    assert classes.count("3 before block 7 (frames), 3 before block 10 (dots).") == 3
    assert "two &amp; more" in classes
    assert "two & more" not in classes


def test_a_class_without_test_images_has_no_figures(fresh, tmp_path):
    """Neither in results/classes.csv nor on the page, which says why; the means leave it out."""
    for run in expected_runs(fresh.params):
        path = fresh.root / run.folder / "predictions.parquet"
        found = read_outcomes(path, "")
        labels = np.where(found.labels == 0, 1, found.labels)
        write_outcomes(path, found._replace(labels=labels), np.zeros((len(labels), len(found.classes)), np.float16))
        about = read_json(path.with_name("run.json"))
        about["result"]["accuracy"] = float(np.mean(labels == found.predicted))
        write_json(path.with_name("run.json"), about)
    table = aggregate(fresh.params, fresh.root)
    assert f"digits,ship,{experiment.CLASSES[0]},,,,0\n" in (fresh.root / "results/classes.csv").read_text()
    classes = read_table(fresh.root / "results/classes.csv").groupby(["task", "method"], sort=False)
    assert list(table["balanced_accuracy"]) == pytest.approx(list(classes["recall"].mean()), abs=2e-6)
    assert list(table["macro_f1"]) == pytest.approx(list(classes["f1"].mean()), abs=2e-6)
    write_page(fresh.params, fresh.root, tmp_path / "index.html")
    page = section((tmp_path / "index.html").read_text(), "classes")
    assert page.count('no test image</td><td class="n">-</td><td class="n">-</td><td class="n">-</td>') == 3


def test_what_prompts_pick_is_shown_beside_a_row_that_picks_nothing(fresh, tmp_path):
    """In four mistakes of the most accurate row that picks; a row without looks has no pictures."""
    for task in fresh.params.grid.tasks:
        path = fresh.root / Run("vit_mini", task, "vpt", 0).folder
        for seed in (0, 1):
            for name in ("run.json", "predictions.parquet"):
                other = fresh.root / Run("vit_mini", task, "vpt", seed).folder / name
                one = fresh.root / Run("vit_mini", task, "ship", seed).folder / name
                (kept := one.read_bytes(), one.write_bytes(other.read_bytes()), other.write_bytes(kept))
    (path / "looks.json").unlink()
    aggregate(fresh.params, fresh.root)
    write_page(fresh.params, fresh.root, tmp_path / "index.html")
    classes = section((tmp_path / "index.html").read_text(), "classes")
    assert classes.count("What the prompts of ship pick") == 3
    assert classes.count('<image href="data:image/webp;base64,') == 2 * 12 + 3 * 4


def test_same_experiment_same_bytes(finished, fresh, page, tmp_path):
    """Wherever it lies."""
    aggregate(fresh.params, fresh.root)
    write_page(fresh.params, fresh.root, tmp_path / "again.html")
    assert (tmp_path / "again.html").read_text() == page


def test_files_that_are_not_used_are_told(fresh, tmp_path):
    """By suffix and reason, as `prepare` counts them; of a task that uses all, nothing."""
    counts = {"broken": 2, "passed_over": {".txt: no image": 3}}
    write_json(fresh.root / notices_file("digits"), {**counts, "warnings": ["3 images are <dark>", "no cat"]})
    aggregate(fresh.params, fresh.root)
    write_page(fresh.params, fresh.root, tmp_path / "index.html")
    said = "Of digits, these files are not used: 2 images that cannot be read, 3 .txt: no image. "
    page = (tmp_path / "index.html").read_text()
    assert page.count("files are not used") == page.count("look at this") == 1
    assert "Of the images of digits, look at this:</strong> 3 images are &lt;dark&gt;; no cat. " in page
    assert said in (tmp_path / "index.html").read_text()


def test_missing_runs_are_shown_with_their_reason(fresh, tmp_path):
    """Escaped, with those nobody gave a reason for."""
    for run in (
        Run("vit_mini", "digits", "ship", 1),
        Run("vit_mini", "counting", "vpt", 0),
        Run("vit_mini", "counting", "vpt", 1),
    ):
        (fresh.root / run.folder / "run.json").unlink()
    aggregate(fresh.params, fresh.root, without=missing_runs(fresh.params, fresh.root))
    out = tmp_path / "index.html"
    write_page(fresh.params, fresh.root, out, missing={Run("vit_mini", "digits", "ship", 1): "out of memory <b>"})
    page = out.read_text()
    check(page)
    assert "3 of 18 runs missing" in page
    assert "out of memory &lt;b&gt;" in page
    assert page.count("no result yet") == 2


def test_one_seed_shows_no_deviation(tmp_path):
    """A ± would claim one."""
    params = experiment.params(seeds=(0,))
    experiment.write(tmp_path, params)
    aggregate(params, tmp_path)
    write_page(params, tmp_path, tmp_path / "index.html")
    page = (tmp_path / "index.html").read_text()
    assert 'class="std"' not in page
    assert "1 seed, so there is none" in page


def test_page_needs_nothing_but_results(fresh, tmp_path):
    """A clone without DVC's files still shows its numbers."""
    aggregate(fresh.params, fresh.root)
    bare = tmp_path / "bare"
    bare.mkdir()
    (fresh.root / "results").rename(bare / "results")
    write_page(fresh.params, bare, tmp_path / "index.html")
    ids = set(check((tmp_path / "index.html").read_text()).ids)
    assert {"results", "settings"} <= ids
    assert not {"hierarchies", "costs", "missing", "classes"} & ids


def test_page_without_table_says_what_to_do(tmp_path):
    """It is made by another command."""
    with pytest.raises(BadInput, match=r"table.csv: expected .* \(ship aggregate\)"):
        write_page(experiment.params(), tmp_path, tmp_path / "index.html")


def test_settings_are_escaped(finished, tmp_path):
    """Text from params.yaml is text."""
    raw = finished.params.model_dump(mode="json")
    raw["methods"]["ship"] = {"method": "shared_adapter", "options": {"grouping": "<script>alert(1)</script>"}}
    write_page(parse_params(raw), finished.root, tmp_path / "index.html")
    page = (tmp_path / "index.html").read_text()
    assert page.count("<script") == 1
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize(
    ("means", "sentence"),
    [
        (
            {"a": {"group_mean": 0.5}, "b": {"group_mean": 0.71}},
            "b has the highest group mean, 71.0\u00a0%: 21.0 points above a.",
        ),
        ({"a": {"group_mean": 0.5}}, "a has a group mean of 50.0\u00a0%."),
        ({"a": {}}, ""),
    ],
)
def test_headline_compares_methods_that_have_every_task(means, sentence):
    """And says which mean it means."""
    assert headline(means) == sentence


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (
            {"first": "b", "second": "a", "low": 0.011, "high": 0.034, "p_holm": 0.00042, "seeds": 1},
            " (95\u00a0% interval over test images: +1.1 to +3.4; p\u00a0=\u00a00.00042, corrected for 2 pairs).",
        ),
        (
            {"first": "a", "second": "b", "low": -0.04, "high": 0.004, "p_holm": 0.11, "seeds": 3},
            ", which may be chance (95\u00a0% interval over test images and seeds: "
            "\u22120.4 to +4.0; p\u00a0=\u00a00.11, corrected for 2 pairs).",
        ),
        (
            {"first": "b", "second": "a", "low": -0.19, "high": 0.25, "p_holm": 0.00031, "seeds": 3},
            ", which may be chance (95\u00a0% interval over test images and seeds: "
            "\u221219.0 to +25.0; p\u00a0=\u00a00.00031, corrected for 2 pairs).",
        ),
    ],
)
def test_headline_says_how_sure_a_lead_is(row, words):
    """As the leader's, whichever of the two comes first in the table; of other pairs and tasks nothing."""
    row = {**row, "whole": True}
    means = {"a": {"group_mean": 0.5}, "b": {"group_mean": 0.52}, "c": {"group_mean": 0.4}}
    others = [{**row, "task": "group mean", "second": "c"}, {**row, "task": "digits", "low": 0.5}]
    found = headline(means, [*others, {**row, "task": "group mean"}])
    assert found == f"b has the highest group mean, 52.0\u00a0%: 2.0 points above a{words}"


def test_a_single_pair_is_not_corrected():
    """Nor is it said to be; tests of tasks are none of the mean."""
    row = {"first": "a", "second": "b", "low": -0.04, "high": -0.01, "p_holm": 0.02, "seeds": 1, "whole": True}
    means = {"a": {"group_mean": 0.5}, "b": {"group_mean": 0.52}}
    found = headline(means, [{**row, "task": "digits"}, {**row, "task": "group mean"}])
    assert found.endswith("a (95\u00a0% interval over test images: +1.0 to +4.0; p\u00a0=\u00a00.02).")
    assert headline(means, [{**row, "task": "digits"}]).endswith("points above a.")


def test_one_task_has_each_pair_once(fresh, tmp_path):
    """Its mean is itself."""
    raw = fresh.params.model_dump()
    raw["grid"]["tasks"] = ["digits"]
    params = parse_params(raw)
    aggregate(params, fresh.root)
    write_page(params, fresh.root, tmp_path / "index.html")
    page = (tmp_path / "index.html").read_text()
    assert page.count("<td>linear \N{MINUS SIGN} ship</td>") == 1
    assert "corrected for 3 pairs" in page


def test_the_headline_tests_no_other_seeds_than_it_compares(fresh, tmp_path):
    """Where a run is missing, the means are over other seeds than the pairs."""
    (fresh.root / Run("vit_mini", "digits", "ship", 1).folder / "run.json").unlink()
    aggregate(fresh.params, fresh.root, without=(missing := missing_runs(fresh.params, fresh.root)))
    write_page(fresh.params, fresh.root, tmp_path / "index.html", missing=dict.fromkeys(missing, "gone"))
    lead = re.search(r'<p class="lead">(.*?)</p>', (tmp_path / "index.html").read_text(), re.DOTALL)[1]
    assert ("interval" in lead) is ("ship" not in lead.partition("Backbone")[0])


def test_a_partial_page_tests_what_it_compares(fresh, tmp_path):
    """A seed that all methods lack is no reason to be silent on chance; all pairs count."""
    for task in fresh.params.grid.tasks:
        for method in fresh.params.grid.methods:
            (fresh.root / Run("vit_mini", task, method, 1).folder / "run.json").unlink()
    aggregate(fresh.params, fresh.root, without=(missing := missing_runs(fresh.params, fresh.root)))
    write_page(fresh.params, fresh.root, tmp_path / "index.html", missing=dict.fromkeys(missing, "gone"))
    assert "corrected for 3 pairs)" in (tmp_path / "index.html").read_text()


@pytest.mark.parametrize(
    ("threshold", "blocks"), [(0.1, [0]), (0.8, [0]), (0.81, [0, 2]), (2.0, [0, 1, 2]), (3.0, [0, 1, 2])]
)
def test_levels_are_those_of_the_next_threshold(threshold, blocks):
    """Each hierarchy holds up to its threshold, that one included."""
    found = [(0.8, [0]), (0.9, [0, 2]), (2.0, [0, 1, 2])]
    assert levels([{"threshold": t, "first_blocks": b} for t, b in found], threshold) == blocks


def test_levels_at_a_tie_are_those_of_the_run():
    """The affinity is in float32, and the threshold of params.yaml is not."""
    affinity = torch.tensor([[1, 0.95, 0.9], [0.95, 1, 0.97], [0.9, 0.97, 1]])
    found = [{"threshold": threshold, "first_blocks": blocks} for threshold, blocks in hierarchies(affinity)]
    for threshold in (0.9, 0.95, 0.97):
        assert levels(found, threshold) == first_blocks(affinity, threshold)


def test_the_best_is_the_highest_mean_and_the_lowest_rank():
    """Of what there is: a method may lack tasks, and with them its means."""
    means = {
        "a": {"tasks": {"x": 0.5, "y": 0.9}, "groups": {"own": 0.7}, "group_mean": 0.7},
        "b": {"tasks": {"x": 0.6}},
    }
    found = _best(means, {"a": 1.5, "b": 1.0})
    assert found == {"tasks": {"x": 0.6, "y": 0.9}, "groups": {"own": 0.7}, "rank": 1.0, "group_mean": 0.7}


def test_what_a_search_chose_stands_on_the_page(fresh, tmp_path, monkeypatch):
    """For each task, with the accuracy on val that chose it; a fixed row says that nothing is known of its choice."""
    raw = fresh.params.model_dump()
    ranges = {"options.threshold": {"low": 0.5, "high": 1.0}}
    raw["methods"]["ship"] = {"method": "ship", "search": {"trials": 2, "ranges": ranges}}
    params = parse_params(raw)
    monkeypatch.chdir(fresh.root)
    for number, task in enumerate(params.grid.tasks):
        trials = [{"settings": {"options.threshold": 0.8 + number / 20}, "accuracy": 0.625, "loss": 1.0}] * 2
        write_chosen(params, "vit_mini", task, "ship", trials, 1, {})
    aggregate(params, fresh.root)
    write_page(params, fresh.root, tmp_path / "index.html")
    page = (tmp_path / "index.html").read_text()
    assert "The settings of ship were chosen for each task on val" in page
    assert "How the settings of the other rows were chosen is not recorded here" in page
    assert page.count("62.5 %, the best of 2 trials") == 3
    assert "threshold 0.85" in page
    raw["methods"]["ship"]["search"]["seed"] = 5
    write_page(parse_params(raw), fresh.root, tmp_path / "index.html")
    assert "the best of 2 trials" not in (tmp_path / "index.html").read_text()  # of another search


def test_leaky_figures_are_marked_on_the_page(fresh, tmp_path):
    """In a column of their own, with a word of warning."""
    for path in (fresh.root / "runs").rglob("run.json"):
        about = read_json(path)
        about["result"]["best_test_epoch_accuracy"] = 0.987
        write_json(path, about)
    aggregate(fresh.params, fresh.root)
    write_page(fresh.params, fresh.root, tmp_path / "index.html")
    page = (tmp_path / "index.html").read_text()
    assert section(page, "results").count("98.7") == 3
    assert "leaky task mean" in page
    assert "The test split is read after every epoch" in page


def test_runs_that_differ_in_precision_are_no_fair_comparison(fresh, page, tmp_path):
    """As those of machines of which some have bf16, where it is chosen for each."""
    assert "All was computed in fp32." in page
    path = fresh.root / expected_runs(fresh.params)[0].folder / "run.json"
    about = read_json(path)
    about["environment"]["precision"] = "bf16"
    write_json(path, about)
    aggregate(fresh.params, fresh.root)
    write_page(fresh.params, fresh.root, tmp_path / "index.html")
    assert "Some runs were computed in bf16 and others in fp32" in (tmp_path / "index.html").read_text()
