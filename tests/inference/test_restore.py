"""A tuned model can be used: built again from its checkpoint, it says what the run said."""

import pandas as pd
import pytest
import torch
from PIL import Image
from project import BACKBONE, TINY, measured, settle

from ship.artifacts import Run, backbone_file
from ship.errors import BadInput
from ship.inference.files import classify
from ship.inference.restore import load
from ship.models import backbones
from ship.models.backbones import fetch
from ship.storage import read_json
from ship.training.train import train_run


@pytest.fixture
def params(tmp_path, monkeypatch):
    """The tiny experiment, with all that a run on digits needs, in the working directory."""
    params = measured(tmp_path, monkeypatch, "digits")
    settle(params, "digits")
    return params


@pytest.mark.parametrize("method", TINY["methods"])
def test_it_predicts_what_the_run_predicted(params, tmp_path, monkeypatch, method):
    """The test images, given as files, get the classes and probabilities of predictions.parquet, from anywhere."""
    run = Run(BACKBONE, "digits", method, 0)
    train_run(params, run, lambda epochs, record: None)
    test = pd.read_parquet("data/digits/test.parquet")
    paths = [tmp_path / f"{i}.png" for i in range(len(test))]
    for path, image in zip(paths, test.image, strict=True):
        path.write_bytes(image)
    said, folder = pd.read_parquet(run.folder / "predictions.parquet"), run.folder.absolute()
    monkeypatch.chdir("/")
    answers = list(classify(load(folder), paths, params.compute, pytest.fail))
    assert [answer.path for answer in answers] == paths
    probability, chosen = torch.stack([answer.probabilities for answer in answers]).max(dim=1)
    assert chosen.tolist() == said.prediction.tolist()
    assert probability.tolist() == pytest.approx(said.probability.tolist(), abs=1e-6)


def test_loading_draws_no_random_number_of_the_caller(params):
    """Whoever seeds, loads and draws has the numbers of that seed."""
    run = Run(BACKBONE, "digits", "ship", 0)
    train_run(params, run, lambda epochs, record: None)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    load(run.folder)
    assert torch.equal(torch.rand(3), expected)


def test_what_is_refused(params, tmp_path):
    """No run, one that is not finished, another backbone."""
    run = Run(BACKBONE, "digits", "vpt", 0)
    with pytest.raises(BadInput, match=r"expected a run .*, found none \(change to the root"):
        load(run.folder)
    run.folder.mkdir(parents=True)
    with pytest.raises(BadInput, match=r"tuned\.safetensors: expected what a run leaves .*, found none"):
        load(run.folder)
    train_run(params, run, lambda epochs, record: None)
    assert load(run.folder.relative_to("runs")).classes == [str(digit) for digit in range(10)]
    with pytest.raises(BadInput, match=rf"found none \(name one of {run.folder}\)"):
        load(run.folder.parent)
    with pytest.raises(BadInput, match=f"found none .did you mean '{run}'"):
        load(f"{BACKBONE}/digits/vpt/1")
    (tmp_path / "model.onnx").touch()
    with pytest.raises(BadInput, match=r"model.onnx: expected a run or an export, .*\(name its folder\)"):
        load(tmp_path / "model.onnx")
    other = params.backbones[BACKBONE].model_copy(update={"image_size": 96})
    fetch(BACKBONE, other, tmp_path / f"backbones/{BACKBONE}.safetensors")
    with pytest.raises(BadInput, match="expected the backbone with sha256"):
        load(run.folder)


def test_a_vit_that_is_given_must_be_the_one(params):
    """Then the model is as without it, and knows how images are prepared; another ViT is refused, also for a run."""
    run = Run(BACKBONE, "digits", "vpt", 0)
    train_run(params, run, lambda epochs, record: None)
    vit, made = backbones.load(backbone_file(BACKBONE))
    expected, images = load(run.folder), torch.randn(2, 3, made.image_size, made.image_size)
    found = load(run.folder, vit)
    assert found.preprocessing == expected.preprocessing
    assert torch.equal(found(images), expected(images))
    torch.nn.init.ones_(vit.blocks[0].mlp.fc1.weight)
    with pytest.raises(BadInput, match="expected the ViT that was tuned, got one with other weights"):
        load(run.folder, vit)


def test_files_are_read_as_the_task_reads_its_images(tmp_path, monkeypatch):
    """A photo that lies on its side is turned where its camera's note was heeded in training, and else is not."""
    upright = Image.effect_noise((24, 24), 80).convert("RGB")
    note = Image.Exif()
    note[0x0112] = 6  # the top is to the right
    upright.save(tmp_path / "upright.png")
    upright.rotate(90).save(tmp_path / "lying.png", exif=note)
    for orientation in ("stored", "exif"):
        settings = {"tasks.digits.orientation": orientation}
        params, run = (
            measured(tmp_path / orientation, monkeypatch, "digits", settings),
            Run(BACKBONE, "digits", "vpt", 0),
        )
        settle(params, "digits")
        train_run(params, run, lambda epochs, record: None)
        assert ("reading" in read_json(run.folder / "run.json")) == (orientation == "exif")
        paths = [tmp_path / "upright.png", tmp_path / "lying.png"]
        first, second = (
            answer.probabilities for answer in classify(load(run.folder), paths, params.compute, pytest.fail)
        )
        assert torch.equal(first, second) == (orientation == "exif")
