"""A tuned model can be used: built again from its checkpoint, it says what the run said."""

import pandas as pd
import pytest
from project import BACKBONE, TINY, measured, settle

from ship.artifacts import Run
from ship.errors import BadInput
from ship.inference.restore import classify, restore
from ship.models.backbones import fetch
from ship.training.train import train_run


@pytest.fixture
def params(tmp_path, monkeypatch):
    """The tiny experiment, with all that a run on digits needs, in the working directory."""
    params = measured(tmp_path, monkeypatch, "digits")
    settle(params, "digits")
    return params


@pytest.mark.parametrize("method", TINY["methods"])
def test_it_predicts_what_the_run_predicted(params, tmp_path, method):
    """The test images, given as files, get the classes and probabilities of predictions.parquet."""
    run = Run(BACKBONE, "digits", method, 0)
    train_run(params, run, lambda record: None)
    test = pd.read_parquet("data/digits/test.parquet")
    paths = [tmp_path / f"{i}.png" for i in range(len(test))]
    for path, image in zip(paths, test.image, strict=True):
        path.write_bytes(image)
    rows = pd.DataFrame(classify(restore(run), paths, params.compute))
    said = pd.read_parquet(run.folder / "predictions.parquet")
    assert rows["class"].astype(int).tolist() == said.prediction.tolist()
    assert rows.probability.tolist() == pytest.approx(said.probability.tolist(), abs=1e-6)


def test_what_is_refused(params, tmp_path):
    """No checkpoint, another backbone, no image."""
    run = Run(BACKBONE, "digits", "vpt", 0)
    with pytest.raises(BadInput, match=r"tuned\.safetensors: expected the checkpoint of a run, found none"):
        restore(run)
    train_run(params, run, lambda record: None)
    (tmp_path / "text.png").write_text("no image")
    for path in ("absent.png", "text.png", ""):
        with pytest.raises(BadInput, match=f"{path}: expected"):
            classify(restore(run), [tmp_path / path], params.compute)
    fetch(
        params.backbones[BACKBONE].model_copy(update={"image_size": 96}), tmp_path / f"backbones/{BACKBONE}.safetensors"
    )
    with pytest.raises(BadInput, match="expected the backbone with sha256"):
        restore(run)
