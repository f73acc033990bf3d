"""What a fit is given: all that its recipe asks for reaches the model and the objective."""

import shutil

import pytest
import torch
from project import BACKBONE, measured
from timm.models.vision_transformer import VisionTransformer

from ship.artifacts import data_folder, hierarchy_file, split_file, task_file
from ship.compute import set_up
from ship.errors import BadInput
from ship.experiment.params import Compute
from ship.experiment.rows import Train
from ship.methods import build
from ship.models.features import measure_features
from ship.models.noise import SharedDepth
from ship.training import fit
from ship.training.fit import Setup, assemble, check_unchanged, origin_of

RECIPE = Train(drop_path=0.3, noise=0.5, consistency="two-pass", class_weights="balanced")


def test_noise_and_shared_depth_reach_the_model(monkeypatch):
    """Two views of an image differ in their noise alone."""
    monkeypatch.setattr(fit, "_measured", lambda *_: {})
    vit = VisionTransformer(img_size=16, patch_size=4, embed_dim=24, depth=3, num_heads=3, drop_path_rate=0.3)
    setup = Setup("b", "t", "vpt", {"prompt_length": 2}, RECIPE, 3)
    model = fit._fresh(setup, None, vit, torch.tensor([0, 1]), 2)
    assert [noise.deviation for noise in model.noise] == pytest.approx([0, 0.5, 0.25])
    paths = [getattr(block, name) for block in model.vit.blocks[1:] for name in ("drop_path1", "drop_path2")]
    assert {type(path) for path in paths} == {SharedDepth}


@pytest.mark.parametrize(("method", "rounds"), [("linear", False), ("mlp", False), ("vpt", True)])
def test_features_of_a_probe_are_not_rounded(method, rounds):
    """Where all others are computed in bf16."""
    vit = VisionTransformer(img_size=16, patch_size=4, embed_dim=24, depth=2, num_heads=3)
    runtime = set_up(Compute(device="cpu", precision="bf16", threads=1))
    with fit._autocast(build(method, vit, 3, {}, {}), runtime):
        assert torch.is_autocast_enabled("cpu") == rounds


def test_what_is_tuned_starts_by_the_seed(monkeypatch):
    """The same for the same seed alone."""
    monkeypatch.setattr(fit, "_measured", lambda *_: {})

    def start(seed):
        vit = VisionTransformer(img_size=16, patch_size=4, embed_dim=24, depth=2, num_heads=3)
        setup = Setup("b", "t", "vpt", {"prompt_length": 2}, Train(), seed)
        return fit._fresh(setup, None, vit, torch.tensor([0, 1]), 2).prompts

    assert torch.equal(start(3), start(3))
    assert not torch.equal(start(3), start(4))


@pytest.fixture
def params(tmp_path, monkeypatch):
    """A small task, and all that is measured of it."""
    return measured(tmp_path, monkeypatch, "digits")


def test_depth_and_class_weights_reach_a_run(params):
    """Those of the recipe."""
    setup = Setup(BACKBONE, "digits", "vpt", {"prompt_length": 2}, RECIPE, 0)
    assembled = assemble(setup, origin_of(BACKBONE, "digits", {}), set_up(params.compute))
    assert assembled.model.vit.blocks[-1].drop_path1.drop_prob == pytest.approx(0.3)
    assert assembled.objective.weights is not None


def test_images_come_in_the_order_of_seed_and_epoch(params):
    """Another one for each; a run that goes on has the same. There are as many steps as the rate counts."""
    orders = []
    for seed, epoch in ((3, 1), (3, 1), (3, 2), (4, 1)):
        setup = Setup(BACKBONE, "digits", "linear", {}, Train(batch_size=16), seed)
        assembled = assemble(setup, origin_of(BACKBONE, "digits", {}), set_up(params.compute))
        rows = [batch.rows for batch in assembled.batches(epoch)]
        assert len(rows) == assembled.steps
        orders.append(torch.cat(rows))
    first, again, *others = orders
    assert torch.equal(first, again)
    assert not any(torch.equal(first, other) for other in others)


@pytest.mark.parametrize("path", [task_file("digits"), hierarchy_file(BACKBONE, "digits")])
def test_what_is_made_again_meanwhile_is_refused(params, path):
    """The run might be tested on images that it was trained on, or would tell of prototypes that it has not."""
    origin = origin_of(BACKBONE, "digits", {})
    check_unchanged(origin, BACKBONE, "digits")
    with path.open("ab") as file:
        file.write(b"\n")
    with pytest.raises(BadInput, match=f"{path}: expected what training began with, got another one"):
        check_unchanged(origin, BACKBONE, "digits")


@pytest.mark.parametrize("split", ["train", "val"])
def test_images_that_task_json_does_not_tell_of_are_refused(params, split):
    """Else a run would train on what it is tested on, and say nothing."""
    shutil.copy(split_file("digits", "test"), split_file("digits", split))
    with pytest.raises(BadInput, match=rf"digits/{split}\.parquet: expected what data/digits/task\.json tells of"):
        origin_of(BACKBONE, "digits", {})
    with pytest.raises(BadInput, match=rf"digits/{split}\.parquet: expected what data/digits/task\.json tells of"):
        measure_features(params, BACKBONE, "digits")


def test_what_is_absent_is_named(params):
    """By file, in a line."""
    (data_folder("digits") / "train.parquet").unlink()
    with pytest.raises(BadInput, match=r"digits/train\.parquet: expected a prepared split, found none"):
        origin_of(BACKBONE, "digits", {})
