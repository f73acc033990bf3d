"""Values of settings are shown as they are written."""

import subprocess
import sys

import pytest

from ship.experiment.values import as_yaml
from ship.report.stale import changes_line


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (1, "1"),
        (0.010, "0.01"),
        (1e-05, "1.0e-05"),
        (-2.5e-07, "-2.5e-07"),
        (3.0, "3.0"),
        ("none", "none"),
        ([0.5, None, (1, False)], "[0.5, null, [1, false]]"),
    ],
)
def test_a_value_is_shown_as_params_yaml_has_it(value, text):
    """On the page, and where `ship status` says what changed."""
    assert as_yaml(value) == text
    assert changes_line({"options.x": (value, "other")}) == f"options.x {text} -> other"


def test_the_status_loads_no_pandas():
    """It is asked for often, and pandas takes as long as all of the rest."""
    code = "import sys, ship.report.status; print('pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
