"""TFRecord files and the `tf.train.Example` messages in them, without TensorFlow. Loads no torch.

A record is its length (8 bytes), a checksum of that (4), the message, and a checksum of the message (4). The checksums
are passed over, since the archive's sha256 speaks for every byte. Of protocol buffers, what an Example needs is read:
fields that are numbers (kind 0) or have a length (kind 2).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from io import BufferedReader, RawIOBase
from typing import IO, cast

from ship.errors import BadInput

LONGEST = 2**26  # bytes of a message
BUFFER = 2**20  # bytes that are read at once
Value = int | bytes


def records(content: IO[bytes], shown: str) -> Iterator[bytes]:
    """The messages of a file. Raises BadInput where it is cut or is none."""
    file = BufferedReader(cast("RawIOBase", content), BUFFER)
    while head := file.read(12):
        length = struct.unpack("<Q", head[:8])[0] if len(head) == 12 else LONGEST + 1
        if length > LONGEST:
            raise BadInput(f"{shown}: expected the head of a record, got {head.hex()}")
        data = file.read(length + 4)
        if len(data) < length + 4:
            raise BadInput(f"{shown}: expected a record of {length} bytes, got {len(data)}")
        yield data[:length]


def example(message: bytes, shown: str) -> dict[str, Value]:
    """The features of an Example by name: the first value of each, bytes or an integer."""
    try:
        features = next(value for number, value in _fields(message) if number == 1)
        return dict(_feature(entry) for number, entry in _fields(features) if number == 1)
    except (StopIteration, LookupError, ValueError, TypeError) as error:
        raise BadInput(f"{shown}: expected an Example with features, got: {error or type(error).__name__}") from None


def _feature(entry: Value) -> tuple[str, Value]:
    """Name (field 1) and value (field 2): a list of bytes (1) or of integers (3), whose first is taken."""
    parts = dict(_fields(entry))
    name = bytes(parts[1]).decode()
    for kind, values in _fields(parts[2]):
        if kind in (1, 3):
            first = next(value for number, value in _fields(values) if number == 1)
            if kind == 3 and isinstance(first, bytes):  # packed
                first = _number(first, 0)[0]
            return name, first
    return name, b""  # numbers with a point, which nothing here has


def _fields(message: Value) -> list[tuple[int, Value]]:
    """Number and value of each field of a message."""
    if isinstance(message, int):
        raise ValueError("a number where a message is due")
    found: list[tuple[int, Value]] = []
    at, end = 0, len(message)
    while at < end:
        tag, at = _number(message, at)
        if tag & 7 not in (0, 2):
            raise ValueError(f"a field of kind {tag & 7}")
        value, at = _number(message, at)
        if tag & 7 == 0:
            found.append((tag >> 3, value))
            continue
        if at + value > end:
            raise ValueError("a field that leaves the message")
        found.append((tag >> 3, message[at : at + value]))
        at += value
    return found


def _number(message: bytes, at: int) -> tuple[int, int]:
    """An integer in groups of seven bits, the lowest first, and where the next field starts."""
    if message[at] < 128:  # as most are
        return message[at], at + 1
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
