"""Features and hierarchy of a task on the frozen backbone, from prepared data to their files."""

from __future__ import annotations

import logging

import torch

from ship.artifacts import (
    backbone_file,
    data_folder,
    features_file,
    hierarchy_file,
    measured_of,
    read_tensors,
    write_json,
    write_tensors,
)
from ship.compute import set_up
from ship.config import Params
from ship.data.images import normaliser, pixels, read_split
from ship.models import backbones, statistics

BATCH = 64

_log = logging.getLogger(__name__)


def measure_features(params: Params, task: str) -> None:
    """Write the features of the task's training images (train, then val), (L, n, D) and (n, D)."""
    compute = set_up(params.compute)
    vit, preprocessing = backbones.load(backbone_file(params.backbone.name))
    vit.to(compute.device)
    folder = data_folder(task)
    split = read_split(folder / "train.parquet", folder / "val.parquet")
    images = pixels(split.images, preprocessing.image_size, preprocessing.interpolation, compute.threads)
    normalise = normaliser(preprocessing.mean, preprocessing.std, compute.device)
    blocks, pooled = [], []
    for batch in images.split(BATCH):
        with compute.autocast:
            tokens, read = statistics.features(vit, normalise(batch))
        blocks.append(tokens.float().cpu())
        pooled.append(read.float().cpu())
    write_tensors(
        features_file(task),
        {"blocks": torch.cat(blocks, dim=1), "pooled": torch.cat(pooled)},
        {"task": task, "backbone": params.backbone.name, "of": measured_of(task, params.backbone.name)},
    )


def measure_hierarchy(params: Params, task: str) -> None:
    """Write affinity, every hierarchy that a threshold can give, and the prototypes."""
    set_up(params.compute.model_copy(update={"device": "cpu"}))  # its job has no GPU
    tensors, features = read_tensors(features_file(task))
    tokens = tensors["blocks"]
    count = params.hierarchy.prototypes
    if count > tokens.shape[1]:
        _log.info("%s: %d prototypes asked for, but %d images: one prototype an image", task, count, tokens.shape[1])
    similarity = statistics.affinity(tokens)
    centres = statistics.prototypes(tokens[-1], count, params.hierarchy.seed)
    about = {**features, "prototypes": len(centres), "seed": params.hierarchy.seed}
    found = [{"threshold": t, "first_blocks": starts} for t, starts in statistics.hierarchies(similarity)]
    write_tensors(hierarchy_file(task), {"affinity": similarity, "prototypes": centres}, about)
    write_json(hierarchy_file(task, ".json"), {**about, "affinity": similarity.tolist(), "hierarchies": found})
