"""CVPT equals the authors' implementation; its positions differ; what is folded changes nothing."""

import copy

import oracle
import pytest
import torch
import torch.nn.functional as F
from timm.models.vision_transformer import VisionTransformer

from ship.errors import BadInput
from ship.methods.base import tuned_parameters
from ship.methods.cvpt import CVPT, cross_attention
from ship.models.attention import attend
from ship.models.vit import embed, pool, project_kv, project_out, project_q


def test_golden():
    """Logits and loss within 2e-5, gradients within 1e-4 relative, float32."""
    config, vit, tensors = oracle.read("cvpt_a")
    model = CVPT(vit, config["num_classes"], prompt_length=config["prompt_length"], dropout=0.0)
    tuned = oracle.put_tuned(model, tensors)
    assert set(tuned) == set(tuned_parameters(model))

    logits = model.train()(oracle.images(tensors)).logits
    loss = F.cross_entropy(logits, tensors["labels"])
    loss.backward()

    oracle.check_close(logits, tensors["expect.logits"])
    oracle.check_close(loss, tensors["expect.loss"])
    oracle.check_gradients(model, tuned, tensors)


def test_queries_that_are_normed_meet_the_keys_afterwards():
    """What is folded does not pass a norm that stands between."""
    vit = VisionTransformer(img_size=16, patch_size=4, embed_dim=24, depth=2, num_heads=3, qk_norm=True)
    model, z = CVPT(vit, 3, prompt_length=4).eval(), torch.randn(2, 17, 24)
    for block, own, prompts in zip(vit.blocks, model.fold(), model.prompts, strict=True):
        plain = project_out(block, attend(project_q(block, z), *project_kv(block, prompts[None])))
        torch.testing.assert_close(cross_attention(block, z, own), plain)


def cross(block, z, prompts):
    """Cross-attention with torch's own multi-head attention, on a second copy of the block's weights."""
    own = block.attn
    attention = torch.nn.MultiheadAttention(z.shape[-1], own.num_heads, batch_first=True)
    names = ("in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias")
    copied = (own.qkv.weight, own.qkv.bias, own.proj.weight, own.proj.bias)
    attention.load_state_dict(dict(zip(names, copied, strict=True)))
    prompts = prompts.expand(len(z), -1, -1)
    return attention(z, prompts, prompts, need_weights=False)[0]


PLAIN = {
    1: lambda sa, mlp, ca, z: mlp(sa(z + ca(z))),
    2: lambda sa, mlp, ca, z: mlp(sa(z) + ca(z)),
    3: lambda sa, mlp, ca, z: mlp(sa(z) + ca(sa(z))),
    4: lambda sa, mlp, ca, z: mlp(sa(z)) + ca(sa(z)),
    5: lambda sa, mlp, ca, z: mlp(sa(z)) + ca(mlp(sa(z))),
}


@pytest.mark.parametrize("length", [4, 12])  # fewer prompts than channels of a head, and more: two ways to compute
@pytest.mark.parametrize("position", PLAIN)
def test_a_position_is_the_figure_written_out(tiny_vit, position, length):
    """Each of the five places equals its formula, with torch's multi-head attention for CA."""
    model = CVPT(copy.deepcopy(tiny_vit), 3, prompt_length=length, position=position).eval()
    images = torch.randn(2, 3, 16, 16)
    z = embed(tiny_vit, images)
    for block, prompts in zip(tiny_vit.blocks, model.prompts, strict=True):
        z = PLAIN[position](
            lambda z, b=block: z + b.attn(b.norm1(z)),
            lambda z, b=block: z + b.mlp(b.norm2(z)),
            lambda z, b=block, p=prompts: cross(b, z, p),
            z,
        )
    torch.testing.assert_close(model(images).logits, model.head(pool(model.vit, z)))


@pytest.mark.parametrize("length", [4, 9])
@pytest.mark.parametrize("position", PLAIN)
def test_folding_takes_the_cheaper_form(tiny_vit, position, length):
    """Up to D / H prompts become two layers of H P; more stay keys and values. The logits are the same."""
    model = CVPT(tiny_vit, 3, prompt_length=length, position=position).eval()
    images, folded = torch.randn(2, 3, 16, 16), model.fold()
    heads = tiny_vit.blocks[0].attn.num_heads
    assert next(part.shape for part in folded[0]) == ((heads * 4, 24) if length == 4 else (1, heads, 9, 24 // heads))
    with torch.no_grad():
        torch.testing.assert_close(model(images, folded).logits, model(images).logits, rtol=0, atol=1e-5)


def test_weights_are_shared_not_copied(tiny_vit):
    """The model holds the backbone's tensors, the prompts and the head, and nothing else."""
    backbone = sum(p.numel() for name, p in tiny_vit.named_parameters() if not name.startswith("head."))
    model = CVPT(tiny_vit, 3, prompt_length=4)
    assert sum(p.numel() for p in model.parameters()) == backbone + 4 * 4 * 24 + 24 * 3 + 3


def test_an_unknown_position_is_refused(tiny_vit):
    """There are five."""
    with pytest.raises(BadInput, match="cvpt: position: expected 1, 2, 3, 4 or 5, got 6"):
        CVPT(tiny_vit, 3, position=6)
