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

import torch
import torch.nn.functional as F
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

from ship.errors import BadInput
from ship.experiment.fields import Count, Positive, Rate, Share
from ship.methods.base import KV, Folded, Method, Output, glorot, linear_head, uniform
from ship.methods.prompts import Prompts, joined, keys_values, where_any, whole
from ship.models.attention import QKV, attend
from ship.models.hierarchy import first_blocks
from ship.models.noise import block_noise
from ship.models.vit import (
    ALL,
    class_attention,
    embed,
    finish_block,
    freeze,
    pool,
    project_kv,
    project_q,
    project_qkv,
    read_after,
    unrounded,
)


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
        attributes, targets = attribute_length * bool(attribute_levels), matching_tokens * bool(matching_weight)
        _require(vit, affinity, prototypes, attribute_length=attributes, matching_tokens=targets)
        if gated and not decoupled:
            raise BadInput("ship: gated: expected decoupled attention, which it weighs, got decoupled false")
        self.vit = freeze(vit)
        self.noise = block_noise(vit)
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
        if folded is not None or not self.training:
            return Output(self.head(pool(self.vit, self._infer(z, folded or self.fold())[0])))
        independent, attribute = self.sip[0][None], z[:, :0]
        attended = z[:, :0]  # tokens of z that the class token attends to most, where they are asked for
        for i, block in enumerate(self.vit.blocks):
            if i in self.level_at:
                independent, attribute = self.sip[self.level_at[i]][None], self._attribute(i, attended)
            prompts = Prompts(torch.cat([independent, self.ssp[None]], dim=1), attribute)
            normed = Prompts(*(where_any(block.norm1, part) for part in prompts))
            image, kv = project_qkv(block, block.norm1(z)), keys_values(block, normed)
            if i == self.last:
                return self._finish(block, z, prompts, normed, image, kv)
            z = finish_block(block, z, self._gather(i, image, kv))
            if i + 1 in self.attribute_at:
                attended = _take(z, _most_attended(block, image, self.ap.shape[1]))
            if i + 1 not in self.level_at:
                independent = finish_block(block, independent, normed.common[:, : independent.shape[1]])
                attribute = where_any(partial(finish_block, block), attribute, normed.attribute)
        raise AssertionError("a ViT has blocks")

    def _finish(self, block: Block, z: Tensor, prompts: Prompts, normed: Prompts, image: QKV, kv: KV) -> Output:
        """Logits and matching loss in training, after the last block; of tokens z (B, N, D), those that are read."""
        read = read_after(self.vit)[-1]
        if not (self.matching_weight and kv[0].shape[2]):
            image, z = image._replace(q=image.q[:, :, read]), z[:, read]
            return Output(self.head(pool(self.vit, finish_block(block, z, self._gather(self.last, image, kv)))))
        q = whole(Prompts(*(project_q(block, part) for part in normed)), z.shape[0])
        seen = finish_block(block, whole(prompts, z.shape[0]), _attend_jointly(image._replace(q=q), kv))
        chosen = _most_attended(block, image, self.matching_tokens)
        if read != ALL:  # the class token and the targets
            pooled = torch.arange(z.shape[1], device=z.device)[read].expand(z.shape[0], -1)
            rows = torch.cat([pooled, chosen], dim=1)
            image, z = image._replace(q=_take(image.q.transpose(1, 2), rows).transpose(1, 2)), _take(z, rows)
            chosen = torch.arange(pooled.shape[1], rows.shape[1], device=z.device).expand_as(chosen)
        z = finish_block(block, z, self._gather(self.last, image, kv))
        matching = self.matching_weight * matching_loss(seen, _take(z, chosen))
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
            if i < self.last and i + 1 not in self.level_at:
                independent = finish_block(block, independent, normed[:, : independent.shape[1]])
        return found

    def picks(self, images: Tensor) -> dict[int, Tensor]:
        """Places (B, A) of the image tokens that draw the attribute prompts, by the first block of their level."""
        return self._infer(embed(self.vit, images), self.fold())[1]

    def _infer(self, z: Tensor, folded: list[Folded]) -> tuple[Tensor, dict[int, Tensor]]:
        """Image tokens (B, n, D) that are read after the last block, and what attribute prompts picked on the way.

        Of the prompts, those that see the image go on from block to block.
        """
        picked: dict[int, Tensor] = {}
        attribute = attended = z[:, :0]
        for i, (block, read) in enumerate(zip(self.vit.blocks, read_after(self.vit), strict=True)):
            if i in self.level_at:
                attribute = self._attribute(i, attended)
            image, kv = project_qkv(block, block.norm1(z)), folded[i]
            if attribute.shape[1]:
                normed = block.norm1(attribute)
                kv = joined(kv, project_kv(block, normed))
                if i < self.last and i + 1 not in self.level_at:
                    attribute = finish_block(block, attribute, normed)
            z = finish_block(block, z[:, read], self._gather(i, image._replace(q=image.q[:, :, read]), kv))
            if i + 1 in self.attribute_at:
                picked[i + 1] = _most_attended(block, image, self.ap.shape[1])
                attended = _take(z, picked[i + 1])
        return z, picked

    def _attribute(self, i: int, attended: Tensor) -> Tensor:
        """Attribute prompts (B, A, D) of the level that starts at block i, given the attended tokens (B, A, D)."""
        if i not in self.attribute_at:
            return attended[:, :0]
        mixed = _mixed(attended, self.prototypes)
        return self.prototype_weight * mixed + (1 - self.prototype_weight) * self.ap[self.attribute_at[i]]

    def _gather(self, i: int, image: QKV, prompts: Folded) -> Tensor:
        """What image tokens gather in block i, (B, N, D): from themselves and the prompts, in two softmaxes or one."""
        if not prompts[0].shape[2]:
            return attend(*image)
        if not self.decoupled:
            return self.noise[i].beyond(_attend_jointly(image, prompts), partial(attend, *image))
        own, added = attend(*image), self.noise[i](attend(image.q, *prompts))
        if self.gates:
            gate = self.gates[sum(start <= i for start in self.level_at) - 1]
            return own + gate.repeat_interleave(added.shape[-1] // len(gate)) * added
        return torch.add(self.image_weight * own, added, alpha=self.prompt_weight)


@unrounded
def matching_loss(prompts: Tensor, targets: Tensor) -> Tensor:
    """Mean over prompts (B, P, D) of the least cosine distance to one of the targets (B, S, D)."""
    cosine = F.normalize(prompts, dim=-1) @ F.normalize(targets, dim=-1).transpose(1, 2)
    return (1 - cosine.amax(dim=-1)).mean()


@unrounded
def _mixed(attended: Tensor, prototypes: Tensor) -> Tensor:
    """Mean of the prototypes (K, D) for each of the attended tokens (B, A, D), the similar ones with more weight."""
    similarity = F.normalize(attended, dim=-1) @ F.normalize(prototypes, dim=-1).T
    return similarity.softmax(dim=-1) @ prototypes


def _attend_jointly(image: QKV, prompts: Folded) -> Tensor:
    return attend(image.q, *joined((image.k, image.v), prompts))


def _most_attended(block: Block, image: QKV, count: int) -> Tensor:
    """Which `count` of the image tokens have the largest class attention in the block: (B, count)."""
    return class_attention(block, image).topk(count).indices


def _take(z: Tensor, chosen: Tensor) -> Tensor:
    """The chosen ones (B, n) of the tokens z (B, N, ...): (B, n, ...)."""
    return z[torch.arange(z.shape[0], device=z.device)[:, None], chosen]


def _require(vit: VisionTransformer, affinity: Tensor, prototypes: Tensor, **picks: int) -> None:
    """Raise BadInput unless the statistics are of this ViT, which has what class attention `picks`, by option."""
    depth, width = len(vit.blocks), vit.embed_dim
    image_tokens = vit.patch_embed.num_patches + vit.num_prefix_tokens
    if any(picks.values()) and not vit.has_class_token:
        raise BadInput(
            "ship: expected a backbone with a class token, which its class attention needs, got one without "
            "(attribute_length: 0 and matching_weight: 0 do without it)"
        )
    if affinity.shape != (depth, depth):
        raise BadInput(f"ship: affinity: expected shape {(depth, depth)} of this backbone, got {tuple(affinity.shape)}")
    if prototypes.ndim != 2 or prototypes.shape[1] != width:
        raise BadInput(f"ship: prototypes: expected shape (K, {width}) of this backbone, got {tuple(prototypes.shape)}")
    rule = f"expected at most {image_tokens} image tokens"
    if odd := [f"{option}: {rule}, got {count}" for option, count in picks.items() if count > image_tokens]:
        raise BadInput(f"ship: {'; '.join(odd)}")
