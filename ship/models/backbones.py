"""Backbones: where their weights come from, and the one file that every later step loads them from."""

from __future__ import annotations

import logging
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import timm
import torch
from huggingface_hub import hf_hub_download
from timm.data import resolve_model_data_config
from timm.models import _registry
from timm.models.vision_transformer import VisionTransformer, checkpoint_filter_fn
from torch import Tensor, nn

from ship.errors import BadInput, difference, unknown
from ship.experiment.params import Backbone
from ship.models.checkpoints import averages, recipe, renamed, unwrapped
from ship.models.preprocessing import Preprocessing
from ship.models.vit import require_plain
from ship.storage import expanded, read_tensors, sha256, write_tensors

MANY = 600  # image tokens: a ViT-B/16 at 384 px has 576
_log = logging.getLogger(__name__)


class Row(NamedTuple):
    """A backbone that has a name of its own here."""

    about: str
    timm: str | None = None
    """name and tag in timm, whose own weights are loaded"""
    embedded: str | None = None
    """file in ship/models/weights, which brings its own description"""
    sha256: str | None = None


BACKBONES: dict[str, Row] = {
    "vit_mini": Row(
        "12 blocks, 28 px, made by `ship pretrain` from formulas; needs no download",
        embedded="vit_mini.safetensors",
        sha256="5cc104b821baf05fed1a670f900305885a181987daa9f8ece630263e02b82139",
    ),
    "vit_tiny": Row("ViT-Ti/16, ImageNet-21k then 1k (AugReg)", timm="vit_tiny_patch16_224.augreg_in21k_ft_in1k"),
    "vit_base_in21k": Row("ViT-B/16, ImageNet-21k: the papers' own", timm="vit_base_patch16_224.orig_in21k"),
    "deit3_base": Row("DeiT-III-B/16, ImageNet-21k then 1k", timm="deit3_base_patch16_224.fb_in22k_ft_in1k"),
    "dinov2_base": Row("DINOv2-B/14 with registers", timm="vit_base_patch14_reg4_dinov2.lvd142m"),
    "clip_base": Row("CLIP-B/16, OpenAI", timm="vit_base_patch16_clip_quickgelu_224.openai"),
    "siglip_base": Row("SigLIP-B/16, WebLI", timm="vit_base_patch16_siglip_224.webli"),
}


def overview() -> str:
    """A line for every row of BACKBONES."""
    return "\n".join(f"{name:<16} {row.about}" for name, row in BACKBONES.items())


def fetch(name: str, settings: Backbone, out: Path) -> None:
    """Write the backbone of the row `name` to `out`: weights under timm's names, with all that loading needs."""
    key, row = f"backbones.{name}", BACKBONES.get(settings.name, Row("", timm=settings.name))
    about, state = _embedded(key, settings, row) if row.embedded else _from_timm(key, settings, row)
    for field in ("image_size", "mean", "std", "interpolation"):
        if (override := getattr(settings, field)) is not None:
            about[field] = override
    model = _architecture(about, settings.name)
    if rest := about["image_size"] % (patch := model.patch_embed.patch_size[0]):
        size, near = about["image_size"], about["image_size"] - rest
        got = f"got {size} ({near} or {near + patch})"
        raise BadInput(f"{key}.image_size: expected a multiple of the patches' {patch} px, {got}")
    if settings.image_size is None and (tokens := model.patch_embed.num_patches) > MANY:
        _log.warning(
            f"backbone {settings.name}: images of {about['image_size']} px are {tokens} tokens a block, against 196 of "
            f"a ViT-B/16: hours and memory in proportion ({key}.image_size=224 resizes the positions)"
        )
    if (state := _fitted(_given(key, state, model, settings), model, settings)) is not None:
        if averages(state):
            about["global_pool"] = "avg"
            model = _architecture(about, settings.name)
        _check(key, model, state, settings)
        model.load_state_dict(state)
    named = {"name": settings.name, **({"weights": "random"} if settings.weights == "random" else {})}
    write_tensors(out, {k: v.float() for k, v in model.state_dict().items()}, {**about, **named})


def load(path: Path, drop_path: float = 0.0) -> tuple[VisionTransformer, Preprocessing]:
    """The ViT of a file that `fetch` wrote, in evaluation mode; stochastic depth is 0 ... `drop_path` over blocks."""
    state, about = read_tensors(path)
    try:
        vit = _architecture(about, about["name"], drop_path)
        vit.load_state_dict(state)
        return vit.eval(), Preprocessing.of(about)
    except (AttributeError, LookupError, TypeError, ValueError, RuntimeError) as error:
        got = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise BadInput(f"{path}: expected what ship backbone writes, got {got} (ship backbone {path.stem})") from None


def _architecture(about: dict[str, Any], name: str, drop_path: float = 0.0) -> VisionTransformer:
    """The ViT that `about` describes, without head: by timm's name, or by the arguments of a VisionTransformer."""
    sizes = {"img_size": about["image_size"], "num_classes": 0, "drop_path_rate": drop_path, **pooling(about)}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # random weights are the same everywhere
        if isinstance(about["model"], dict):
            return VisionTransformer(**{**about["model"], **sizes})
        try:
            return require_plain(timm.create_model(about["model"], **sizes), f"backbone {name}")
        except TypeError as error:  # timm's convolutional models take no img_size
            raise BadInput(
                f"backbone {name}: expected a plain pre-norm ViT of timm, got a model that refuses: {error}"
            ) from None


def pooling(about: dict[str, Any]) -> dict[str, str]:
    """The argument of timm that says how tokens are pooled, where weights were trained with another than their name."""
    return {key: about[key] for key in ("global_pool",) if key in about}


def _from_timm(key: str, settings: Backbone, row: Row) -> tuple[dict[str, Any], dict[str, Tensor] | None]:
    """Description and, where timm's own weights are asked for, weights of a model of timm."""
    name = row.timm or settings.name
    if new := deprecated(name):
        raise BadInput(f"{key}.name: expected a name of timm as of today, got {name!r} (it is {new!r} now)")
    if name.split(".")[0] not in timm.list_models():
        raise unknown(
            f"{key}.name", settings.name, [*BACKBONES, *timm.list_models("vit_*"), *timm.list_models("deit3*")]
        )
    with torch.device("meta"):  # before anything is downloaded
        require_plain(timm.create_model(name.split(".")[0]), f"backbone {settings.name}")
    model = require_plain(_create(key, name, settings), f"backbone {settings.name}")
    notes = " ".join(model.pretrained_cfg.get("notes", ()))
    if "quickgelu" in notes and "quickgelu" not in name:  # these weights were trained with another activation
        raise BadInput(f"{key}.name: expected timm's quickgelu variant for these weights, got {name}")
    data = resolve_model_data_config(model)
    about = {key: data[key] for key in ("mean", "std", "interpolation")}
    about |= {"model": name.split(".")[0], "image_size": data["input_size"][-1]}
    return about, model.state_dict() if settings.weights == "pretrained" else None


def deprecated(name: str) -> str | None:
    """The name that timm has now for what it called `name`, by its own mapping; None for a name of today."""
    return _registry._deprecated_models.get(name)


def _create(key: str, name: str, settings: Backbone) -> nn.Module:
    sizes = {} if settings.image_size is None else {"img_size": settings.image_size}
    try:
        if settings.weights != "pretrained":
            return timm.create_model(name, num_classes=0)
        file = {"file": str(_verified(key, name, settings.sha256))} if settings.sha256 else None
        return timm.create_model(name, pretrained=True, num_classes=0, pretrained_cfg_overlay=file, **sizes)
    except (OSError, RuntimeError, TypeError) as error:
        reason = (str(error).strip() or "no reason").splitlines()[0]
        raise BadInput(
            f"{key}.name: expected weights of {name} that timm can fetch, got {type(error).__name__}: {reason} "
            f"(without network, name a file in {key}.weights)"
        ) from None


def _verified(key: str, name: str, digest: str) -> Path:
    """The file that timm's weights `name` lie in, fetched, or fetched before."""
    row = timm.get_pretrained_cfg(name)
    path = hf_hub_download(row.hf_hub_id, row.hf_hub_filename or "model.safetensors")
    return _compared(Path(path), digest, f"{key}.sha256: weights of {name}")


def _compared(path: Path, digest: str, what: str, way_out: str = "") -> Path:
    """The path. Raises BadInput where it holds other bytes."""
    if (found := sha256(path)) != digest.lower():
        raise BadInput(f"{what}: expected sha256 {digest}, got {found}{way_out}")
    return path


def _embedded(key: str, settings: Backbone, row: Row) -> tuple[dict[str, Any], dict[str, Tensor] | None]:
    """Description and, where they are asked for, weights of a backbone in this package."""
    with as_file(files("ship.models") / "weights" / str(row.embedded)) as path:
        if row.sha256:
            _compared(path, row.sha256, str(path), " (reinstall ship)")
        if settings.sha256 and settings.weights == "pretrained":
            _compared(path, settings.sha256, f"{key}.sha256: weights of {settings.name}")
        state, about = read_tensors(path)
    return about, state if settings.weights == "pretrained" else None


def _given(
    key: str, state: dict[str, Tensor] | None, model: VisionTransformer, settings: Backbone
) -> dict[str, Tensor] | None:
    """`state`, or what the file that the settings name holds; None: the random weights stay."""
    if settings.weights in ("pretrained", "random"):
        return state
    path = expanded(settings.weights)
    if not path.is_file():
        raise BadInput(f"{key}.weights: expected pretrained, random or a file, got {settings.weights!r}")
    if settings.sha256:
        _compared(path, settings.sha256, str(path))
    return _read(path, model)


def _read(path: Path, model: VisionTransformer) -> dict[str, Tensor]:
    """Weights in a local file."""
    if path.suffix.lower() == ".npz":
        try:
            model.load_pretrained(str(path))
        except (KeyError, AssertionError, RuntimeError, ValueError, OSError) as error:
            raise BadInput(f"{path}: expected JAX weights of this ViT, got {type(error).__name__}: {error}") from None
        return dict(model.state_dict())
    if path.suffix.lower() != ".safetensors":
        raise BadInput(
            f"{path}: expected .safetensors or .npz (pickled weights can run code), got {path.suffix!r}{recipe(path)}"
        )
    return read_tensors(path)[0]


def _fitted(state: dict[str, Tensor] | None, model: VisionTransformer, settings: Backbone) -> dict[str, Tensor] | None:
    """Weights under timm's names, without head; position embedding resized where it must be."""
    if state is None:
        return None
    own = unwrapped(renamed(state))
    try:
        state = checkpoint_filter_fn(own, model)
    except (KeyError, RuntimeError, ValueError) as error:
        got = f"{type(error).__name__}: {error}"
        if "pos_embed" in own and own["pos_embed"].shape != (wanted := tuple(model.pos_embed.shape)):
            got = f"pos_embed of shape {tuple(own['pos_embed'].shape)}, which cannot become {wanted}"
        raise BadInput(f"{settings.weights}: expected weights of this ViT, got {got}") from None
    heads = ("head.", "head_dist.", "pre_logits.")
    return {name: tensor for name, tensor in state.items() if not name.startswith(heads)}


def _check(key: str, model: VisionTransformer, state: dict[str, Tensor], settings: Backbone) -> None:
    place = f"{key}.weights ({settings.weights}) for {settings.name}"
    target = model.state_dict()
    if got := difference(target.keys(), state.keys()):
        raise BadInput(f"{place}: expected the tensors of this architecture, got a file that {got}")
    for name, tensor in target.items():
        if tensor.shape != state[name].shape:
            raise BadInput(f"{place}: {name}: expected shape {tuple(tensor.shape)}, got {tuple(state[name].shape)}")
        if not state[name].is_floating_point():
            raise BadInput(f"{place}: {name}: expected floating point numbers, got {state[name].dtype}")
        if not np.isfinite(state[name].float().numpy()).all():
            raise BadInput(f"{place}: {name}: expected finite numbers, got nan or inf")
