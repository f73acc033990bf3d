"""SSF scales and shifts what every operation gives."""

import copy

import pytest
import torch
from torch import nn

from ship.methods.base import tuned_parameters
from ship.methods.ssf import SSF, Scaled


def test_ones_and_zeros_are_the_backbone(tiny_vit):
    """Scale 1 and shift 0 change nothing."""
    plain, images = copy.deepcopy(tiny_vit), torch.randn(2, 3, 16, 16)
    model = SSF(tiny_vit, 3).eval()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, Scaled):
                module.scale.fill_(1)
                module.shift.fill_(0)
        pooled = plain.forward_head(plain.forward_features(images), pre_logits=True)
        torch.testing.assert_close(model(images).logits, model.head(pooled))


def test_scales_start_around_1_and_shifts_around_0(tiny_vit):
    """Both with the paper's deviation, 0.02."""
    scaled = [module for module in SSF(tiny_vit, 3).modules() if isinstance(module, Scaled)]
    for parts, mean in (([one.scale for one in scaled], 1), ([one.shift for one in scaled], 0)):
        values = torch.cat(parts)
        assert values.mean().item() == pytest.approx(mean, abs=0.002)
        assert values.std().item() == pytest.approx(0.02, rel=0.05)


def test_an_operation_without_bias_gets_one():
    """Its shift, when it is folded."""
    scaled = Scaled(nn.Linear(3, 4, bias=False))
    x = torch.randn(2, 3)
    before = scaled(x)
    torch.testing.assert_close(scaled.folded()(x), before)


def test_every_operation_of_the_backbone_is_tuned(tiny_vit):
    """Patch embedding, six a block, final norm: a scale and a shift each."""
    tuned = [name for name in tuned_parameters(SSF(tiny_vit, 3)) if name.startswith("vit.")]
    assert len(tuned) == 2 * (1 + 6 * 4 + 1)
