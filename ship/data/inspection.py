"""A look at every image before it is used: can it be read, is it a copy, what is odd about it. Loads no torch."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, NamedTuple

from ship.data.decoding import ODDITIES, PLAIN, Reading, oddities
from ship.data.sources.splits import Item
from ship.errors import BadInput, together
from ship.experiment.task import OWN, Task

_log = logging.getLogger(__name__)


class Finding(NamedTuple):
    """What is known of an image whose bytes are forgotten again."""

    digest: bytes
    odd: frozenset[str]
    fault: str | None


class Inspection:
    """Reads images and keeps what was found; images that cannot be read are refused together, or left out.

    Called with a task's images it gives those that can be used, with their digests. Raises BadInput for all broken
    images at once, and for all that are in two classes, or in two splits of the task's own, at once.
    """

    def __init__(self, name: str, task: Task, pool: Executor) -> None:
        self.name, self.task, self.pool = name, task, pool
        self.reading = Reading(**{key: getattr(task, key) for key in Reading._fields})
        self.broken: list[str] = []
        self.copies = 0

    def __call__(self, items: Sequence[Item]) -> list[Item]:
        """The images that can be used, in their order."""
        found = list(self.pool.map(self._inspect, items))
        self.broken = [finding.fault for finding in found if finding.fault is not None]
        if self.broken and self.task.broken == "refuse":
            skip = f"tasks.{self.name}.broken: skip leaves them out"
            raise together(self.broken, skip if self.task.source in OWN else "")
        pairs = zip(items, found, strict=True)
        seen = [item._replace(digest=finding.digest) for item, finding in pairs if finding.fault is None]
        if not seen:
            raise BadInput(f"tasks.{self.name}: expected images that can be read, got none of {len(items)}")
        odd = Counter(kind for finding in found for kind in finding.odd)
        for kind, text in ODDITIES.items():
            if odd[kind]:
                _log.warning("%s: %d images %s", self.name, odd[kind], text)
        if self.task.source in OWN:
            self._check_copies(seen)
        return seen

    @property
    def about(self) -> dict[str, Any]:
        """What task.json says of it: nothing, where all images are whole and read as everywhere."""
        said: dict[str, Any] = {"broken": len(self.broken)} if self.broken else {}
        reading = {key: value for key, value in self.reading._asdict().items() if value != getattr(PLAIN, key)}
        return said | ({"reading": reading} if reading else {})

    def lines(self) -> list[str]:
        """How many images are skipped, and are copies."""
        said = [f"skipped: {fault}" for fault in self.broken[:20]]
        said += [f"skipped: {len(self.broken)} images that cannot be read"] if self.broken else []
        return said + ([f"copies: {self.copies} images have the bytes of another one"] if self.copies else [])

    def _inspect(self, item: Item) -> Finding:
        try:
            data = read(item)
            return Finding(hashlib.sha256(data).digest(), oddities(data, titled(item), self.reading), None)
        except BadInput as error:
            return Finding(b"", frozenset(), str(error))

    def _check_copies(self, items: Sequence[Item]) -> None:
        """Count copies of the same bytes. Raises BadInput for all with another label or split than the first."""
        first: dict[bytes, Item] = {}
        classes, splits = [], []
        for item in items:
            twin = first.setdefault(item.digest, item)
            self.copies += twin is not item
            got = f"got the bytes of {twin.key}"
            if twin.label != item.label:
                classes.append(f"{titled(item)}: expected one class for an image, {got}, of another")
            if twin.part != item.part:
                splits.append(f"{titled(item)}: expected no image of {twin.part} in {item.part}, {got}")
        if classes or splits:
            raise together([*classes, *splits], f"remove {'the wrong one' if classes else 'one'} of each pair")


def read(item: Item) -> bytes:
    """The image's own bytes. Raises BadInput where the file cannot be read."""
    if isinstance(item.content, bytes):
        return item.content
    if not isinstance(item.content, Path):
        return item.content()
    try:
        return item.content.read_bytes()
    except OSError as error:
        raise BadInput(f"{titled(item)}: expected a file that can be read, got: {error.strerror}") from None


def titled(item: Item) -> str:
    """The image's place, and its path where the place is a line of a list."""
    return f"{item.place} ({item.key})" if item.key not in item.place else item.place
