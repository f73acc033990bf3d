"""What is done, what is not, and why: a line for all that lack the same."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import experiment
import pytest
import yaml
from project import ROOT, contents
from project import ship as command

from ship.artifacts import (
    Run,
    backbone_file,
    data_folder,
    features_file,
    hierarchy_file,
    notices_file,
    settings_file,
)
from ship.data.asked import write_asked
from ship.experiment.params import parse_params
from ship.experiment.settings import write_chosen
from ship.models.checkpoints import recipe
from ship.report.aggregate import aggregate, expected_runs
from ship.report.status import doubts, lines, names, notices, statuses
from ship.storage import read_json, write_json

RUN = Run("vit_mini", "digits", "ship", 1)


@pytest.fixture
def root(fresh):
    """All 18 runs are done."""
    experiment.write_inputs(fresh.root, fresh.params)
    return fresh.root


def said(root, raw=None):
    """The lines, of the made-up experiment or of one in its place."""
    return lines(statuses(parse_params(raw) if raw else experiment.params(), root), root)


def log(root, step, text):
    """What a step has logged."""
    path = root / "logs" / f"{step}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_all_is_done(root):
    """One line. A folder without a file is no run."""
    (root / "runs/vit_mini/digits/gone/0").mkdir(parents=True)
    assert said(root) == ["18 runs: 18 done"]


def test_what_was_noticed_of_images_is_told(root):
    """A line each, of the tasks of the grid; nothing of a task that is not there."""
    write_json(root / notices_file("digits"), {"warnings": ["3 images are dark", "test has no image of cat"]})
    found = notices(experiment.params(), root)
    assert found == ["data/digits: 3 images are dark", "data/digits: test has no image of cat"]


class TestChanged:
    """What has changed since the runs is one line for all runs that it makes stale."""

    @pytest.mark.parametrize(
        ("changed", "line"),
        [
            ({"train": {"epochs": 20, "warmup_epochs": 2}}, "train.epochs 12 -> 20"),
            ({"compute": {"precision": "bf16"}}, "compute.precision fp32 -> bf16"),
            ({"protocol": "best-test-epoch"}, "protocol last-epoch -> best-test-epoch"),
            (
                {"compute": {"precision": "bf16", "threads": 7}, "hierarchy": {"prototypes": 20, "seed": 3}},
                "compute.precision fp32 -> bf16, compute.threads 2 -> 7, hierarchy.prototypes 200 -> 20 and 1 more",
            ),
        ],
    )
    def test_a_setting(self, root, changed, line):
        """With the old value and the new one."""
        raw = experiment.params().model_dump() | changed
        assert said(root, raw)[0] == f"vit_mini/*/*/*: stale: {line}"

    def test_a_recipe_that_counts_steps(self, root):
        """Its runs have the epochs that it takes on the images of their task."""
        write_json(
            root / data_folder("digits") / "task.json",
            experiment.told(train=(640, "ef" * 32)),
        )
        raw = experiment.params().model_dump()
        raw["train"]["steps"] = 400  # 40 epochs of ten steps, with 2 of 12 for the warm-up
        assert said(root, raw)[0].startswith(
            "vit_mini/digits/*/*: stale: train.epochs 12 -> 40, train.warmup_epochs 2 -> 6"
        )

    def test_prototypes_are_no_more_than_images(self, root):
        """So those of a run on few images are as many as it would have now."""
        write_json(root / data_folder("digits") / "task.json", experiment.told(train=(60, "ef" * 32)))
        for run in expected_runs(experiment.params()):
            about = read_json(root / run.folder / "run.json") | {"data": {"train": "ef" * 32}}
            if run.task == "digits":
                about["hierarchy"] = {"prototypes": 60, "seed": 0}
                write_json(root / run.folder / "run.json", about)
        assert said(root) == ["18 runs: 18 done"]

    def test_what_is_searched(self, root, monkeypatch):
        """The settings that were chosen are those of the runs; other choices make them stale."""
        monkeypatch.chdir(root)
        raw = experiment.params().model_dump()
        raw["methods"]["vpt"]["search"] = {"sampler": "grid", "choices": {"train.lr": [0.01, 0.02]}}
        for run in expected_runs(params := parse_params(raw)):
            if run.method == "vpt":
                trials = [{"settings": {"train.lr": 0.02}, "accuracy": 0.5}]
                write_chosen(params, *run.row, trials, best=0, about={})
                about = read_json(root / run.folder / "run.json")
                write_json(root / run.folder / "run.json", about | {"train": about["train"] | {"lr": 0.02}})
        assert said(root, raw) == ["18 runs: 18 done"]
        raw["methods"]["vpt"]["search"]["choices"]["train.lr"] = [0.01, 0.03]
        assert said(root, raw)[0] == "vit_mini/*/vpt/*: stale: search.choices.train.lr [0.01, 0.02] -> [0.01, 0.03]"

    def test_a_module(self, root):
        """As if it had been edited after the runs of its method."""
        for run in expected_runs(experiment.params()):
            path = root / run.folder / "run.json"
            if run.method == "vpt":
                write_json(path, {**(about := read_json(path)), "code": about["code"] | {"methods/vpt.py": "0" * 16}})
        *what, cure = said(root)
        assert what == ["vit_mini/*/vpt/*: stale: the code of methods/vpt.py", "18 runs: 12 done, 6 stale"]
        assert "--forcerun" in cure

    def test_the_data_of_a_task(self, root):
        """Other bytes of a split."""
        about = experiment.told(test=(400, "0" * 64))
        write_json(root / data_folder("textures") / "task.json", about)
        assert said(root)[0] == "vit_mini/textures/*/*: stale: the images of test"

    def test_the_backbone(self, root):
        """Other weights."""
        (root / backbone_file("vit_mini")).write_bytes(b"others")
        assert said(root)[0] == "vit_mini/*/*/*: stale: the weights of the backbone"

    @pytest.mark.parametrize(
        ("group", "name", "key", "value", "line"),
        [
            ("hierarchy", None, "prototypes", 20, "vit_mini/*/*/*: stale: hierarchy.prototypes 200 -> 20"),
            ("hierarchy", None, "seed", 3, "vit_mini/*/*/*: stale: hierarchy.seed 0 -> 3"),
            ("backbones", "vit_mini", "interpolation", "nearest", "interpolation bicubic -> nearest"),
            ("backbones", "vit_mini", "name", "vit_tiny_patch16_224", "name vit_mini -> vit_tiny_patch16_224"),
            ("methods", "vpt", "options", {"prompt_length": 3}, "/*/vpt/*: stale: options.prompt_length 10 -> 3"),
            ("methods", "linear", "method", "bitfit", "vit_mini/*/linear/*: stale: method linear -> bitfit"),
            ("tasks", "digits", "seed", 5, "vit_mini/digits/*/*: stale: tasks.digits.seed 0 -> 5"),
            ("tasks", "digits", "train", 700, "vit_mini/digits/*/*: stale: tasks.digits.train 800 -> 700"),
        ],
    )
    def test_a_setting_of_a_step_before(self, root, monkeypatch, group, name, key, value, line):
        """It is in params.yaml that it has changed; the step has yet to run."""
        monkeypatch.chdir(root)
        raw = experiment.params().model_dump()
        write_asked(experiment.params(), "digits", "")
        assert said(root)[0] == "18 runs: 18 done"
        (raw[group][name] if name else raw[group])[key] = value
        assert line in said(root, raw)[0]

    def test_what_images_were_asked_for_is_forgotten_with_them(self, root, monkeypatch):
        """Of other images that lie there now, nobody knows it."""
        monkeypatch.chdir(root)
        raw = experiment.params().model_dump()
        raw["tasks"]["digits"]["seed"] = 5
        write_asked(parse_params(raw), "digits", "")
        write_json(
            root / data_folder("digits") / "task.json",
            experiment.told(test=(9, "0" * 64)),
        )
        assert said(root)[0] == "vit_mini/digits/*/*: stale: the images of test"

    def test_what_is_not_there_has_not_changed(self, root):
        """Runs that were copied without what they were made of are done."""
        raw = experiment.params().model_dump()
        raw["backbones"]["vit_mini"]["sha256"] = "0" * 64  # of what is downloaded, not of what is made of it
        for folder in ("backbones", "features", "hierarchy", "data"):
            assert said(root, raw) == ["18 runs: 18 done"]
            shutil.rmtree(root / folder)
        assert said(root, raw) == ["18 runs: 18 done"]

    def test_what_follows_from_images_that_are_not_there_is_not_known(self, root):
        """How many epochs give as many steps, and how many prototypes there can be; all else is."""
        raw = experiment.params().model_dump()
        raw["train"] |= {"steps": 10**4}
        for run in expected_runs(experiment.params()):
            about = read_json(root / run.folder / "run.json")
            longer = {"steps": 10**4, "epochs": 750, "warmup_epochs": 75}
            about |= {"train": about["train"] | longer, "hierarchy": {"prototypes": 60, "seed": 0}}
            write_json(root / run.folder / "run.json", about)
        shutil.rmtree(root / "data")
        assert said(root, raw) == ["18 runs: 18 done"]
        longer = raw | {"train": raw["train"] | {"epochs": 800}}
        assert said(root, longer)[0] == "vit_mini/*/*/*: stale: train.epochs 750 -> 800"
        raw["train"]["lr"] *= 2
        assert "18 runs: 6 done, 12 stale" in said(root, raw)

    def test_a_row_that_is_gone(self, root):
        """Its runs are left over; who reads the table does not see them."""
        raw = experiment.params().model_dump()
        raw["grid"]["methods"].remove("linear")
        assert said(root, raw)[:2] == ["vit_mini/*/linear/*: left over", "12 runs: 12 done; 6 left over"]

    @pytest.mark.parametrize("text", ["", "{", "{}", "[]"])
    def test_a_file_that_is_no_result(self, root, text):
        """As after a crash of the file system; what there is to say of others is said."""
        (root / RUN.folder / "run.json").write_text(text)
        assert said(root)[0].startswith("vit_mini/digits/ship/1: stale: ")
        assert said(root)[1] == "18 runs: 17 done, 1 stale"

    def test_a_killed_run_of_another_experiment(self, root):
        """It has no result, and takes room."""
        raw = experiment.params().model_dump()
        raw["grid"]["methods"].remove("linear")
        for run in (run for run in expected_runs(experiment.params()) if run.method == "linear"):
            shutil.rmtree(root / run.folder)
            if not run.seed:
                (root / run.folder).mkdir()
                (root / run.folder / "resume.safetensors").touch()
        assert said(root, raw)[:2] == ["vit_mini/*/linear/0: left over", "12 runs: 12 done; 3 left over"]

    def test_what_speaks_against_a_run(self, root):
        """For who is about to use it: nothing, or that it is stale, or gone from params.yaml."""
        (root / "params.yaml").write_text(yaml.safe_dump(raw := experiment.params().model_dump()))
        assert doubts(root / RUN.folder) == doubts(root) == ""
        raw["methods"]["ship"]["train"]["lr"] = 0.5
        (root / "params.yaml").write_text(yaml.safe_dump(raw))
        for place in (RUN.folder, RUN.folder / "tuned.safetensors"):
            assert doubts(root / place).startswith(f"{RUN}: is stale: train.lr ")
        (root / RUN.folder.with_name("best")).mkdir()
        assert doubts(root / RUN.folder.with_name("best")) == ""
        raw["grid"]["methods"].remove("ship")
        (root / "params.yaml").write_text(yaml.safe_dump(raw))
        assert doubts(root / RUN.folder) == f"{RUN}: is no run of params.yaml any more"

    def test_a_run_that_is_gone(self, root):
        """Missing, though its log is there."""
        log(root, "train/vit_mini/digits/ship/1", "vit_mini/digits/ship/1: epoch 12/12\ntrain: done\n")
        shutil.rmtree(root / RUN.folder)
        assert said(root)[0] == "vit_mini/digits/ship/1: missing: deleted since it was made"


class TestFailed:
    """The first unfinished step before a run is the reason, by the last line of its log."""

    def test_a_run(self, root):
        """Without its result."""
        (root / RUN.folder / "run.json").unlink()
        assert said(root)[0] == "vit_mini/digits/ship/1: missing"
        log(root, "train/vit_mini/digits/ship/1", "epoch 1/12\nship: loss: expected a number, got nan\n\n")
        assert said(root)[0] == (
            "vit_mini/digits/ship/1: failed: ship: loss: expected a number, got nan "
            "(logs/train/vit_mini/digits/ship/1.log)"
        )
        assert said(root)[-1].startswith("Put right what failed")

    def test_a_download(self, root):
        """Nobody prepares a task whose archive is not there."""
        shutil.rmtree(root / data_folder("digits"))
        log(root, "download/digits/a.zip", "a.zip: verified, at archives/a.zip\n")
        log(root, "download/digits/b.zip", "b.zip: 1 %\nship: b.zip: expected it at https://x/b.zip, got 404\n")
        line = next(line for line in said(root) if "digits" in line)
        assert "failed: ship: b.zip: expected it at https://x/b.zip, got 404" in line
        assert "logs/download/digits/b.zip.log" in line

    @pytest.mark.parametrize("line", ["KeyError: 'x'", "torch.OutOfMemoryError: out of memory", "KeyboardInterrupt"])
    def test_a_traceback(self, root, line):
        """A bug is an error as well; bytes that are no text hide none."""
        (root / RUN.folder / "run.json").unlink()
        log(root, f"train/{RUN}", "")
        (root / f"logs/train/{RUN}.log").write_bytes(
            b"Traceback (most recent call last):\n caf\xe9\n%b\n" % line.encode()
        )
        assert f"failed: {line} (logs" in said(root)[0]

    @pytest.mark.parametrize(("step", "file"), [("features", features_file), ("hierarchy", hierarchy_file)])
    def test_a_step_between(self, root, step, file):
        """Of all runs of a backbone on a task."""
        both = "vit_mini", "digits"
        (root / file(*both)).unlink()
        for run in (run for run in expected_runs(experiment.params()) if run.task == "digits"):
            (root / run.folder / "run.json").unlink()
        log(root, f"{step}/vit_mini/digits", "ship: no room\n")
        assert said(root)[0] == f"vit_mini/digits/*/*: failed: ship: no room (logs/{step}/vit_mini/digits.log)"

    def test_an_error_of_several_lines(self, root):
        """Those after its first are indented."""
        (root / backbone_file("vit_mini")).unlink()
        log(root, "backbone/vit_mini", f"ship: a.pth: expected safetensors{recipe(Path('a.pth'))}\n")
        assert "failed: ship: a.pth: expected safetensors; in Python: (logs/backbone/vit_mini.log)" in said(root)[0]

    def test_a_run_that_was_killed(self, root):
        """Neither an error nor an end: so it goes on, or was ended from outside."""
        (root / RUN.folder / "run.json").unlink()
        log(root, "train/vit_mini/digits/ship/1", "vit_mini/digits/ship/1: epoch 3/12\n")
        line = said(root)[0]
        assert "1: unfinished: still running, or killed (memory, time, disk): it said last 'vit_mini/" in line
        log(root, "train/vit_mini/digits/ship/1", "")  # as Snakemake leaves it of a job that Slurm has refused
        assert "or refused by Slurm (`python workflow/doctor.py`): it said nothing at all" in said(root)[0]

    def test_an_older_failure(self, root):
        """It may be of an experiment that is no more."""
        (root / RUN.folder / "run.json").unlink()
        log(root, f"train/{RUN}", "ship: loss: expected a number, got nan\n")
        os.utime(root / f"logs/train/{RUN}.log", (1, 1))
        (root / "params.yaml").touch()
        assert "got nan (before params.yaml was changed) (logs/" in said(root)[0]

    def test_two_runs_with_the_same_words(self, root):
        """They have a line, and logs of their own."""
        other = Run("vit_mini", "textures", "vpt", 0)
        for run in (RUN, other):
            (root / run.folder / "run.json").unlink()
            log(root, f"train/{run}", "ship: loss: expected a number, got nan\n")
        found = [line for line in said(root) if "got nan" in line]
        assert [line.partition(":")[0] for line in found] == [str(RUN), str(other)]
        assert all(line.endswith(f"got nan (logs/train/{RUN}.log and 1 more)") for line in found)

    def test_a_task(self, root):
        """One line for all its runs, though older ones are there."""
        (root / data_folder("digits") / "task.json").unlink()
        log(root, "prepare/digits", "ship: images/7.png: expected an image, got a truncated file\n")
        assert said(root)[:2] == [
            "vit_mini/digits/*/*: failed: ship: images/7.png: expected an image, got a truncated file "
            "(logs/prepare/digits.log)",
            "18 runs: 6 failed, 12 done",
        ]

    def test_a_search(self, root):
        """Without settings there is no run."""
        (root / settings_file(*RUN.row)).unlink()
        log(root, "search/vit_mini/digits/ship", "ship: params.yaml: methods.ship.search: expected a trial\n")
        assert "vit_mini/digits/ship/*: failed: ship: params.yaml: methods.ship.search" in said(root)[0]


@pytest.mark.parametrize("full", [".", "runs"])
def test_a_full_disk_is_named(root, monkeypatch, full):
    """A log has no room for its last words then; runs may lie on a disk of their own."""
    (root / RUN.folder / "run.json").unlink()
    log(root, "train/vit_mini/digits/ship/1", "")
    assert len(said(root)) == 3
    monkeypatch.setattr("ship.report.status.free_disk", lambda place: 7 if place == root / full else 2**62)
    assert said(root)[2] == f"The disk of {root / full} is full: 7 bytes are free."


def test_a_name_stands_for_its_runs_and_no_others():
    """Where they are no product, each row has a name of its own."""
    runs = expected_runs(experiment.params(seeds=(0, 1, 2)))
    every = ["vit_mini"], experiment.HARD, experiment.LEVEL, "012"
    assert names(runs, every) == ["vit_mini/*/*/*"]
    some = [run for run in runs if run.method != "vpt" and run.seed < 2]
    assert names(some, every) == ["vit_mini/*/{linear,ship}/{0,1}"]
    assert names(some[1:4], every) == ["vit_mini/digits/linear/1", "vit_mini/digits/ship/{0,1}"]


class TestTable:
    """`ship table` prints the results of the runs that there are, and no others."""

    @pytest.fixture
    def clone(self, root):
        """With its table and the presets."""
        aggregate(experiment.params(), root)
        (root / "params.yaml").write_text(yaml.safe_dump(experiment.params().model_dump()))
        shutil.copytree(ROOT / "presets", root / "presets")
        return root

    def test_of_these_runs(self, clone):
        """As they are."""
        done = command("table", cwd=clone)
        assert (done.returncode, done.stderr) == (0, "")
        assert "ship" in done.stdout
        write_json(clone / notices_file("digits"), {"warnings": ["3 images are dark"]})
        assert command("status", cwd=clone).stdout == "18 runs: 18 done\ndata/digits: 3 images are dark\n"

    def test_after_git_checkout_results(self, clone):
        """A commit's loss differs in a digit: refused with the way out, and the page puts it right."""
        before = contents(clone, "results/**/*")
        path = clone / "results/plots/curves.csv"
        path.write_text(path.read_text().replace("1.", "2.", 1))
        done = command("table", cwd=clone)
        assert (done.returncode, done.stdout) == (2, "")
        assert "results/table.csv: expected the results of the runs here" in done.stderr
        assert command("report", cwd=clone).returncode == 0
        assert contents(clone, "results/**/*") == before
        assert command("table", cwd=clone).returncode == 0

    def test_after_a_change_of_a_setting(self, clone):
        """Nobody makes anything of stale runs."""
        raw, before = yaml.safe_load((clone / "params.yaml").read_text()), contents(clone, "results/**/*", "report/*")
        raw["train"]["lr"] *= 2
        (clone / "params.yaml").write_text(yaml.safe_dump(raw))
        for step in ("table", "aggregate", "report"):
            done = command(step, cwd=clone)
            assert (done.returncode, done.stdout) == (2, "")
            assert done.stderr.startswith("ship: runs/vit_mini/digits/vpt/0: expected a run of the experiment")
            assert "got stale: train.lr" in done.stderr
        assert contents(clone, "results/**/*", "report/*") == before

    def test_after_a_change_of_groups(self, clone):
        """No run has to be repeated for it, but the means are others."""
        raw = yaml.safe_load((clone / "params.yaml").read_text())
        raw["tasks"]["digits"]["group"] = "own"
        (clone / "params.yaml").write_text(yaml.safe_dump(raw))
        done = command("table", cwd=clone)
        assert (done.returncode, done.stdout) == (2, "")
        assert "results/table.csv: expected the results of the runs here" in done.stderr
        assert command("report", cwd=clone).returncode == 0
        assert command("table", cwd=clone).returncode == 0

    def test_after_init(self, clone):
        """The old experiment's table is no answer to the new one's question."""
        done = command("init", "own", "tasks.own.path=images", cwd=clone)
        assert "results/ are of that experiment until snakemake has run this one" in done.stdout
        done = command("table", cwd=clone)
        assert (done.returncode, done.stdout) == (2, "")
        assert (
            "ship: runs/vit_tiny/own/linear/0: expected a run of the experiment in params.yaml, got missing"
            in done.stderr
        )
        assert (
            "vit_mini/{counting,digits,textures}/{linear,ship,vpt}/*: left over" in command("status", cwd=clone).stdout
        )
