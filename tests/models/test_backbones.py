"""Backbones: one file each, with the normalisation and the size that their weights ask for."""

import re

import pytest
import timm
import torch
from timm.layers import QuickGELU

import ship
from ship.errors import BadInput
from ship.experiment.params import Backbone
from ship.models.backbones import BACKBONES, fetch, load
from ship.models.checkpoints import unwrapped
from ship.storage import read_tensors, sha256, write_tensors

SIZE = 64  # of timm's test_vit, to be quick


def fetched(tmp_path, drop_path=0.0, **settings):
    """A backbone, fetched and loaded."""
    fetch("own", Backbone(**{"name": "test_vit", "weights": "random", "image_size": SIZE} | settings), tmp_path / "b")
    return load(tmp_path / "b", drop_path)


def test_preprocessing_comes_with_the_weights(tmp_path):
    """ViT-Ti's AugReg weights want 0.5, CLIP's their own numbers."""
    vit, preprocessing = fetched(tmp_path, name="vit_tiny", image_size=None)
    assert preprocessing == (224, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "bicubic")
    assert fetched(tmp_path, name="clip_base", image_size=32)[1].mean == pytest.approx(
        (0.4815, 0.4578, 0.4082), abs=1e-4
    )
    assert not vit.training


def test_an_override_is_explicit(tmp_path):
    """What the settings say wins over the weights' configuration."""
    _, preprocessing = fetched(tmp_path, mean=(0.1, 0.2, 0.3), interpolation="nearest")
    assert (preprocessing.mean, preprocessing.interpolation, preprocessing.image_size) == (
        (0.1, 0.2, 0.3),
        "nearest",
        SIZE,
    )


def test_random_weights_are_the_same_everywhere(tmp_path):
    """Two fetches give the same bytes, whatever was drawn in between, and say of themselves what they are."""
    fetched(tmp_path)
    assert read_tensors(tmp_path / "b")[1]["weights"] == "random"
    first = sha256(tmp_path / "b")
    torch.randn(7)
    fetched(tmp_path)
    assert first == sha256(tmp_path / "b")


def test_local_weights_are_loaded(tmp_path):
    """A file under timm's names, head and all, gives timm's own features; another size resizes the positions."""
    model = timm.create_model("test_vit", num_classes=10, img_size=SIZE).eval()
    write_tensors(tmp_path / "w.safetensors", model.state_dict())
    vit, _ = fetched(tmp_path, weights=str(tmp_path / "w.safetensors"))
    images = torch.randn(2, 3, SIZE, SIZE)
    with torch.no_grad():
        assert torch.equal(model.forward_head(model.forward_features(images), pre_logits=True), vit(images))
    larger, _ = fetched(tmp_path, weights=str(tmp_path / "w.safetensors"), image_size=96)
    assert larger.pos_embed.shape[1] == 37


def test_real_weights(tmp_path, shared):
    """The ImageNet ViT-Ti/16 beside the project loads."""
    path = shared / "weights/vit_tiny_patch16_224.safetensors"
    vit, preprocessing = fetched(tmp_path, name="vit_tiny", weights=str(path), image_size=None, sha256=sha256(path))
    assert preprocessing.image_size == 224
    assert torch.equal(vit.cls_token, read_tensors(path)[0]["cls_token"])


def test_stochastic_depth_is_linear_over_blocks(tmp_path):
    """0 in the first block, the given rate in the last."""
    vit, _ = fetched(tmp_path, drop_path=0.2)
    rates = [getattr(block.drop_path1, "drop_prob", 0.0) for block in vit.blocks]
    assert rates == pytest.approx(torch.linspace(0, 0.2, len(rates)).tolist())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "vit_tny"}, "backbones.own.name: expected one of"),
        ({"name": "swin_tiny_patch4_window7_224"}, "expected a plain pre-norm ViT of timm, got SwinTransformer"),
        (
            {"name": "test_vit.no_such_tag"},
            "backbones.own.name: expected weights of test_vit.no_such_tag that timm can fetch",
        ),
        ({"name": "vit_base_patch16_clip_224.openai", "image_size": 32}, "expected timm's quickgelu variant"),
        (
            {"name": "vit_mini", "image_size": 30},
            "backbones.own.image_size: expected a multiple of the patches' 4 px, got 30 .28 or 32.",
        ),
        ({"weights": "w.pth"}, "backbones.own.weights: expected pretrained, random or a file, got 'w.pth'"),
    ],
)
def test_what_is_refused(tmp_path, settings, message):
    """Unknown names, other architectures, absent files."""
    with pytest.raises(BadInput, match=message):
        fetched(tmp_path, **settings)
    assert list(tmp_path.iterdir()) == []


def test_broken_weights_are_refused(tmp_path):
    """Pickle, garbage, a wrong digest and numbers that are none."""
    (tmp_path / "w.pth").write_bytes(b"x")
    (tmp_path / "w.npz").write_bytes(b"x")
    state = timm.create_model("test_vit", img_size=SIZE).state_dict()
    write_tensors(tmp_path / "good.safetensors", state)
    write_tensors(tmp_path / "nan.safetensors", state | {"norm.bias": torch.full((64,), float("nan"))})
    for name, extra, message in (
        ("w.pth", {}, "expected .safetensors or .npz"),
        ("w.npz", {}, "expected JAX weights"),
        ("good.safetensors", {"sha256": "0" * 64}, "expected sha256 000"),
        ("nan.safetensors", {}, "norm.bias: expected finite numbers"),
    ):
        with pytest.raises(BadInput, match=message):
            fetched(tmp_path, weights=str(tmp_path / name), **extra)


@pytest.mark.parametrize("about", [{}, {"name": "x"}, {"name": "x", "model": "test_vit", "image_size": 64}])
def test_a_file_that_is_no_backbone_is_refused_in_a_line(tmp_path, about):
    """Features in its place, or half a description."""
    write_tensors(tmp_path / "vit_x.safetensors", {"pooled": torch.ones(2, 3)}, about)
    with pytest.raises(
        BadInput, match=r"vit_x\.safetensors: expected what ship backbone writes, got .*vit_x\)"
    ) as error:
        load(tmp_path / "vit_x.safetensors")
    assert "\n" not in str(error.value)


def test_pretrained_weights_are_those_of_the_digest(tmp_path, monkeypatch):
    """What timm would load is compared, and is what is loaded: of its own weights, and of embedded ones."""
    cached = tmp_path / "models--timm--test_vit.r160_in1k"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs/main").write_text("a" * 40)
    path = cached / "snapshots" / ("a" * 40) / "model.safetensors"
    state = timm.create_model("test_vit", img_size=160).state_dict()
    write_tensors(path, state)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    mini = BACKBONES["vit_mini"].sha256
    for name, digest in (("test_vit.r160_in1k", sha256(path)), ("vit_mini", mini)):
        good = {"name": name, "weights": "pretrained", "image_size": None}
        vit, _ = fetched(tmp_path, sha256=digest.upper(), **good)
        assert name == "vit_mini" or torch.equal(vit.cls_token, state["cls_token"])
        with pytest.raises(
            BadInput, match=f"backbones.own.sha256: weights of {name}: expected sha256 0{{64}}, got {digest}"
        ):
            fetched(tmp_path, sha256="0" * 64, **good)


def test_the_embedded_backbone_loads_like_any_other(tmp_path):
    """vit_mini: 12 blocks, at most 6 MB, whole and finite."""
    vit, preprocessing = fetched(tmp_path, name="vit_mini", weights="pretrained", image_size=None)
    assert len(vit.blocks) == 12
    assert preprocessing.image_size == 28
    assert vit(torch.randn(1, 3, 28, 28)).isfinite().all()


def test_the_embedded_backbone_takes_another_size(tmp_path):
    """Its positions are resized, as those of other weights are."""
    vit, preprocessing = fetched(tmp_path, name="vit_mini", weights="pretrained", image_size=56)
    assert preprocessing.image_size == 56
    assert vit(torch.randn(1, 3, 56, 56)).isfinite().all()


def test_openai_clip_has_the_activation_that_it_was_trained_with(tmp_path):
    """Its weights are worse with an exact GELU."""
    vit, _ = fetched(tmp_path, name="clip_base", image_size=32)
    assert all(isinstance(block.mlp.act, QuickGELU) for block in vit.blocks)


@pytest.mark.parametrize("name", [name for name, row in BACKBONES.items() if row.timm])
def test_every_row_names_weights_that_timm_knows(name):
    """No name in the table is a dead link."""
    assert BACKBONES[name].timm in timm.list_pretrained()


@pytest.mark.parametrize("prefix", ["module.", "backbone.", "model.", "encoder.", "module.student.backbone."])
def test_a_common_prefix_is_taken_off(tmp_path, prefix):
    """And whatever does not belong to the ViT is left out."""
    state = timm.create_model("test_vit", num_classes=10, img_size=SIZE).state_dict()
    wrapped = {prefix + name: tensor for name, tensor in state.items()}
    others = {"decoder_embed.weight": torch.ones(2), "decoder.x": torch.ones(2), "fc.weight": torch.ones(2)}
    write_tensors(tmp_path / "w.safetensors", {**wrapped, **others})
    vit, _ = fetched(tmp_path, weights=str(tmp_path / "w.safetensors"))
    assert torch.equal(vit.state_dict()["blocks.0.attn.qkv.weight"], state["blocks.0.attn.qkv.weight"])


TRANSFORMERS = {  # as its own script converts timm's ViT
    "cls_token": "vit.embeddings.cls_token",
    "pos_embed": "vit.embeddings.position_embeddings",
    "patch_embed.proj": "vit.embeddings.patch_embeddings.projection",
    "blocks.": "vit.encoder.layer.",
    "attn.proj": "attention.output.dense",
    "norm1": "layernorm_before",
    "norm2": "layernorm_after",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
    "head.": "classifier.",
}
TORCHVISION = {
    "cls_token": "class_token",
    "pos_embed": "encoder.pos_embedding",
    "patch_embed.proj": "conv_proj",
    "blocks.": "encoder.layers.encoder_layer_",
    "attn.qkv.": "self_attention.in_proj_",
    "norm1": "ln_1",
    "attn.proj": "self_attention.out_proj",
    "norm2": "ln_2",
    "mlp.fc1": "mlp.0",
    "mlp.fc2": "mlp.3",
    "head.": "heads.head.",
}


@pytest.mark.parametrize(
    ("names", "last"),
    [(TRANSFORMERS, "vit.layernorm."), (TORCHVISION, "encoder.ln.")],
    ids=["transformers", "torchvision"],
)
def test_names_of_other_libraries_are_understood(tmp_path, names, last):
    """All tensors get to their places, whether or not queries, keys and values lie apart."""
    plain, theirs = timm.create_model("test_vit", num_classes=10, img_size=SIZE).state_dict(), {}
    for name, tensor in plain.items():
        other = re.sub(r"^norm\.", last, name)
        for ours, their in names.items():
            other = other.replace(ours, their)
        if "attn.qkv" in other:
            for part, piece in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                theirs[other.replace("attn.qkv", f"attention.attention.{part}")] = piece.clone()
        else:
            theirs[other] = tensor
    write_tensors(tmp_path / "w.safetensors", theirs)
    state = fetched(tmp_path, weights=str(tmp_path / "w.safetensors"))[0].state_dict()
    assert all(torch.equal(state[name], plain[name]) for name in state)


def test_what_differs_is_named_on_both_sides(tmp_path):
    """With the names that the file has; numbers that are none of weights; positions that cannot be resized."""
    state = timm.create_model("test_vit", num_classes=10, img_size=SIZE).state_dict()
    positions = {"pos_embed": state["pos_embed"][:, 1:].clone()}
    for weights, message in (
        (
            {f"{n}.{name}": t.clone() for n in "ab" for name, t in state.items()},
            r"lacks blocks.0.*has beside them a.bl",
        ),
        (
            {name: tensor.to(torch.int8) for name, tensor in state.items()},
            "expected floating point numbers, got torch.int8",
        ),
        (state | positions, r"got pos_embed of shape \(1, \d+, 64\), which cannot become \(1, \d+, 64\)"),
    ):
        write_tensors(tmp_path / "w.SAFETENSORS", weights)
        with pytest.raises(BadInput, match=message):
            fetched(tmp_path, weights=str(tmp_path / "w.SAFETENSORS"))


def test_layer_scale_by_its_old_name():
    """DeiT-III's authors call it gamma_1."""
    state = {"blocks.0.gamma_1": torch.ones(2), "blocks.0.norm1.weight": torch.ones(2)}
    assert [*unwrapped(state)] == ["blocks.0.ls1.gamma", "blocks.0.norm1.weight"]


@pytest.mark.parametrize("method", ["linear", "ship"])
def test_weights_that_pool_by_the_mean(tmp_path, method):
    """With fc_norm, as masked autoencoders are tuned: timm's own features, before and after a method is around them."""
    model = timm.create_model("test_vit", num_classes=10, img_size=SIZE, global_pool="avg").eval()
    with torch.no_grad():
        model.fc_norm.weight.add_(torch.rand(64))
    write_tensors(tmp_path / "w.safetensors", model.state_dict())
    vit, _ = fetched(tmp_path, weights=str(tmp_path / "w.safetensors"))
    images = torch.randn(12, 3, SIZE, SIZE)
    with torch.no_grad():
        features = model.forward_head(model.forward_features(images), pre_logits=True)
        assert torch.equal(vit(images), features)
        tuned = ship.wrap(vit, method, num_classes=3, images=images).eval()
        if method == "linear":
            torch.testing.assert_close(tuned(images), tuned.method.head(features))
        else:
            torch.testing.assert_close(tuned.method(images, tuned.method.fold()).logits, tuned(images))


def test_norms_in_both_places_are_refused(tmp_path):
    """No ViT of timm has them: the message names the tensor."""
    state = timm.create_model("test_vit", num_classes=0, img_size=SIZE).state_dict()
    write_tensors(
        tmp_path / "w.safetensors", state | {"fc_norm.weight": torch.ones(64), "fc_norm.bias": torch.ones(64)}
    )
    with pytest.raises(
        BadInput, match="expected the tensors of this architecture, got a file that has .* fc_norm.bias"
    ):
        fetched(tmp_path, weights=str(tmp_path / "w.safetensors"))


def test_two_encoders_are_not_chosen_between():
    """The names stay, so that the message shows them."""
    state = {f"{side}.patch_embed.proj.weight": torch.ones(2) for side in ("student", "teacher")}
    assert unwrapped(state) == state


def test_pickled_weights_come_with_a_recipe_that_works(tmp_path):
    """Three lines that are run as they are printed."""
    state = timm.create_model("test_vit", img_size=SIZE).state_dict()
    torch.save({"model": state}, tmp_path / "w.pth")
    with pytest.raises(BadInput, match="pickled weights can run code") as error:
        fetched(tmp_path, weights=str(tmp_path / "w.pth"))
    lines = [line.strip() for line in str(error.value).splitlines()[1:]]
    assert len(lines) == 3
    exec("\n".join(lines), {})
    vit, _ = fetched(tmp_path, weights=str(tmp_path / "w.safetensors"))
    assert torch.equal(vit.cls_token, state["cls_token"])
    (tmp_path / "w.onnx").write_bytes(b"")
    with pytest.raises(BadInput, match="got '.onnx'$"):
        fetched(tmp_path, weights=str(tmp_path / "w.onnx"))


def test_an_old_name_of_timm_gets_the_new_one(tmp_path):
    """By timm's own mapping."""
    with pytest.raises(BadInput, match=r"got 'vit_base_patch16_224_in21k' \(it is 'vit_base_patch16_224.augreg_in21k'"):
        fetched(tmp_path, name="vit_base_patch16_224_in21k")


def test_many_tokens_are_told(tmp_path, caplog):
    """With the way to have fewer."""
    fetched(tmp_path, name="vit_small_patch14_dinov2", image_size=None)
    assert "1369 tokens a block" in caplog.text
    assert "backbones.own.image_size=224" in caplog.text
