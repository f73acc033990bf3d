"""Training images changed at random, so that a method sees others in every epoch: by torchvision, on the device."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

AREA = (0.5, 1.0)  # of an image that a crop keeps; subjects of small tasks leave the picture below that


def augmentation(name: str, size: int, interpolation: str) -> Callable[[Tensor], Tensor]:
    """What makes uint8 images (B, 3, S, S) to others, each by draws of its own from torch's generator of the CPU.

    The generator is that of the loop, which seeds it for every epoch: a run that goes on draws the same.
    """
    if name == "none":
        return lambda images: images
    from torchvision.transforms import InterpolationMode, v2  # a second, which most runs save

    mode = InterpolationMode(interpolation)
    flip, crop = v2.RandomHorizontalFlip(), v2.RandomResizedCrop(size, scale=AREA, interpolation=mode)
    change = {
        "flip": flip,
        "crop": crop,
        "flip+crop": v2.Compose([crop, flip]),
        "trivialaugment": v2.Compose([crop, flip, v2.TrivialAugmentWide()]),
    }[name]
    return lambda images: torch.stack([change(image) for image in images])
