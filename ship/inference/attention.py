"""What a tuned model looks at in an image: its class token's attention, and the tokens that its prompts pick.

The attention is that of the last block, from which the head reads: softmax(q k^T / sqrt(D/H)) of the class token, mean
over heads. It is taken as the method itself computes it, so that prompts which stand in the same softmax have their
share, and no method has a second way through its blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ship.methods.base import Method, Picking
from ship.models.attention import attend
from ship.models.vit import reads_class_token


class Looks(NamedTuple):
    """What a model looks at in n images."""

    attention: Tensor | None
    """(n, N + P) in float64: shares of the N image tokens and of P prompts in the same softmax, of which the sum is 1.

    None where the head does not read the class token alone.
    """
    picks: dict[int, Tensor]
    """(n, A) places of image tokens, by the block that is given what is made of them"""


@torch.inference_mode()
def look(method: Method, images: Tensor) -> Looks:
    """What the method looks at in normalised images (n, 3, S, S), in one pass, in the precision that they have."""
    method.eval()
    picks: dict[int, Tensor] = {}
    with _watching(method.vit) as seen:
        if isinstance(method, Picking):
            picks = method.picks(images)
        else:
            method(images)
    attention = _of_class_token(*seen[0]) if reads_class_token(method.vit) else None
    return Looks(attention, {block: chosen.cpu() for block, chosen in picks.items()})


def _of_class_token(q: Tensor, k: Tensor) -> Tensor:
    """Shares (B, N) of what queries and keys (B, H, N, D/H) give the first token, mean over heads."""
    q, k = q[:, :, :1].cpu().double(), k.cpu().double()
    return (q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).softmax(dim=-1).mean(dim=1).squeeze(1)


class _First(TorchFunctionMode):
    """Keeps queries and keys of the first attention that is computed after it is told to watch."""

    def __init__(self) -> None:
        super().__init__()
        self.watching = False
        self.seen: list[tuple[Tensor, Tensor]] = []

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Any,
        args: Any = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if self.watching and function is attend:
            self.seen.append((args[0], args[1]))
            self.watching = False
        return function(*args, **(kwargs or {}))


@contextmanager
def _watching(vit: VisionTransformer) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """Queries and keys of the last block's self-attention, the first after its projection of image tokens."""
    watch = _First()

    def tell(*_: object) -> None:
        watch.watching = True

    last: Any = vit.blocks[-1]
    projection: nn.Module = last.attn.qkv
    hook = projection.register_forward_hook(tell)
    try:
        with watch:
            yield watch.seen
    finally:
        hook.remove()
