"""LoRA and its relatives change the projections that they name, by their formulas."""

import copy

import pytest
import torch

from ship.errors import BadInput
from ship.methods.base import tuned_parameters
from ship.methods.lora import OFT, LoRA, VeRA


def randomised(model):
    """The model with random tuned tensors, for evaluation."""
    with torch.no_grad():
        for parameter in tuned_parameters(model).values():
            parameter.normal_()
    return model.eval()


def test_the_update_is_the_scaled_product(tiny_vit):
    """W + alpha / rank B A for queries and values; keys stay."""
    before = copy.deepcopy(tiny_vit)
    model = randomised(LoRA(tiny_vit, 3, rank=2, alpha=6.0))
    merged = model.merged()
    for old, own, new in zip(before.blocks, model.vit.blocks, merged.blocks, strict=True):
        q, k, v = (new.attn.qkv.weight - old.attn.qkv.weight).chunk(3)
        for part, change in ((own.attn.qkv.q, q), (own.attn.qkv.v, v)):
            torch.testing.assert_close(change, 3 * part.lora_B["default"].weight @ part.lora_A["default"].weight)
        assert not k.any()


@pytest.mark.parametrize("kind", [LoRA, VeRA, OFT])
def test_tokens_are_not_cast_to_float32_and_back(tiny_vit, kind):
    """In bf16 that gives the same bits, logits and gradients, and costs two copies."""
    model, images = randomised(kind(tiny_vit, 3)), torch.randn(2, 3, 16, 16)
    found = []
    for casts in (False, True):
        for layer in model.modules():
            if hasattr(layer, "cast_input_dtype_enabled"):
                assert found or not layer.cast_input_dtype_enabled
                layer.cast_input_dtype_enabled = casts
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = model(images).logits
        found.append([logits, *torch.autograd.grad(logits.float().square().sum(), [*tuned_parameters(model).values()])])
    assert all(torch.equal(*pair) for pair in zip(*found, strict=True))


def test_dora_has_a_magnitude_of_each_output(tiny_vit):
    """Rows of W + B A have the length that is tuned."""
    before = copy.deepcopy(tiny_vit)
    model = randomised(LoRA(tiny_vit, 3, rank=2, alpha=2.0, dora=True))
    for old, own, new in zip(before.blocks, model.vit.blocks, model.merged().blocks, strict=True):
        (old_q, _, _), (new_q, _, _) = old.attn.qkv.weight.chunk(3), new.attn.qkv.weight.chunk(3)
        part = own.attn.qkv.q
        changed = old_q + part.lora_B["default"].weight @ part.lora_A["default"].weight
        magnitude = part.lora_magnitude_vector["default"].weight
        torch.testing.assert_close(new_q, magnitude[:, None] * changed / changed.norm(dim=1, keepdim=True))


def test_vera_scales_the_same_random_matrices(tiny_vit):
    """W + diag(b) B diag(d) A for queries and values, with A and B of all layers and models the same; keys stay."""
    before = copy.deepcopy(tiny_vit)
    shared = VeRA(copy.deepcopy(tiny_vit), 3, rank=5).vit.blocks[0].attn.qkv.q
    model = randomised(VeRA(tiny_vit, 3, rank=5))
    for old, own, new in zip(before.blocks, model.vit.blocks, model.merged().blocks, strict=True):
        q, k, v = (new.attn.qkv.weight - old.attn.qkv.weight).chunk(3)
        for part, change in ((own.attn.qkv.q, q), (own.attn.qkv.v, v)):
            left, right = part.vera_lambda_b["default"], part.vera_lambda_d["default"]
            product = left[:, None] * shared.vera_B["default"] @ (right[:, None] * shared.vera_A["default"])
            torch.testing.assert_close(change, product, rtol=1e-4, atol=1e-5)
        assert not k.any()


def test_the_matrices_of_vera_stay_what_they_are(tiny_vit):
    """A checkpoint has the scales alone: with other matrices it would mean another model."""
    part = VeRA(tiny_vit, 3, rank=5).vit.blocks[0].attn.qkv.q
    torch.testing.assert_close(part.vera_A["default"][0, :3], torch.tensor([-0.0037434, 0.2682218, -0.4115226]))
    torch.testing.assert_close(part.vera_B["default"][0, :3], torch.tensor([0.4298837, 0.0656173, -0.5344992]))


def test_oft_turns_and_does_not_stretch(tiny_vit):
    """Every projection changes, and the inner products of its rows do not."""
    before = copy.deepcopy(tiny_vit)
    model = randomised(OFT(tiny_vit, 3, block_size=4))
    for old, new in zip(before.blocks, model.merged().blocks, strict=True):
        for was, now in ((old.attn.qkv, new.attn.qkv), (old.attn.proj, new.attn.proj)):
            assert not torch.allclose(was.weight, now.weight)
            for old_part, part in zip(was.weight.split(24), now.weight.split(24), strict=True):
                torch.testing.assert_close(part @ part.T, old_part @ old_part.T, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [1, 7])
def test_oft_refuses_blocks_that_do_not_fit(tiny_vit, size):
    """Blocks of one channel have nothing to turn; all blocks are as wide."""
    with pytest.raises(BadInput, match=f"oft: block_size: expected a divisor of the width 24 and .* got {size}"):
        OFT(tiny_vit, 3, block_size=size)


def test_the_backbone_is_not_copied(tiny_vit):
    """The parts of the projection are views of its one tensor."""
    storage = tiny_vit.blocks[0].attn.qkv.weight.data_ptr()
    model = LoRA(tiny_vit, 3)
    assert model.vit.blocks[0].attn.qkv.q.get_base_layer().weight.data_ptr() == storage
