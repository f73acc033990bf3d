"""LoRA changes queries and values alone, by the product of its two matrices."""

import copy

import torch

from ship.methods.base import tuned_parameters
from ship.methods.lora import LoRA


def test_the_update_is_the_scaled_product(tiny_vit):
    """W + alpha / rank B A for queries and values; keys stay."""
    before = copy.deepcopy(tiny_vit)
    model = LoRA(tiny_vit, 3, rank=2, alpha=6.0).eval()
    with torch.no_grad():
        for parameter in tuned_parameters(model).values():
            parameter.normal_()
        merged = model.merged()
    for old, own, new in zip(before.blocks, model.vit.blocks, merged.blocks, strict=True):
        q, k, v = (new.attn.qkv.weight - old.attn.qkv.weight).chunk(3)
        for part, change in ((own.attn.qkv.q, q), (own.attn.qkv.v, v)):
            torch.testing.assert_close(change, 3 * part.lora_B["default"].weight @ part.lora_A["default"].weight)
        assert not k.any()


def test_the_backbone_is_not_copied(tiny_vit):
    """The parts of the projection are views of its one tensor."""
    storage = tiny_vit.blocks[0].attn.qkv.weight.data_ptr()
    model = LoRA(tiny_vit, 3)
    assert model.vit.blocks[0].attn.qkv.q.get_base_layer().weight.data_ptr() == storage
