"""Published accuracies are facts beside ours."""

from __future__ import annotations

import pytest

from ship.data.tasks import TASKS
from ship.report.literature import FILE, published

VTAB = [name for name, info in TASKS.items() if not info.builtin]


def test_every_row_has_every_task_its_source_and_its_protocol():
    """All lines of the file, under our names of the 19 tasks, as accuracies in 0-1."""
    rows = published(VTAB)
    _, *lines = FILE.read_text().splitlines()
    assert len(rows) == len(lines) > 0
    assert len(VTAB) == 19
    for row in rows:
        assert list(row["tasks"]) == VTAB
        assert all(0 < value < 1 for value in row["tasks"].values())
        assert "nan" not in (row["method"], row["source"], row["protocol"])


def test_only_shared_tasks_are_shown():
    """A paper says nothing of a task of one's own."""
    assert published(["digits", "mine", "source", "method", "tuned_params_millions"]) == []
    row = next(row for row in published(["digits", "kitti"]) if row["method"] == "VPT-deep")
    assert row["tasks"] == pytest.approx({"kitti": 0.728})
