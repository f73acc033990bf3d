"""The patch embedding is the convolution, but for its rounding, which is less."""

import copy

import pytest
import torch
from torch import nn

from ship.models.linear import swap
from ship.models.patches import PatchEmbedding


def convolution(bias=True):
    torch.manual_seed(0)
    return nn.Conv2d(3, 32, 16, stride=16, bias=bias)


def in_parts(plain):
    """The patch embedding with the tensors of a convolution."""
    own = copy.copy(plain)
    swap(own, nn.Conv2d, PatchEmbedding)
    return own


@pytest.mark.parametrize("bias", [True, False])
def test_parts_add_up_to_the_convolution(bias):
    """The same vectors and gradients, also of images that are not square; weights are the same tensors."""
    plain, images = convolution(bias).double(), torch.randn(2, 3, 32, 48, dtype=torch.float64)
    own = in_parts(plain)
    assert own.weight is plain.weight
    torch.testing.assert_close(own(images), plain(images))
    wanted = torch.autograd.grad(plain(images).square().sum(), list(plain.parameters()))
    found = torch.autograd.grad(own(images).square().sum(), list(own.parameters()))
    torch.testing.assert_close(found, wanted)


@torch.no_grad()
def test_what_fills_no_patch_is_left_out():
    """As the convolution leaves it out: 384 px are 27 patches of 14 px."""
    plain, images = convolution().double(), torch.randn(2, 3, 35, 50, dtype=torch.float64)
    torch.testing.assert_close(in_parts(plain)(images), plain(images))


@torch.no_grad()
def test_parts_are_nearer_to_float64_than_one_sum():
    """Of grey images, whose products are all of a size, the mean error is at most two thirds of the convolution's."""
    plain, images = convolution(), torch.rand(8, 3, 64, 64) + 1
    exact = convolution().double()(images.double())
    parts, one = ((f(images) - exact).abs().mean() for f in (in_parts(plain), plain))
    assert parts < one * 2 / 3


def test_autocast_keeps_the_convolution():
    """In bf16 a part more is a rounding more."""
    plain, images = convolution(), torch.randn(2, 3, 32, 32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(in_parts(plain)(images), plain(images))
