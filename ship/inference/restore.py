"""A tuned model, built again from its checkpoint and its backbone, and what it says of images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from ship.artifacts import Run, backbone_file, read_tensors, sha256
from ship.compute import set_up
from ship.data.decoding import rgb
from ship.data.images import normaliser, pixels
from ship.errors import BadInput
from ship.experiment.params import Compute
from ship.methods import build
from ship.methods.base import load_tuned
from ship.models import backbones

BATCH = 64


class Tuned(NamedTuple):
    """A model in evaluation mode, and what it takes to use it."""

    model: nn.Module
    classes: list[str]
    preprocessing: backbones.Preprocessing


def restore(run: Run) -> Tuned:
    """The model that a run tuned. Raises BadInput where the backbone is not the one it was tuned on."""
    path = run.folder / "tuned.safetensors"
    if not path.is_file():
        raise BadInput(f"{path}: expected the checkpoint of a run, found none (ship train {run})")
    state, about = read_tensors(path)
    weights, expected = backbone_file(run.backbone), about["backbone"]["sha256"]
    if not weights.is_file() or sha256(weights) != expected:
        raise BadInput(
            f"{weights}: expected the backbone with sha256 {expected}, on which {path} was tuned "
            f"(ship backbone {run.backbone})"
        )
    vit, preprocessing = backbones.load(weights)
    model = build(about["method"], vit, len(about["classes"]), about["options"], state)
    load_tuned(model, state, str(path))
    return Tuned(model.eval(), about["classes"], preprocessing)


@torch.no_grad()
def classify(tuned: Tuned, paths: Sequence[Path], settings: Compute) -> list[dict[str, Any]]:
    """Path, class and probability of each image file, in the order given."""
    compute = set_up(settings)
    tuned.model.to(compute.device)
    size, mean, std, interpolation = tuned.preprocessing
    normalise, rows = normaliser(mean, std, compute.device), []
    for start in range(0, len(paths), BATCH):
        chosen = paths[start : start + BATCH]
        images = pixels([_read(path) for path in chosen], size, interpolation, compute.threads)
        with compute.autocast:
            logits = tuned.model(normalise(images)).logits
        probabilities, classes = logits.float().softmax(dim=1).max(dim=1)
        for path, label, probability in zip(chosen, classes.tolist(), probabilities.tolist(), strict=True):
            rows.append({"path": str(path), "class": tuned.classes[label], "probability": probability})
    return rows


def _read(path: Path) -> bytes:
    """The bytes of an image file that can be decoded."""
    if not path.is_file():
        found = "got a folder (name its files)" if path.is_dir() else "found none"
        raise BadInput(f"{path}: expected an image, {found}")
    data = path.read_bytes()
    rgb(data, str(path))
    return data
