"""CVPT equals the authors' implementation, and its cheap cross-attention equals the plain one."""

import copy
import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open
from timm.models.vision_transformer import VisionTransformer

from ship.errors import BadInput
from ship.methods.cvpt import CVPT, POSITIONS
from ship.models.vit import cross_attend, embed, pool, project_qkv

GOLDEN = Path(__file__).parents[1] / "golden/cvpt_a.safetensors"


def test_golden():
    """Logits and loss within 2e-5, gradients within 1e-4 relative, float32."""
    with safe_open(GOLDEN, "pt") as file:
        config = json.loads(file.metadata()["config"])
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    sizes = {key: config[key] for key in ("img_size", "patch_size", "embed_dim", "depth", "num_heads")}
    vit = VisionTransformer(**sizes, num_classes=0)
    vit.load_state_dict({k.removeprefix("backbone."): v for k, v in tensors.items() if k.startswith("backbone.")})
    model = CVPT(vit, config["num_classes"], prompt_length=config["prompt_length"], dropout=0.0)
    tuned = {k.removeprefix("tuned."): v for k, v in tensors.items() if k.startswith("tuned.")}
    assert model.load_state_dict(tuned, strict=False).unexpected_keys == []

    logits = model.train()((tensors["images"].float() / 255 - 0.5) / 0.5).logits
    loss = F.cross_entropy(logits, tensors["labels"])
    loss.backward()

    torch.testing.assert_close(logits, tensors["expect.logits"], rtol=0, atol=2e-5)
    torch.testing.assert_close(loss, tensors["expect.loss"], rtol=0, atol=2e-5)
    for key in tuned:
        expected, got = tensors[f"expect.grad.{key}"], model.get_parameter(key).grad
        assert (got - expected).norm() <= 1e-4 * expected.norm(), key


@pytest.mark.parametrize("bias", [True, False])
def test_cross_attention_is_the_plain_one(bias):
    """Equals queries, keys and values taken from whole projections, softmax and all, in float64."""
    vit = VisionTransformer(img_size=16, patch_size=4, embed_dim=24, depth=1, num_heads=3, qkv_bias=bias).double()
    block, z, p = vit.blocks[0], torch.randn(2, 5, 24).double(), torch.randn(1, 4, 24).double()
    q, k, v = project_qkv(block, z).q, project_qkv(block, p).k, project_qkv(block, p).v
    plain = (q @ k.transpose(-2, -1) / 8**0.5).softmax(-1) @ v
    torch.testing.assert_close(cross_attend(block, z, p), block.attn.proj(plain.transpose(1, 2).flatten(2)))


def by_hand(model, images, position):
    """The forward of one position, written out."""
    z = embed(model.vit, images)
    for block, prompt in zip(model.vit.blocks, model.prompts, strict=True):

        def read(tokens, block=block, prompt=prompt):
            return cross_attend(block, tokens, prompt[None])

        def attention(tokens, block=block):
            return block.attn(block.norm1(tokens))

        def mlp(tokens, block=block):
            return block.mlp(block.norm2(tokens))

        if position == "before_attention":
            z = z + read(z)
        z = z + attention(z) + (read(z) if position == "beside_attention" else 0)
        if position == "after_attention":
            z = z + read(z)
        z = z + mlp(z) + (read(z) if position == "beside_mlp" else 0)
        if position == "after_mlp":
            z = z + read(z)
    return model.head(pool(model.vit, z))


@pytest.mark.parametrize("position", POSITIONS)
def test_every_position_is_what_it_says(tiny_vit, position):
    """And differs from the others."""
    for parameter in tiny_vit.parameters():
        torch.nn.init.normal_(parameter, std=0.3)  # else all that a block adds is small, and its order with it
    model = CVPT(tiny_vit, 3, prompt_length=4, position=position).eval()
    images = torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(model(images).logits, by_hand(model, images, position))
    other = copy.copy(model)
    other.position = POSITIONS[POSITIONS.index(position) - 1]
    assert not torch.allclose(other(images).logits, model(images).logits)


def test_an_unknown_position_is_refused(tiny_vit):
    """With what it may be."""
    with pytest.raises(BadInput, match=r"cvpt: position: expected one of .* got 'after' "):
        CVPT(tiny_vit, 3, position="after")
