"""How far a command has come: a bar on a terminal, lines elsewhere. Loads no torch."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ship.training.loop import Epoch


@contextmanager
def progress(total: int, title: str) -> Iterator[Callable[[int, str], None]]:
    """A function that shows how much of `total` is done, with a text."""
    if not sys.stderr.isatty():
        yield lambda _, text: print(f"{title}: {text}", flush=True)
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=total)
        yield lambda done, text: bar.update(task, completed=done, description=f"{title}: {text}")


def epoch_line(record: Epoch, epochs: int) -> str:
    """What there is to say of an epoch."""
    return f"epoch {record.epoch + 1}/{epochs}, loss {record.loss:.4f}, training accuracy {record.accuracy:.1%}"
