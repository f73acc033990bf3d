"""What Snakemake measured, by method."""

from __future__ import annotations

import pytest

from ship.artifacts import Run
from ship.experiment.params import parse_params
from ship.report.aggregate import expected_runs
from ship.report.costs import costs
from ship.storage import write_text


def write(root, path, seconds, memory="100.5"):
    write_text(root / path, f"s\th:m:s\tmax_rss\tmax_vms\n{seconds}\t0:00:01\t{memory}\t1\n")


def test_seconds_are_the_median_and_memory_the_largest(fresh):
    """One slow machine among six does not move the figure of a method; a method that was not measured has no row."""
    for task in fresh.params.grid.tasks:
        for seed in (0, 1):
            write(fresh.root, Run("vit_mini", task, "ship", seed).benchmark, 60 + seed, 800)
            (fresh.root / Run("vit_mini", task, "vpt", seed).benchmark).unlink()
    write(fresh.root, Run("vit_mini", "digits", "ship", 0).benchmark, 5000, 1024)
    linear, ship = costs(fresh.params, fresh.root, expected_runs(fresh.params))
    assert ship == {"method": "ship", "runs": 6, "seconds": 61, "search": None, "peak": 2**30}
    assert linear["method"] == "linear"


@pytest.mark.parametrize("nothing", ["-", "NA"])
def test_a_run_too_short_for_a_look_has_no_memory(fresh, nothing):
    """Snakemake has a word for that; it is no number."""
    for task in fresh.params.grid.tasks:
        for seed in (0, 1):
            write(fresh.root, Run("vit_mini", task, "linear", seed).benchmark, 0.4, nothing)
    linear, vpt, _ = costs(fresh.params, fresh.root, expected_runs(fresh.params))
    assert (linear["seconds"], linear["peak"]) == (0.4, None)
    assert vpt["peak"] > 2**29


def test_a_search_has_its_own_seconds(fresh):
    """One for each task of a row that searches; what is left of a former search counts for nothing."""
    raw = fresh.params.model_dump()
    raw["methods"]["ship"]["search"] = {"sampler": "grid", "choices": {"train.lr": [0.1, 0.2]}}
    params = parse_params(raw)
    for number, task in enumerate(params.grid.tasks):
        write(fresh.root, f"benchmarks/search/vit_mini/{task}/ship.tsv", 100 * (number + 1))
        write(fresh.root, f"benchmarks/search/vit_mini/{task}/vpt.tsv", 1)
    found = {row["method"]: row["search"] for row in costs(params, fresh.root, expected_runs(params))}
    assert found == {"linear": None, "vpt": None, "ship": 200}


def test_runs_that_are_not_shown_cost_nothing(fresh):
    """They may have left the time of an older experiment."""
    shown = [run for run in expected_runs(fresh.params) if run != Run("vit_mini", "digits", "ship", 0)]
    write(fresh.root, Run("vit_mini", "digits", "ship", 0).benchmark, 10**6, 10**6)
    [ship] = [row for row in costs(fresh.params, fresh.root, shown) if row["method"] == "ship"]
    assert ship["runs"] == 5
    assert ship["peak"] < 10**6 * 2**20


@pytest.mark.parametrize("text", ["", "s\th:m:s\n1\t0\n", "s\tmax_rss\nlong\t1\n", "s\tmax_rss\ninf\t1\n", "\xff\0"])
def test_a_file_that_a_kill_cut_off_tells_no_cost(fresh, text):
    """The others count, and the page is made."""
    for seed in (0, 1):
        (fresh.root / Run("vit_mini", "digits", "ship", seed).benchmark).write_bytes(text.encode("latin-1"))
    *_, ship = costs(fresh.params, fresh.root, expected_runs(fresh.params))
    assert ship["runs"] == 4
