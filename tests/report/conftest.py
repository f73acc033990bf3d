"""The made-up experiment of experiment.py, aggregated once."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import experiment
import pandas as pd
import pytest

import ship.experiment.params
from ship.report.aggregate import aggregate


class Finished(NamedTuple):
    params: ship.experiment.params.Params
    root: Path
    table: pd.DataFrame


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """Read it; write elsewhere."""
    root, params = tmp_path_factory.mktemp("experiment"), experiment.params()
    experiment.write(root, params)
    return Finished(params, root, aggregate(params, root))


@pytest.fixture
def fresh(tmp_path):
    """One to change: its files, not aggregated."""
    params = experiment.params()
    experiment.write(tmp_path, params)
    return Finished(params, tmp_path, pd.DataFrame())
