"""Every method on small members of the backbone families: registers, LayerScale, norms and pooling differ."""

import pytest
import torch
import torch.nn.functional as F
from timm.layers import QuickGELU, SwiGLU
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from ship.errors import BadInput
from ship.methods import METHODS, build, method_class
from ship.methods.base import load_tuned, tuned_parameters, tuned_state
from ship.models.vit import encode

FAMILIES = {
    "DINOv2 with registers": {"reg_tokens": 4, "no_embed_class": True, "init_values": 1.0},
    "CLIP": {"pre_norm": True, "norm_layer": nn.LayerNorm, "act_layer": QuickGELU},
    "SigLIP": {"class_token": False, "global_pool": "map"},
    "DeiT-III": {"no_embed_class": True, "init_values": 1.0},
}
IMAGES = (4, 3, 16, 16)
STARTS_AS_BACKBONE = [
    *["adaptformer", "bitfit", "convpass", "fact_tk", "fact_tt", "full", "houlsby", "layernorm", "lora", "oft"],
    *["partial", "pfeiffer", "repadapter", "shared_adapter", "vera"],
]
MERGING = [(name, {}) for name in METHODS if hasattr(method_class(name), "merged")] + [("lora", {"dora": True})]
TUNED = {  # without the head, with default options, for depth 3 and width 24
    "adapter_plus": 3 * (2 * 24 * 8 + 8 + 2 * 24),
    "convpass": 2 * 3 * (2 * 24 * 8 + 8 + 24 + 9 * 8**2 + 8),
    "fact_tk": 2 * 24 * 32 + 12 * 3 * 32 + 32**3,
    "fact_tt": 2 * 24 * 16 + 12 * 3 * 16**2,
    "lora": 4 * 24 * 8 * 3,
    "oft": 2 * 3 * 24 * (8 - 1),
    "repadapter": 2 * 3 * (24 * 8 + 8 + 24 * 8 // 2 + 24),
    "shared_adapter": 2 * 24 * 55 + 3 * (24 + 55),
    "vera": 2 * 3 * (256 + 24),
}


def make_vit(family):
    """Three blocks of width 24, the same every time."""
    torch.manual_seed(3)
    sizes = {"img_size": 16, "patch_size": 4, "embed_dim": 24, "depth": 3, "num_heads": 3, "drop_path_rate": 0.1}
    return VisionTransformer(**sizes, num_classes=0, **FAMILIES[family])


def make(method, family, **options):
    """The method with its default options, or these."""
    vit = make_vit(family)
    return build(method, vit, 5, options, {"affinity": 1 - torch.ones(3, 3).triu(1), "prototypes": torch.randn(6, 24)})


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("method", METHODS)
def test_a_method_trains_and_comes_back(method, family):
    """Two steps under bf16 with stochastic depth reach every tuned tensor; the checkpoint gives equal logits."""
    if method == "ship" and family == "SigLIP":
        pytest.skip("class attention needs a class token")
    model = make(method, family).train()
    optimiser = torch.optim.AdamW(tuned_parameters(model).values(), lr=0.01)
    frozen = {name: p.clone() for name, p in model.named_parameters() if not p.requires_grad}
    seen = {}
    for _ in range(3):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits, penalty = model(torch.randn(IMAGES))
            loss = F.cross_entropy(logits.float(), torch.arange(4)) + penalty
        optimiser.zero_grad()
        loss.backward()
        seen |= {name: True for name, p in tuned_parameters(model).items() if p.grad is not None and p.grad.any()}
        optimiser.step()
    assert {name for name, p in tuned_parameters(model).items() if p.numel()} == set(seen)
    assert all(torch.equal(p, model.get_parameter(name)) for name, p in frozen.items())
    other = make(method, family)
    load_tuned(other, {name: t.detach().clone() for name, t in tuned_state(model).items()}, "checkpoint")
    images = torch.randn(IMAGES)
    with torch.no_grad():
        assert torch.equal(model.eval()(images).logits, other.eval()(images).logits)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("method", TUNED)
def test_the_count_does_not_depend_on_the_family(method, family):
    """Registers, LayerScale, norms and pooling add nothing to the closed formula."""
    tuned = tuned_parameters(make(method, family))
    assert sum(p.numel() for p in tuned.values()) == TUNED[method] + 24 * 5 + 5


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("method", STARTS_AS_BACKBONE)
def test_a_method_without_prompts_starts_as_the_backbone(method, family):
    """Before the first step the head reads what it would read from the frozen backbone."""
    model, images = make(method, family).eval(), torch.randn(IMAGES)
    with torch.no_grad():
        expected = model.head(encode(make_vit(family).eval(), images))
        torch.testing.assert_close(model(images).logits, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("method", "options"), MERGING)
def test_merging_changes_no_logit(method, options, family):
    """A plain ViT of timm with the tuned tensors in its weights gives the logits within 1e-5."""
    model, images = make(method, family, **options).eval(), torch.randn(IMAGES)
    with torch.no_grad():
        for parameter in tuned_parameters(model).values():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
        before, merged = model(images).logits, model.merged()
        torch.testing.assert_close(merged(images), before, rtol=0, atol=1e-5)
        plain = {*make_vit(family).state_dict(), "head.weight", "head.bias"}
        assert plain <= merged.state_dict().keys()
        assert merged.state_dict().keys() - plain <= {"patch_embed.proj.bias"}  # a shift where there was no bias
        assert torch.equal(model(images).logits, before)


@pytest.mark.parametrize("method", ["fact_tk", "fact_tt", "repadapter", "ssf"])
def test_a_method_says_which_mlp_it_can_change(method, monkeypatch):
    """By its name, as a row has it."""
    monkeypatch.setitem(FAMILIES, "gated", {"mlp_layer": SwiGLU})
    rule = "expected a backbone whose MLPs have the layers fc1 and fc2"
    with pytest.raises(BadInput, match=f"^{method}: {rule}, got SwiGLU"):
        make(method, "gated")
