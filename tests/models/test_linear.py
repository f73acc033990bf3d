"""Linear layers give what PyTorch's give, whoever multiplies."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ship.models import linear
from ship.models.linear import Linear, multiply, swap

onednn = pytest.mark.skipif(not linear.AVX512, reason="needs a CPU with AVX-512")


def parts(dtype, bias=True):
    """Tokens, weight and bias, all of which want a gradient."""
    torch.manual_seed(0)
    shapes = [(2, 5, 24), (16, 24), (16,)][: 3 if bias else 2]
    return [torch.randn(shape, dtype=torch.float64).to(dtype).requires_grad_() for shape in shapes]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5), (torch.bfloat16, 4e-2)]
)
def test_values_and_gradients_are_those_of_float64(dtype, tolerance, bias):
    """Of tokens, weight and bias, also where the gradient that comes is not contiguous."""
    own = parts(dtype, bias)
    exact = [part.detach().double().requires_grad_() for part in own]
    found, wanted = multiply(*own), F.linear(*exact)
    assert found.dtype == dtype
    torch.testing.assert_close(found.double(), wanted, rtol=tolerance, atol=tolerance)
    slope = torch.randn(5, 2, 16, dtype=torch.float64).to(dtype).transpose(0, 1)
    pairs = zip(torch.autograd.grad(found, own, slope), torch.autograd.grad(wanted, exact, slope.double()), strict=True)
    for mine, theirs in pairs:
        torch.testing.assert_close(mine.double(), theirs, rtol=tolerance, atol=10 * tolerance)


@pytest.mark.parametrize("frozen", [[0], [1], [2], [0, 1], [1, 2]])
def test_what_is_frozen_gets_no_gradient(frozen):
    """And the others get theirs."""
    own = parts(torch.float32)
    for place in frozen:
        own[place].requires_grad_(False)
    multiply(*own).sum().backward()
    assert [place for place, part in enumerate(own) if part.grad is None] == frozen


def test_autocast_rounds_as_it_does():
    """Values and gradients are PyTorch's under autocast: tokens and weights rounded, tuned tensors in float32."""
    own, theirs = parts(torch.float32), parts(torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, wanted = multiply(*own), F.linear(*theirs)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found, wanted, rtol=1e-2, atol=1e-2)
    found.float().sum().backward()
    wanted.float().sum().backward()
    for mine, other in zip(own, theirs, strict=True):
        assert mine.grad.dtype == torch.float32
        torch.testing.assert_close(mine.grad, other.grad, rtol=2e-2, atol=2e-2)


def test_no_tokens_give_none():
    """Prompts may be of length 0."""
    x, weight, bias = parts(torch.float32)
    found = multiply(x[:, :0], weight, bias)
    assert found.shape == (2, 0, 16)
    found.sum().backward()
    assert not weight.grad.any()


@onednn
def test_an_exported_program_has_no_operation_of_one_library():
    """It runs wherever PyTorch or ONNX does."""
    layer = nn.Sequential(nn.Linear(24, 16))
    swap(layer, nn.Linear, Linear)
    program = torch.export.export(layer, (torch.randn(2, 24),))
    assert "mkldnn" not in str(program.graph)


def test_layers_are_swapped_with_their_tensors():
    """Those of exactly the one type; and back."""
    layers = nn.Sequential(nn.Linear(4, 4), nn.GELU(), nn.Sequential(nn.Linear(4, 2)))
    before = {name: id(tensor) for name, tensor in layers.named_parameters()}
    swap(layers, nn.Linear, Linear)
    assert [type(layers[0]), type(layers[2][0])] == [Linear, Linear]
    assert {name: id(tensor) for name, tensor in layers.named_parameters()} == before
    swap(layers, Linear, nn.Linear)
    assert [type(layers[0]), type(layers[2][0])] == [nn.Linear, nn.Linear]


def test_a_second_derivative_is_that_of_torch():
    """The way back of oneDNN's product has none, so it is another product then."""
    x, weight, bias = (torch.randn(*shape, requires_grad=True) for shape in ((3, 5, 8), (6, 8), (6,)))

    def curvature(product):
        slopes = torch.autograd.grad(product(x, weight, bias).tanh().square().sum(), (x, weight), create_graph=True)
        return torch.autograd.grad(sum(slope.square().sum() for slope in slopes), (x, weight, bias))

    for mine, theirs in zip(curvature(multiply), curvature(F.linear), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)
