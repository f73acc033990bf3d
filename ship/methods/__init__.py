"""The methods, by name. To add one: its file, a line here, a row in `params.yaml`."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from ship.complaints import complaint
from ship.config import Params
from ship.errors import BadInput, Unfit, unknown
from ship.methods.adapters import AdapterPlus, AdaptFormer, Houlsby, Pfeiffer
from ship.methods.convpass import Convpass
from ship.methods.cvpt import CVPT
from ship.methods.fact import FacTTensorTrain, FacTTucker
from ship.methods.linear import Linear
from ship.methods.lora import OFT, LoRA, VeRA
from ship.methods.mlp import MLP
from ship.methods.repadapter import RepAdapter
from ship.methods.selective import BitFit, Full, LayerNorm, Partial
from ship.methods.ship import SHIP
from ship.methods.ssf import SSF
from ship.methods.vpt import VPT

STRICT = ConfigDict(strict=True, allow_inf_nan=False)
METHODS: dict[str, type[nn.Module]] = {
    "adapter_plus": AdapterPlus,
    "adaptformer": AdaptFormer,
    "bitfit": BitFit,
    "convpass": Convpass,
    "cvpt": CVPT,
    "fact_tk": FacTTucker,
    "fact_tt": FacTTensorTrain,
    "full": Full,
    "houlsby": Houlsby,
    "layernorm": LayerNorm,
    "linear": Linear,
    "lora": LoRA,
    "mlp": MLP,
    "oft": OFT,
    "partial": Partial,
    "pfeiffer": Pfeiffer,
    "repadapter": RepAdapter,
    "ship": SHIP,
    "ssf": SSF,
    "vera": VeRA,
    "vpt": VPT,
}


def check_row(params: Params, name: str, task: str) -> None:
    """Raise BadInput unless a row's method takes its settings on `task`, and every option that its search may try."""
    row, place = params.methods[name], f"params.yaml: methods.{name}"
    check_options(row.method, params.options_of(name, task), place)
    check_noise(row.method, params.train_of(name, task).noise, place)
    for key, values in row.search.candidates.items() if row.search else ():
        for value in values if key.startswith("options.") else ():
            check_options(row.method, {key.removeprefix("options."): value}, f"{place}.search")


def check_options(method: str, options: Mapping[str, Any], place: str) -> None:
    """Raise BadInput unless `method` is one of METHODS and takes every one of `options`; `place` names the key.

    The types of the constructor's keyword arguments are the schema.
    """
    if method not in METHODS:
        raise unknown(f"{place}.method", method, METHODS)
    known = _options(METHODS[method])
    for name, value in options.items():
        if name not in known:
            raise unknown(f"{place}.options.{name}", name, known)
        try:
            TypeAdapter(known[name], config=STRICT).validate_python(value)
        except ValidationError as error:
            raise BadInput(f"{place}.options.{name}: {complaint(error.errors()[0])}") from None


def check_noise(method: str, noise: float, place: str) -> None:
    """Raise Unfit where there is noise for a method that sees no image; `place` names the method."""
    kind: Any = METHODS[method]
    if noise and kind.trains_on == "pooled":
        raise Unfit(f"{place}: expected train.noise and train.consistency 0, since it sees no image, got others")


def build(
    method: str,
    vit: VisionTransformer,
    num_classes: int,
    options: Mapping[str, Any],
    statistics: Mapping[str, Tensor],
) -> nn.Module:
    """The method around `vit`, with random tuned parameters; it takes those `statistics` that it asks for.

    Raises Unfit where the options do not go together, or not with the backbone.
    """
    kind: Any = METHODS[method]
    asked = {name: statistics[name] for name in kind.statistics}
    try:
        return kind(vit, num_classes, **asked, **options)
    except BadInput as error:
        raise Unfit(str(error)) from None


def _options(method: type[nn.Module]) -> dict[str, Any]:
    """Keyword arguments with their types; those without a default are statistics."""
    parameters = inspect.signature(method).parameters.values()
    types = get_type_hints(method.__init__, include_extras=True)
    return {p.name: types[p.name] for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is not p.empty}
