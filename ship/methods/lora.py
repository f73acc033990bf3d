"""LoRA and its relatives on the frozen attention's projections, by Hugging Face `peft`.

LoRA (Hu et al., ICLR 2022): W + (alpha / R) B A for queries and values. DoRA (Liu et al., ICML 2024): the same with a
tuned magnitude of each output. VeRA (Kopiczko et al., ICLR 2024): W + diag(b) B diag(d) A for queries and values, where
A and B are random, frozen and the same for all; they follow from a fixed seed and are not saved.
OFT (Qiu et al., NeurIPS 2023): W R for queries, keys, values and output, R block-diagonal and orthogonal by Cayley's
transform (I + Q)(I - Q)^-1 of skew-symmetric blocks Q, exact as in the paper and not `peft`'s default series. The paper
says how many blocks there are, here it is how wide they are; its constrained form (COFT) is left out.

timm keeps the query, key and value projections in one layer; it is taken apart first, so that each has its own update,
as in the papers.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from ship.errors import BadInput
from ship.experiment.fields import Fraction, Positive, Rate
from ship.methods.base import Method, Output, linear_head, with_head
from ship.models.linear import Linear
from ship.models.noise import Noise, block_noise
from ship.models.vit import encode, freeze

if TYPE_CHECKING:
    from peft import PeftConfig  # takes seconds, which other methods need not spend


class Injected(Method):
    """logits = head(pool(vit(images))) with projections that `peft` has wrapped as `settings` say."""

    def __init__(self, vit: VisionTransformer, num_classes: int, settings: PeftConfig) -> None:
        from peft import get_peft_model
        from peft.tuners.tuners_utils import BaseTunerLayer

        super().__init__()
        self.vit = freeze(vit)
        self.noise = block_noise(vit)
        for block, noise in zip(vit.blocks, self.noise, strict=True):
            block.attn.qkv = Apart(block.attn.qkv, noise)
        get_peft_model(vit, settings)  # changes vit in place; VeRA cannot be injected otherwise
        for layer in vit.modules():
            if isinstance(layer, BaseTunerLayer):
                layer.cast_input_dtype_enabled = False  # autocast casts: without this, tokens to float32 and back
        self.head = linear_head(vit.num_features, num_classes)

    def forward(self, images: Tensor) -> Output:
        """Logits (B, C) of images (B, 3, S, S)."""
        return Output(self.head(encode(self.vit, images)))

    def merged(self) -> VisionTransformer:
        """A plain ViT of timm with the updates in its weights: `merged()(images)` are the logits (B, C)."""
        vit = with_head(self.vit, self.head)
        for block in vit.blocks:
            block.attn.qkv = block.attn.qkv.together()
            block.attn.proj = _merged(block.attn.proj)
        del vit.peft_config
        return vit


class LoRA(Injected):
    """Tuned: 4 D R L for rank R, 2 D L more for DoRA's magnitudes, and the head."""

    takes_noise = True

    def __init__(
        self,
        vit: VisionTransformer,
        num_classes: int,
        *,
        rank: Positive = 8,
        alpha: Rate = 8.0,
        dropout: Fraction = 0.0,
        dora: bool = False,
    ) -> None:
        from peft import LoraConfig

        settings = LoraConfig(
            r=rank, lora_alpha=alpha, lora_dropout=dropout, use_dora=dora, target_modules=["qkv.q", "qkv.v"]
        )
        super().__init__(vit, num_classes, settings)
        self.reads_weights = dora  # a magnitude is that of the weight with its update


class VeRA(Injected):
    """Tuned: 2 L (R + D) for rank R, and the head."""

    takes_noise = True

    def __init__(
        self,
        vit: VisionTransformer,
        num_classes: int,
        *,
        rank: Positive = 256,
        initial: Rate = 0.1,
        dropout: Fraction = 0.0,
    ) -> None:
        from peft import VeraConfig

        settings = VeraConfig(
            r=rank, d_initial=initial, vera_dropout=dropout, projection_prng_key=0, target_modules=["qkv.q", "qkv.v"]
        )
        super().__init__(vit, num_classes, settings)


class OFT(Injected):
    """Tuned: 2 L D (S - 1) for blocks of size S, and the head."""

    recordable = False  # it solves equations, and the solver asks whether it could

    def __init__(self, vit: VisionTransformer, num_classes: int, *, block_size: Positive = 8) -> None:
        from peft import OFTConfig

        if block_size < 2 or vit.embed_dim % block_size:
            raise BadInput(
                f"oft: block_size: expected a divisor of the width {vit.embed_dim} and at least 2, got {block_size}"
            )
        targets = ["qkv.q", "qkv.k", "qkv.v", "attn.proj"]
        settings = OFTConfig(oft_block_size=block_size, use_cayley_neumann=False, target_modules=targets)
        super().__init__(vit, num_classes, settings)


class Apart(nn.Module):
    """Queries, keys and values (..., 3 D) of tokens (..., D), each by a layer of its own."""

    def __init__(self, qkv: nn.Linear, noise: Noise) -> None:
        super().__init__()
        self.q, self.k, self.v = (_rows(qkv, part) for part in range(3))
        self.noise = noise

    def forward(self, h: Tensor) -> Tensor:
        """The three side by side, as timm's one layer gives them, with noise on their updates."""
        return torch.cat([self._changed(part, h) for part in (self.q, self.k, self.v)], dim=-1)

    def _changed(self, part: nn.Module, h: Tensor) -> Tensor:
        """What a part gives, with noise on its update where it has one."""
        return part(h) if isinstance(part, nn.Linear) else self.noise.beyond(part(h), partial(_base(part), h))

    @torch.no_grad()
    def together(self) -> nn.Linear:
        """One layer again, with the updates in its weight."""
        parts = [_merged(part) for part in (self.q, self.k, self.v)]
        first = parts[0]
        like = {"device": first.weight.device, "dtype": first.weight.dtype}
        whole = nn.Linear(first.in_features, 3 * first.out_features, first.bias is not None, **like)
        for rows, part in zip(whole.weight.chunk(3), parts, strict=True):
            rows.copy_(part.weight)
        if first.bias is not None:
            for rows, part in zip(whole.bias.chunk(3), parts, strict=True):
                rows.copy_(part.bias)
        return whole.requires_grad_(False)


def _merged(part: Any) -> nn.Linear:
    """The plain layer of a part, with the update in its weight where `peft` gave it one."""
    if isinstance(part, nn.Linear):
        return part
    part.merge()
    return _base(part)


def _base(part: Any) -> nn.Linear:
    """The frozen layer of a part."""
    return part if isinstance(part, nn.Linear) else part.get_base_layer()


def _rows(qkv: nn.Linear, part: int) -> nn.Linear:
    """The frozen layer of one part of three; its tensors are views."""
    width = qkv.out_features // 3
    own = Linear(qkv.in_features, width, bias=qkv.bias is not None, device="meta")
    own.weight = nn.Parameter(qkv.weight[part * width : (part + 1) * width], requires_grad=False)
    if qkv.bias is not None:
        own.bias = nn.Parameter(qkv.bias[part * width : (part + 1) * width], requires_grad=False)
    return own
