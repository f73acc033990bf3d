"""TFRecord files and the `tf.train.Example` messages in them, without TensorFlow. Loads no torch.

A record is its length (8 bytes), a checksum of that (4), the message, and a checksum of the message (4). The checksums
are passed over, since the archive's sha256 speaks for every byte. Of protocol buffers, what an Example needs is read:
fields that are numbers (kind 0) or have a length (kind 2).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import IO

from ship.errors import BadInput

LONGEST = 2**26  # bytes of a message
Value = int | bytes


def records(file: IO[bytes], shown: str) -> Iterator[bytes]:
    """The messages of a file. Raises BadInput where it is cut or is none."""
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
        features = next(_fields(message, 1))
        return dict(_feature(entry) for entry in _fields(features, 1) if isinstance(entry, bytes))
    except (StopIteration, IndexError, ValueError, TypeError) as error:
        raise BadInput(f"{shown}: expected an Example with features, got: {error or type(error).__name__}") from None


def _feature(entry: bytes) -> tuple[str, Value]:
    """Name (field 1) and value (field 2): a list of bytes (1) or of integers (3), whose first is taken."""
    name, feature = next(_fields(entry, 1)), next(_fields(entry, 2))
    for kind in (1, 3):
        for values in _fields(feature, kind):
            first = next(_fields(values, 1))
            if kind == 3 and isinstance(first, bytes):  # packed
                first = _number(first, 0)[0]
            return bytes(name).decode(), first
    return bytes(name).decode(), b""  # numbers with a point, which nothing here has


def _fields(message: Value, wanted: int) -> Iterator[Value]:
    """The values of the fields of a message that have the number `wanted`."""
    if isinstance(message, int):
        raise ValueError("a number where a message is due")
    at = 0
    while at < len(message):
        tag, at = _number(message, at)
        if tag & 7 == 0:
            value: Value
            value, at = _number(message, at)
        elif tag & 7 == 2:
            length, at = _number(message, at)
            value, at = message[at : at + length], at + length
            if at > len(message):
                raise ValueError("a field that leaves the message")
        else:
            raise ValueError(f"a field of kind {tag & 7}")
        if tag >> 3 == wanted:
            yield value


def _number(message: bytes, at: int) -> tuple[int, int]:
    """An integer in groups of seven bits, the lowest first, and where the next field starts."""
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
