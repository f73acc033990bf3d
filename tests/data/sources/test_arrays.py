"""Rows of arrays: those that are asked for, whatever the chunks."""

import h5py
import numpy as np
import pytest

from ship.data.sources import arrays


@pytest.mark.parametrize("chunk", [None, 1, 4, 7])
@pytest.mark.parametrize("wanted", [[], [0], [3, 4, 5, 6, 7, 8], [2, 30, 31, 59], list(range(60))])
def test_rows_of_hdf5_are_those_of_the_array(tmp_path, monkeypatch, chunk, wanted):
    """In runs that are cut by gaps and by what may be in memory at once."""
    monkeypatch.setattr(arrays, "BLOCK", 150)
    whole = np.arange(60 * 6, dtype=np.int32).reshape(60, 2, 3)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("x", data=whole, chunks=chunk and (chunk, 2, 3))
    found = list(arrays.hdf5_rows(tmp_path / "x.h5", "x", wanted))
    assert [row for row, _ in found] == wanted
    assert all(np.array_equal(pixels, whole[row]) for row, pixels in found)
