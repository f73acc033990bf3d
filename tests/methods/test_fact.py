"""FacT changes every matrix of every block by shared factors."""

import copy

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer

from ship.errors import BadInput
from ship.methods.base import tuned_parameters
from ship.methods.fact import FacTTensorTrain, FacTTucker


def changes(before, after):
    """How the D x D matrices of all blocks differ, (12 L, D, D)."""
    found = []
    for old, new in zip(before.blocks, after.blocks, strict=True):
        for was, now in ((old.attn, new.attn), (old.mlp, new.mlp)):
            for name in ("qkv", "proj", "fc1", "fc2"):
                if hasattr(was, name):
                    change = getattr(now, name).weight - getattr(was, name).weight
                    found += [part for rows in change.split(24) for part in rows.split(24, dim=1)]
    return torch.stack(found)


def middle(factors):
    """S written out, (12 L, R, R)."""
    if hasattr(factors, "s"):
        return factors.s
    return torch.stack([sum(p * c for p, c in zip(row, factors.c, strict=True)) for row in factors.p])


@pytest.mark.parametrize("kind", [FacTTensorTrain, FacTTucker])
def test_every_matrix_changes_by_the_shared_factors(tiny_vit, kind):
    """Matrix k, in the order q, k, v, output, then the MLP's, changes by s V S_k U."""
    before = copy.deepcopy(tiny_vit)
    model = kind(tiny_vit, 3, rank=5, scale=2.0).eval()
    with torch.no_grad():
        for parameter in tuned_parameters(model).values():
            parameter.normal_(std=0.3)
        expected = 2 * model.factors.v @ middle(model.factors) @ model.factors.u
        assert len(expected) == 12 * 4
        torch.testing.assert_close(changes(before, merged := model.merged()), expected, rtol=1e-4, atol=1e-5)
        images = torch.randn(2, 3, 16, 16)
        torch.testing.assert_close(model(images).logits, merged(images), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", [FacTTensorTrain, FacTTucker])
def test_the_factors_are_saved_once(tiny_vit, kind):
    """All layers share them under one name."""
    names = tuned_parameters(kind(tiny_vit, 3)).keys() - {"head.weight", "head.bias"}
    assert names == {f"factors.{name}" for name in ("uvs" if kind is FacTTensorTrain else "uvpc")}


def test_layers_that_cannot_be_cut_are_refused():
    """An MLP whose width is no multiple of the backbone's has no D x D matrices."""
    vit = VisionTransformer(img_size=16, patch_size=4, embed_dim=24, depth=1, num_heads=3, mlp_ratio=2.5)
    with pytest.raises(BadInput, match="fact_tk: expected layers of multiples of the width 24, got one of 24 to 60"):
        FacTTucker(vit, 3)
