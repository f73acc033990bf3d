"""RepAdapter stands before attention and the MLP, and its groups are apart."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ship.errors import BadInput
from ship.methods.base import tuned_parameters
from ship.methods.repadapter import Adapted, RepAdapter
from ship.models.noise import Noise
from ship.models.vit import attend, embed, pool


def test_the_adapters_stand_after_the_norms(tiny_vit):
    """Tokens h become h + s (U (A h + a) + u), written out with torch's grouped convolution for U."""
    model = RepAdapter(tiny_vit, 3, bottleneck=4, groups=2, scale=0.5).eval()
    images = torch.randn(2, 3, 16, 16)

    def adapted(h, place):
        low = h @ place.down.weight.T + place.down.bias
        up = F.conv1d(low.transpose(1, 2), place.up.flatten(0, 1)[..., None], place.bias, groups=2)
        return h + 0.5 * up.transpose(1, 2)

    with torch.no_grad():
        for parameter in tuned_parameters(model).values():
            parameter.normal_(std=0.3)
        z = embed(tiny_vit, images)
        for block in tiny_vit.blocks:
            qkv = block.attn.qkv.linear(adapted(block.norm1(z), block.attn.qkv))
            attended = attend(*qkv.unflatten(-1, (3, 3, 8)).permute(2, 0, 3, 1, 4))
            z = z + block.attn.proj(attended)
            z = z + block.mlp.fc2(F.gelu(block.mlp.fc1.linear(adapted(block.norm2(z), block.mlp.fc1))))
        torch.testing.assert_close(model(images).logits, model.head(pool(tiny_vit, z)), rtol=1e-4, atol=1e-5)


def test_a_layer_without_bias_gets_one():
    """The adapter's biases, when it is folded."""
    adapted = Adapted(nn.Linear(4, 6, bias=False), bottleneck=2, groups=2, scale=2.0, dropout=0.0, noise=Noise())
    with torch.no_grad():
        for parameter in adapted.parameters():
            parameter.normal_()
    x = torch.randn(2, 3, 4)
    before = adapted(x)
    torch.testing.assert_close(adapted.folded()(x), before)


@pytest.mark.parametrize(("bottleneck", "groups"), [(8, 3), (10, 5)])
def test_groups_that_do_not_fit_are_refused(tiny_vit, bottleneck, groups):
    """They divide the bottleneck and the width."""
    with pytest.raises(
        BadInput, match=f"groups: expected a divisor of the bottleneck {bottleneck} and .* got {groups}"
    ):
        RepAdapter(tiny_vit, 3, bottleneck=bottleneck, groups=groups)
