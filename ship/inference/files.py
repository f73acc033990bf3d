"""What a tuned model says of image files: named ones, those in folders, or a list. Each is read and decoded once."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ship.compute import Runtime, set_up
from ship.data.decoding import Reading
from ship.data.images import decode, normaliser
from ship.data.sources.tree import Tree
from ship.errors import BadInput
from ship.experiment.params import Compute
from ship.inference.model import Model
from ship.inference.predict import answer, batch_size, readied
from ship.models.preprocessing import Preprocessing
from ship.storage import expanded

LISTS = {".csv", ".tsv", ".txt"}  # suffixes of files that may name images


class Answer(NamedTuple):
    """Of one image file."""

    path: Path
    probabilities: Tensor
    """(C,), on the CPU"""


Tell = Callable[[str], None]


def named(paths: Iterable[str], stdin: Iterable[bytes]) -> Iterator[str]:
    """The paths, with the lines of `stdin` in place of `-`; empty lines are none. Raises BadInput where all are."""
    for path in paths:
        if path == "-":
            lines = (os.fsdecode(line).rstrip("\r\n") for line in stdin)
            told = (line for line in lines if line.strip())
            if (first := next(told, None)) is None:
                raise BadInput("-: expected names of images on standard input, one a line, found none")
            yield first
            yield from told
        else:
            yield path


def image_files(paths: Iterable[str | Path], refuse: Tell, tell: Tell) -> Iterator[Path]:
    """The files among `paths`, and every image below the folders among them, in the order of their names.

    The images of a folder are those that `ship prepare` would use. `tell` hears how many files are passed over, by
    suffix and reason, and `refuse` of a folder that cannot be read or has no image.
    """
    for path in paths:
        try:
            if not str(path).strip():
                raise BadInput(f"{str(path)!r}: expected a file or a folder, got an empty name")
            yield from _images(expanded(path), refuse, tell)
        except BadInput as error:
            refuse(str(error))


def _images(path: Path, refuse: Tell, tell: Tell) -> Iterator[Path]:
    if not os.path.isdir(path):  # noqa: PTH112  # Path.is_dir raises for names that no file can have
        yield path
        return
    tree = Tree(path, str(path))
    keys = tree.images(path)
    for fault in tree.lost:
        refuse(fault)
    if tree.passed:
        tell(f"{path}: passed over{tree.since(Counter())}")
    if not keys:
        refuse(f"{path}: expected images in this folder, found none")
    yield from (path / key for key in keys)


def classify(model: Model, paths: Iterable[Path], settings: Compute, refuse: Tell) -> Iterator[Answer]:
    """What `model` says of each image file, in the order given; `refuse` hears what is wrong with those that are none.

    Raises BadInput, before the first answer is asked for, where the device is not there, or the model does not say how
    images are prepared for it.
    """
    if model.preprocessing is None:
        raise BadInput(f"{model.name}: expected a model of a run or an export, got one that tells no preprocessing")
    return _answers(model, model.preprocessing, iter(paths), set_up(settings), refuse)


def _answers(
    model: Model, made: Preprocessing, waiting: Iterator[Path], runtime: Runtime, refuse: Tell
) -> Iterator[Answer]:
    forward = readied(model.to(runtime.device).method, runtime.autocast)
    normalise = normaliser(made.mean, made.std, runtime.device)
    with ThreadPoolExecutor(runtime.threads) as pool:
        while batch := list(islice(waiting, batch_size(runtime.device))):
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
                logits = answer(forward, normalise(images), runtime.autocast)
                yield from map(Answer, (path for path, _ in good), logits.softmax(dim=1).cpu())


def _pixels(path: Path, made: Preprocessing, reading: Reading) -> np.ndarray | str:
    """The image as (3, S, S) uint8, or what is wrong with it."""
    try:
        str(path).encode()  # as a row of a table
        return decode(path.read_bytes(), made.image_size, made.interpolation, str(path), reading)
    except UnicodeEncodeError:
        return f"{path}: expected a name in UTF-8 (rename it), got other bytes"
    except FileNotFoundError:
        return f"{path}: expected an image, found none"
    except OSError as error:
        return f"{path}: expected an image that can be read, got {error.strerror or error}"
    except ValueError as error:  # as of a name with a zero byte
        return f"{str(path)!r}: expected the name of a file, got: {error}"
    except BadInput as error:
        way_out = " (names of images, one a line, are read of `-`)" if path.suffix.lower() in LISTS else ""
        return f"{error}{way_out}"
