"""The prompts of one block: most are the same for every image, some are not, and often there are none of a kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from timm.models.vision_transformer import Block
from torch import Tensor

from ship.methods.base import KV, Folded
from ship.models.vit import project_kv


class Prompts(NamedTuple):
    """The prompts of a block: those that are the same for every image, and those that are not."""

    common: Tensor
    """(1, P + shared, D): semantic-independent, then semantic-shared"""
    attribute: Tensor
    """(B, A, D); A = 0 where a level has none"""


def joined(some: Folded, more: Folded) -> KV:
    """Keys and values of both, one behind the other, (B, H, P, D/H); (1, H, P, D/H) stand for every image's."""
    images = more[0].shape[0] if some[0].shape[0] == 1 else some[0].shape[0]
    keys, values = (
        torch.cat([part.expand(images, -1, -1, -1) for part in pair], dim=2) for pair in zip(some, more, strict=True)
    )
    return keys, values


def keys_values(block: Block, normed: Prompts) -> KV:
    """Keys and values of all prompts, (B, H, P, D/H), or (1, H, P, D/H) where there are only common ones."""
    common = project_kv(block, normed.common)
    return joined(common, project_kv(block, normed.attribute)) if normed.attribute.shape[1] else common


def where_any(change: Callable[..., Tensor], prompts: Tensor, *more: Tensor) -> Tensor:
    """The prompts (B, P, D) changed; none stay none, without the cost of operations on them."""
    return change(prompts, *more) if prompts.shape[1] else prompts


def whole(prompts: Prompts, batch: int) -> Tensor:
    """All prompts of every image, with the common ones repeated (without a copy where there are no others)."""
    common = prompts.common.expand(batch, *prompts.common.shape[1:])
    return torch.cat([common, prompts.attribute], dim=-2) if prompts.attribute.shape[-2] else common
