"""What is tuned in the backbone is what the name says."""

import pytest
from timm.layers import RmsNorm
from timm.models.vision_transformer import VisionTransformer

from ship.errors import BadInput
from ship.methods import build
from ship.methods.base import tuned_parameters
from ship.methods.selective import BitFit, Full, LayerNorm, Partial


def tuned(model):
    """Names of the backbone's tuned tensors."""
    return {name.removeprefix("vit.") for name in tuned_parameters(model) if name.startswith("vit.")}


def test_full_tunes_every_tensor(tiny_vit):
    """All of the backbone but its own head, which is gone."""
    assert tuned(Full(tiny_vit, 3)) == {name for name, _ in tiny_vit.named_parameters()}


def test_bitfit_tunes_every_bias(tiny_vit):
    """On a ViT whose tensors have timm's names: those that end in bias."""
    assert tuned(BitFit(tiny_vit, 3)) == {name for name, _ in tiny_vit.named_parameters() if name.endswith("bias")}


def test_layernorm_tunes_every_norm(tiny_vit):
    """On a ViT whose tensors have timm's names: those of a norm."""
    assert tuned(LayerNorm(tiny_vit, 3)) == {name for name, _ in tiny_vit.named_parameters() if "norm" in name}


@pytest.mark.parametrize(("pool", "norm"), [("token", "norm."), ("avg", "fc_norm.")])
def test_partial_tunes_the_last_blocks(pool, norm):
    """The last two of four, and the final norm, which may be one of pooled tokens."""
    vit = VisionTransformer(img_size=16, patch_size=4, embed_dim=24, depth=4, num_heads=3, global_pool=pool)
    names = {name for name, _ in vit.named_parameters() if name.startswith(("blocks.2.", "blocks.3.", norm))}
    assert f"{norm}weight" in names
    assert tuned(Partial(vit, 3, blocks=2)) == names


@pytest.mark.parametrize("blocks", [0, 5])
def test_blocks_that_are_not_there_are_refused(tiny_vit, blocks):
    """At least one, at most all."""
    with pytest.raises(BadInput, match=f"partial: blocks: expected 1 to 4, got {blocks}"):
        Partial(tiny_vit, 3, blocks=blocks)


@pytest.mark.parametrize("method", ["bitfit", "layernorm", "ssf", "adapter_plus"])
def test_backbones_without_what_is_tuned_are_refused(method):
    """Of a ViT with RMS norms and no biases, they would tune the head alone, or could not be merged."""
    settings = {"img_size": 16, "patch_size": 4, "embed_dim": 24, "depth": 2, "num_heads": 3}
    vit = VisionTransformer(norm_layer=RmsNorm, qkv_bias=False, proj_bias=False, **settings)
    with pytest.raises(BadInput, match="expected (a backbone|operations)"):
        build(method, vit, 3, {"biases": True} if method == "adapter_plus" else {}, {})
