"""The methods, by name. To add one: its file, a line here, a row in `params.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ship.errors import BadInput, Unfit

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer
    from torch import Tensor

    from ship.methods.base import Method

METHODS = {  # module and class; imported when it is used, so that no run loads, or depends on, another run's method
    "adapter_plus": "adapters.AdapterPlus",
    "adaptformer": "adapters.AdaptFormer",
    "bitfit": "selective.BitFit",
    "convpass": "convpass.Convpass",
    "cvpt": "cvpt.CVPT",
    "fact_tk": "fact.FacTTucker",
    "fact_tt": "fact.FacTTensorTrain",
    "full": "selective.Full",
    "houlsby": "adapters.Houlsby",
    "layernorm": "selective.LayerNorm",
    "linear": "linear.Linear",
    "lora": "lora.LoRA",
    "mlp": "mlp.MLP",
    "oft": "oft.OFT",
    "partial": "selective.Partial",
    "pfeiffer": "adapters.Pfeiffer",
    "repadapter": "repadapter.RepAdapter",
    "shared_adapter": "shared_adapter.SharedAdapter",
    "ship": "ship.SHIP",
    "ssf": "ssf.SSF",
    "vera": "lora.VeRA",
    "vpt": "vpt.VPT",
}


def method_class(name: str) -> type[Method]:
    """The class of the method `name`, a key of METHODS."""
    module, _, kind = METHODS[name].partition(".")
    found: type[Method] = getattr(import_module(f"ship.methods.{module}"), kind)
    return found


def build(
    method: str,
    vit: VisionTransformer,
    num_classes: int,
    options: Mapping[str, Any],
    statistics: Mapping[str, Tensor],
) -> Method:
    """The method around `vit`, with random tuned parameters; it takes those `statistics` that it asks for.

    Raises Unfit where the options do not go together, or not with the backbone.
    """
    kind = method_class(method)
    asked = {name: statistics[name] for name in kind.statistics}
    try:
        return kind(vit, num_classes, **asked, **options)
    except BadInput as error:
        raise Unfit(str(error)) from None
