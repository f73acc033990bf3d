"""Files and folders that one process has for itself; a lock goes with the process that holds it, however that ends."""

from __future__ import annotations

import errno
import logging
import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ship.errors import BadInput

LOCK = ".run.lock"
PATIENCE = 120  # seconds; a file server keeps the lock of a node that is gone for one or two minutes
PAUSE = 0.2  # seconds between two tries
UNLOCKABLE = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL, errno.EACCES)
GONE = (errno.ENOENT, errno.ESTALE)  # the latter of a file server

_log = logging.getLogger(__name__)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Have `folder` for oneself, which is made where there is none, and goes where it is left empty.

    Raises BadInput where another process has it for as long as `PATIENCE`: each would go on from what the other saves.
    """
    path = folder / LOCK
    try:
        file = held(path, folder, PATIENCE)
    except OSError as error:
        raise BadInput(f"{folder}: expected a folder that can be written to, got: {error.strerror}") from None
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(file)
        with suppress(OSError):  # not empty
            folder.rmdir()


def held(path: Path, what: Path, patience: float = math.inf) -> int:
    """The file at `path`, made where there is none, open and locked until it is closed.

    Waits while another process has it, and says so of `what`. Where a file system has no locks, it says that instead,
    and several processes may have the file.

    Raises BadInput where another process has it for `patience` seconds, OSError where it cannot be opened or locked.
    """
    give_up, told = time.monotonic() + patience, False
    while True:
        with suppress(FileNotFoundError, FileExistsError):  # who had it before removes the folder in this moment
            path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
            if _taken(file, path, what):
                return file
        if time.monotonic() >= give_up:
            raise BadInput(f"{what}: expected no other process on it, got one (let it finish, or end it)")
        if not told:
            _log.info("%s: another process is at it; waiting", what)
        told = True
        time.sleep(PAUSE)


def _taken(file: int, path: Path, what: Path) -> bool:
    """Whether the open file is locked now, and still at `path`; closed where it is not."""
    taken = False
    try:
        taken = _locked(file, what) and is_at(path, file)
    finally:
        if not taken:
            os.close(file)
    return taken


def is_at(path: Path, file: int) -> bool:
    """Whether the open file still has that name: who had it before may have renamed or removed it."""
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except OSError as error:
        if error.errno not in GONE:
            raise
        return False


def _locked(file: int, what: Path) -> bool:
    """Whether the open file is locked now, as far as it can be."""
    try:
        import fcntl
    except ImportError:  # Windows has other locks
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in UNLOCKABLE:
            raise
        _log.info("%s: this file system has no locks: let one process alone be at it", what)
    return True
