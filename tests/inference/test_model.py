"""The front door for Python: a method around one's own ViT is a plain module, and mistakes get one clear sentence."""

import copy
import re
import subprocess
import sys
from functools import partial

import pytest
import timm
import torch
from project import ROOT
from timm.models.vision_transformer import VisionTransformer
from torch import nn

import ship
from ship.errors import BadInput
from ship.methods import METHODS, method_class
from ship.methods.base import Mergeable

X, Y = (12, 3, 16, 16), torch.arange(12) % 5


def state(module):
    """Its tensors, copied."""
    return copy.deepcopy(module.state_dict())


def equal(one, other):
    """Whether two states hold the same bits."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def wrapped(vit, method, **options):
    """The method with five classes, and images for those that want some."""
    return ship.wrap(vit, method, num_classes=5, images=torch.randn(X), **options)


def tuned(model):
    """The model after two steps."""
    optimiser = torch.optim.AdamW(model.tuned_parameters, lr=1e-2)
    for _ in range(2):
        optimiser.zero_grad()
        model.loss(torch.randn(X), Y).backward()
        optimiser.step()
    return model.eval()


@pytest.mark.parametrize("page", ["README.md", "docs/python.md"])
def test_the_examples_run(page, tiny_vit, tmp_path, monkeypatch):
    """Every block of Python, one after the other, with the names that the page says are there."""
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    names = {"ship": ship, "torch": torch, "vit": tiny_vit, "x": torch.randn(X), "y": Y}
    for block in blocks:
        exec(block, names)
    assert blocks
    training = [block for block in blocks if "ship.wrap" in block]
    assert all(len(block.splitlines()) == 6 for block in training)
    assert training


def test_the_package_itself_is_light():
    """Every job of a cluster imports it: torch is loaded when `wrap` or `load` is used."""
    code = "import sys, ship; assert {'wrap', 'load'} <= set(dir(ship)); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
    with pytest.raises(AttributeError, match="no attribute 'warp'"):
        _ = ship.warp


@pytest.mark.parametrize("method", METHODS)
def test_the_given_vit_stays_as_it_was(tiny_vit, method):
    """Weights, head and mode; a second call works, and the two models share nothing."""
    before, training = state(tiny_vit), [module.training for module in tiny_vit.modules()]
    first, second = wrapped(tiny_vit, method), wrapped(tiny_vit, method)
    kept = state(second)
    tuned(first)
    assert equal(state(tiny_vit), before)
    assert equal(state(second), kept)
    assert [module.training for module in tiny_vit.modules()] == training
    assert all(p.requires_grad for p in tiny_vit.parameters())


@pytest.mark.parametrize("method", METHODS)
def test_what_is_saved_comes_back(tiny_vit, tmp_path, method):
    """The same logits, from the file and the same ViT."""
    model, images = tuned(wrapped(tiny_vit, method)), torch.randn(X)
    model.save(tmp_path / "model.safetensors")
    again = ship.load(tmp_path / "model.safetensors", tiny_vit)
    with torch.no_grad():
        assert torch.equal(again(images), model(images))
    assert again.classes == ["0", "1", "2", "3", "4"]
    assert not again.training


@pytest.mark.parametrize("method", METHODS)
def test_merged_is_plain_or_refused(tiny_vit, method):
    """A ViT of timm with the same logits within 1e-5, whose pieces are timm's own; or what else can be merged."""
    model, images = tuned(wrapped(tiny_vit, method)), torch.randn(X)
    if not issubclass(method_class(method), Mergeable):
        with pytest.raises(BadInput, match=f"merged: expected a method .*lora.*, got {method}"):
            model.merged()
        return
    plain = model.merged()
    assert type(plain) is type(tiny_vit)
    assert plain.num_classes == 5
    assert {type(module) for module in plain.modules()} <= {type(module) for module in tiny_vit.modules()}
    with torch.no_grad():
        torch.testing.assert_close(plain(images), model(images), rtol=0, atol=1e-5)


def test_the_loss_has_the_penalty(tiny_vit):
    """In training mode SHIP's matching loss is in it; in evaluation it is the cross-entropy alone."""
    model, images = wrapped(tiny_vit, "ship", prompt_length=2), torch.randn(X)
    logits, penalty = model.method(images)
    assert penalty > 0
    torch.testing.assert_close(model.loss(images, Y), torch.nn.functional.cross_entropy(logits, Y) + penalty)
    assert model.eval().loss(images, Y).item() == pytest.approx(
        torch.nn.functional.cross_entropy(model(images), Y).item()
    )


@pytest.mark.parametrize("method", METHODS)
def test_features_are_what_the_head_reads(tiny_vit, method):
    model, x = tuned(wrapped(tiny_vit, method)), torch.randn(X)
    features = model.features(x)
    assert features.shape == (len(x), model.method.head.in_features)
    assert torch.equal(model.method.head(features), model(x))


def test_statistics_may_be_given(tiny_vit):
    """What was measured before, instead of images; the same model comes of both."""
    images = torch.randn(X)
    torch.manual_seed(1)
    one = ship.wrap(tiny_vit, "ship", num_classes=5, images=images)
    torch.manual_seed(1)
    given = {name: getattr(one.method, name) for name in ("affinity", "prototypes")}
    assert equal(state(one), state(ship.wrap(tiny_vit, "ship", num_classes=5, **given)))


@pytest.mark.parametrize(
    ("method", "arguments", "message"),
    [
        ("lor", {}, "wrap: method: expected one of .* got 'lor' .did you mean 'lora'"),
        ("LoRA", {}, "wrap: method: expected one of .* got 'LoRA' .did you mean 'lora'"),
        ("lora", {"rnk": 4}, "wrap: lora.rnk: expected one of .* got 'rnk' .did you mean 'rank'"),
        ("lora", {"rank": "4"}, "wrap: lora.rank: expected an integer, got '4'"),
        ("lora", {"num_classes": 0}, "wrap: num_classes: expected a whole number from 1, got 0"),
        ("partial", {"blocks": 9}, "partial: blocks: expected 1 to 4, got 9"),
        ("ship", {}, r"wrap: ship: expected images=, a tensor \(n, 3, 16, 16\) .* affinity and prototypes .* got none"),
        ("ship", {"affinity": torch.eye(4)}, "wrap: ship: expected images=.* got none"),
        ("ship", {"images": torch.zeros(3, 3, 8, 8)}, r"images: expected shape \(n, 3, 16, 16\) .* got \(3, 3, 8, 8\)"),
        ("ship", {"images": torch.zeros(X, dtype=torch.uint8)}, "images: expected .* floating point, got torch.uint8"),
        ("ship", {"images": torch.full(X, torch.nan)}, "images: expected finite numbers"),
        ("ship", {"affinity": torch.eye(3), "prototypes": torch.eye(24)}, r"affinity: expected shape \(4, 4\)"),
    ],
)
def test_what_wrap_refuses(tiny_vit, method, arguments, message):
    with pytest.raises(BadInput, match=message):
        ship.wrap(tiny_vit, method, **{"num_classes": 5, **arguments})


def test_other_models_are_refused(tiny_vit):
    """Swin, a string, another precision, the changed ViT within a model."""
    swin = timm.create_model("swin_tiny_patch4_window7_224")
    inner = wrapped(tiny_vit, "lora").method.vit
    for vit, got in ((swin, "SwinTransformer"), ("vit_tiny", "str"), (inner, "projections of type LoRALayer")):
        with pytest.raises(BadInput, match=f"wrap: expected a plain pre-norm ViT of timm, got {got}"):
            ship.wrap(vit, "linear", num_classes=5)
    with pytest.raises(BadInput, match="wrap: expected a ViT of torch.float32 .*, got torch.bfloat16"):
        ship.wrap(tiny_vit.bfloat16(), "linear", num_classes=5)


@pytest.mark.parametrize("other", [{"depth": 2}, {"embed_dim": 48}])
@pytest.mark.parametrize("method", ["lora", "ssf", "shared_adapter"])
def test_load_says_where_the_vit_has_other_sizes(tiny_vit, tmp_path, method, other):
    """Before it speaks of tensors, and without a list of all."""
    path = tmp_path / "model.safetensors"
    wrapped(tiny_vit, method).save(path)
    sizes = {"img_size": 16, "patch_size": 4, "embed_dim": 24, "depth": 4, "num_heads": 3}
    with pytest.raises(BadInput, match="expected the ViT that was tuned, got one that does not fit") as refused:
        ship.load(path, VisionTransformer(**{**sizes, **other}))
    assert len(str(refused.value).replace(str(path), "")) < 300


def test_what_load_refuses(tiny_vit, tmp_path):
    """Nothing there, no ViT, another ViT, a file of something else."""
    path = tmp_path / "model.safetensors"
    with pytest.raises(BadInput, match="expected a run .*, found none"):
        ship.load(path)
    wrapped(tiny_vit, "vpt", prompt_length=2).save(path)
    with pytest.raises(BadInput, match="expected vit=, the ViT that was tuned"):
        ship.load(path)
    torch.nn.init.zeros_(tiny_vit.blocks[2].mlp.fc1.bias)
    torch.nn.init.ones_(tiny_vit.blocks[2].mlp.fc2.bias)
    with pytest.raises(BadInput, match="expected the ViT that was tuned, got one with other weights"):
        ship.load(path, tiny_vit)
    ship.storage.write_tensors(path, {"a": torch.ones(1)}, {"method": "vpt"})
    with pytest.raises(BadInput, match="expected tuned tensors of a run or of Model.save"):
        ship.load(path, tiny_vit)


def test_a_model_that_is_frozen_afterwards_is_saved_whole(tiny_vit, tmp_path):
    """As for inference, or by a moving average of weights; and one of which all is trained saves what it tunes."""
    for asks in (False, True):
        model = tuned(wrapped(tiny_vit, "lora", rank=2))
        count = len(model.tuned_parameters)
        model.requires_grad_(asks)
        assert len(model.tuned_parameters) == count
        model.save(tmp_path / "tuned.safetensors")
        again = ship.load(tmp_path / "tuned.safetensors", tiny_vit)
        images = torch.randn(X)
        assert torch.equal(again(images), model(images))


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_a_model_that_is_cast_is_not_saved(tiny_vit, tmp_path, kind):
    """Its frozen weights are others."""
    with pytest.raises(BadInput, match=r"save: expected a model of torch.float32, got torch.\w+ \(save it before"):
        wrapped(tiny_vit, "lora", rank=2).to(kind).save(tmp_path / "tuned.safetensors")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("method", ["lora", "oft", "vera", "ssf"])
def test_a_model_that_is_cast_merges_in_its_type(tiny_vit, method):
    """All of it."""
    merged = wrapped(tiny_vit, method, **({"block_size": 6} if method == "oft" else {})).double().eval().merged()
    assert {parameter.dtype for parameter in merged.parameters()} == {torch.float64}


def test_autocast_rounds_nothing_that_is_merged(tiny_vit):
    """As float32 merges it."""
    model = tuned(wrapped(tiny_vit, "lora", rank=2))
    plain = model.merged().state_dict()
    model = copy.deepcopy(model)
    with torch.autocast("cpu", torch.bfloat16):
        assert equal(model.merged().state_dict(), plain)


@pytest.mark.parametrize("change", ["average", "cast", "classes"])
def test_what_could_not_be_built_again_is_not_saved(tiny_vit, tmp_path, change):
    """Moving averages of all weights drift in the last digits, a cast rounds them, and classes are names of logits."""
    model = tuned(wrapped(tiny_vit, "lora", rank=2))
    if change == "average":
        with torch.no_grad():
            model.method.vit.blocks[0].mlp.fc1.weight.mul_(1 + 1e-6)
    elif change == "cast":
        model.bfloat16().float()
    else:
        model.classes = ["cat", "dog"]
    rule = "5 classes, as many as logits, got 2" if change == "classes" else "the frozen weights of the ViT that was"
    with pytest.raises(BadInput, match=f"save: expected {rule}"):
        model.save(tmp_path / "tuned.safetensors")
    assert not any(tmp_path.iterdir())


def test_batch_norms_of_a_hybrid_stay_as_they_are(tmp_path):
    """Their statistics are the backbone's: training would move them, and nothing saves them."""
    vit = timm.create_model("vit_small_resnet26d_224", depth=1, img_size=32)
    model, images = ship.wrap(vit, "linear", num_classes=5), torch.randn(4, 3, 32, 32)
    model.train()(images)
    assert equal(vit.patch_embed.state_dict(), model.method.vit.patch_embed.state_dict())
    model.eval().save(tmp_path / "tuned.safetensors")
    assert torch.equal(ship.load(tmp_path / "tuned.safetensors", vit)(images), model(images))
    next(layer for layer in vit.modules() if isinstance(layer, nn.BatchNorm2d)).running_mean.add_(1)
    with pytest.raises(BadInput, match="expected the ViT that was tuned, got one with other weights"):
        ship.load(tmp_path / "tuned.safetensors", vit)


def test_who_merges_may_train_on(tiny_vit):
    """The plain ViT is as one of timm: all of it has gradients."""
    merged = wrapped(tiny_vit, "lora", rank=2).eval().merged()
    assert all(parameter.requires_grad for parameter in merged.parameters())


@pytest.mark.parametrize("channels", [1, 4])
def test_images_of_other_channels_are_refused(tiny_vit, channels):
    """With both numbers."""
    with pytest.raises(BadInput, match=f"images: expected 3 channels, as the ViT has, got {channels}"):
        wrapped(tiny_vit, "lora", rank=2)(torch.randn(2, channels, 16, 16))


def test_home_is_where_saves_go(tiny_vit, tmp_path, monkeypatch):
    """As loads do."""
    monkeypatch.setenv("HOME", str(tmp_path))
    wrapped(tiny_vit, "lora", rank=2).save("~/tuned.safetensors")
    assert (tmp_path / "tuned.safetensors").is_file()


def test_a_vit_with_the_same_tensors_may_be_another(tiny_vit, tmp_path):
    """Heads, activation, pooling and a norm's epsilon change no tensor, and all logits."""
    sizes = {"img_size": 16, "patch_size": 4, "embed_dim": 24, "depth": 4, "num_heads": 3, "num_classes": 5}
    sizes |= {"global_pool": "avg", "fc_norm": False}
    ship.wrap(VisionTransformer(**sizes), "lora", num_classes=5).save(tmp_path / "tuned.safetensors")
    for other, told in (
        ({"num_heads": 6}, "heads 3, got heads 6"),
        ({"act_layer": "quick_gelu"}, "activation GELU, got activation QuickGELU"),
        ({"act_layer": partial(nn.GELU, approximate="tanh")}, "approximation none, got approximation tanh"),
        ({"global_pool": "max"}, "pooling avg, got pooling max"),
        ({"pool_include_prefix": True}, "pools_prefix False, got pools_prefix True"),
        ({"norm_layer": partial(nn.LayerNorm, eps=1e-2)}, r"epsilon \[1e-06\], got epsilon \[0.01\]"),
    ):
        vit = VisionTransformer(**{**sizes, **other})
        with pytest.raises(BadInput, match=f"expected the ViT that was tuned, with {told}"):
            ship.load(tmp_path / "tuned.safetensors", vit)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([[1.0]], "wrap: affinity: expected a tensor of floating point, got list"),
        (torch.eye(4).long(), "wrap: affinity: expected a tensor of floating point, got torch.int64"),
        (torch.full((4, 4), torch.nan), "wrap: affinity: expected finite numbers, got nan or inf"),
        (torch.zeros(0, 4), "wrap: affinity: expected finite numbers, got none"),
    ],
)
def test_statistics_that_are_none_are_refused(tiny_vit, value, message):
    """In a line, before the first step."""
    with pytest.raises(BadInput, match=message):
        ship.wrap(tiny_vit, "shared_adapter", num_classes=5, affinity=value)


def test_statistics_of_float64_are_taken(tiny_vit):
    """As those of one's own images are."""
    facts = {"affinity": torch.eye(4).double(), "prototypes": torch.randn(6, 24).double()}
    assert ship.wrap(tiny_vit, "ship", num_classes=5, **facts)(torch.randn(X)).shape == (12, 5)


def test_a_hybrid_is_measured_on_images(tmp_path):
    """Its patches are of features, and its images have three channels."""
    vit = timm.create_model("vit_small_resnet26d_224", depth=2, img_size=64, num_classes=0)
    images = torch.randn(4, 3, 64, 64)
    assert ship.wrap(vit, "shared_adapter", num_classes=5, images=images)(images).shape == (4, 5)


def test_no_images_have_no_logits(tiny_vit):
    """As in timm."""
    assert wrapped(tiny_vit, "lora", rank=2).eval()(torch.randn(0, 3, 16, 16)).shape == (0, 5)
