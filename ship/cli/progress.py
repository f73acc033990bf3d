"""How far a command has come: a bar on a terminal, lines elsewhere. Loads no torch."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ship.training.loop import Epoch


@contextmanager
def progress(total: int, title: str) -> Iterator[Callable[[float, str], None]]:
    """A function that shows how much of `total` is done, with a text."""
    if not sys.stderr.isatty():
        yield lambda _, text: print(f"{title}: {text}", flush=True)
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=total)
        yield lambda done, text: bar.update(task, completed=done, description=f"{title}: {text}")


class Phases:
    """Seconds that the parts of a command take, for its log and nothing else: `with phases("imports"): ...`."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.clock = clock
        self.seconds = {"start": time.process_time()}  # of the processor, until here

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Count the time of the block to the part `name`, which may have been counted before."""
        begin = self.clock()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + self.clock() - begin

    def __str__(self) -> str:
        """Such as `start 0.4 s, imports 3.1 s`."""
        return ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self.seconds.items())


@contextmanager
def downloading(title: str, every: float = 30.0) -> Iterator[Callable[[int, int | None], None]]:
    """A function that shows how many of how many bytes there are, the speed, and the time that is left.

    A bar on a terminal; elsewhere a line every so many seconds.
    """
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
        with Progress(TextColumn("{task.description}"), *columns, console=Console(stderr=True)) as bar:
            task = bar.add_task(title, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
        return
    began = shown = time.monotonic()
    first: int | None = None

    def tell(done: int, total: int | None) -> None:
        nonlocal first, shown
        now, first = time.monotonic(), done if first is None or done < first else first
        if now - shown >= every:
            shown = now
            print(f"{title}: {_bytes_line(done, total, (done - first) / (now - began))}", flush=True)

    yield tell


def _bytes_line(done: int, total: int | None, speed: float) -> str:
    """Such as `84.0 of 168.5 MB (50%), 12.0 MB/s, 0:00:07 left`."""
    line = f"{done / 1e6:,.1f}" + (f" of {total / 1e6:,.1f} MB ({done / total:.0%})" if total else " MB")
    left = f", {timedelta(seconds=round((total - done) / speed))} left" if total and speed else ""
    return f"{line}, {speed / 1e6:,.1f} MB/s{left}"


def epoch_line(record: Epoch, epochs: int) -> str:
    """What there is to say of an epoch."""
    return f"epoch {record.epoch + 1}/{epochs}, loss {record.loss:.4f}, training accuracy {record.accuracy:.1%}"
