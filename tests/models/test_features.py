"""Features are those of the class token, and say what they are of."""

import pytest
import torch
from project import BACKBONE, measured

from ship.artifacts import backbone_file, data_folder, features_file, hierarchy_file
from ship.errors import BadInput
from ship.models.features import features, measure_features
from ship.models.vit import embed
from ship.storage import read_json, read_tensors, sha256


def test_features_are_class_tokens_after_every_block(tiny_vit):
    """The last block's class token, normed, is what the head reads."""
    images = torch.randn(3, 3, 16, 16)
    blocks, pooled = features(tiny_vit, images)
    z = embed(tiny_vit, images)
    torch.testing.assert_close(blocks, torch.stack([(z := block(z))[:, 0] for block in tiny_vit.blocks]))
    torch.testing.assert_close(tiny_vit.norm(blocks[-1]), pooled)


def test_they_say_what_they_are_of(tmp_path, monkeypatch):
    """The backbone and the images of train and val, by their bytes."""
    measured(tmp_path, monkeypatch, "digits")
    splits = {name: sha256(data_folder("digits") / f"{name}.parquet") for name in ("train", "val")}
    expected = {"backbone": sha256(backbone_file(BACKBONE)), **splits}
    assert read_tensors(features_file(BACKBONE, "digits"))[1]["of"] == expected
    assert read_tensors(hierarchy_file(BACKBONE, "digits"))[1]["of"] == expected
    assert read_json(hierarchy_file(BACKBONE, "digits", ".json"))["of"] == expected


def test_features_that_are_not_finite_are_refused(tmp_path, monkeypatch):
    """Those of before stay; a hierarchy of nan would be none."""
    params = measured(tmp_path, monkeypatch, "digits")
    before = sha256(features_file(BACKBONE, "digits"))
    monkeypatch.setattr("ship.models.features.pool", lambda vit, z: z[:, 0] * float("nan"))
    with pytest.raises(BadInput, match="digits: expected features that are finite, got nan or inf"):
        measure_features(params, BACKBONE, "digits")
    assert sha256(features_file(BACKBONE, "digits")) == before
