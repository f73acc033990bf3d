"""Layer norms are timm's, but on a GPU in autocast's precision."""

import copy

import pytest
import torch
from timm import layers
from torch import nn

from ship.models.linear import swap
from ship.models.norm import LayerNorm


@pytest.fixture
def pair():
    """A layer norm whose scale and shift are not those of its start, and ours with the same tensors."""
    torch.manual_seed(0)
    plain = layers.LayerNorm(24)
    nn.init.normal_(plain.weight)
    nn.init.normal_(plain.bias)
    own = nn.Sequential(copy.copy(plain))
    swap(own, layers.LayerNorm, LayerNorm)
    return plain, own[0]


@pytest.mark.parametrize("enabled", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_on_a_cpu_it_gives_the_same_bits(pair, dtype, enabled):
    """Of tokens in both precisions, under autocast and without."""
    tokens = torch.randn(2, 5, 24).to(dtype)
    with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
        plain, own = (norm(tokens) for norm in pair)
    assert isinstance(pair[1], LayerNorm)
    assert torch.equal(plain, own)
    assert plain.dtype == own.dtype


@pytest.mark.gpu
def test_on_a_gpu_tokens_stay_in_bf16(pair):
    """Under autocast the norm rounds once; what it gives back is near float64's, and its tensors get gradients."""
    exact, own = copy.deepcopy(pair[0]).double(), pair[1].cuda()
    tokens = torch.randn(64, 5, 24).to(torch.bfloat16)
    ours, theirs = tokens.cuda().requires_grad_(), tokens.double().requires_grad_()
    with torch.autocast("cuda", torch.bfloat16):
        found = own(ours)
    wanted = exact(theirs)
    assert found.dtype == torch.bfloat16
    slope = torch.randn_like(wanted)
    grads = torch.autograd.grad(found, [ours, own.weight, own.bias], slope.to("cuda", torch.bfloat16))
    for mine, other in zip(
        (found, *grads), (wanted, *torch.autograd.grad(wanted, [theirs, *exact.parameters()], slope)), strict=True
    ):
        assert (mine.double().cpu() - other).norm() < 1e-2 * other.norm()
