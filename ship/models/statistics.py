"""What is measured on the frozen backbone once per task: features, affinity, hierarchy, prototypes. Pure functions."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from ship.models.vit import embed, pass_block, pool


@torch.no_grad()
def features(vit: VisionTransformer, images: Tensor) -> tuple[Tensor, Tensor]:
    """Class token after every block (L, B, D), before the final norm, and what the head reads (B, D).

    A backbone without class token gives the mean of its image tokens in its place.
    """
    z = embed(vit, images)
    tokens = []
    for block in vit.blocks:
        z = pass_block(block, z)
        tokens.append(z[:, 0] if vit.has_class_token else z.mean(dim=1))
    return torch.stack(tokens), pool(vit, z)


def affinity(tokens: Tensor) -> Tensor:
    """A[i, j] = mean over images of cos(F[i], F[j]): (L, L), symmetric, diagonal 1, of features F (L, n, D)."""
    unit = F.normalize(tokens.double(), dim=-1)
    mean = torch.einsum("ind,jnd->ij", unit, unit) / tokens.shape[1]
    return ((mean + mean.T) / 2).fill_diagonal_(1.0).float()


def first_blocks(similarity: Tensor, threshold: float) -> list[int]:
    """First block of each level, ascending: a level ends before the first block less similar than the threshold."""
    starts = [0]
    for block in range(1, len(similarity)):
        if similarity[starts[-1], block] < threshold:
            starts.append(block)
    return starts


def hierarchies(similarity: Tensor) -> list[tuple[float, list[int]]]:
    """Every hierarchy that some threshold gives, with the largest threshold that gives it, ascending.

    The hierarchy changes only where the threshold passes an entry of the affinity (L, L); above all of them every
    block is a level of its own, and that threshold reads 2.0, since no cosine can pass it.
    """
    upper = torch.triu_indices(len(similarity), len(similarity), offset=1)
    found: list[tuple[float, list[int]]] = []
    for threshold in [*similarity[*upper].unique().tolist(), 2.0]:
        starts = first_blocks(similarity, threshold)
        if found and found[-1][1] == starts:
            found.pop()
        found.append((threshold, starts))
    return found


def prototypes(tokens: Tensor, count: int, seed: int) -> Tensor:
    """k-means centres (K, D) of the last block's features (n, D), K = min(count, n). Not normalised."""
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    means = KMeans(min(count, len(tokens)), random_state=seed, n_init=1)
    with threadpool_limits(1):  # else their number decides the order of sums, and so the last bits
        centres = means.fit(tokens.double().numpy()).cluster_centers_
    return torch.from_numpy(centres).float()
