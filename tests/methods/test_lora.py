"""LoRA and its relatives change queries and values by their formulas, as Hugging Face `peft` computes them."""

import copy
import math

import pytest
import torch
from peft import LoraConfig, VeraConfig, get_peft_model
from torch import nn
from torch.func import functional_call

from ship.methods.base import tuned_parameters
from ship.methods.lora import DoRALayer, Fixed, LoRA, LoRALayer, VeRA, VeRALayer, _Sum
from ship.models.noise import Noise

WIDTH, RANK = 24, 4


class Apart(nn.Module):
    """Queries, keys and values (..., 3 D) by a layer each, which `peft` can wrap."""

    def __init__(self, qkv):
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(WIDTH, WIDTH).double() for _ in range(3))
        with torch.no_grad():
            for part, weight, bias in zip(
                (self.q, self.k, self.v), qkv.weight.chunk(3), qkv.bias.chunk(3), strict=True
            ):
                part.weight.copy_(weight)
                part.bias.copy_(bias)

    def forward(self, h):
        return torch.cat([self.q(h), self.k(h), self.v(h)], dim=-1)


def by_peft(qkv, settings):
    """Its model of the same frozen layer, with the layers of queries and of values."""
    model = Apart(qkv)
    get_peft_model(model, settings)
    return model, (model.q, model.v)


def lora_of_peft(qkv, own, **options):
    settings = LoraConfig(r=RANK, lora_alpha=6.0, target_modules=["q", "v"], **options)
    model, parts = by_peft(qkv, settings)
    pairs = []
    for number, part in enumerate(parts):
        pairs += [(part.lora_A["default"].weight, own.a, number), (part.lora_B["default"].weight, own.b, number)]
        if options:
            lengths = part.lora_magnitude_vector["default"].weight
            torch.testing.assert_close(lengths.double(), own.length.chunk(2)[number].detach())  # as both start
            pairs.append((lengths, own.length.unflatten(0, (2, -1)), number))
    return model, pairs


def vera_of_peft(qkv, own):
    settings = VeraConfig(r=RANK, projection_prng_key=0, target_modules=["q", "v"])
    model, parts = by_peft(qkv, settings)
    pairs = []
    for number, part in enumerate(parts):
        torch.testing.assert_close(part.vera_A["default"].double(), own.fixed.a)
        torch.testing.assert_close(part.vera_B["default"].double(), own.fixed.b)
        pairs += [(part.vera_lambda_d["default"], own.d.unflatten(0, (2, -1)), number)]
        pairs += [(part.vera_lambda_b["default"], own.b.unflatten(0, (2, -1)), number)]
    return model, pairs


CASES = {
    "lora": (lambda qkv: LoRALayer(qkv, Noise(), RANK, 6.0 / RANK, 0.0), lora_of_peft),
    "dora": (
        lambda qkv: DoRALayer(qkv, Noise(), RANK, 6.0 / RANK, 0.0),
        lambda qkv, own: lora_of_peft(qkv, own, use_dora=True),
    ),
    "vera": (lambda qkv: VeRALayer(qkv, Noise(), Fixed(WIDTH, RANK), 0.1, 0.0), vera_of_peft),
}


@pytest.mark.parametrize("case", CASES)
def test_outputs_and_gradients_are_those_of_peft(case):
    """In float64, with the same random numbers in every tuned tensor."""
    ours, theirs = CASES[case]
    qkv = nn.Linear(WIDTH, 3 * WIDTH).double().requires_grad_(False)
    own = ours(qkv).double()
    model, pairs = theirs(qkv, own)
    model.double()
    with torch.no_grad():
        for tuned in own.parameters():
            if tuned.requires_grad:
                tuned.add_(torch.randn_like(tuned))
        for other, tuned, number in pairs:
            other.data = tuned[number].clone()
    tokens = torch.randn(2, 5, WIDTH, dtype=torch.float64, requires_grad=True)
    found, expected = own(tokens), model(tokens)
    torch.testing.assert_close(found, expected)
    weight = torch.randn_like(found)
    (here,) = torch.autograd.grad((found * weight).sum(), tokens, retain_graph=True)
    (there,) = torch.autograd.grad((expected * weight).sum(), tokens, retain_graph=True)
    torch.testing.assert_close(here, there)
    (found * weight).sum().backward()
    (expected * weight).sum().backward()
    gradients = {id(tuned): tuned.grad for tuned in own.parameters()}
    for other, tuned, number in pairs:
        base = tuned if tuned._base is None else tuned._base
        torch.testing.assert_close(other.grad, gradients[id(base)].view_as(tuned)[number])


def test_the_way_back_is_that_of_the_sum():
    """`_Sum` by finite differences, and the keys and the frozen tensors have no gradient."""
    x, low = torch.randn(2, 3, 4, dtype=torch.float64), torch.randn(2, 3, 4, dtype=torch.float64)
    weight, bias = torch.randn(12, 4, dtype=torch.float64), torch.randn(12, dtype=torch.float64)
    b = torch.randn(2, 4, 2, dtype=torch.float64)
    for tensor in (x, low, b):
        tensor.requires_grad_()
    assert torch.autograd.gradcheck(lambda x, low, b: _Sum.apply(x, weight, bias, low, b), (x, low, b))


@pytest.mark.parametrize("dora", [False, True])
def test_a_program_has_the_same_numbers(tiny_vit, dora):
    """`torch.export` knows no sums in place; it takes the changed weights."""
    model, images = randomised(LoRA(tiny_vit, 3, rank=2, dora=dora)), torch.randn(2, 3, 16, 16)
    program = torch.export.export(model, (images,)).module()
    torch.testing.assert_close(program(images).logits, model(images).logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dora", [False, True])
def test_dropout_acts_on_what_the_matrices_read(tiny_vit, dora):
    """In training alone; the frozen layer reads all tokens."""
    model = LoRA(tiny_vit, 3, rank=2, dropout=0.5, dora=dora)
    layer, tokens = model.vit.blocks[0].attn.qkv, torch.randn(2, 5, WIDTH)
    assert torch.equal(layer.train()(tokens), layer.train()(tokens))  # B is 0
    nn.init.normal_(layer.b)
    assert not torch.equal(layer(tokens), layer(tokens))
    keys = layer(tokens).chunk(3, -1)[1]
    torch.testing.assert_close(keys, layer.frozen(tokens).chunk(3, -1)[1])
    torch.testing.assert_close(layer.eval()(tokens), copy.deepcopy(layer).folded()(tokens), rtol=1e-4, atol=1e-5)


def test_the_update_is_the_scaled_product(tiny_vit):
    """W + alpha / rank B A for queries and values; keys stay."""
    before = copy.deepcopy(tiny_vit)
    model = randomised(LoRA(tiny_vit, 3, rank=2, alpha=6.0))
    for old, own, new in zip(before.blocks, model.vit.blocks, model.merged().blocks, strict=True):
        q, k, v = (new.attn.qkv.weight - old.attn.qkv.weight).chunk(3)
        for number, change in enumerate((q, v)):
            torch.testing.assert_close(
                change, 3 * own.attn.qkv.b[number] @ own.attn.qkv.a[number], rtol=1e-4, atol=1e-5
            )
        assert not k.any()


def test_rows_of_dora_have_the_lengths_that_are_tuned(tiny_vit):
    """Queries and values; keys stay."""
    before = copy.deepcopy(tiny_vit)
    model = randomised(LoRA(tiny_vit, 3, rank=2, dora=True))
    for old, own, new in zip(before.blocks, model.vit.blocks, model.merged().blocks, strict=True):
        q, k, v = new.attn.qkv.weight.chunk(3)
        lengths = torch.cat([q.norm(dim=1), v.norm(dim=1)])
        torch.testing.assert_close(lengths, own.attn.qkv.length.abs(), rtol=1e-4, atol=1e-5)
        assert torch.equal(k, old.attn.qkv.weight.chunk(3)[1])


def test_lora_starts_within_its_bound(tiny_vit):
    """A is uniform within 1 / sqrt(D)."""
    a = torch.stack([block.attn.qkv.a for block in LoRA(tiny_vit, 3, rank=20).vit.blocks])
    assert a.abs().max() <= 1 / math.sqrt(WIDTH)
    assert a.std().item() == pytest.approx(1 / math.sqrt(3 * WIDTH), rel=0.05)


def test_the_matrices_of_vera_stay_what_they_are(tiny_vit):
    """A checkpoint has the scales alone: with other matrices it would mean another model."""
    first, *others = (block.attn.qkv.fixed for block in VeRA(tiny_vit, 3, rank=5).vit.blocks)
    torch.testing.assert_close(first.a[0, :3], torch.tensor([-0.0037434, 0.2682218, -0.4115226]))
    torch.testing.assert_close(first.b[0, :3], torch.tensor([0.4298837, 0.0656173, -0.5344992]))
    assert all(other is first for other in others)


def test_the_backbone_is_not_copied(tiny_vit):
    """The frozen layer is the backbone's own."""
    qkv = tiny_vit.blocks[0].attn.qkv
    assert LoRA(tiny_vit, 3).vit.blocks[0].attn.qkv.frozen is qkv


def randomised(model):
    """The model with random tuned tensors, for evaluation."""
    with torch.no_grad():
        for parameter in tuned_parameters(model).values():
            parameter.normal_()
    return model.eval()


@pytest.mark.parametrize("kind", [LoRALayer, DoRALayer])
def test_who_unfreezes_the_layer_trains_it(kind):
    """Its weight and bias get the gradients of the sum that is computed."""
    layer = kind(nn.Linear(8, 24), Noise(), rank=2, scale=0.5, dropout=0.0)
    nn.init.normal_(layer.b)
    layer.requires_grad_()
    tokens = torch.randn(3, 5, 8)
    plain = functional_call(nn.Linear(8, 24), {"weight": layer._weight(), "bias": layer.frozen.bias}, tokens)
    wanted = torch.autograd.grad(plain.square().sum(), [layer.frozen.weight, layer.frozen.bias, layer.a, layer.b])
    found = torch.autograd.grad(
        layer(tokens).square().sum(), [layer.frozen.weight, layer.frozen.bias, layer.a, layer.b]
    )
    for mine, theirs in zip(found[1:], wanted[1:], strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)
    if kind is LoRALayer:  # DoRA's lengths are a constant on the way back of the weight, as in the paper
        torch.testing.assert_close(found[0], wanted[0], rtol=1e-4, atol=1e-4)
