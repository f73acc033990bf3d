"""Features are those of the class token, and say what they are of."""

import pytest
import torch
from project import BACKBONE, measured
from timm.models.vision_transformer import VisionTransformer

from ship.artifacts import backbone_file, data_folder, features_file, hierarchy_file
from ship.data.images import normaliser, read_pixels
from ship.errors import BadInput
from ship.models.backbones import load
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


def test_without_a_class_token_they_are_means():
    """Of all image tokens, after every block."""
    vit = VisionTransformer(
        img_size=16, patch_size=4, embed_dim=24, depth=2, num_heads=3, class_token=False, global_pool="avg"
    ).eval()
    images = torch.randn(3, 3, 16, 16)
    z = embed(vit, images)
    torch.testing.assert_close(
        features(vit, images)[0], torch.stack([(z := block(z)).mean(dim=1) for block in vit.blocks])
    )


def test_they_are_of_the_images_that_are_trained_on(tmp_path, monkeypatch):
    """Of train, then of val, in their order and as the backbone takes them, however many come at once."""
    monkeypatch.setattr("ship.models.features.BATCH", 7)
    measured(tmp_path, monkeypatch, "digits")
    vit, about = load(backbone_file(BACKBONE))
    paths = [data_folder("digits") / f"{name}.parquet" for name in ("train", "val")]
    images = read_pixels(*paths, size=about.image_size, interpolation=about.interpolation, threads=1)
    blocks, pooled = features(vit, normaliser(about.mean, about.std, torch.device("cpu"))(images))
    found, _ = read_tensors(features_file(BACKBONE, "digits"))
    torch.testing.assert_close(found["blocks"], blocks, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found["pooled"], pooled, atol=1e-4, rtol=1e-4)


def test_features_of_others_images_are_refused(tmp_path, monkeypatch):
    """Whose bytes are not those that task.json tells of."""
    params = measured(tmp_path, monkeypatch, "digits")
    (data_folder("digits") / "val.parquet").write_bytes((data_folder("digits") / "train.parquet").read_bytes())
    with pytest.raises(BadInput, match=r"val.parquet: expected what .* tells of, got other bytes"):
        measure_features(params, BACKBONE, "digits")


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
