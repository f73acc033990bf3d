"""SHIP written from its formulas, with nothing saved: every prompt for every image, every attention matrix kept.

It takes the tuned parameters of a `SHIP`, whose logits and loss it must give: `python benchmarks/formulas.py` compares.
"""

from __future__ import annotations

import timm
import torch
import torch.nn.functional as F
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from ship.methods.base import Output
from ship.methods.ship import SHIP, matching_loss
from ship.models.attention import QKV
from ship.models.vit import add_attention, add_mlp, embed, pool, project_qkv


class Formulas(nn.Module):
    """The forward of `model`, block by block as the paper has it."""

    recordable = True

    def __init__(self, model: SHIP) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Output:
        """Logits (B, C) and matching loss of images (B, 3, S, S)."""
        own = self.model
        z = embed(own.vit, images)
        batch = z.shape[0]
        shared, carried, scores = own.ssp.expand(batch, -1, -1), z[:, :0], z[:, 0, 0]
        for i, block in enumerate(own.vit.blocks):
            if i in own.level_at:
                carried = own.sip[own.level_at[i]].expand(batch, -1, -1)
                if i in own.attribute_at:
                    carried = torch.cat([carried, self._attribute(i, top(z, scores, own.ap.shape[1]))], dim=1)
            prompts = torch.cat([carried, shared], dim=1)
            h = block.norm1(prompts)
            image, prompt = project_qkv(block, block.norm1(z)), project_qkv(block, h)
            scores = logits(image, image)[:, :, 0].mean(dim=1)
            read = own.image_weight * attention(image, image) + own.prompt_weight * attention(image, prompt)
            if i == own.last:
                both = QKV(*(torch.cat(pair, dim=2) for pair in zip(image, prompt, strict=True)))
                h = attention(prompt, both)
            z, prompts = through(block, z, read), through(block, prompts, h)
            carried = prompts[:, : carried.shape[1]]
        penalty = own.matching_weight * matching_loss(prompts, top(z, scores, own.matching_tokens))
        return Output(own.head(pool(own.vit, z)), penalty)

    def _attribute(self, i: int, attended: Tensor) -> Tensor:
        own = self.model
        cosine = F.cosine_similarity(attended[:, :, None], own.prototypes[None, None], dim=-1)
        mixed = (cosine.softmax(dim=-1)[..., None] * own.prototypes).sum(dim=2)
        return own.prototype_weight * mixed + (1 - own.prototype_weight) * own.ap[own.attribute_at[i]]


def logits(query: QKV, key: QKV) -> Tensor:
    return query.q @ key.k.transpose(-2, -1) * query.q.shape[-1] ** -0.5


def attention(query: QKV, key: QKV) -> Tensor:
    return (logits(query, key).softmax(dim=-1) @ key.v).transpose(1, 2).flatten(2)


def through(block: Block, z: Tensor, gathered: Tensor) -> Tensor:
    return add_mlp(block, add_attention(block, z, gathered))


def top(z: Tensor, scores: Tensor, count: int) -> Tensor:
    chosen = scores.topk(count).indices[..., None].expand(-1, -1, z.shape[-1])
    return z.gather(1, chosen)


def main() -> None:
    torch.manual_seed(0)
    vit = timm.create_model("vit_tiny_patch16_224", img_size=64)
    levels = torch.arange(12) // 3
    model = SHIP(vit, 10, affinity=(levels[:, None] == levels).float(), prototypes=torch.randn(200, 192)).train()
    images = torch.randn(2, 3, 64, 64)
    for ours, theirs in zip(model(images), Formulas(model)(images), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-5)
    print("SHIP gives what its formulas give")


if __name__ == "__main__":
    main()
