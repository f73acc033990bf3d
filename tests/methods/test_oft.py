"""OFT turns the frozen projections, as Hugging Face `peft` does."""

import copy

import pytest
import torch
from peft import OFTConfig, get_peft_model
from torch import nn

from ship.errors import BadInput
from ship.methods.oft import OFT, Turned


def test_outputs_and_gradients_are_those_of_peft():
    """One matrix in float64, and a layer of three is three of them."""
    frozen = nn.Linear(12, 12).double().requires_grad_(False)
    own, model = Turned(frozen, 4).double(), nn.Sequential(copy.deepcopy(frozen))
    get_peft_model(model, OFTConfig(oft_block_size=4, use_cayley_neumann=False, target_modules=["0"]))
    (other,) = (p for p in model.double().parameters() if p.requires_grad)
    nn.init.normal_(own.skew)
    other.data = own.skew.detach()[0].clone()
    tokens = torch.randn(2, 5, 12, dtype=torch.float64)
    found, expected = own(tokens), model(tokens)
    torch.testing.assert_close(found, expected)
    weight = torch.randn_like(found)
    (found * weight).sum().backward()
    (expected * weight).sum().backward()
    torch.testing.assert_close(own.skew.grad[0], other.grad)

    wide = nn.Linear(12, 36).double().requires_grad_(False)
    three = Turned(wide, 4).double()
    nn.init.normal_(three.skew)
    for number, part in enumerate(three(tokens).chunk(3, -1)):
        one = nn.Linear(12, 12).double().requires_grad_(False)
        one.weight.data, one.bias.data = wide.weight.chunk(3)[number], wide.bias.chunk(3)[number]
        alone = Turned(one, 4).double()
        alone.skew.data = three.skew.data[number : number + 1]
        torch.testing.assert_close(part, alone(tokens))


def test_oft_turns_and_does_not_stretch(tiny_vit):
    """Every projection changes, and the inner products of its rows do not."""
    before = copy.deepcopy(tiny_vit)
    model = OFT(tiny_vit, 3, block_size=4)
    for name, parameter in model.named_parameters():
        if name.endswith("skew"):
            nn.init.normal_(parameter)
    for old, new in zip(before.blocks, model.merged().blocks, strict=True):
        for was, now in ((old.attn.qkv, new.attn.qkv), (old.attn.proj, new.attn.proj)):
            for old_part, part in zip(was.weight.split(24), now.weight.split(24), strict=True):
                assert not torch.allclose(part, old_part)
                torch.testing.assert_close(part @ part.T, old_part @ old_part.T, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [1, 7])
def test_oft_refuses_blocks_that_do_not_fit(tiny_vit, size):
    """Blocks of one channel have nothing to turn; all blocks are as wide."""
    with pytest.raises(BadInput, match=f"oft: block_size: expected a divisor of the width 24 and .* got {size}"):
        OFT(tiny_vit, 3, block_size=size)
