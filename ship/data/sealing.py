"""Files that this process can no longer open."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ship.errors import BadInput

_sealed: set[str] = set()


def seal(path: Path) -> None:
    """Refuse to open the file from now on, whoever asks: Python never removes an audit hook.

    It hears what Python opens, and what libraries open by themselves where that is announced (`images.py`).
    """
    if not _sealed:
        sys.addaudithook(_refuse)
    _sealed.add(os.path.realpath(path))


def _refuse(event: str, arguments: tuple[object, ...]) -> None:
    path = arguments[0] if event == "open" else None
    if isinstance(path, str | bytes | os.PathLike) and os.path.realpath(os.fsdecode(path)) in _sealed:
        raise BadInput(f"{os.fsdecode(path)}: expected no read of it, since it is sealed: a search never sees test")
