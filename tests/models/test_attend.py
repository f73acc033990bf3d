"""Attention is softmax(q k^T / sqrt(d)) v, in whatever way it is computed."""

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from ship.models.attention import FEW, LONG, attend, by_products


def exact(q, k, v):
    """In the precision of its parts, as the formula has it."""
    gathered = (q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).softmax(dim=-1) @ v
    return gathered.transpose(1, 2).flatten(2)


def parts(keys, images=2):
    """Queries of two images; keys and values of as many, or of one for both."""
    torch.manual_seed(0)
    shapes = [(2, 3, 5, 8), (images, 3, keys, 8), (images, 3, keys, 8)]
    return [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]


@pytest.mark.parametrize("images", [1, 2])
@pytest.mark.parametrize("keys", [1, 9, FEW, LONG])
def test_attention_is_the_formula(keys, images):
    """In float64 it is, forwards and back, of few keys and of many, also where a second way back is asked for."""
    own = parts(keys, images)
    found, wanted = attend(*own), exact(*own)
    torch.testing.assert_close(found, wanted)
    for again in (True, False):
        slopes = (torch.autograd.grad(value.square().sum(), own, create_graph=again) for value in (found, wanted))
        torch.testing.assert_close(*slopes)


@pytest.mark.parametrize("amx", [True, False])
@pytest.mark.parametrize("images", [1, 2])
@pytest.mark.parametrize("keys", [9, FEW, LONG])
def test_attention_in_bf16_is_that_of_float64_but_for_rounding(monkeypatch, keys, images, amx):
    """Forwards and back, under autocast; fused and written out, as there is a way back and AMX."""
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    own = parts(keys, images)
    wanted = exact(*own)
    slopes = torch.autograd.grad(wanted.square().sum(), own)
    rounded = [part.detach().bfloat16().requires_grad_() for part in own]
    with torch.autocast("cpu", torch.bfloat16):
        found = attend(*rounded)
    assert found.shape == (2, 5, 24)
    torch.testing.assert_close(found.double(), wanted, rtol=0.05, atol=0.03)
    with torch.autocast("cpu", torch.bfloat16), torch.inference_mode():
        torch.testing.assert_close(attend(*rounded).double(), wanted, rtol=0.05, atol=0.03)
    for mine, theirs in zip(torch.autograd.grad(found.float().square().sum(), rounded), slopes, strict=True):
        torch.testing.assert_close(mine.double(), theirs, rtol=0.05, atol=0.1)


@pytest.mark.parametrize("keys", [9, FEW])
@pytest.mark.parametrize("way", [attend, by_products])
def test_a_second_derivative_is_right(keys, way):
    """As numbers have it, for who penalises gradients or asks for curvature; PyTorch's kernels have none but this."""
    own = [part.detach()[:1, :1, :, :3].double().requires_grad_() for part in parts(keys)]
    with sdpa_kernel(SDPBackend.MATH):
        assert torch.autograd.gradgradcheck(way, own)


@pytest.mark.parametrize("keys", [9, FEW])
@pytest.mark.parametrize("frozen", [[0], [1], [2], [0, 1], [1, 2]])
def test_what_wants_no_gradient_gets_none(frozen, keys):
    """In the form of two products."""
    own = [part.detach().bfloat16().requires_grad_(place not in frozen) for place, part in enumerate(parts(keys))]
    with torch.autocast("cpu", torch.bfloat16):
        attend(*own).float().sum().backward()
    assert [place for place, part in enumerate(own) if part.grad is None] == frozen
