"""A gzip file in which one can go back without starting again: what HDF5 inside gzip needs. Loads no torch."""

from __future__ import annotations

from bisect import bisect_right
from gzip import BadGzipFile
from pathlib import Path
from typing import Any

from ship.data.sources.seeking import Computed
from ship.errors import not_installed

STEP = 8 * 2**20  # bytes of content between two places to go on from; each holds some 40 KB in memory
BLOCK = 2**18  # compressed bytes that are read at once
PIECE = 2**20  # bytes of content that are kept, since readers step back a little


class Gzipped(Computed):
    """The content of a gzip file, as a file that can be read and sought.

    Going forward unpacks what lies between; going back starts at the nearest of the places that were passed, `step`
    bytes apart. `size` is that of the content, where it is known: else the first look at the end unpacks it all.
    """

    def __init__(self, path: Path, size: int | None = None, step: float | None = None) -> None:
        try:
            from zlib_ng import zlib_ng
        except ModuleNotFoundError:
            raise not_installed("zlib-ng") from None
        self._zlib: Any = zlib_ng  # whose types lack `copy`
        self._file = path.open("rb")
        self._size, self._step = size, STEP if step is None else step
        # content passed, compressed bytes used, and what unpacks from there
        self._places = [(0, 0, self._zlib.decompressobj(31))]
        self._go_to(0)

    def end(self) -> int:
        """Bytes of content; the first look unpacks it all, unless the size is known."""
        if self._size is None:
            self.at = self._start
            while self._next():
                pass
            self._size = self._start
        return self._size

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed has no name for it in 3.11
        """Fill the buffer with content, as far as the piece at hand goes."""
        if self.at < self._start:
            self._go_to(bisect_right([place[0] for place in self._places], self.at) - 1)
        while self.at >= self._start + len(self._piece):
            if not self._next():
                return 0
        skip = self.at - self._start
        count = min(len(buffer), len(self._piece) - skip)
        buffer[:count] = self._piece[skip : skip + count]
        self.at += count
        return count

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()

    def _go_to(self, number: int) -> None:
        self._start, used, unpacker = self._places[number]
        self._piece, self._unpacker = b"", unpacker.copy()
        self._file.seek(used)

    def _next(self) -> bool:
        """Unpack the next piece; whether there was one. Raises EOFError and BadGzipFile for a broken one."""
        self._start += len(self._piece)
        self._piece = b""
        if self._start >= self._places[-1][0] + self._step and not self._unpacker.unconsumed_tail:
            self._places.append((self._start, self._file.tell(), self._unpacker.copy()))
        while not self._piece:
            last = self._unpacker
            data = (last.unused_data if last.eof else last.unconsumed_tail) or self._file.read(BLOCK)
            if last.eof:  # a gzip file may hold several, one after the other
                if not data.strip(b"\0"):
                    return False
                self._unpacker = self._zlib.decompressobj(31)
            try:
                self._piece = self._unpacker.decompress(data, PIECE)
            except self._zlib.error as error:
                raise BadGzipFile(str(error)) from None
            if not (data or self._piece or self._unpacker.eof):
                raise EOFError("the compressed file ends before its end-of-stream mark")
        return True
