"""The methods, by name. To add one: its file, a line here, a row in `params.yaml`."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from ship.errors import BadInput, unknown
from ship.methods.adapters import AdaptFormer
from ship.methods.cvpt import CVPT
from ship.methods.linear import Linear
from ship.methods.lora import LoRA
from ship.methods.selective import BitFit, Full, LayerNorm, Partial
from ship.methods.ship import SHIP
from ship.methods.vpt import VPT

METHODS: dict[str, type[nn.Module]] = {
    "adaptformer": AdaptFormer,
    "bitfit": BitFit,
    "cvpt": CVPT,
    "full": Full,
    "layernorm": LayerNorm,
    "linear": Linear,
    "lora": LoRA,
    "partial": Partial,
    "ship": SHIP,
    "vpt": VPT,
}


def check_options(method: str, options: Mapping[str, Any], place: str) -> None:
    """Raise BadInput unless `method` is one of METHODS and takes every one of `options`; `place` names the key."""
    if method not in METHODS:
        raise unknown(f"{place}.method", method, METHODS)
    known = _options(METHODS[method])
    for name, value in options.items():
        if name not in known:
            raise unknown(f"{place}.options.{name}", name, known)
        default = known[name]
        if isinstance(value, bool) != isinstance(default, bool) or not isinstance(value, _accepted(default)):
            raise BadInput(f"{place}.options.{name}: expected {type(default).__name__}, got {value!r}")


def build(
    method: str,
    vit: VisionTransformer,
    num_classes: int,
    options: Mapping[str, Any],
    statistics: Mapping[str, Tensor],
) -> nn.Module:
    """The method around `vit`, with random tuned parameters; it takes those `statistics` that it asks for."""
    kind: Any = METHODS[method]
    asked = {name: statistics[name] for name in kind.statistics}
    return kind(vit, num_classes, **asked, **options)


def _options(method: type[nn.Module]) -> dict[str, Any]:
    """Keyword arguments with their defaults; those without one are statistics."""
    parameters = inspect.signature(method).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is not p.empty}


def _accepted(default: object) -> tuple[type, ...]:
    return (int, float) if isinstance(default, float) else (type(default),)
