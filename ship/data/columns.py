"""Columns of parquet files, made of what lies in memory: `pa.array` loads pandas, for a third of a second, to look
whether its values are of pandas. Loads no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def numbers(values: NDArray[Any]) -> pa.Array:
    """A column of numbers (n,)."""
    array = np.ascontiguousarray(values)
    return pa.Array.from_buffers(pa.from_numpy_dtype(array.dtype), len(array), [None, pa.py_buffer(array)])


def words(values: Sequence[str]) -> pa.Array:
    """A column of texts of any length."""
    return pieces([value.encode() for value in values], pa.string())


def pieces(values: Sequence[bytes], kind: pa.DataType) -> pa.Array:
    """A column of that kind, binary or string, with values of any length, one behind the other.

    (numpy asks for huge pages, which cost the kernel less.)
    """
    ends = np.cumsum([0, *map(len, values)])
    if ends[-1] >= 2**31:  # too long for one array
        return pa.array(values, kind)
    data = np.concatenate([np.frombuffer(value, np.uint8) for value in values])
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(ends.astype(np.int32)), pa.py_buffer(data)])
