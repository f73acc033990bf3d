"""From prepared parquet files to batches: decode once, keep bytes as uint8, normalise on the device."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch import Tensor

from ship.data.decoding import rgb
from ship.data.seeds import derive_seed
from ship.errors import BadInput

RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}


class Split(NamedTuple):
    """The n images of a split, in the order of its files."""

    keys: list[str]
    images: list[bytes]
    """as they came: JPEG, PNG ..."""
    labels: np.ndarray
    """(n,), int64"""


def read_split(*paths: Path) -> Split:
    """The rows of several parquet files, one after the other. Raises BadInput where one is absent or broken."""
    tables = []
    for path in paths:
        with _open(path) as file:
            tables.append(_split(file.read()))
    keys, images, labels = zip(*tables, strict=True)
    return Split(list(chain(*keys)), list(chain(*images)), np.concatenate(labels))


def decode(data: bytes, size: int, interpolation: str, place: str = "image") -> np.ndarray:
    """An encoded image as (3, size, size) uint8: to RGB, then resized as a whole by PIL, without crop.

    Raises BadInput, with `place` in front, where it cannot be decoded.
    """
    return np.asarray(rgb(data, place).resize((size, size), RESAMPLING[interpolation])).transpose(2, 0, 1)


def pixels(images: Sequence[bytes], size: int, interpolation: str, threads: int) -> Tensor:
    """Encoded images as one uint8 tensor (n, 3, size, size)."""
    whole = np.empty((len(images), 3, size, size), dtype=np.uint8)
    with ThreadPoolExecutor(threads) as pool:
        for i, image in enumerate(pool.map(lambda data: decode(data, size, interpolation), images)):
            whole[i] = image
    return torch.from_numpy(whole)


def normaliser(mean: Sequence[float], std: Sequence[float], device: torch.device) -> Callable[[Tensor], Tensor]:
    """What makes uint8 images x (B, 3, S, S), wherever they are, to (x / 255 - mean) / std on the device."""
    centre = torch.tensor(mean, device=device).view(-1, 1, 1)
    scale = torch.tensor(std, device=device).view(-1, 1, 1)
    return lambda images: (images.to(device).float() / 255 - centre) / scale


def batches(
    inputs: Tensor, labels: Tensor, batch_size: int, *, seed: int, epoch: int, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """Shuffled batches of one epoch on the device, of inputs and labels on one device; seed and epoch decide the order.

    Images that do not fill a last batch are left out of the epoch, unless they are the only batch.
    """
    generator = torch.Generator().manual_seed(derive_seed(seed, epoch, "order"))
    order = torch.randperm(len(labels), generator=generator).to(inputs.device)
    for start in range(0, max(1, len(order) - batch_size + 1), batch_size):
        chosen = order[start : start + batch_size]
        yield inputs[chosen].to(device), labels[chosen].to(device)


def stream(
    path: Path, size: int, interpolation: str, batch_size: int, threads: int
) -> Iterator[tuple[list[str], Tensor, Tensor]]:
    """Batches (keys, uint8 images, labels) in the order of the file, one ahead: a large split needs little memory."""

    def load(batch: pa.RecordBatch) -> tuple[list[str], Tensor, Tensor]:
        keys, images, labels = _split(pa.Table.from_batches([batch]))
        return keys, pixels(images, size, interpolation, threads), torch.from_numpy(labels)

    with _open(path) as file, ThreadPoolExecutor(1) as ahead:
        pending = None
        for batch in file.iter_batches(batch_size):
            upcoming = ahead.submit(load, batch)
            if pending is not None:
                yield pending.result()
            pending = upcoming
        if pending is not None:
            yield pending.result()


def _open(path: Path) -> pq.ParquetFile:
    sys.audit("open", str(path), "rb", 0)  # as Python's own open does: pyarrow opens files by itself
    try:
        return pq.ParquetFile(path)
    except FileNotFoundError:
        raise BadInput(f"{path}: expected a prepared split, found none (ship prepare)") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise BadInput(f"{path}: expected a parquet file, got {' '.join(str(error).split())}") from None


def _split(table: pa.Table) -> Split:
    labels = table["label"].to_numpy().astype(np.int64)
    return Split(table["key"].to_pylist(), table["image"].to_pylist(), labels)
