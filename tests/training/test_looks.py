"""What a run leaves of its mistakes: the surest ones, and looks as JSON that the page can draw."""

import json

import numpy as np
import pandas as pd
import torch
from project import BACKBONE, measured, settle

from ship.artifacts import MISTAKES, Run
from ship.data.images import normaliser, read_rows
from ship.inference.attention import Looks, look
from ship.inference.predict import Predictions
from ship.inference.restore import load
from ship.methods.linear import Linear
from ship.storage import read_json
from ship.training.looks import looks_json, surest_mistakes
from ship.training.train import train_run


def test_the_surest_mistakes_come_first():
    """At most twelve, those with the highest probability; equal ones in the order of the split."""
    classes = torch.tensor([0, 1, 1] + [1] * 20)
    sure = torch.tensor([0.99, 0.5, 0.9] + [0.3] * 20)
    found = Predictions(torch.zeros_like(classes), classes, sure, sure, sure[:, None])
    assert surest_mistakes(found) == [2, 1, *range(3, 3 + MISTAKES - 2)]


def test_looks_are_told_to_the_rounding_of_a_byte(tiny_vit):
    """255 is the highest of an image's patches; class token and prompts have their mean share beside."""
    attention = torch.rand(3, 17 + 2, dtype=torch.float64)
    attention /= attention.sum(1, keepdim=True)
    found = looks_json(
        Looks(attention, {2: torch.tensor([[0, 5], [3, 4], [1, 16]])}), Linear(tiny_vit, 5), ["a", "b", "c"]
    )
    assert json.loads(json.dumps(found)) == found
    assert (found["grid"], found["first_patch"], found["block"], found["probe"]) == ([4, 4], 1, 3, True)
    assert [image["key"] for image in found["images"]] == ["a", "b", "c"]
    assert found["images"][1]["picks"] == {"2": [3, 4]}
    for image, shares in zip(found["images"], attention[:, 1:17].numpy(), strict=True):
        stored = np.array([list(bytes.fromhex(line)) for line in image["attention"]])
        assert np.abs(stored.ravel() - 255 * shares / shares.max()).max() <= 0.5
    assert abs(sum(found["shares"].values()) - 1) < 2e-3
    assert abs(found["shares"]["prompts"] - float(attention[:, 17:].sum(1).mean())) < 1e-3


def test_a_run_leaves_what_its_model_looks_at(tmp_path, monkeypatch):
    """Of the mistakes in its predictions, in their order: the looks of the model that is loaded again."""
    params = measured(tmp_path, monkeypatch, "digits")
    settle(params, "digits")
    run = Run(BACKBONE, "digits", "ship", 0)
    train_run(params, run, lambda epochs, record: None)
    found, model = read_json(run.folder / "looks.json"), load(run.folder)
    split = tmp_path / "data/digits/test.parquet"
    keys = [image["key"] for image in found["images"]]
    said = pd.read_parquet(run.folder / "predictions.parquet")
    wrong = said[said.label != said.prediction].sort_values("probability", ascending=False, kind="stable")
    assert keys == wrong.key.tolist()[:MISTAKES]
    size, mean, std, interpolation = model.preprocessing
    pixels = read_rows(split, wrong.index[:MISTAKES].tolist(), size=size, interpolation=interpolation, threads=1)
    again = look(model.method, normaliser(mean, std, torch.device("cpu"))(pixels))
    assert looks_json(again, model.method, keys) == found
