"""A plain pre-norm ViT of timm in pieces, so that a method can write its own loop over the blocks.

`pool(vit, z)` after `z = block(z)` for every block after `embed(vit, images)` equals timm's own forward up to the head.
Shapes: B images, N image tokens (class token, registers, patches), D width, H heads.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from timm import layers
from timm.layers.attention import Attention
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

from ship.errors import BadInput
from ship.models.attention import QKV, attend, fused
from ship.models.linear import Linear, multiply, swap
from ship.models.norm import LayerNorm
from ship.models.patches import PatchEmbedding, lie_side_by_side

ALL = slice(None)


def unrounded(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The function of tensors in float32 where autocast would round its products: a near tie decides something."""

    @wraps(function)
    def computed(first: Tensor, *others: Any) -> Tensor:
        device = first.device.type
        if not torch.is_autocast_enabled(device):
            return function(first, *others)
        with torch.autocast(device, enabled=False):
            return function(*(part.float() if isinstance(part, Tensor) else part for part in (first, *others)))

    return computed


def require_plain(vit: nn.Module, what: str) -> VisionTransformer:
    """`vit`, if its blocks are plain pre-norm blocks; otherwise BadInput with `what` in front."""
    rule = f"{what}: expected a plain pre-norm ViT of timm"
    if type(vit) is not VisionTransformer:
        raise BadInput(f"{rule}, got {type(vit).__name__}")
    if not vit.global_pool:
        raise BadInput(f"{rule} that pools its tokens, got global_pool {vit.global_pool!r}")
    if rate := getattr(vit.patch_drop, "prob", 0):
        raise BadInput(f"{rule} that keeps its patches, got patch_drop_rate {rate:g}")
    owners: dict[int, str] = {}
    for name, tensor in vit.named_parameters(remove_duplicate=False):
        if (first := owners.setdefault(id(tensor), name)) != name:
            raise BadInput(f"{rule} whose layers have weights of their own, got one for {first} and {name}")
        if ".parametrizations." in name:
            raise BadInput(f"{rule} with plain weights, got the parametrised {name.partition('.parametrizations.')[0]}")
    blocks: Any = vit.blocks  # of a type that torch does not tell
    for block in blocks:
        if type(block) is not Block:
            raise BadInput(f"{rule}, got blocks of type {type(block).__name__}")
        if type(block.attn) is not Attention or block.attn.gate is not None:
            raise BadInput(f"{rule}, got attention of type {type(block.attn).__name__} (rotary, gated or other)")
        if block.attn.attn_drop.p:
            raise BadInput(f"{rule}, got dropout {block.attn.attn_drop.p:g} on attention, which no method would apply")
        if not isinstance(block.attn.qkv, nn.Linear):
            raise BadInput(f"{rule}, got projections of type {type(block.attn.qkv).__name__} (the ViT of a method)")
    return vit


def require_two_layers(vit: VisionTransformer, method: str) -> None:
    """Raise BadInput unless the MLP of every block has the layers fc1 and fc2, which the method changes."""
    blocks: Any = vit.blocks
    for block in blocks:
        if not (hasattr(block.mlp, "fc1") and hasattr(block.mlp, "fc2")):
            kind = type(block.mlp).__name__
            raise BadInput(f"{method}: expected a backbone whose MLPs have the layers fc1 and fc2, got {kind}")


def freeze(vit: VisionTransformer) -> VisionTransformer:
    """`vit` without its head and with nothing to train in it. Methods call this first and add their tensors after."""
    vit.reset_classifier(0)
    if type(vit.patch_embed) is layers.PatchEmbed and lie_side_by_side(vit.patch_embed.proj):  # a hybrid's overlap
        swap(vit.patch_embed, nn.Conv2d, PatchEmbedding)
    swap(vit.blocks, nn.Linear, Linear)
    swap(vit, layers.LayerNorm, LayerNorm)
    return vit.requires_grad_(False)


def tune_biases(vit: VisionTransformer) -> None:
    """Let every bias of the backbone be trained, those of the patch embedding and of the norms among them.

    Raises BadInput where the blocks have none.
    """
    if not any(name.endswith("bias") for name, _ in vit.blocks.named_parameters()):
        raise BadInput("biases: expected a backbone whose blocks have biases, got one without")
    for module in vit.modules():
        if isinstance(module, (nn.Linear, nn.LayerNorm, nn.Conv2d)) and module.bias is not None:
            module.bias.requires_grad_()


def embed(vit: VisionTransformer, images: Tensor) -> Tensor:
    """Image tokens (B, N, D) that enter the first block, of normalised images (B, 3, S, S); in autocast's precision."""
    z: Tensor = vit.norm_pre(vit.patch_drop(vit._pos_embed(vit.patch_embed(images))))
    device = z.device.type
    return z.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else z


def add(z: Tensor, change: Tensor) -> Tensor:
    """Tokens z (B, N, D) and what is added to them, in the precision that they have."""
    return z + change.to(z.dtype)


def project_qkv(block: Block, h: Tensor) -> QKV:
    """Queries, keys and values of normalised tokens h (B, N, D)."""
    attn = block.attn
    parts = attn.qkv(h).unflatten(-1, (3, attn.num_heads, attn.head_dim)).unbind(2)  # the way back is one copy
    q, k, v = (part.transpose(1, 2) for part in parts)
    if not fused(q, k, v):
        q, k, v = (part.contiguous() for part in (q, k, v))
    return QKV(attn.q_norm(q), attn.k_norm(k), v)


def project_q(block: Block, z: Tensor) -> Tensor:
    """Queries of tokens z (B, N, D) alone, by the block's own weights: (B, H, N, D/H)."""
    return block.attn.q_norm(_projected(block, z, 0, 1)[0])


def project_kv(block: Block, z: Tensor) -> tuple[Tensor, Tensor]:
    """Keys and values of tokens z (B, N, D) alone, by the block's own weights: (B, H, N, D/H) each."""
    k, v = _projected(block, z, 1, 3).unbind(0)
    return block.attn.k_norm(k), v


def _projected(block: Block, z: Tensor, first: int, last: int) -> Tensor:
    """Parts `first` up to `last` of queries, keys and values (0, 1, 2): (last - first, B, H, N, D/H)."""
    attn = block.attn
    width = attn.num_heads * attn.head_dim
    rows = slice(first * width, last * width)
    bias = None if attn.qkv.bias is None else attn.qkv.bias[rows]
    parts = multiply(z, attn.qkv.weight[rows], bias)
    return parts.unflatten(-1, (last - first, attn.num_heads, attn.head_dim)).permute(2, 0, 3, 1, 4)


def project_out(block: Block, attended: Tensor) -> Tensor:
    """Output projection of what the heads gathered, (B, N, D)."""
    attn = block.attn
    return attn.proj_drop(attn.proj(attn.norm(attended)))


def add_attention(block: Block, z: Tensor, attended: Tensor) -> Tensor:
    """Tokens z (B, N, D) after the attention half of the block, given what they gathered (B, N, D)."""
    return add(z, block.drop_path1(block.ls1(project_out(block, attended))))


def add_mlp(block: Block, z: Tensor) -> Tensor:
    """Tokens z (B, N, D) after the MLP half of the block."""
    return add(z, block.drop_path2(block.ls2(block.mlp(block.norm2(z)))))


def finish_block(block: Block, z: Tensor, attended: Tensor) -> Tensor:
    """Tokens z (B, N, D) after the block, given what its attention gathered for them (B, N, D)."""
    return add_mlp(block, add_attention(block, z, attended))


def gather(block: Block, z: Tensor, read: slice = ALL) -> Tensor:
    """What the tokens `read` of z (B, N, D) gather from all of them in the block's attention as it is, (B, n, D)."""
    q, k, v = project_qkv(block, block.norm1(z))
    return attend(q[:, :, read], k, v)


def pass_block(block: Block, z: Tensor, read: slice = ALL) -> Tensor:
    """The tokens `read` of z (B, N, D) after the block as it is, (B, n, D): tokens attend to each other."""
    return finish_block(block, z[:, read], gather(block, z, read))


def read_after(vit: VisionTransformer) -> list[slice]:
    """For every block the image tokens that somebody reads after it: all, but after the last those that are pooled.

    Where the head reads the class token alone, the last block need not compute what becomes of the others: exact, and
    a twelfth of the work.
    """
    return [ALL] * (len(vit.blocks) - 1) + [slice(0, 1) if reads_class_token(vit) else ALL]


def reads_class_token(vit: VisionTransformer) -> bool:
    """Whether the head reads the class token alone."""
    return vit.attn_pool is None and bool(vit.global_pool == "token")


def pool(vit: VisionTransformer, z: Tensor) -> Tensor:
    """What the head reads, (B, D): final norm and the backbone's own pooling of the last block's tokens.

    Of z (B, n, D), only the tokens that `read_after` names for the last block count, at their places.
    """
    return vit.forward_head(vit.norm(z), pre_logits=True)


def encode(vit: VisionTransformer, images: Tensor) -> Tensor:
    """What the head reads, (B, D), of normalised images (B, 3, S, S), through the blocks as they are."""
    z = embed(vit, images)
    for block, read in zip(vit.blocks, read_after(vit), strict=True):
        z = pass_block(block, z, read)
    return pool(vit, z)


def class_attention(block: Block, image: QKV) -> Tensor:
    """Attention logits of the class token to the N image tokens, mean over heads: (B, N), before any softmax."""
    return _class_logits(image.q[:, :, :1], image.k, block.attn.scale / block.attn.num_heads)


@unrounded
def _class_logits(q: Tensor, k: Tensor, weight: float) -> Tensor:
    """`weight` times the sum over heads of q (B, H, 1, D/H) k^T (B, H, D/H, N): (B, N)."""
    q = q * weight
    return (q.transpose(1, 2).flatten(2) @ k.transpose(1, 2).flatten(2).transpose(1, 2)).squeeze(1)
