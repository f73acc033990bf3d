"""Features of a task on the frozen backbone: the class token after every block, of every training image."""

from __future__ import annotations

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from ship.artifacts import backbone_file, features_file, measured_of, split_file
from ship.compute import set_up
from ship.data.digests import once
from ship.data.images import normaliser, stream
from ship.data.reading import read_labels, verified
from ship.errors import BadInput
from ship.experiment.length import TRAINING
from ship.experiment.params import Params
from ship.models import backbones
from ship.models.vit import embed, freeze, pass_block, pool, read_after
from ship.storage import write_tensors

BATCH = 64


def measure_features(params: Params, backbone: str, task: str) -> None:
    """Write the features of the task's training images (train, then val), (L, n, D) and (n, D)."""
    runtime = set_up(params.compute)
    vit, preprocessing = backbones.load(backbone_file(backbone))
    freeze(vit).to(runtime.device)
    size, interpolation = preprocessing.image_size, preprocessing.interpolation
    for split in TRAINING:
        verified(task, split)
    splits = [split_file(task, split) for split in TRAINING]
    batches = stream(*splits, size=size, interpolation=interpolation, batch_size=BATCH, threads=runtime.threads)
    normalise = normaliser(preprocessing.mean, preprocessing.std, runtime.device)
    count, done = len(read_labels(*splits)), 0
    blocks, pooled = torch.empty(len(vit.blocks), count, vit.embed_dim), torch.empty(count, vit.embed_dim)
    for _, images, _ in batches:
        with runtime.autocast:
            tokens, read = features(vit, normalise(images))
        blocks[:, done : done + len(images)] = tokens
        pooled[done : done + len(images)] = read
        done += len(images)
    if not (blocks.isfinite().all() and pooled.isfinite().all()):
        raise BadInput(
            f"{backbone}/{task}: expected features that are finite, got nan or inf (other weights, or precision: fp32)"
        )
    write_tensors(
        features_file(backbone, task),
        {"blocks": blocks, "pooled": pooled},
        {"backbone": backbone, "task": task, "of": measured_of(backbone, task, once)},
    )


@torch.no_grad()
def features(vit: VisionTransformer, images: Tensor) -> tuple[Tensor, Tensor]:
    """Class token after every block (L, B, D), before the final norm, and what the head reads (B, D).

    A backbone without class token gives the mean of its image tokens in its place.
    """
    z = embed(vit, images)
    tokens = []
    for block, read in zip(vit.blocks, read_after(vit), strict=True):
        z = pass_block(block, z, read)
        tokens.append(z[:, 0] if vit.has_class_token else z.mean(dim=1))
    return torch.stack(tokens), pool(vit, z)
