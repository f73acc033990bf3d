"""What is trained is what the method names, and the forward is timm's own."""

import pytest
import torch

from ship.errors import BadInput
from ship.methods.base import tuned_parameters
from ship.methods.selective import BitFit, Full, LayerNorm, Partial

KINDS = {"full": Full, "bitfit": BitFit, "layernorm": LayerNorm, "partial": Partial}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_logits_are_those_of_timm(tiny_vit, kind):
    """A head on the pooled features, as timm computes them."""
    images = torch.randn(2, 3, 16, 16)
    pooled = tiny_vit.forward_head(tiny_vit.forward_features(images), pre_logits=True)
    model = kind(tiny_vit, 3).eval()
    torch.testing.assert_close(model(images).logits, model.head(pooled))


def names(kind, vit, **options):
    """The tuned tensors of the backbone."""
    tuned = tuned_parameters(kind(vit, 3, **options))
    return {name.removeprefix("vit.") for name in tuned if name.startswith("vit.")}


def test_bitfit_trains_every_bias(tiny_vit):
    """And nothing else."""
    assert names(BitFit, tiny_vit) == {k for k, _ in tiny_vit.named_parameters() if k.endswith(".bias")}


def test_layernorm_trains_every_norm(tiny_vit):
    """And nothing else."""
    assert names(LayerNorm, tiny_vit) == {k for k, _ in tiny_vit.named_parameters() if "norm" in k}


def test_partial_trains_the_last_blocks(tiny_vit):
    """With the norm after them."""
    wanted = ("blocks.2.", "blocks.3.", "norm.")
    assert names(Partial, tiny_vit, blocks=2) == {k for k, _ in tiny_vit.named_parameters() if k.startswith(wanted)}
    with pytest.raises(BadInput, match="partial: blocks: expected 0 to 4 of this backbone, got 5"):
        Partial(tiny_vit, 3, blocks=5)
