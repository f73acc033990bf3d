"""SHIP: semantic hierarchical prompt tuning (arXiv 2412.16956, ICASSP 2025).

Blocks that see alike form a level of the hierarchy. Three kinds of prompts: semantic-independent (one set per level),
semantic-shared (one set, put back fresh in every block) and attribute (one set in each of the last levels, drawn
towards prototypes of the image's most attended tokens). Image tokens read themselves and the prompts in two softmaxes.

From the authors' implementation, where the paper leaves it open: below the last block prompts do not attend, their
normalised tokens go straight through the output projection; in the last block they attend to everything.
Ours alone: the prompts that never see the image are computed once a step at batch 1. This is exact, but for stochastic
depth, which is drawn once a step for them instead of once an image.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

from ship.errors import BadInput
from ship.experiment.fields import Count, Positive, Rate, Share
from ship.methods.base import Folded, Method, Output, glorot, linear_head, uniform
from ship.models.hierarchy import first_blocks
from ship.models.noise import quiet
from ship.models.vit import (
    QKV,
    attend,
    class_attention,
    embed,
    finish_block,
    freeze,
    pool,
    pooled_tokens,
    project_kv,
    project_qkv,
)


class Prompts(NamedTuple):
    """The prompts of a block: those that are the same for every image, and those that are not."""

    common: Tensor
    """(1, P + shared, D): semantic-independent, then semantic-shared"""
    attribute: Tensor
    """(B, A, D); A = 0 where a level has none"""


class SHIP(Method):
    """Tuned: D (P M + shared + A x attribute levels) for M levels, M H more for gates of H heads, and the head.

    Ablations are options: `prompt_length`, `shared_length`, `attribute_length` or `matching_weight` 0 switches that
    part off, `decoupled=False` joins the two softmaxes, `threshold=2` makes every block a level. Not in the paper:
    `gated` weighs what the heads of a level gather from prompts by a tuned gate in place of `prompt_weight`, and the
    rest by 1 in place of `image_weight`; gates start at 0, so that the model starts as the backbone.
    """

    statistics = ("affinity", "prototypes")
    takes_noise = True
    affinity: Tensor
    prototypes: Tensor

    def __init__(
        self,
        vit: VisionTransformer,
        num_classes: int,
        *,
        affinity: Tensor,
        prototypes: Tensor,
        threshold: float = 0.95,
        prompt_length: Count = 50,
        shared_length: Count = 10,
        attribute_length: Count = 10,
        attribute_levels: Count = 2,
        image_weight: Rate = 0.9,
        prompt_weight: Rate = 0.1,
        prototype_weight: Share = 0.1,
        matching_weight: Rate = 0.5,
        matching_tokens: Positive = 10,
        decoupled: bool = True,
        gated: bool = False,
    ) -> None:
        super().__init__()
        width, depth = vit.embed_dim, len(vit.blocks)
        _require(vit, affinity, prototypes, max(attribute_length, matching_tokens))
        if gated and not decoupled:
            raise BadInput("ship: gated: expected decoupled attention, which it weighs, got decoupled false")
        self.vit = freeze(vit)
        self.noise = quiet(vit)
        self.image_weight, self.prompt_weight, self.decoupled = image_weight, prompt_weight, decoupled
        self.prototype_weight, self.matching_weight = prototype_weight, matching_weight
        self.matching_tokens = matching_tokens
        self.register_buffer("affinity", affinity)
        self.register_buffer("prototypes", prototypes)
        starts = first_blocks(affinity, threshold)
        self.level_at = {block: level for level, block in enumerate(starts)}
        self.gates = nn.ParameterList(torch.zeros(vit.blocks[0].attn.num_heads) for _ in starts if gated)
        # an attribute needs the class attention of a block before, which block 0 has not
        mixing = [block for block in starts[len(starts) - min(attribute_levels, len(starts)) :] if block > 0]
        self.attribute_at = {block: t for t, block in enumerate(mixing if attribute_length else [])}
        self.sip = nn.ParameterList(
            uniform(prompt_length, width, bound=glorot(width * (prompt_length + 1))) for _ in starts
        )
        self.ssp = uniform(shared_length, width, bound=glorot(width))
        self.ap = uniform(
            len(self.attribute_at), attribute_length, width, bound=glorot(max(attribute_length, 1) * width)
        )
        self.head = linear_head(vit.num_features, num_classes)
        self.last = depth - 1

    def forward(self, images: Tensor, folded: list[Folded] | None = None) -> Output:
        """Logits (B, C) and the matching loss of images (B, 3, S, S); `fold` spares the common prompts at inference."""
        z = embed(self.vit, images)
        if folded is not None:
            return Output(self.head(pool(self.vit, self._infer(z, folded))))
        independent, attribute = self.sip[0][None], z[:, :0]
        attended = z[:, :0]  # tokens of z that the class token attends to most, where they are asked for
        matching: Tensor | float = 0.0
        for i, block in enumerate(self.vit.blocks):
            if i in self.level_at:
                independent, attribute = self.sip[self.level_at[i]][None], self._attribute(i, attended)
            prompts = Prompts(torch.cat([independent, self.ssp[None]], dim=1), attribute)
            normed = Prompts(block.norm1(prompts.common), block.norm1(prompts.attribute))
            image, prompt = project_qkv(block, block.norm1(z)), _project(block, normed, z.shape[0])
            z = finish_block(block, z, self._gather(i, image, prompt))
            if i + 1 in self.attribute_at:
                attended = _most_attended(block, image, z, self.ap.shape[1])
            if i == self.last and self.training and self.matching_weight and prompt.k.shape[2]:
                seen = finish_block(block, _whole(prompts, z.shape[0]), _attend_jointly(prompt.q, image, prompt))
                targets = _most_attended(block, image, z, self.matching_tokens)
                matching = self.matching_weight * matching_loss(seen, targets)
            elif i < self.last and i + 1 not in self.level_at:  # of the last block nobody reads them
                independent = finish_block(block, independent, normed.common[:, : independent.shape[1]])
                attribute = finish_block(block, attribute, normed.attribute)
        return Output(self.head(pool(self.vit, z)), matching)

    def fold(self) -> list[Folded]:
        """Keys and values of the prompts of every block that are the same for every image."""
        found: list[Folded] = []
        independent = self.sip[0][None]
        for i, block in enumerate(self.vit.blocks):
            if i in self.level_at:
                independent = self.sip[self.level_at[i]][None]
            normed = block.norm1(torch.cat([independent, self.ssp[None]], dim=1))
            found.append(project_kv(block, normed))
            independent = finish_block(block, independent, normed[:, : independent.shape[1]])
        return found

    def _infer(self, z: Tensor, folded: list[Folded]) -> Tensor:
        """Image tokens (B, N, D) after the last block; of the prompts, only those that see the image are carried."""
        attribute = attended = z[:, :0]
        for i, block in enumerate(self.vit.blocks):
            if i in self.level_at:
                attribute = self._attribute(i, attended)
            image, kv = project_qkv(block, block.norm1(z)), [part.expand(z.shape[0], -1, -1, -1) for part in folded[i]]
            if attribute.shape[1]:
                normed = block.norm1(attribute)
                kv = [torch.cat(pair, dim=2) for pair in zip(kv, project_kv(block, normed), strict=True)]
                if i < self.last and i + 1 not in self.level_at:
                    attribute = finish_block(block, attribute, normed)
            asking = pooled_tokens(self.vit) if i == self.last else slice(None)
            own = image._replace(q=image.q[:, :, asking])
            z = finish_block(block, z[:, asking], self._gather(i, own, QKV(own.q, *kv)))  # no prompt asks here
            if i + 1 in self.attribute_at:
                attended = _most_attended(block, image, z, self.ap.shape[1])
        return z

    def _attribute(self, i: int, attended: Tensor) -> Tensor:
        """Attribute prompts (B, A, D) of the level that starts at block i, given the attended tokens (B, A, D)."""
        if i not in self.attribute_at:
            return attended[:, :0]
        similarity = F.normalize(attended, dim=-1) @ F.normalize(self.prototypes, dim=-1).T
        mixed = similarity.softmax(dim=-1) @ self.prototypes
        return self.prototype_weight * mixed + (1 - self.prototype_weight) * self.ap[self.attribute_at[i]]

    def _gather(self, i: int, image: QKV, prompt: QKV) -> Tensor:
        """What image tokens gather in block i, (B, N, D): from themselves and the prompts, in two softmaxes or one."""
        if not prompt.k.shape[2]:
            return attend(*image)
        if not self.decoupled:
            return self.noise[i].beyond(_attend_jointly(image.q, image, prompt), partial(attend, *image))
        own, added = attend(*image), self.noise[i](attend(image.q, prompt.k, prompt.v))
        if self.gates:
            gate = self.gates[sum(start <= i for start in self.level_at) - 1]
            return own + gate.repeat_interleave(added.shape[-1] // len(gate)) * added
        return torch.add(self.image_weight * own, added, alpha=self.prompt_weight)


def matching_loss(prompts: Tensor, targets: Tensor) -> Tensor:
    """Mean over prompts (B, P, D) of the least cosine distance to one of the targets (B, S, D)."""
    cosine = F.normalize(prompts, dim=-1) @ F.normalize(targets, dim=-1).transpose(1, 2)
    return (1 - cosine.amax(dim=-1)).mean()


def _attend_jointly(q: Tensor, image: QKV, prompt: QKV) -> Tensor:
    return attend(q, torch.cat([image.k, prompt.k], dim=2), torch.cat([image.v, prompt.v], dim=2))


def _most_attended(block: Block, image: QKV, z: Tensor, count: int) -> Tensor:
    """The `count` tokens of z (B, N, D) with the largest class attention in the block that made z: (B, count, D)."""
    chosen = class_attention(block, image).topk(count).indices
    return z[torch.arange(z.shape[0], device=z.device)[:, None], chosen]


def _project(block: Block, normed: Prompts, batch: int) -> QKV:
    """Queries, keys and values of all prompts, (B, H, P, D/H): the common ones are projected once."""
    common, attribute = project_qkv(block, normed.common), project_qkv(block, normed.attribute)
    return QKV(*(_whole(Prompts(*pair), batch) for pair in zip(common, attribute, strict=True)))


def _whole(prompts: Prompts, batch: int) -> Tensor:
    """All prompts of every image, with the common ones repeated (without a copy where there are no others)."""
    common = prompts.common.expand(batch, *prompts.common.shape[1:])
    return torch.cat([common, prompts.attribute], dim=-2) if prompts.attribute.shape[-2] else common


def _require(vit: VisionTransformer, affinity: Tensor, prototypes: Tensor, tokens: int) -> None:
    depth, width = len(vit.blocks), vit.embed_dim
    image_tokens = vit.patch_embed.num_patches + vit.num_prefix_tokens
    if not vit.has_class_token:
        raise BadInput("ship: expected a backbone with a class token, which its class attention needs, got one without")
    if affinity.shape != (depth, depth):
        raise BadInput(f"ship: affinity: expected shape {(depth, depth)} of this backbone, got {tuple(affinity.shape)}")
    if prototypes.ndim != 2 or prototypes.shape[1] != width:
        raise BadInput(f"ship: prototypes: expected shape (K, {width}) of this backbone, got {tuple(prototypes.shape)}")
    if tokens > image_tokens:
        raise BadInput(
            f"ship: attribute_length, matching_tokens: expected at most {image_tokens} image tokens, got {tokens}"
        )
