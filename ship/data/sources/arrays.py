"""Formats that hold images as arrays: HDF5, MATLAB, NORB's binary matrix, CIFAR's records. Loads no torch.

Each reader goes through the file once, from its start, and gives the rows that are asked for.
"""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ship.data.sources.archives import BROKEN
from ship.data.sources.gzipped import Gzipped
from ship.data.sources.packed import broken
from ship.errors import BadInput, not_installed

Array = NDArray[Any]
Rows = Iterator[tuple[int, Array]]
BLOCK = 32 * 2**20  # bytes of an array in memory at once
BUFFER = 2**18  # bytes of a file that are read ahead
# by the number that a NORB file starts with
MATRICES: dict[int, np.dtype[Any]] = {
    507333717: np.dtype("u1"),
    507333716: np.dtype("<i4"),
}
CIFAR = 2 + 3072  # bytes of a record: coarse label, fine label, 3 x 32 x 32 pixels


@contextmanager
def hdf5(path: Path, name: str) -> Iterator[Any]:
    """A data set of an HDF5 file, which may be inside gzip. Raises BadInput where there is none."""
    try:
        import h5py
    except ModuleNotFoundError:
        raise not_installed("h5py") from None
    try:
        with _plain(path) as file, h5py.File(file, "r", rdcc_nbytes=2 * BLOCK) as bundle:
            if name not in bundle:
                raise BadInput(f"{path.name}: expected the array {name!r}, got {', '.join(bundle) or 'none'}")
            yield bundle[name]
    except BROKEN as error:
        raise broken(path.name, error) from None


def hdf5_rows(path: Path, name: str, wanted: Sequence[int]) -> Rows:
    """Rows of an array, in ascending order; a chunk is read once, and chunks without a row are passed over."""
    with hdf5(path, name) as array:
        chunk = array.chunks[0] if array.chunks else 1
        most = max(1, BLOCK // (array.dtype.itemsize * int(np.prod(array.shape[1:])) * chunk))
        for run in _runs(wanted, chunk, most):
            rows = array[run[0] : run[-1] + 1]
            yield from ((row, rows[row - run[0]]) for row in run)


def matlab(place: Path | IO[bytes], name: str, shown: str = "") -> Array:
    """A variable of a MATLAB file, without dimensions of length one. Raises BadInput where there is none."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    shown = shown or str(getattr(place, "name", "list"))
    try:
        found = loadmat(place, variable_names=[name], squeeze_me=True)
    except (MatReadError, NotImplementedError, TypeError, LookupError, *BROKEN) as error:
        raise broken(shown, error) from None
    if name not in found:
        raise BadInput(f"{shown}: expected the variable {name!r}, found none (is it another version?)")
    return np.asarray(found[name])


def matrix(path: Path) -> Array:
    """A small NORB matrix as a whole, inside gzip."""
    with _matrix(path) as (file, shape, kind):
        return np.frombuffer(_exactly(file, int(np.prod(shape)) * kind.itemsize, path), kind).reshape(shape)


def matrix_rows(path: Path, wanted: Sequence[int]) -> Rows:
    """Rows of a NORB matrix inside gzip, in ascending order."""
    with _matrix(path) as (file, shape, kind):
        size = int(np.prod(shape[1:])) * kind.itemsize
        whole = max(1, BLOCK // size)

        def block(start: int, stop: int) -> Array:
            stop = min(stop, shape[0])
            return np.frombuffer(_exactly(file, (stop - start) * size, path), kind).reshape(-1, *shape[1:])

        yield from _from_blocks(wanted, whole, block)


def cifar_records(data: bytes, shown: str) -> Array:
    """The records (n, 3074) of a CIFAR-100 file. Raises BadInput where the last one is cut."""
    if len(data) % CIFAR:
        raise BadInput(f"{shown}: expected records of {CIFAR} bytes, got {len(data) % CIFAR} at its end")
    return np.frombuffer(data, np.uint8).reshape(-1, CIFAR)


def _runs(wanted: Sequence[int], chunk: int, most: int) -> Iterator[list[int]]:
    """Ascending rows in runs of at most `most` chunks of `chunk` rows, between which no chunk is left out."""
    run: list[int] = []
    for row in wanted:
        if run and (row // chunk > run[-1] // chunk + 1 or row // chunk >= run[0] // chunk + most):
            yield run
            run = []
        run.append(row)
    if run:
        yield run


def _from_blocks(wanted: Sequence[int], whole: int, block: Callable[[int, int], Array]) -> Rows:
    """The rows `wanted`, ascending, out of blocks of `whole` rows, which are read one after the other."""
    left = iter(wanted)
    row = next(left, None)
    start = 0
    while row is not None:
        rows = block(start, start + whole)
        while row is not None and row < start + whole:
            yield row, rows[row - start]
            row = next(left, None)
        start += whole


@contextmanager
def _matrix(path: Path) -> Iterator[tuple[IO[bytes], tuple[int, ...], np.dtype[Any]]]:
    """Behind the header of a NORB matrix: kind, number of sizes, and the sizes, of which at least three are written."""
    try:
        with io.BufferedReader(Gzipped(path, step=math.inf), BUFFER) as file:
            magic, dimensions = struct.unpack("<ii", _exactly(file, 8, path))
            if magic not in MATRICES or not 1 <= dimensions <= 8:
                raise BadInput(f"{path.name}: expected a NORB matrix, got the numbers {magic}, {dimensions} first")
            written = max(3, dimensions)
            sizes = struct.unpack(f"<{written}i", _exactly(file, 4 * written, path))
            yield file, sizes[:dimensions], MATRICES[magic]
    except BROKEN as error:
        raise broken(path.name, error) from None


def _exactly(file: IO[bytes], count: int, path: Path) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise BadInput(f"{path.name}: expected {count} bytes more, got {len(data)} (remove it, and get it again)")
    return data


def _plain(path: Path) -> IO[bytes]:
    """The file, or what is inside it, where it is a gzip file."""
    with path.open("rb") as file:
        if file.read(2) != b"\x1f\x8b":
            return path.open("rb")
    with io.BufferedReader(Gzipped(path), BUFFER) as unpacked:
        start = unpacked.read(48)
    return io.BufferedReader(Gzipped(path, _hdf5_size(start)), BUFFER)


def _hdf5_size(start: bytes) -> int | None:
    """The size of an HDF5 file, which stands at its start: one need not unpack all of it to find the end."""
    if len(start) == 48 and start.startswith(b"\x89HDF\r\n\x1a\n"):
        if start[8] == 0 and start[13] == 8:
            return int.from_bytes(start[40:48], "little")
        if start[8] in (2, 3) and start[9] == 8:
            return int.from_bytes(start[28:36], "little")
    return None
