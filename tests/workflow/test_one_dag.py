"""dvc.yaml may not drift from the Snakefile: same files, producers, edges, commands and settings."""

import contextlib
import copy
import os
import re
import shutil

import pytest
import yaml
from dvc.repo import Repo
from project import ROOT, command, summary
from versioned import TINY_GRID, UP_TO_DATE, clone, make_repository, run, state

from ship.artifacts import hierarchy_file
from ship.experiment.params import read_params
from ship.report.runs import expected_runs, files_of

FOLDERS = {"aggregate": {"hierarchy", "runs"}}


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """The tiny experiment, nothing of it computed."""
    return make_repository(tmp_path_factory.mktemp("dag") / "repository", TINY_GRID)


@pytest.fixture(scope="module")
def jobs(repository):
    """{output: (rule, inputs)} as Snakemake sees it, without the page, which DVC does not know."""
    for row in summary(repository):  # inputs are stated in records alone, and records are of files that are there
        path = repository / row["output_file"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    run(repository, "snakemake", "--cores", "1", "--touch", "--forceall")
    rows = summary(repository)
    found = {
        row["output_file"]: (row["rule"], {path for path in row["input-file(s)"].split(",") if path not in {"", "-"}})
        for row in rows
    }
    assert found.pop("report/index.html")[0] == "report"
    return found


@pytest.fixture(scope="module")
def stages(repository):
    """{address: stage} as DVC sees it, without that of the code's digests, which Snakemake takes as settings."""
    with Repo(str(repository)) as repo:
        return {stage.name: stage for stage in repo.index.stages if stage.name != "code"}


def outputs(stage):
    """A stage's output files."""
    return {os.path.relpath(out.fs_path, stage.repo.root_dir) for out in stage.outs}


def dependencies(stage):
    """A stage's input files and folders."""
    paths = {dep.fs_path for dep in stage.deps if type(dep).__name__ == "Dependency"}
    return {os.path.relpath(path, stage.repo.root_dir) for path in paths}


def rule(stage):
    """The rule that a stage is named after."""
    return stage.name.partition("@")[0]


def test_every_output_has_the_same_producer_in_both(jobs, stages):
    """No file more, no file less."""
    assert {out: rule(stage) for stage in stages.values() for out in outputs(stage)} == {
        out: name for out, (name, _) in jobs.items()
    }


def test_every_input_is_the_same_in_both(jobs, stages):
    """A folder stands for the inputs in it."""
    for address, stage in stages.items():
        wanted = set().union(*(jobs[out][1] for out in outputs(stage)))
        found, free = dependencies(stage), FOLDERS.get(rule(stage), set())
        uncovered = {path for path in wanted if not any(path == dep or path.startswith(f"{dep}/") for dep in found)}
        assert not uncovered, f"dvc.yaml: {address}: lacks {uncovered}"
        assert found - free <= wanted, f"dvc.yaml: {address}: is no input of the rule: {found - free - wanted}"
        assert all(any(path.startswith(f"{dep}/") for path in wanted) for dep in free), address


def test_the_table_waits_for_all_that_it_is_made_of(repository, jobs):
    """A run that has lost a file is missing for `ship aggregate`: so Snakemake makes it again."""
    with contextlib.chdir(repository):
        runs = expected_runs(read_params())
    files = {file for run in runs for file in (*files_of(run), hierarchy_file(run.backbone, run.task, ".json"))}
    assert jobs["results/metrics.json"] == ("aggregate", set(map(str, files)))


def test_a_command_names_its_own_rule_and_one_of_its_files(jobs, stages):
    """Snakemake runs that rule alone, and downloads what it needs: --allowed-rules."""
    for address, stage in stages.items():
        match = re.fullmatch(r"snakemake .* --force --allowed-rules (?:download )?(\w+) -- (\S+)", stage.cmd)
        assert match, address
        assert match[1] == rule(stage) == jobs[match[2]][0], address
        assert match[2] in outputs(stage), address


def test_a_stage_tracks_the_settings_of_its_rule(repository, stages):
    """The same dotted keys, of the same file."""
    tracked = {address: tracked_keys(stage, "params.yaml") for address, stage in stages.items()}
    assert tracked["prepare@digits"] == {"tasks.digits", "data_root"}
    assert tracked["backbone@vit_random"] == {"backbones.vit_random"}
    assert tracked["search@vit_random-digits-ship"] == {"methods.ship", "train", "compute"}
    assert tracked["train@vit_random-digits-ship-0"] == {"methods.ship.method", "protocol", "compute"}


def test_a_stage_tracks_the_code_of_its_step_and_row(stages):
    """By the digests of code.json, as the rule of that name does by its setting `code`."""
    for address, stage in stages.items():
        parts = address.partition("@")[2].split("-")
        row = f".{parts[2]}" if rule(stage) in {"search", "train"} else ""
        assert tracked_keys(stage, "code.json") == {rule(stage) + row}, address


def tracked_keys(stage, file):
    """The keys of a file that a stage depends on."""
    params = (dep for dep in stage.deps if type(dep).__name__ == "ParamsDependency")
    return {key for dep in params if dep.fs_path.endswith(file) for key in dep.params}


def test_the_committed_lock_is_that_of_the_committed_experiment(tmp_path):
    """In a clone without any data, DVC says that every stage is as dvc.lock says."""
    place = clone(ROOT, tmp_path / "clone")
    assert (place / "dvc.lock").is_file()
    assert UP_TO_DATE in run(place, "dvc", "repro", "--allow-missing", "--dry")


def leaves(tree, prefix=()):
    """Dotted keys with their values; a list is a leaf."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value, (*prefix, key))
        else:
            yield (*prefix, key), value


OTHER = {
    "weights": "pretrained",
    "device": "auto",
    "protocol": "best-test-epoch",
    "method": "cvpt",  # which has the same options
    "data_root": "elsewhere",
}


def other(raw, keys, value):
    """The experiment with another value at `keys`."""
    new = tree = copy.deepcopy(raw)
    for key in keys[:-1]:
        tree = tree[key]
    tree[keys[-1]] = OTHER.get(keys[-1], value + 1 if isinstance(value, int | float) else f"{value}x")
    if keys == ("methods", "linear", "method"):
        tree["method"] = "vpt"
    return new


def stale_in_dvc(folder):
    """Stages with a setting that differs from dvc.lock."""
    with Repo(str(folder)) as repo:
        said = repo.status()
    parts = ((stage, change) for stage, changes in said.items() for change in changes if isinstance(change, dict))
    stale = {stage.rpartition(":")[2] for stage, change in parts if "params.yaml" in change.get("changed deps", {})}
    return stale - {"code"}


@pytest.mark.dvc
@pytest.mark.slow
def test_a_changed_setting_makes_the_same_jobs_stale_in_both(finished, tmp_path):
    """Leaf by leaf of params.yaml; not the axes and names that files are called by."""
    folder = shutil.copytree(finished, tmp_path / "repository", symlinks=True)
    state(folder, "record")
    with Repo(str(folder)) as repo:
        owner = {out: stage.name for stage in repo.index.stages for out in outputs(stage)}
    raw = yaml.safe_load((folder / "params.yaml").read_text())
    names = {("tasks", task, "source") for task in raw["tasks"]}
    found = set()
    for keys, value in leaves(raw):
        if keys[0] == "grid" or keys in names:
            continue
        (folder / "params.yaml").write_text(yaml.safe_dump(other(raw, keys, value), sort_keys=False))
        rows = [row for row in summary(folder) if row["status"] == "params changed" and row["rule"] != "report"]
        assert stale_in_dvc(folder) == {owner[row["output_file"]] for row in rows}, ".".join(keys)
        found |= {row["rule"] for row in rows}
    assert found == {"prepare", "backbone", "features", "hierarchy", "search", "train", "aggregate"}
    grouped = {**raw, "tasks": {**raw["tasks"], "digits": {**raw["tasks"]["digits"], "group": "own"}}}
    (folder / "params.yaml").write_text(yaml.safe_dump(grouped, sort_keys=False))
    rows = summary(folder)
    assert {row["rule"] for row in rows if row["status"] == "params changed"} == {"aggregate", "report"}


def said(done):
    """All of it."""
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    "stray",
    [
        "runs/vit_random/digits/gone/0/run.json",
        "runs/vit_random/digits/linear/0/notes",
        "hierarchy/vit_random/gone.json",
    ],
)
def test_what_is_left_over_makes_no_table_under_dvc(repository, stray, monkeypatch):
    """DVC would take it for an input, and no other clone has it; Snakemake passes it over, in jobs of Slurm too."""
    file = repository / stray
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    try:
        run(repository, "snakemake", "--dry-run", "all")
        stage = ("snakemake", "--dry-run", "--allowed-rules", "aggregate", "--", "results/metrics.json")
        assert "delete them" not in said(command(*stage, cwd=repository))
        monkeypatch.setenv("DVC_STAGE", "prepare@digits")  # whichever comes first: not after hours of others
        assert f"got {stray} (move them away, or delete them)" in run(repository, *stage, fails=True)
        file.unlink()  # what is empty, DVC does not see
        assert "delete them" not in said(command(*stage, cwd=repository))
    finally:
        file.unlink(missing_ok=True)
