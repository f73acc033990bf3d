"""What a tuned model says of image files: named ones, those in folders, or a list. Each is read and decoded once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ship.compute import set_up
from ship.data.decoding import Reading
from ship.data.images import decode, normaliser
from ship.errors import BadInput
from ship.experiment.params import Compute
from ship.inference.model import Model
from ship.inference.predict import answer, batch_size, readied
from ship.models.backbones import Preprocessing


class Answer(NamedTuple):
    """Of one image file."""

    path: Path
    probabilities: Tensor
    """(C,), on the CPU"""


Tell = Callable[[str], None]


def image_files(paths: Iterable[str | Path], refuse: Tell, tell: Tell) -> Iterator[Path]:
    """The files among `paths`, and every image below the folders among them, in the order of their names.

    `tell` hears how many files of a folder are passed over, by suffix, and `refuse` of a folder without any image.
    """
    known = Image.registered_extensions()
    for path in map(Path, paths):
        if not path.is_dir():
            yield path
            continue
        found = sorted(file for file in path.rglob("*") if file.is_file())
        others = Counter(file.suffix.lower() or "no suffix" for file in found if file.suffix.lower() not in known)
        if others:
            counts = ", ".join(f"{count} {suffix}" for suffix, count in sorted(others.items()))
            tell(f"{path}: passed over files that are no images by their suffix: {counts}")
        if others.total() == len(found):
            refuse(f"{path}: expected images in this folder, found none")
        yield from (file for file in found if file.suffix.lower() in known)


def classify(model: Model, paths: Iterable[Path], settings: Compute, refuse: Tell) -> Iterator[Answer]:
    """What `model` says of each image file, in the order given; `refuse` hears what is wrong with those that are none.

    Raises BadInput where the model does not say how images are prepared for it.
    """
    if model.preprocessing is None:
        raise BadInput(f"{model.name}: expected a model of a run or an export, which knows how images are prepared")
    compute, made = set_up(settings), model.preprocessing
    forward = readied(model.to(compute.device).method, compute.autocast)
    normalise, waiting = normaliser(made.mean, made.std, compute.device), iter(paths)
    with ThreadPoolExecutor(compute.threads) as pool:
        while batch := list(islice(waiting, batch_size(compute.device))):
            good: list[tuple[Path, np.ndarray]] = []
            for path, pixels in zip(
                batch, pool.map(lambda path: _pixels(path, made, model.reading), batch), strict=True
            ):
                if isinstance(pixels, str):
                    refuse(pixels)
                else:
                    good.append((path, pixels))
            if good:
                images = torch.from_numpy(np.stack([pixels for _, pixels in good]))
                logits = answer(forward, normalise(images), compute.autocast)
                yield from map(Answer, (path for path, _ in good), logits.softmax(dim=1).cpu())


def _pixels(path: Path, made: Preprocessing, reading: Reading) -> np.ndarray | str:
    """The image as (3, S, S) uint8, or what is wrong with it."""
    try:
        return decode(path.read_bytes(), made.image_size, made.interpolation, str(path), reading)
    except FileNotFoundError:
        return f"{path}: expected an image, found none"
    except OSError as error:
        return f"{path}: expected an image that can be read, got {error.strerror or error}"
    except BadInput as error:
        return str(error)
