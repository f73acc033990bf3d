"""The made-up experiment of experiment.py, aggregated once."""

from __future__ import annotations

import io
from pathlib import Path
from typing import NamedTuple

import experiment
import numpy as np
import pandas as pd
import pytest
from PIL import Image

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


@pytest.fixture
def png():
    """A function of a number: an encoded image, another for each."""

    def make(number):
        file = io.BytesIO()
        shade = np.random.default_rng(number).integers(0, 256, (16, 12, 3), dtype=np.uint8)
        Image.fromarray(shade).save(file, "PNG")
        return file.getvalue()

    return make
