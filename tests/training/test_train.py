"""A run leaves the same bytes wherever, however often and after whatever interruption it is computed."""

import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess

import numpy as np
import pandas as pd
import pytest
import torch
from project import (
    BACKBONE,
    changed,
    command,
    contents,
    copied_package,
    edit,
    environment_of,
    measured,
    settle,
)

from ship.artifacts import Run, data_folder, features_file, hierarchy_file, split_file, task_file
from ship.compute import set_up
from ship.data.reading import read_labels
from ship.errors import BadInput
from ship.experiment.code import Code
from ship.experiment.params import parse_params
from ship.experiment.rows import Train
from ship.inference.predict import predict
from ship.methods.base import Output
from ship.methods.mlp import MLP
from ship.methods.options import check_recipe, check_row
from ship.storage import read_json, read_tensors, replacing, sha256, write_json
from ship.training.fit import Assembled, Setup, assemble, origin_of
from ship.training.loop import Epoch
from ship.training.resume import Progress
from ship.training.ridge import fit_ridge
from ship.training.train import Outcome, _result, train_run

LEFT = ("runs/**/*",)
TASK = "digits"


def prepare_all(folder, monkeypatch, settings=None):
    """Everything that a run on TASK needs, in `folder`, which becomes the working directory; the experiment."""
    params = measured(folder, monkeypatch, TASK, settings)
    settle(params, TASK)
    return params


def quiet(epochs, record):
    """Show nothing."""


def interrupt(epochs, record):
    """Stop after an epoch."""
    raise KeyboardInterrupt


def interrupt_every_epoch(params, run):
    """Train a run that is stopped after each epoch, and started again until it is done."""
    for _ in range(params.train.epochs):
        with pytest.raises(KeyboardInterrupt):
            train_run(params, run, interrupt)
    train_run(params, run, interrupt)


@pytest.mark.parametrize("method", ["linear", "vpt", "ship"])
def test_two_folders_two_equal_runs(tmp_path, monkeypatch, method):
    """Nothing of place or time reaches a file."""
    found = []
    for name in ("a", "b"):
        train_run(prepare_all(tmp_path / name, monkeypatch), Run(BACKBONE, TASK, method, 0), quiet)
        found.append(contents(tmp_path / name, *LEFT))
    assert found[0] == found[1]
    assert {path.split("/")[-1] for path in found[0]} == {
        "tuned.safetensors", "log.csv", "predictions.parquet", "looks.json", "run.json"
    }  # fmt: skip


def test_what_a_run_leaves_belongs_together(tmp_path, monkeypatch):
    """Accuracy is that of the predictions; the log has a line an epoch; the checkpoint holds what is tuned."""
    params = prepare_all(tmp_path, monkeypatch)
    run = Run(BACKBONE, TASK, "ship", 3)
    train_run(params, run, quiet)
    result = json.loads((run.folder / "run.json").read_text())["result"]
    predictions = pd.read_parquet(run.folder / "predictions.parquet")
    assert result["accuracy"] == pytest.approx((predictions.label == predictions.prediction).mean(), abs=1e-6)
    assert len(predictions) == result["test_images"] == 20
    every = np.stack(predictions.probabilities)
    assert (every.shape, every.dtype) == ((20, 10), np.float16)
    assert every.astype(float).sum(axis=1) == pytest.approx(1, abs=2e-3)
    assert every.max(axis=1) == pytest.approx(predictions.probability, rel=1e-3)
    assert pd.read_csv(run.folder / "log.csv").epoch.tolist() == [0, 1, 2]
    state, about = read_tensors(run.folder / "tuned.safetensors")
    assert result["tuned_parameters"] == sum(v.numel() for k, v in state.items() if k not in ("affinity", "prototypes"))
    assert about["backbone"]["mean"] == [0.5, 0.5, 0.5]
    assert about["run"] == str(run)


REAL = {"train.augment": "trivialaugment", "train.class_weights": "balanced", "train.label_smoothing": 0.1}


@pytest.mark.parametrize(
    ("settings", "device", "precision"),
    [
        ({}, "cpu", "fp32"),
        ({"train.optimiser": "sgd"}, "cpu", "fp32"),
        ({}, "cpu", "bf16"),
        (REAL, "cpu", "fp32"),
        pytest.param({}, "cuda", "fp32", marks=pytest.mark.gpu),
        pytest.param({}, "cuda", "bf16", marks=pytest.mark.gpu),
        pytest.param(REAL, "cuda", "fp32", marks=pytest.mark.gpu),
    ],
)
def test_a_run_that_is_interrupted_ends_in_the_same_bits(tmp_path, monkeypatch, settings, device, precision):
    """Stopped after every epoch in turn, then finished."""
    settings = {**settings, "compute.device": device, "compute.precision": precision}
    params = prepare_all(tmp_path / "whole", monkeypatch, settings)
    train_run(params, Run(BACKBONE, TASK, "ship", 0), quiet)
    whole = contents(tmp_path / "whole", *LEFT)

    prepare_all(tmp_path / "broken", monkeypatch, settings)
    seen = []

    def interrupt(epochs, record):
        seen.append(record.epoch)
        raise KeyboardInterrupt

    for _ in range(params.train.epochs):
        with pytest.raises(KeyboardInterrupt):
            train_run(params, Run(BACKBONE, TASK, "ship", 0), interrupt)
    assert seen == [0, 1, 2]
    train_run(params, Run(BACKBONE, TASK, "ship", 0), interrupt)
    assert whole == contents(tmp_path / "broken", *LEFT)


def test_a_part_without_elements_goes_on_too(tmp_path, monkeypatch):
    """An ablation may switch a tensor off: it has no gradient, and the optimiser keeps nothing of it."""
    settings = {"methods.ship.options": {"attribute_length": 0, "prompt_length": 2}}
    params = prepare_all(tmp_path, monkeypatch, settings)
    train_run(params, Run(BACKBONE, TASK, "ship", 0), quiet)
    whole = contents(tmp_path, *LEFT)

    for path in whole:
        (tmp_path / path).unlink()
    with pytest.raises(KeyboardInterrupt):
        train_run(params, Run(BACKBONE, TASK, "ship", 0), interrupt)
    train_run(params, Run(BACKBONE, TASK, "ship", 0), quiet)
    assert contents(tmp_path, *LEFT) == whole


def test_a_kill_in_the_middle_of_a_write_leaves_nothing(tmp_path, monkeypatch):
    """Drafts that a killed process left go when the run is finished."""
    params = prepare_all(tmp_path, monkeypatch)
    run = Run(BACKBONE, TASK, "linear", 0)
    run.folder.mkdir(parents=True)
    killed = multiprocessing.get_context("forkserver").Process(
        target=kill_in_a_write, args=(str(run.folder.resolve() / "run.json"),)
    )
    killed.start()
    killed.join()
    assert [path for path in contents(tmp_path, *LEFT) if path.endswith(".part")]
    train_run(params, run, quiet)
    assert not [path for path in contents(tmp_path, *LEFT) if path.endswith(".part")]


def kill_in_a_write(path):
    """A process that dies while it writes."""
    with replacing(path) as draft:
        draft.write_bytes(b"half")
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_run_that_ends_leaves_the_drafts_of_others(tmp_path, monkeypatch):
    """Another process may be at the same run: here, or on another machine, where only its silence tells its end."""
    params = prepare_all(tmp_path, monkeypatch)
    run = Run(BACKBONE, TASK, "linear", 0)
    silent = [run.folder / name for name in (".log.csv.elsewhere-7.part", ".log.csv.of-old.part")]
    for elsewhere in (run.folder / ".run.json.elsewhere-7.part", *silent):
        elsewhere.parent.mkdir(parents=True, exist_ok=True)
        elsewhere.write_bytes(b"half")
    for draft in silent:
        os.utime(draft, (0, 0))
    with replacing(run.folder / "other.json") as draft:
        draft.write_bytes(b"{}")
        train_run(params, run, quiet)
    assert (run.folder / "other.json").read_bytes() == b"{}"
    assert [path for path in contents(run.folder, "*") if path.endswith(".part")] == [".run.json.elsewhere-7.part"]


@pytest.mark.parametrize(
    ("module", "old", "new", "goes_on"),
    [
        ("report/figures.py", "import", "x = 1\nimport", True),
        ("methods/ssf.py", "normal_(1, 0.02)", "normal_(1, 0.03)", True),
        ("methods/vpt.py", "class VPT", "# a comment\nclass VPT", True),
        ("methods/vpt.py", "class VPT", "x = 1\n\n\nclass VPT", False),
        ("models/vit.py", "vit.reset_classifier(0)", "vit.reset_classifier(1)", False),
    ],
)
def test_only_code_that_it_runs_starts_it_anew(tmp_path, monkeypatch, module, old, new, goes_on):
    """Edited between a kill and the next start: a run goes on after an edit of what it does not import."""
    params = prepare_all(tmp_path, monkeypatch)
    package, run = copied_package(tmp_path / "ship"), Run(BACKBONE, TASK, "vpt", 0)

    with pytest.raises(KeyboardInterrupt):
        train_run(params, run, interrupt, Code(package).modules("train", "vpt"))
    edit(package, module, old, new)
    seen = []
    train_run(params, run, lambda epochs, record: seen.append(record), Code(package).modules("train", "vpt"))
    assert [record.epoch for record in seen] == ([1, 2] if goes_on else [0, 1, 2])


def test_other_settings_do_not_go_on_from_here(tmp_path, monkeypatch):
    """What a run with another learning rate left is not used."""
    params = prepare_all(tmp_path, monkeypatch)
    train_run(params, Run(BACKBONE, TASK, "vpt", 0), quiet)
    expected = contents(tmp_path, *LEFT)

    other = parse_params(params.model_dump() | {"train": {**params.train.model_dump(), "lr": 0.5}})
    settle(other, TASK)
    with pytest.raises(KeyboardInterrupt):
        train_run(other, Run(BACKBONE, TASK, "vpt", 0), interrupt)
    settle(params, TASK)
    train_run(params, Run(BACKBONE, TASK, "vpt", 0), quiet)
    assert expected == contents(tmp_path, *LEFT)


def test_what_was_measured_of_another_backbone_or_other_images_is_refused(tmp_path, monkeypatch):
    """By hand, the steps may be taken out of order; sizes alone would not tell."""
    params = prepare_all(tmp_path, monkeypatch)
    measured = {path: path.read_bytes() for path in (features_file(BACKBONE, TASK), hierarchy_file(BACKBONE, TASK))}
    for change in ({f"backbones.{BACKBONE}.image_size": 32}, {f"tasks.{TASK}.seed": 1}):
        prepare_all(tmp_path, monkeypatch, change)
        for path, old in measured.items():
            new = path.read_bytes()
            path.write_bytes(old)
            with pytest.raises(BadInput, match=rf"{path}: expected what was measured of .* \(ship features"):
                train_run(params, Run(BACKBONE, TASK, "linear", 0), quiet)
            path.write_bytes(new)
        train_run(params, Run(BACKBONE, TASK, "linear", 0), quiet)


def test_other_test_images_than_task_json_tells_of_are_refused(tmp_path, monkeypatch):
    """By hand, a file may be copied to the place of another."""
    params = prepare_all(tmp_path, monkeypatch)
    shutil.copy(split_file(TASK, "val"), split_file(TASK, "test"))
    with pytest.raises(
        BadInput, match=r"test\.parquet: expected what data/digits/task\.json tells of, got other bytes"
    ):
        train_run(params, Run(BACKBONE, TASK, "linear", 0), quiet)
    assert contents(tmp_path, "runs/**/run.json") == {}


def test_training_never_reads_the_test_split(tmp_path, monkeypatch):
    """Without a test split a run trains to its end and fails only then; with other test labels it tunes the same."""
    params = prepare_all(tmp_path, monkeypatch)
    run = Run(BACKBONE, TASK, "vpt", 0)
    train_run(params, run, quiet)
    tuned, _ = read_tensors(run.folder / "tuned.safetensors")
    path = split_file(TASK, "test")
    frame = pd.read_parquet(path)
    path.unlink()
    seen = []
    with pytest.raises(BadInput, match=r"test\.parquet: expected a prepared split"):
        train_run(params, run, lambda *of: seen.append(of))
    assert [(epochs, record.epoch) for epochs, record in seen] == [(3, 0), (3, 1), (3, 2)]
    frame.assign(label=(frame.label + 1) % 10).to_parquet(path)
    about = read_json(task_file(TASK))
    about["splits"]["test"]["sha256"] = sha256(path)
    write_json(task_file(TASK), about)
    train_run(params, run, quiet)
    again, _ = read_tensors(run.folder / "tuned.safetensors")
    assert all(torch.equal(tensor, again[name]) for name, tensor in tuned.items())


def test_the_leaky_figure_stands_beside_and_changes_nothing(tmp_path, monkeypatch):
    """With best-test-epoch the result says more, at least the honest accuracy; the rest is the same to the byte."""
    run, found = Run(BACKBONE, TASK, "vpt", 0), []
    for protocol in ("last-epoch", "best-test-epoch"):
        train_run(prepare_all(tmp_path / protocol, monkeypatch, {"protocol": protocol}), run, quiet)
        found.append(
            (json.loads((run.folder / "run.json").read_text())["result"], contents(tmp_path / protocol, "runs/**/*"))
        )
    (honest, files), (leaky, others) = found
    assert leaky.pop("best_test_epoch_accuracy") >= leaky["accuracy"]
    assert leaky == honest
    assert all(others[path] == files[path] for path in files if not path.endswith("run.json"))


def test_a_result_has_the_best_epoch_and_counts_the_head_apart(tiny_vit):
    """The last epoch need not be the best."""
    found = predict(Output, [(torch.eye(3), torch.arange(3))], torch.autocast("cpu", enabled=False))
    model, log = MLP(tiny_vit, 3, width=8), [Epoch(epoch, 0.1, 0.2, 0.3, 0.4) for epoch in range(3)]
    assembled = Assembled(None, model, model, None, None, 1, None, [])
    result = _result(Outcome(None, assembled, Progress(log, [0.2, 0.9, 0.5]), found, [], {}))
    assert (result["best_test_epoch_accuracy"], result["accuracy"], result["epochs"]) == (0.9, 1.0, 3)
    assert (result["tuned_parameters"], result["tuned_parameters_without_head"]) == (25 * 8 + 9 * 3, 25 * 8)


@pytest.mark.parametrize("kind", ["fast", "lazy", "two-pass"])
def test_an_interrupted_run_with_two_views_ends_in_the_same_bits(tmp_path, monkeypatch, kind):
    """After a stop in every epoch, the logits that `fast` compares with are those of the epoch before."""
    recipe = {"train.noise": 0.5, "train.consistency": kind, "train.consistency_weight": 1.0}
    params, run = prepare_all(tmp_path, monkeypatch, recipe), Run(BACKBONE, TASK, "vpt", 0)
    train_run(params, run, quiet)
    whole = (run.folder / "tuned.safetensors").read_bytes()

    interrupt_every_epoch(params, run)
    assert (run.folder / "tuned.safetensors").read_bytes() == whole


def test_an_interrupted_run_keeps_the_epochs_that_it_watched(tmp_path, monkeypatch):
    """The best test epoch may lie before a kill."""
    params = prepare_all(tmp_path, monkeypatch, {"protocol": "best-test-epoch"})
    run = Run(BACKBONE, TASK, "vpt", 0)
    train_run(params, run, quiet)
    whole = (run.folder / "run.json").read_bytes()

    interrupt_every_epoch(params, run)
    assert (run.folder / "run.json").read_bytes() == whole


def test_a_run_that_watches_goes_on_from_none_that_did_not(tmp_path, monkeypatch):
    """The best test epoch may be one of those that were not watched."""
    params, run, seen = prepare_all(tmp_path, monkeypatch), Run(BACKBONE, TASK, "linear", 0), []
    with pytest.raises(KeyboardInterrupt):
        train_run(params, run, interrupt)
    other = parse_params({**params.model_dump(), "protocol": "best-test-epoch"})
    train_run(other, run, lambda epochs, record: seen.append((record.epoch, epochs)))
    assert seen[0] == (0, len(seen))


def test_noise_needs_a_method_that_adds_something(tmp_path, monkeypatch):
    """It is said before anything is computed."""
    params = prepare_all(tmp_path, monkeypatch, {"train.noise": 0.5, "train.consistency": "two-pass"})
    train_run(params, Run(BACKBONE, TASK, "ship", 0), quiet)
    with pytest.raises(BadInput, match=r"linear: expected train\.noise 0, since linear adds nothing"):
        train_run(params, Run(BACKBONE, TASK, "linear", 0), quiet)
    with pytest.raises(BadInput, match=r"params\.yaml: methods\.linear: expected train\.noise"):
        check_row(params, "linear", TASK)
    with pytest.raises(BadInput, match=r"methods\.linear: expected train\.augment=none, since .*, got flip"):
        check_row(parse_params(changed({"train.augment": "flip"})), "linear", TASK)
    search = {"trials": 2, "choices": {"train.noise": [0.2, 0.5]}}
    with pytest.raises(BadInput, match=r"methods\.linear\.search: expected train\.noise 0, since linear adds nothing"):
        check_row(parse_params(changed({"methods.linear.search": search})), "linear", TASK)
    search["choices"]["train.noise"].append(0)
    check_row(parse_params(changed({"methods.linear.search": search})), "linear", TASK)


@pytest.mark.parametrize(("method", "splits"), [("ship", ("train", "val")), ("linear", ("train",))])
def test_a_ridge_head_starts_on_the_images_that_are_trained_on(tmp_path, monkeypatch, method, splits):
    """All of a run, those of train in a trial of a search."""
    compute = set_up(prepare_all(tmp_path, monkeypatch).compute)
    setup = Setup(BACKBONE, TASK, method, {}, Train(head="ridge"), 0, splits)
    model = assemble(setup, origin_of(BACKBONE, TASK, {}), compute).model
    files = [data_folder(TASK) / f"{split}.parquet" for split in splits]
    labels = torch.from_numpy(read_labels(*files))
    pooled = read_tensors(features_file(BACKBONE, TASK))[0]["pooled"][: len(labels)]
    found = fit_ridge(pooled, labels, 10)
    torch.testing.assert_close(model.head.weight.detach(), found.weight.float())
    torch.testing.assert_close(model.head.bias.detach(), found.bias.float())


def test_a_head_that_reads_no_features_starts_at_random():
    """That of the MLP head reads its hidden layer."""
    with pytest.raises(BadInput, match=r"row: expected train\.head=random, since the head of mlp reads no features"):
        check_recipe("mlp", Train(head="ridge"), "row")


def test_every_key_of_a_recipe_for_real_folders_decides_bits(tmp_path, monkeypatch):
    """Each alone gives other parameters than none; the settings of a run say it."""
    run, found = Run(BACKBONE, TASK, "ship", 0), []
    others = [(key, value) for key, value in REAL.items() if key != "train.class_weights"]  # the classes are balanced
    for key, value in [("train.lr", 0.01), ("train.lr", 0.001), ("train.drop_path", 0.5), *others]:
        train_run(prepare_all(tmp_path / f"{key}{value}", monkeypatch, {key: value}), run, quiet)
        assert json.loads((run.folder / "run.json").read_text())["train"][key.removeprefix("train.")] == value
        tensors = read_tensors(run.folder / "tuned.safetensors")[0]
        found.append(b"".join(tensors[name].numpy().tobytes() for name in sorted(tensors)))
    assert len(set(found)) == len(found)


def test_seeds_differ(tmp_path, monkeypatch):
    """Two seeds are two runs."""
    params = prepare_all(tmp_path, monkeypatch)
    states = []
    for seed in (0, 1):
        train_run(params, Run(BACKBONE, TASK, "vpt", seed), quiet)
        states.append(read_tensors(Run(BACKBONE, TASK, "vpt", seed).folder / "tuned.safetensors")[0]["prompts"])
    assert not torch.equal(*states)


@pytest.mark.slow
@pytest.mark.usefixtures("at_once")
def test_killed_twenty_times(tmp_path, monkeypatch):
    """`kill -9` at twenty random moments, then a last start: the same files as without."""
    settings = {"train.epochs": 80}  # more than twenty starts can finish
    for name in ("whole", "killed"):
        prepare_all(tmp_path / name, monkeypatch, settings)
    done = command("ship", "train", f"{BACKBONE}/{TASK}/ship/0", cwd=tmp_path / "whole")
    assert done.returncode == 0, done.stderr
    chance = random.Random(0)
    start = {"args": ("ship", "train", f"{BACKBONE}/{TASK}/ship/0"), "cwd": tmp_path / "killed", "text": True}
    start["env"] = environment_of(tmp_path / "killed")
    for _ in range(20):
        with subprocess.Popen(**start, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as job:
            lines = chance.randrange(3)  # shortly after that many epochs, or while it starts
            for _ in range(lines):
                job.stdout.readline()
            with pytest.raises(subprocess.TimeoutExpired):
                job.wait(chance.random() * (0.1 if lines else 0.5))
            job.kill()
            job.stdout.read()  # until it is gone
    done = command("ship", "train", f"{BACKBONE}/{TASK}/ship/0", cwd=tmp_path / "killed")
    assert done.returncode == 0, done.stderr
    assert contents(tmp_path / "whole", *LEFT) == contents(tmp_path / "killed", *LEFT)
