"""Frozen weights that are rounded once. That no bit changes is in the contract of methods."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ship.errors import BadInput
from ship.methods import build
from ship.methods.rounding import rounded

BF16 = torch.autocast("cpu", torch.bfloat16)


class Casts(TorchDispatchMode):
    """Counts the matrices that a pass casts."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += function is torch.ops.aten._to_copy.default and args[0].ndim == 2
        return function(*args, **(kwargs or {}))


@pytest.fixture
def model(tiny_vit):
    """A method in which only layers of its own and the head are tuned."""
    return build("adapter_plus", tiny_vit, 3, {"rank": 2}, {}).train()


def test_no_frozen_matrix_is_cast(model):
    """Within, a pass casts what is tuned alone; without, each of the four matrices of a block beside it."""
    counts = []
    for autocast in (torch.autocast("cpu", enabled=False), BF16):
        with rounded(model, autocast), BF16, Casts() as casts:
            model(torch.randn(2, 3, 16, 16))
        counts.append(casts.count)
    assert counts[0] - counts[1] == 4 * len(model.vit.blocks)


def test_weights_come_back(model):
    """Afterwards every tensor is the same one with the same numbers, after an error and one within the other too."""
    before = {name: (p, p.data_ptr(), p.clone()) for name, p in model.named_parameters()}
    with pytest.raises(BadInput), rounded(model, BF16):
        with rounded(model, BF16):
            assert model.vit.blocks[0].mlp.fc1.weight.dtype == torch.bfloat16
        assert model.vit.blocks[0].mlp.fc1.weight.dtype == torch.bfloat16
        assert model.head.weight.dtype == torch.float32
        raise BadInput("as training may")
    for name, p in model.named_parameters():
        assert (p, p.data_ptr()) == before[name][:2]
        torch.testing.assert_close(p, before[name][2], rtol=0, atol=0)


def test_weights_that_a_method_reads_are_exact(tiny_vit):
    """DoRA's magnitude is that of the weight with its update."""
    model = build("lora", tiny_vit, 3, {"rank": 2, "dora": True}, {})
    with rounded(model, BF16):
        assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
