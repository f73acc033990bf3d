"""The methods, by name. To add one: its file, a line here, a row in `params.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from ship.errors import BadInput, Unfit
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
