"""How long a recipe trains, which depends on how many images there are."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ship.experiment.rows import Train

TRAINING = ("train", "val")  # the splits that a run trains on


def images_in(splits: Mapping[str, Mapping[str, Any]], names: Collection[str] = TRAINING) -> int:
    """How many images those of a task's splits have that are among `names`, by what task.json says of them."""
    return sum(about["images"] for split, about in splits.items() if split in names)


def steps_an_epoch(recipe: Train, images: int) -> int:
    """Optimiser steps: a last batch that is not full is left out, unless it is the only one."""
    return max(1, images // recipe.batch_size)


def for_images(recipe: Train, images: int) -> Train:
    """The recipe with as many epochs as its `steps` take on that many images, and warm-up in proportion."""
    epochs = max(recipe.epochs, math.ceil((recipe.steps or 0) / steps_an_epoch(recipe, images)))
    return recipe.model_copy(update={"epochs": epochs, "warmup_epochs": recipe.warmup_epochs * epochs // recipe.epochs})
