"""Files that this process can no longer open."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ship.errors import BadInput

_sealed: set[Path] = set()


def seal(path: Path) -> None:
    """Refuse to open the file from now on, under whatever name, whoever asks: Python never removes an audit hook.

    It hears what Python opens, and what a library opens by itself where that is announced, as `reading.py` does.
    """
    if not _sealed:
        sys.addaudithook(_refuse)
    _sealed.add(path.absolute())


def _refuse(event: str, arguments: tuple[object, ...]) -> None:
    path = arguments[0] if event == "open" else None
    if isinstance(path, str | bytes | os.PathLike) and any(_same(path, sealed) for sealed in _sealed):
        raise BadInput(f"{os.fsdecode(path)}: expected no read of it, since a search never sees test, got one")


def _same(path: str | bytes | os.PathLike[str], sealed: Path) -> bool:
    try:
        return os.path.samefile(path, sealed)  # noqa: PTH121  # bytes too
    except (OSError, ValueError):
        return False
