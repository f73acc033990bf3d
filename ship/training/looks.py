"""What a run leaves of its most confident mistakes: which images they are, and what the model looked at in them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ship.artifacts import MISTAKES
from ship.compute import Runtime
from ship.data.images import normaliser, read_rows
from ship.inference.attention import Looks, look
from ship.inference.predict import Predictions
from ship.methods.base import Method, Probe
from ship.training.fit import Assembled


def looks(
    assembled: Assembled, found: Predictions, keys: Sequence[str], split: Path, runtime: Runtime
) -> dict[str, Any]:
    """The content of looks.json, from predictions for the images of `split`, which have these `keys`."""
    rows = surest_mistakes(found)
    if not rows:
        return {"images": []}
    size, mean, std, interpolation = assembled.preprocessing
    images = read_rows(split, rows, size=size, interpolation=interpolation, threads=runtime.threads)
    seen = look(assembled.model, normaliser(mean, std, runtime.device)(images))
    return looks_json(seen, assembled.model, [keys[row] for row in rows])


def surest_mistakes(found: Predictions) -> list[int]:
    """Places of the at most MISTAKES images that are mistaken with the highest probability, the highest first."""
    (wrong,) = torch.nonzero(found.classes != found.labels, as_tuple=True)
    order = torch.argsort(found.probabilities[wrong], descending=True, stable=True)
    return [int(place) for place in wrong[order[:MISTAKES]]]


def looks_json(seen: Looks, model: Method, keys: Sequence[str]) -> dict[str, Any]:
    """Looks as JSON: of every image its key, what is picked, and attention as a line of hexadecimals a row of patches.

    A patch has two digits, of which ff is the highest attention of that image's patches. `shares`, of image tokens that
    are no patches, of patches and of prompts, are means over the images. A `probe` has the backbone's looks.
    """
    vit: Any = model.vit
    (rows, columns), first = vit.patch_embed.grid_size, vit.num_prefix_tokens
    images: list[dict[str, Any]] = [{"key": key} for key in keys]
    about: dict[str, Any] = {"grid": [rows, columns], "first_patch": first, "probe": isinstance(model, Probe)}
    if seen.attention is not None:
        parts = seen.attention.split([first, rows * columns, seen.attention.shape[1] - first - rows * columns], dim=1)
        names = ("others", "patches", "prompts")
        about["block"] = len(vit.blocks) - 1
        about["shares"] = {name: round(float(part.sum(1).mean()), 3) for name, part in zip(names, parts, strict=True)}
        for image, grid in zip(images, _bytes(parts[1]).unflatten(1, (rows, columns)), strict=True):
            image["attention"] = [bytes(line.tolist()).hex() for line in grid]
    for number, image in enumerate(images):
        if seen.picks:
            image["picks"] = {str(block): chosen[number].tolist() for block, chosen in seen.picks.items()}
    return {**about, "images": images}


def _bytes(shares: Tensor) -> Tensor:
    """Shares (n, M) as uint8, of which 255 is the largest of an image."""
    return (255 * shares / shares.amax(dim=1, keepdim=True)).round().to(torch.uint8)
