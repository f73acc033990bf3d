"""What a person should know of images, though they can be used: warnings while they are prepared. Loads no torch.

A warning of this room has the place that it is about, a path of this machine, as its first argument. notices.json,
which is compared, keeps the words alone.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def noticed() -> Iterator[list[str]]:
    """What this room warns of until the block ends, without places, each once."""
    keeper = _Keeper(logging.WARNING)
    room = logging.getLogger(__name__.rpartition(".")[0])
    before = room.level
    room.addHandler(keeper)
    room.setLevel(min(before, logging.WARNING) or logging.INFO)  # whatever the program around wants to hear
    try:
        yield keeper.words
    finally:
        room.setLevel(before)
        room.removeHandler(keeper)


class _Keeper(logging.Handler):
    """Keeps the words of warnings."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.words: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        place = record.args[0] if isinstance(record.args, tuple) and record.args else ""
        words = record.getMessage().removeprefix(f"{place}: ")
        if words not in self.words:
            self.words.append(words)
