"""Accuracies on VTAB-1k that papers state: facts with their sources, shown beside ours and never ranked with them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ship.data.tasks import TASKS

FILE = Path(__file__).with_name("published_vtab1k.csv")
ABOUT = ("method", "source", "protocol")


def published(tasks: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of the file, in its order, with those of the `tasks` that VTAB-1k has, in 0-1; none without any."""
    table = pd.read_csv(FILE)
    shared = [task for task in tasks if task in TASKS and not TASKS[task].builtin]
    if not shared:
        return []
    return [
        {name: str(row[name]) for name in ABOUT} | {"tasks": {task: float(row[task]) / 100 for task in shared}}
        for row in table.to_dict("records")
    ]
