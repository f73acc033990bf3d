"""From prepared parquet files to batches: decode once, keep bytes as uint8, normalise on the device."""

from __future__ import annotations

import math
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch import Tensor

from ship.data.decoding import PLAIN, Reading, rgb
from ship.data.pixels import Kept
from ship.data.reading import broken, open_split, read_encoded, reading_of, whole_numbers
from ship.data.seeds import derive_seed
from ship.errors import BadInput

RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}
IN_MEMORY = 2**30  # bytes of pixels in memory; what is larger lies in a file


def read_pixels(*paths: Path, size: int, interpolation: str, threads: int) -> Tensor:
    """The images of several parquet files as one uint8 tensor (n, 3, size, size); bytes are read piece by piece.

    A tensor of more than IN_MEMORY bytes is a file that is mapped: the system keeps of it what memory has room for.
    """
    files = {path: open_split(path) for path in paths}
    whole = _room((sum(file.metadata.num_rows for file in files.values()), 3, size, size), paths[0].parent)
    done = 0
    for path, file in files.items():
        with file:
            for _, images, _ in _pieces(path, file, size, interpolation, threads):
                whole[done : done + len(images)] = images
                done += len(images)
    return whole


def read_rows(path: Path, rows: Sequence[int], *, size: int, interpolation: str, threads: int) -> Tensor:
    """The images of these rows of a parquet file, uint8 (n, 3, size, size)."""
    encoded, reading = read_encoded(path, rows)
    return pixels(encoded, size, interpolation, threads, reading)


def decode(data: bytes, size: int, interpolation: str, place: str = "image", reading: Reading = PLAIN) -> np.ndarray:
    """An encoded image as (3, size, size) uint8: to RGB, then resized as a whole by PIL, without crop.

    Raises BadInput, with `place` in front, where it cannot be decoded.
    """
    image = rgb(data, place, reading).resize((size, size), RESAMPLING[interpolation])
    return np.asarray(image).transpose(2, 0, 1)


def pixels(images: Sequence[bytes], size: int, interpolation: str, threads: int, reading: Reading = PLAIN) -> Tensor:
    """Encoded images as one uint8 tensor (n, 3, size, size)."""
    whole = np.empty((len(images), 3, size, size), dtype=np.uint8)
    with ThreadPoolExecutor(threads) as pool:
        for i, image in enumerate(pool.map(lambda data: decode(data, size, interpolation, reading=reading), images)):
            whole[i] = image
    return torch.from_numpy(whole)


def normaliser(mean: Sequence[float], std: Sequence[float], device: torch.device) -> Callable[[Tensor], Tensor]:
    """What makes uint8 images x (B, 3, S, S), wherever they are, to (x / 255 - mean) / std on the device."""
    centre = torch.tensor(mean, device=device).view(-1, 1, 1)
    scale = torch.tensor(std, device=device).view(-1, 1, 1)
    return lambda images: images.to(device).float().div_(255).sub_(centre).div_(scale)


def batches(
    inputs: Tensor, labels: Tensor, batch_size: int, *, seed: int, epoch: int, device: torch.device
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Shuffled batches (inputs, labels, rows) of one epoch on the device, of inputs and labels on one device.

    Seed and epoch decide the order; `rows` are the places of the images in `inputs`.
    Images that do not fill a last batch are left out of the epoch, unless they are the only batch.
    """
    generator = torch.Generator().manual_seed(derive_seed(seed, epoch, "order"))
    order = torch.randperm(len(labels), generator=generator).to(inputs.device)
    for start in range(0, max(1, len(order) - batch_size + 1), batch_size):
        chosen = order[start : start + batch_size]
        yield inputs[chosen].to(device), labels[chosen].to(device), chosen.to(device)


def stream(
    *paths: Path, size: int, interpolation: str, batch_size: int, threads: int
) -> Iterator[tuple[list[str], Tensor, Tensor]]:
    """Batches (keys, uint8 images, labels) in the order of the files, one ahead: a large split needs little memory."""
    with ExitStack() as opened, ThreadPoolExecutor(1) as ahead:
        files = {path: opened.enter_context(open_split(path)) for path in paths}
        pieces = (_pieces(path, file, size, interpolation, threads) for path, file in files.items())
        found = _batched(chain.from_iterable(pieces), batch_size)
        upcoming = ahead.submit(next, found, None)
        while (batch := upcoming.result()) is not None:
            upcoming = ahead.submit(next, found, None)
            yield batch


Piece = tuple[list[str], Tensor, Tensor]


def _pieces(path: Path, file: pq.ParquetFile, size: int, interpolation: str, threads: int) -> Iterator[Piece]:
    """(keys, uint8 images, labels) of each group of rows, whose bytes are forgotten before the next is read.

    What an earlier process has decoded is not decoded again (`data.pixels`).
    """
    kept, done = Kept(path, (file.metadata.num_rows, 3, size, size), interpolation), 0
    known, reading = kept.known(), reading_of(file)
    with kept.keeping() as keep:
        for group in range(file.num_row_groups):
            try:
                table = file.read_row_group(group, None if known is None else ["key", "label"])
            except (pa.ArrowInvalid, OSError) as error:
                raise broken(path, error) from None
            labels = torch.from_numpy(whole_numbers(table["label"]))
            if known is None:
                try:
                    images = pixels(table["image"].to_pylist(), size, interpolation, threads, reading)
                except BadInput as error:  # of an image that was whole when it was prepared
                    raise broken(path, error) from None
            else:
                images = known[done : done + len(table)]
            keep(images)
            done += len(table)
            yield table["key"].to_pylist(), images, labels


def _batched(pieces: Iterable[Piece], size: int) -> Iterator[Piece]:
    """The rows of the pieces in batches of `size`, the last one excepted."""
    keys: list[str] = []
    images: list[Tensor] = []
    labels: list[Tensor] = []
    for names, some, classes in pieces:
        for start in range(0, len(names), size):
            keys += names[start : start + size]
            images.append(some[start : start + size])
            labels.append(classes[start : start + size])
            while len(keys) >= size:
                x, y = torch.cat(images), torch.cat(labels)
                yield keys[:size], x[:size], y[:size]
                keys, images, labels = keys[size:], [x[size:]], [y[size:]]
    if keys:
        yield keys, torch.cat(images), torch.cat(labels)


def _room(shape: tuple[int, ...], folder: Path) -> Tensor:
    """A uint8 tensor to be filled; a large one lies in a file without a name, in TMPDIR or else in `folder`."""
    if (size := math.prod(shape)) <= IN_MEMORY:
        return torch.empty(shape, dtype=torch.uint8)
    place = os.environ.get("TMPDIR", folder)
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            if sys.platform == "linux":
                os.posix_fallocate(file.fileno(), 0, size)  # else a full disk ends the process without a word
            return torch.from_numpy(np.memmap(file, np.uint8, "w+", shape=shape))
    except OSError as error:
        raise BadInput(
            f"{place}: expected room for {size / 1e9:.1f} GB of pixels, got {error.strerror} "
            "(name another folder in TMPDIR)"
        ) from None
