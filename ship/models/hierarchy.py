"""The hierarchy of a task: how alike the blocks see its images, the levels that follow, and prototypes."""

from __future__ import annotations

import logging

import torch
import torch.nn.functional as F
from torch import Tensor

from ship.artifacts import features_file, hierarchy_file
from ship.compute import set_up
from ship.experiment.params import Params
from ship.storage import read_tensors, write_json, write_tensors

_log = logging.getLogger(__name__)


def measure_hierarchy(params: Params, backbone: str, task: str) -> None:
    """Write affinity, every hierarchy that a threshold can give, and the prototypes."""
    set_up(params.compute.model_copy(update={"device": "cpu"}))  # its job has no GPU
    tensors, origin = read_tensors(features_file(backbone, task), "blocks")
    tokens = tensors["blocks"]
    count = params.hierarchy.prototypes
    if count > tokens.shape[1]:
        _log.info("%s: %d prototypes asked for, but %d images: one prototype an image", task, count, tokens.shape[1])
    similarity = affinity(tokens)
    centres = prototypes(tokens[-1], count, params.hierarchy.seed)
    about = {**origin, "prototypes": len(centres), "seed": params.hierarchy.seed}
    found = [{"threshold": t, "first_blocks": starts} for t, starts in hierarchies(similarity)]
    write_tensors(hierarchy_file(backbone, task), {"affinity": similarity, "prototypes": centres}, about)
    write_json(
        hierarchy_file(backbone, task, ".json"), {**about, "affinity": similarity.tolist(), "hierarchies": found}
    )


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
