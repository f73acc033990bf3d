"""A split is written whole, or the fault is told."""

import errno
import resource

import pyarrow.parquet as pq
import pytest

from ship.data.sources.splits import Item
from ship.data.writing import SCHEMA, Pieces, write_groups

GROUPS = [([Item(f"{n}.png", n, str(n), b"")], [bytes([n]) * 9]) for n in range(4)]


def test_groups_come_in_their_order(tmp_path):
    """Keys, images and labels beside each other."""
    with Pieces(tmp_path / "split.parquet") as file:
        write_groups(file, GROUPS, SCHEMA)
    rows = pq.read_table(tmp_path / "split.parquet").to_pylist()
    assert rows == [{"key": f"{n}.png", "image": bytes([n]) * 9, "label": n} for n in range(4)]


@pytest.mark.parametrize("group", range(4))
def test_a_group_that_cannot_be_written_is_told(tmp_path, monkeypatch, group):
    """Also where those behind it can: a full disk may have room a moment later."""
    write, seen = pq.ParquetWriter.write_table, []

    def full(writer, table, size):
        seen.append(table)
        if len(seen) == group + 1:
            raise OSError(errno.ENOSPC, "full")
        write(writer, table, size)

    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    with Pieces(tmp_path / "split.parquet") as file, pytest.raises(OSError, match="full"):
        write_groups(file, GROUPS, SCHEMA)


def test_a_file_that_finds_room_for_a_part_is_told(tmp_path):
    """The kernel writes what it can and says how much: nothing is left out silently."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Pieces(tmp_path / "split.parquet") as file:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50, before[1]))
        try:
            with pytest.raises(OSError, match="File too large"):
                file.write(bytes(80))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
