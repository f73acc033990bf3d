"""A method around one's own ViT, as a plain module of PyTorch: `ship.wrap`.

It takes and gives tensors; whose images they are, and how they are batched and augmented, is the caller's business.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from timm import layers
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from ship.data.decoding import PLAIN, Reading
from ship.errors import BadInput, unknown
from ship.experiment.params import Hierarchy
from ship.methods import METHODS, build, method_class
from ship.methods.base import Mergeable, Method, frozen_digest, own_buffers, tuned_parameters
from ship.methods.options import check_arguments
from ship.models.features import BATCH, features
from ship.models.hierarchy import affinity, prototypes
from ship.models.linear import Linear, swap
from ship.models.norm import LayerNorm
from ship.models.patches import PatchEmbedding
from ship.models.preprocessing import Preprocessing
from ship.models.vit import require_plain
from ship.storage import expanded, write_tensors


class Model(nn.Module):
    """A method around a ViT."""

    def __init__(
        self,
        method: Method,
        name: str,
        options: Mapping[str, Any],
        classes: Sequence[str],
        preprocessing: Preprocessing | None = None,
        reading: Reading = PLAIN,
        frozen: str | None = None,
    ) -> None:
        super().__init__()
        self.method = method
        self.name, self.options = name, dict(options)
        self.classes = list(classes)
        """names of the C classes"""
        self.preprocessing = preprocessing
        """of images, where the model comes of a run"""
        self.reading = reading
        """of image files, as its task has them read"""
        self._tuned = tuple(tuned_parameters(method))  # names: a caller may freeze all of it afterwards
        self._frozen = frozen or frozen_digest(method, self._tuned)  # who knows it need not read the whole ViT again

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, C) of images (B, 3, S, S), normalised as the ViT wants them."""
        logits: Tensor = self.method(x).logits
        return logits

    def features(self, x: Tensor) -> Tensor:
        """What the head reads of images (B, 3, S, S), (B, D); of `mlp`, its hidden layer (B, W)."""
        read: list[Tensor] = []
        seen = self.method.head.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))
        try:
            self.method(x)
        finally:
            seen.remove()
        return read[0]

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        """What training makes small, a scalar: cross-entropy with the labels (B,), and the method's penalty."""
        logits, penalty = self.method(x)
        return F.cross_entropy(logits.float(), y) + penalty

    @property
    def tuned_parameters(self) -> list[nn.Parameter]:
        """What an optimiser is to change; nothing else gets a gradient."""
        return list(self._by_name().values())

    def save(self, path: str | Path) -> None:
        """Write what is tuned, and what it takes to build it again around the same ViT: `ship.load(path, vit)`.

        Raises BadInput where nobody could build it again: the model was cast to another type than float32, frozen
        weights have changed, or there is another number of classes than of logits.
        """
        if odd := {p.dtype for p in self.parameters()} - {torch.float32}:
            raise BadInput(f"save: expected a model of torch.float32, got {odd.pop()} (save it before it is cast)")
        if frozen_digest(self.method, self._tuned) != self._frozen:
            raise BadInput(
                "save: expected the frozen weights of the ViT that was wrapped, got others, which no ViT brings back "
                "(average, cast or change `tuned_parameters` alone)"
            )
        if len(self.classes) != (logits := self.method.head.out_features):
            raise BadInput(f"save: expected {logits} classes, as many as logits, got {len(self.classes)}")
        about = {"method": self.name, "options": self.options, "classes": self.classes}
        about |= {"frozen": self._frozen, "form": form(self.method.vit)}
        write_tensors(expanded(path), {**self._by_name(), **own_buffers(self.method)}, about)

    def _by_name(self) -> dict[str, nn.Parameter]:
        """The tuned parameters, in the method's order."""
        return {name: tensor for name, tensor in self.method.named_parameters() if name in self._tuned}

    def merged(self) -> VisionTransformer:
        """A plain ViT of timm that gives the same logits, all of it to be trained, if anybody goes on with it.

        Raises BadInput where the method is more than weights.
        """
        if not isinstance(self.method, Mergeable):
            can = ", ".join(name for name in METHODS if issubclass(method_class(name), Mergeable))
            raise BadInput(f"merged: expected a method whose changes fit into a plain ViT ({can}), got {self.name}")
        with torch.autocast(next(self.parameters()).device.type, enabled=False):  # which would round what is merged
            plain = self.method.merged().eval().requires_grad_()
        swap(plain, PatchEmbedding, nn.Conv2d)
        swap(plain, Linear, nn.Linear)
        swap(plain, LayerNorm, layers.LayerNorm)
        return plain


def wrap(vit: nn.Module, method: str, *, num_classes: int, images: Tensor | None = None, **options: Any) -> Model:
    """`method` around a copy of `vit`, in training mode, on its device, with fresh tuned parameters and head.

    Args:
        vit: A plain pre-norm ViT of timm, float32; it stays as it is.
        method: A key of `ship.methods.METHODS`.
        num_classes: C, at least 1.
        images: (n, 3, S, S), normalised as the ViT wants them: what a method asks to have measured on training images
            (ship: affinity and prototypes; shared_adapter: affinity) is measured on these. Other methods need none.
        options: The method's keyword arguments; and its statistics, where they have been measured before.

    Raises:
        BadInput: Another kind of model, an unknown method or option, a value of another type, statistics that lack.
    """
    plain = copied(vit, "wrap")
    if not isinstance(method, str):
        raise BadInput(f"wrap: method: expected the name of one, got {method!r}")
    if method not in METHODS:
        raise unknown("wrap: method", method, METHODS)
    if isinstance(num_classes, bool) or not isinstance(num_classes, int) or num_classes < 1:
        raise BadInput(f"wrap: num_classes: expected a whole number from 1, got {num_classes!r}")
    asked = method_class(method).statistics
    given: dict[str, Tensor] = {
        name: _statistic(f"wrap: {name}", options.pop(name)) for name in asked if name in options
    }
    check_arguments(method, options, f"wrap: {method}")
    if len(given) < len(asked):
        given = {**measured(plain, f"wrap: {method}", asked, images), **given}
    built = build(method, plain, num_classes, options, given).to(next(plain.parameters()).device)
    return Model(built, method, options, [str(label) for label in range(num_classes)]).train()


def _statistic(what: str, value: object) -> Tensor:
    """A statistic that the caller has measured, in float32."""
    if not isinstance(value, Tensor) or not value.is_floating_point():
        got = value.dtype if isinstance(value, Tensor) else type(value).__name__
        raise BadInput(f"{what}: expected a tensor of floating point, got {got}")
    if not value.numel() or not value.isfinite().all():
        raise BadInput(f"{what}: expected finite numbers, got {'nan or inf' if value.numel() else 'none'}")
    return value.detach().float()


def copied(vit: nn.Module, what: str) -> VisionTransformer:
    """A copy of `vit` in evaluation mode, if it is a plain ViT of float32; `what` is in front of an error."""
    plain = require_plain(vit, what)
    if odd := {p.dtype for p in plain.parameters()} - {torch.float32}:
        raise BadInput(f"{what}: expected a ViT of torch.float32 (with torch.autocast for speed), got {odd.pop()}")
    return copy.deepcopy(plain).eval()


@torch.no_grad()
def measured(vit: VisionTransformer, what: str, asked: Sequence[str], images: Tensor | None) -> dict[str, Tensor]:
    """What is asked for of the plain `vit` on `images`, as `ship hierarchy` measures it by default."""
    first = next(layer for layer in vit.patch_embed.modules() if isinstance(layer, nn.Conv2d))
    size = (first.in_channels, *vit.patch_embed.img_size)
    if images is None:
        raise BadInput(
            f"{what}: expected images=, a tensor (n, {', '.join(map(str, size))}) of training images to measure "
            f"{' and '.join(asked)} on, or these themselves, got none"
        )
    if not isinstance(images, Tensor) or not images.is_floating_point():
        got = images.dtype if isinstance(images, Tensor) else type(images).__name__
        raise BadInput(f"{what}: images: expected a tensor of normalised images, floating point, got {got}")
    if images.ndim != 4 or tuple(images.shape[1:]) != size or not len(images):
        raise BadInput(
            f"{what}: images: expected shape (n, {', '.join(map(str, size))}) of this ViT, got {tuple(images.shape)}"
        )
    if not images.isfinite().all():
        raise BadInput(f"{what}: images: expected finite numbers, got nan or inf")
    device = next(vit.parameters()).device
    blocks = torch.cat([features(vit, batch.to(device).float())[0].cpu() for batch in images.split(BATCH)], dim=1)
    settings, found = Hierarchy(), dict[str, Tensor]()
    if "affinity" in asked:
        found["affinity"] = affinity(blocks)
    if "prototypes" in asked:
        found["prototypes"] = prototypes(blocks[-1], settings.prototypes, settings.seed)
    return found


def form(vit: VisionTransformer) -> dict[str, Any]:
    """What ViTs with the same tensors may differ in: heads, activation, pooling, the norms' epsilon."""
    block: Any = vit.blocks[0]
    act = getattr(block.mlp, "act", None)
    return {
        "heads": block.attn.num_heads,
        "activation": type(act).__name__,
        "approximation": getattr(act, "approximate", "none"),
        "pooling": vit.global_pool,
        "pools_prefix": vit.pool_include_prefix,
        "epsilon": sorted({module.eps for module in vit.modules() if isinstance(getattr(module, "eps", None), float)}),
    }
