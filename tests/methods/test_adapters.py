"""Adapters equal their formulas."""

import pytest
import torch
import torch.nn.functional as F

from ship.methods.adapters import AdapterPlus, AdaptFormer, Houlsby, Pfeiffer
from ship.methods.base import tuned_parameters
from ship.models.vit import embed, pool


def test_the_branch_stands_beside_the_mlp(tiny_vit):
    """Z + MLP(LN2 z) + s ReLU(LN2(z) W_down + b_down) W_up + b_up, written out."""
    model = AdaptFormer(tiny_vit, 3, bottleneck=5, scale=0.3).eval()
    images = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        for parameter in tuned_parameters(model).values():
            parameter.normal_()
        z = embed(tiny_vit, images)
        for block, (down, _, up) in zip(tiny_vit.blocks, model.adapters, strict=True):
            z = z + block.attn(block.norm1(z))
            h = block.norm2(z)
            branch = (h @ down.weight.T + down.bias).clamp(min=0) @ up.weight.T + up.bias
            z = z + block.mlp(h) + 0.3 * branch
        torch.testing.assert_close(model(images).logits, model.head(pool(tiny_vit, z)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", [Pfeiffer, Houlsby])
def test_the_bottlenecks_stand_after_the_layers(tiny_vit, kind):
    """A(x) = x + GELU(x W_down + b_down) W_up + b_up after the MLP, with Houlsby after attention too."""
    model = kind(tiny_vit, 3, bottleneck=5).eval()
    images = torch.randn(2, 3, 16, 16)

    def adapted(x, adapter):
        down, _, up = adapter
        return x + F.gelu(x @ down.weight.T + down.bias) @ up.weight.T + up.bias

    with torch.no_grad():
        for parameter in tuned_parameters(model).values():
            parameter.normal_()
        z = embed(tiny_vit, images)
        for i, block in enumerate(tiny_vit.blocks):
            attended = block.attn(block.norm1(z))
            z = z + (adapted(attended, model.after_attention[i]) if kind is Houlsby else attended)
            z = z + adapted(block.mlp(block.norm2(z)), model.after_mlp[i])
        torch.testing.assert_close(model(images).logits, model.head(pool(tiny_vit, z)), rtol=1e-4, atol=1e-4)


def test_adapter_plus_stands_after_the_block(tiny_vit):
    """Z + s * (GELU(z W_down + b_down) W_up + b_up) of what a block gives, s for each channel."""
    model = AdapterPlus(tiny_vit, 3, rank=5).eval()
    images = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        for parameter in tuned_parameters(model).values():
            parameter.normal_()
        z = embed(tiny_vit, images)
        for block, (down, _, up), scale in zip(tiny_vit.blocks, model.adapters, model.scales, strict=True):
            z = block(z)
            z = z + scale * (F.gelu(z @ down.weight.T + down.bias) @ up.weight.T + up.bias)
        torch.testing.assert_close(model(images).logits, model.head(pool(tiny_vit, z)), rtol=1e-4, atol=1e-4)


def test_adapter_plus_starts_after_houlsby(tiny_vit):
    """Normal weights of deviation 0.01 within two deviations (0.0088 when cut), biases 0, scales 1."""
    model = AdapterPlus(tiny_vit, 3, rank=32)
    for (down, _, up), scale in zip(model.adapters, model.scales, strict=True):
        assert scale.eq(1).all()
        for layer in (down, up):
            assert not layer.bias.any()
            assert layer.weight.abs().max() <= 0.02
            assert layer.weight.std().item() == pytest.approx(0.0088, rel=0.1)
