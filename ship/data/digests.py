"""Digests of large files: each is read once for as long as it does not change."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

from ship.errors import BadInput
from ship.storage import write_json

_log = logging.getLogger(__name__)

LARGE = 10**9  # bytes, from which on a person is told that a file is being read
Kind = Literal["sha256", "md5"]


def digest(path: Path, kind: Kind) -> str:
    """Of the file's content; read once for as long as the file does not change (`.NAME.checked` beside it says so)."""
    known = _note(path)
    if kind not in known:
        state = _stamp(path)
        known[kind] = _computed(path, kind, tuple(state))
        if _stamp(path) == state:  # else somebody wrote to it meanwhile
            _write_note(path, known)
    return known[kind]


def once(path: Path) -> str:
    """The sha256 of a file's content; a process reads it once for as long as the file does not change."""
    return _computed(path, "sha256", tuple(_stamp(path)))


@cache  # where nothing can be noted beside it, a process reads the file once all the same
def _computed(path: Path, kind: Kind, state: tuple[int, ...]) -> str:
    """Of the file as it is in that state."""
    if (size := state[0]) >= LARGE:
        _log.info("%s: reading %.1f GB for their %s", path, size / 1e9, kind)
    with path.open("rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()


def note_digest(path: Path, kind: Kind, value: str) -> None:
    """Note the digest of a file that was computed while it was written."""
    _write_note(path, {kind: value})


def _stamp(path: Path) -> list[int]:
    """What changes when the file does."""
    state = path.stat()
    return [state.st_size, state.st_mtime_ns, state.st_ctime_ns]


def _note(path: Path) -> dict[str, str]:
    """Digests that were noted of the file as it is."""
    try:
        said: Any = json.loads(path.with_name(f".{path.name}.checked").read_text(encoding="utf-8"))
        return {kind: said[kind] for kind in ("sha256", "md5") if kind in said} if said["state"] == _stamp(path) else {}
    except (OSError, ValueError, LookupError, TypeError):
        return {}


def _write_note(path: Path, digests: Mapping[str, str]) -> None:
    try:
        write_json(path.with_name(f".{path.name}.checked"), {"state": _stamp(path), **digests})
    except (OSError, BadInput):  # a folder that others own, or a full disk
        _log.info("%s: read again each time, since nothing can be noted in its folder", path)
