"""The contract of a method, and what methods share.

A method is a `Method`: a class around a ViT, whose file `METHODS` names.

It declares, each with one word in the class:
    `statistics`: what it wants measured on the task's images; it comes as the keyword arguments of these names.
    `trains_on`: "images", or "pooled" where it sees only what the head reads (then it is a `Probe`).
    `reads_pooled`: whether its head reads what the ViT pools, so that it can start as a regression on that.
    `takes_noise`: whether it adds to what frozen layers give, so that noise can act on what it adds.
    `recordable`: whether a GPU can make its step without an answer to the CPU in between (`training.step`).
    `reads_weights`: whether it does more with frozen weights than to multiply tokens with them (`methods.rounding`).
    Keyword arguments with type and default: its options. They are the schema of a row's `options` in `params.yaml`.

It does, in `__init__(self, vit, num_classes, *, ...)`:
    `self.vit = freeze(vit)` first, then add tensors: what requires a gradient afterwards is trained, counted and saved,
    and so are buffers that do not lie in `self.vit`. `self.head` gives the C logits.
    If it takes noise, `self.noise = block_noise(vit)`: what it adds in block i, and that alone, goes through
    `self.noise[i]`.
    Raise BadInput for options that do not go together, or not with the ViT.

It computes, in `forward`:
    Attention with `models.attention.attend`, in each block first that of the image tokens, whose queries and keys are
    made by `attn.qkv`: so people can see what it looks at (`inference.attention`).
    Sizes as `z.shape[0]`, never `len(z)`, which makes the number of images of an export a constant.

It may rely on:
    `vit` is a plain pre-norm ViT of timm (`models.vit.require_plain`), its own to change, in evaluation mode, and may
    bring registers, LayerScale, q and k norms, other pooling, or no class token; options have been checked by type.
    `affinity` is (L, L) and `prototypes` (K, D), of this ViT. Random numbers are seeded by whoever builds it.

It may offer:
    `merged()`, where its changes fit into the weights of a plain ViT (`Mergeable`; `InPlace` has it);
    `fold()`, where it has prompts that are the same for every image: then what only depends on them is computed once
    for inference (`Foldable`);
    `picks()`, where it picks some of an image's tokens, so that people can see which (`Picking`).

`tests/methods/test_contract.py` holds every method to it, `tests/inference/test_export.py` its exports.
"""

from __future__ import annotations

import copy
import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, Self, runtime_checkable

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from ship.errors import BadInput, difference
from ship.models.noise import Noise
from ship.models.vit import encode

KV = tuple[Tensor, Tensor]  # keys and values of one block's prompts, (B, H, P, D/H) each; B = 1: of every image
Folded = tuple[Tensor, ...]  # what one block needs of its prompts at inference: keys and values, or more


class Output(NamedTuple):
    """What a method makes of a batch."""

    logits: Tensor
    """(B, C)"""
    penalty: Tensor | float = 0.0
    """weighted; added to the cross-entropy in training"""


class Method(nn.Module, ABC):
    """A frozen ViT and what is tuned beside it; see the module's text for what is declared and relied on."""

    statistics: ClassVar[tuple[Literal["affinity", "prototypes"], ...]] = ()
    trains_on: ClassVar[Literal["images", "pooled"]] = "images"
    reads_pooled: ClassVar[bool] = True
    takes_noise: ClassVar[bool] = False
    recordable: ClassVar[bool] = True
    reads_weights: bool = False
    vit: VisionTransformer
    head: nn.Module
    noise: Sequence[Noise]
    """of every block, where it takes noise"""

    @abstractmethod
    def forward(self, images: Tensor) -> Output:
        """Logits (B, C) of normalised images (B, 3, S, S), and a penalty >= 0 in training."""

    def train(self, mode: bool = True) -> Self:
        """As every module; the batch norms of a hybrid ViT keep their statistics, which nothing saves."""
        super().train(mode)
        for layer in self.vit.modules():
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                layer.eval()
        return self

    def _load_from_state_dict(self, state: dict[str, Tensor], prefix: str, *others: Any) -> None:
        """Refuse the affinity of other levels: they were made when the method was."""
        told, own = state.get(f"{prefix}affinity"), dict(self.named_buffers(recurse=False)).get("affinity")
        if told is not None and own is not None and not torch.equal(told.to(own), own):
            raise BadInput(
                "load_state_dict: expected the affinity that the method was made with, since its levels follow from "
                f"it, got another (affinity=state[{prefix + 'affinity'!r}] when it is made)"
            )
        super()._load_from_state_dict(state, prefix, *others)


class Probe(Method):
    """A method that leaves the ViT as it is, so that it can train on what the head reads, computed once."""

    trains_on: ClassVar[Literal["images", "pooled"]] = "pooled"

    def forward(self, images: Tensor) -> Output:
        """Logits (B, C) of images (B, 3, S, S)."""
        return self.on_pooled(encode(self.vit, images))

    @abstractmethod
    def on_pooled(self, pooled: Tensor) -> Output:
        """Logits (B, C) of what the head reads, (B, D)."""


class InPlace(Method):
    """A method that changes layers of the ViT where they stand: the way through the blocks stays as it is.

    It trains weights and biases that are there, or puts a `Layer` in the place of a layer.
    """

    def forward(self, images: Tensor) -> Output:
        """Logits (B, C) of images (B, 3, S, S)."""
        return Output(self.head(encode(self.vit, images)))

    def merged(self) -> VisionTransformer:
        """A plain ViT of timm with the changes in its weights: `merged()(images)` are the logits (B, C)."""
        vit = with_head(self.vit, self.head)
        for owner in list(vit.modules()):
            for name, layer in owner.named_children():
                if isinstance(layer, Layer):
                    setattr(owner, name, layer.folded())
        return vit


class Layer(nn.Module, ABC):
    """A frozen layer of the ViT, and what is tuned to change it."""

    @abstractmethod
    def folded(self) -> nn.Module:
        """The layer alone, with the change in its weight and bias; what is tuned is not to be used any more."""


@runtime_checkable
class Mergeable(Protocol):
    """A method whose changes fit into the weights of a plain ViT."""

    def merged(self) -> VisionTransformer:
        """A plain ViT of timm: `merged()(images)` are the logits (B, C)."""


@runtime_checkable
class Foldable(Protocol):
    """A method with prompts that are the same for every image, below the blocks that read them."""

    def fold(self) -> list[Folded]:
        """What every block needs of its prompts, as constants."""

    def forward(self, images: Tensor, folded: list[Folded] | None = None) -> Output:
        """Logits (B, C) of images (B, 3, S, S); what `fold` gave spares the prompts' own way at inference."""


@runtime_checkable
class Picking(Protocol):
    """A method that picks some of an image's tokens before some of its blocks."""

    def picks(self, images: Tensor) -> dict[int, Tensor]:
        """Places (B, A) of the A image tokens that each block is given, of normalised images, after a whole pass."""


def linear_head(width: int, num_classes: int) -> nn.Linear:
    """A head (C, D): truncated normal 0.02, zero bias."""
    head = nn.Linear(width, num_classes)
    nn.init.trunc_normal_(head.weight, std=0.02)
    nn.init.zeros_(head.bias)
    return head


def uniform(*shape: int, bound: float) -> nn.Parameter:
    """A tuned tensor, uniform in [-bound, bound]."""
    return nn.Parameter(torch.empty(shape).uniform_(-bound, bound))


def glorot(fan: float) -> float:
    """sqrt(6 / fan), the bound of Glorot's uniform initialisation."""
    return math.sqrt(6 / fan)


def with_head(vit: VisionTransformer, head: nn.Module) -> VisionTransformer:
    """A copy of `vit` with a copy of `head`, as timm has them together."""
    whole = copy.deepcopy(vit)
    whole.head, whole.num_classes = copy.deepcopy(head), head.out_features
    return whole


def tuned_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Everything that is trained, counted and saved, by name."""
    return {name: tensor for name, tensor in model.named_parameters() if tensor.requires_grad}


def tuned_state(model: nn.Module) -> dict[str, Tensor]:
    """The tensors of a checkpoint: tuned parameters and the method's own buffers (hierarchy, prototypes)."""
    return {**tuned_parameters(model), **own_buffers(model)}


def own_buffers(model: nn.Module) -> dict[str, Tensor]:
    """The method's own buffers, by name; those of the backbone come with it."""
    return {name: buffer for name, buffer in model.named_buffers() if not name.startswith("vit.")}


def frozen_digest(method: Method, tuned: Collection[str] | None = None) -> str:
    """The sha256, hexadecimal, of the ViT's tensors that are not `tuned`: names, shapes, numbers.

    Of its buffers, those of batch norms count, which a hybrid ViT has.
    """
    tuned, digest = tuned_parameters(method) if tuned is None else tuned, hashlib.sha256()
    statistics = [part for part in method.named_buffers() if part[0].endswith(("running_mean", "running_var"))]
    for name, tensor in sorted([*method.named_parameters(), *statistics], key=lambda part: part[0]):
        if name not in tuned:
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def load_tuned(model: nn.Module, state: dict[str, Tensor], origin: str) -> None:
    """Put a checkpoint's tensors into a model that was built with the same options. Raises BadInput on any mismatch."""
    target = tuned_state(model)
    if got := difference(target.keys(), state.keys()):
        raise BadInput(f"{origin}: expected the tensors of this model, got a file that {got}")
    for name, tensor in target.items():
        if tensor.shape != state[name].shape:
            raise BadInput(f"{origin}: {name}: expected shape {tuple(tensor.shape)}, got {tuple(state[name].shape)}")
        with torch.no_grad():
            tensor.copy_(state[name])
