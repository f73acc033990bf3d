"""Noise on what a method adds, and stochastic depth that views share."""

import pytest
import torch
from timm.layers.drop import DropPath
from timm.models.vision_transformer import VisionTransformer

from ship.models.noise import Noise, SharedDepth, block_noise, perturb, set_views, share_depth


def test_the_deviation_falls_from_block_1_on_and_is_0_in_block_0(tiny_vit):
    """As in the paper's program, without its head: s, s (L - 2) / (L - 1), ..., s / (L - 1)."""
    noises = block_noise(tiny_vit)
    perturb(noises, 0.6)
    assert [noise.deviation for noise in noises] == pytest.approx([0.0, 0.6, 0.4, 0.2])


def test_the_factors_have_mean_1_and_that_deviation():
    """One for each image and channel, the same for all tokens."""
    noise = Noise().train()
    noise.deviation = 0.5
    factors = noise(torch.ones(400, 3, 50, dtype=torch.float64))
    assert torch.equal(factors[:, :1].expand_as(factors), factors)
    assert factors.mean().item() == pytest.approx(1, abs=0.02)
    assert factors[:, 0].std().item() == pytest.approx(0.5, abs=0.02)


def test_beyond_the_frozen_layer_the_difference_alone_is_scaled():
    """What is the same in both passes as it is; without a deviation the frozen layer is not asked."""
    noise = Noise().train()
    whole, frozen = torch.randn(5, 4, 6, dtype=torch.float64), torch.randn(5, 4, 6, dtype=torch.float64)
    frozen[:, :, 3:] = whole[:, :, 3:]
    assert noise.beyond(whole, lambda: pytest.fail("asked")) is whole
    noise.deviation = 1.0
    found = noise.beyond(whole, lambda: frozen)
    factors = ((found - frozen) / (whole - frozen))[:, :, :3]
    torch.testing.assert_close(factors, factors[:, :1].expand_as(factors))
    assert torch.equal(found[:, :, 3:], whole[:, :, 3:])
    assert noise.eval().beyond(whole, lambda: pytest.fail("asked")) is whole


def test_views_of_an_image_share_their_stochastic_depth():
    """Both halves of a batch are kept and dropped alike; what is the same for all images is drawn once."""
    vit = VisionTransformer(img_size=16, patch_size=4, embed_dim=24, depth=3, num_heads=3, drop_path_rate=0.5).train()
    share_depth(vit)
    depth = vit.blocks[2].drop_path1
    assert isinstance(depth, SharedDepth)
    assert not isinstance(vit.blocks[0].drop_path1, DropPath)  # of rate 0
    set_views(vit, 2)
    first, second = depth(torch.ones(64, 2, 4)).chunk(2)
    assert torch.equal(first, second)
    assert set(first.unique().tolist()) == {0.0, 2.0}
    assert depth(torch.ones(1, 2, 4)).shape == (1, 2, 4)
    odd = torch.ones(5, 2, 4)  # as the last batch that is predicted may be
    assert torch.equal(depth.eval()(odd), odd)


def test_one_view_has_the_stochastic_depth_of_timm():
    """To the bit."""
    drawn = []
    for kind in (DropPath, SharedDepth):
        torch.manual_seed(3)
        drawn.append(kind(0.4).train()(torch.ones(32, 2, 3)))
    assert torch.equal(*drawn)
