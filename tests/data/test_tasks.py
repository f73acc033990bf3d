import subprocess
import sys
from collections import Counter

import pytest

from ship.data.tasks import TASKS, group_of
from ship.experiment.params import Task


def test_vtab_has_its_19_tasks():
    """7 natural, 4 specialized and 8 structured tasks carry VTAB-1k's names."""
    groups = Counter(info.group for info in TASKS.values() if not info.builtin)
    assert groups == {"natural": 7, "specialized": 4, "structured": 8}


def test_every_group_has_a_builtin_task():
    """A mean over the three groups needs no download."""
    assert {info.group for info in TASKS.values() if info.builtin} == {"natural", "specialized", "structured"}


@pytest.mark.parametrize(
    ("name", "settings", "expected"),
    [("kitti", {}, "structured"), ("kitti", {"group": "own"}, "own"), ("mine", {}, "own")],
)
def test_group(name, settings, expected):
    """What the settings say comes before the table, also where they say what would be said without them."""
    assert group_of(name, Task(**settings)) == expected


def test_preparing_loads_no_torch():
    """Every cluster job parses the Snakefile again, and `ship prepare` needs no model."""
    code = "import sys, ship.data.prepare; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
