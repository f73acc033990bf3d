"""Commands that start at once: in a process forked from one that has imported everything, for tests that start many."""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import os
import sys
from multiprocessing.connection import Connection
from pathlib import Path

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["ship.cli", "ship.training.train", "ship.training.search"])


class Warm:
    """`ship ...` in `folder`: a process of its own, which can be killed, and the lines that it says."""

    def __init__(self, folder: Path, *words: str) -> None:
        read, write = FORKS.Pipe(duplex=False)
        self.process = FORKS.Process(target=_ship, args=(write, str(folder), words))
        self.process.start()
        write.close()
        self.said = io.open(os.dup(read.fileno()), encoding="utf-8")  # noqa: SIM115, UP020  # closed by `kill`
        read.close()

    def ended(self, seconds: float) -> bool:
        """Whether it ends by itself in that time."""
        self.process.join(seconds)
        return self.process.exitcode is not None

    def kill(self) -> None:
        """End it wherever it is, as `kill -9` does, and forget it."""
        self.process.kill()
        self.process.join()
        self.process.close()
        self.said.close()


def _ship(write: Connection, folder: str, words: tuple[str, ...]) -> None:
    """The command, as a shell starts it."""
    from ship import cli

    os.dup2(write.fileno(), sys.stdout.fileno())
    os.dup2(write.fileno(), sys.stderr.fileno())
    os.chdir(folder)
    sys.argv = ["ship", *words]
    with contextlib.suppress(BrokenPipeError):
        cli.main()
