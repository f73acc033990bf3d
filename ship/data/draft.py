"""A file that is not yet whole: it survives a kill, goes on where it ended, and knows the digest of what it holds."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from types import TracebackType

from ship.errors import BadInput
from ship.locks import held, is_at
from ship.storage import free_disk, is_full

BLOCK = 2**20  # bytes


def amount(size: float | None) -> str:
    """A number of bytes for people: 131.7 MB."""
    if size is None:
        return "unknown size"
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{size:,.0f} {unit}" if unit == "bytes" else f"{size:,.1f} {unit}"
        size /= 1000
    raise AssertionError


def check_room(folder: Path, need: int, what: str) -> None:
    """Raises BadInput unless the disk of `folder` has `need` bytes free for `what`."""
    if need > (free := free_disk(folder)):
        raise BadInput(
            f"{folder}: expected {amount(need)} of free disk for {what}, got {amount(free)} "
            f"(`archives` in params.yaml names another folder)"
        )


class Draft:
    """The partial file of `target`, locked while it is open; what it holds is read once, for its digest."""

    def __init__(self, target: Path, kind: str) -> None:
        self.target, self.kind = target, kind
        self.path = target.with_name(f".{target.name}.part")
        self._origin = target.with_name(f".{target.name}.origin.part")
        self.pieces = 0  # answers that it was put together of

    def __enter__(self) -> Draft:
        try:
            self.target.parent.mkdir(parents=True, exist_ok=True)
            self._file = held(self.path, self.target)
            self.take_up()
        except OSError as error:
            raise BadInput(
                f"{self.target.parent}: expected a folder to write archives to, got {error.strerror} "
                f"(`archives` in params.yaml names another)"
            ) from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.size and is_at(self.path, self._file):
            self._forget()
            self.path.unlink(missing_ok=True)
        os.close(self._file)

    @property
    def hexdigest(self) -> str:
        """Of what is there."""
        return self._digest.hexdigest()

    def take_up(self) -> None:
        """Read what an earlier process left, for its digest."""
        self.size, self.pieces, self._digest = 0, 0, hashlib.new(self.kind, usedforsecurity=False)
        if os.fstat(self._file).st_size:
            self.pieces = 2  # or more: it is not known
        os.lseek(self._file, 0, os.SEEK_SET)
        while block := os.read(self._file, BLOCK):
            self._digest.update(block)
            self.size += len(block)

    def add(self, block: bytes, url: str) -> None:
        """Write what `url` sent. Raises BadInput where there is no room."""
        left = memoryview(block)
        while left:
            try:
                written = os.write(self._file, left)
            except OSError as error:
                raise self._unwritten(error, url) from None
            self._digest.update(left[:written])
            self.size += written
            left = left[written:]

    def restart(self) -> None:
        """Throw away what is there."""
        os.ftruncate(self._file, 0)
        self._forget()
        self.take_up()

    def came_from(self, url: str, validator: str | None) -> None:
        """Note which state of the file at `url` the next bytes belong to: a strong ETag, or a date."""
        self.pieces += 1
        said = json.dumps({"url": url, "validator": validator})
        try:
            self._origin.write_text(
                said, encoding="utf-8"
            )  # in place: half of it says nothing, and a kill leaves no more
        except OSError as error:
            raise self._unwritten(error, url) from None

    def validator(self, url: str) -> str | None:
        """What `url` said of the file's state when the first bytes came; None where they came from elsewhere."""
        try:
            origin = json.loads(self._origin.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None
        return origin["validator"] if origin["url"] == url else None

    def become(self, path: Path, url: str) -> None:
        """Give the draft its name, now that it is whole."""
        try:
            os.fsync(self._file)
            self.path.replace(path)
        except OSError as error:
            raise self._unwritten(error, url) from None
        self._forget()

    def begin_anew(self) -> None:
        """Another draft, after one has become a file."""
        os.close(self._file)
        self._file = held(self.path, self.target)
        self.take_up()

    def _unwritten(self, error: OSError, url: str) -> BadInput:
        what = "room for" if is_full(error) else "to write"
        return BadInput(
            f"{url}: expected {what} {self.target.name} in {self.target.parent}, got {error.strerror} "
            f"(mend it and run this again: it goes on from {amount(self.size)})"
        )

    def _forget(self) -> None:
        self._origin.unlink(missing_ok=True)
