"""What a run says of its test images comes back as it was, or is refused."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ship.errors import BadInput
from ship.evaluation.outcomes import Outcomes, read_outcomes, write_outcomes

FOUND = Outcomes(
    ["a.png", "\u00e4.png", "b"],
    np.array([0, 1, 1]),
    np.array([0, 1, 0]),
    np.array([0.9, 0.5, 0.6], "f4"),
    ["cat", "dog"],
)


@pytest.fixture
def path(tmp_path):
    """The file of three images and two classes."""
    every = np.array([[0.9, 0.1], [0.5, 0.5], [0.6, 0.4]], np.float16)
    write_outcomes(tmp_path / "predictions.parquet", FOUND, every)
    return tmp_path / "predictions.parquet"


def refused(path, rule):
    with pytest.raises(BadInput, match=rf"predictions.parquet: {rule}.* \(train it again\)"):
        read_outcomes(path, "train it again")


def put(path, column, values):
    """The column of the table at `path` with other values."""
    table = pq.read_table(path)
    pq.write_table(table.set_column(table.column_names.index(column), column, pa.array(values)), path)


def test_what_is_written_comes_back(path):
    """Keys, numbers and names, and which are right; other programs find the probabilities of all classes, too."""
    found = read_outcomes(path, "")
    for one, other in zip(found, FOUND, strict=True):
        np.testing.assert_array_equal(one, other)
    assert found.hits.tolist() == [True, True, False]
    assert pq.read_table(path)["probabilities"].to_pylist()[1] == [0.5, 0.5]


def test_predictions_of_an_older_version_are_refused(path):
    """They do not say what their classes are called."""
    pq.write_table(pq.read_table(path).replace_schema_metadata({}), path)
    refused(path, "expected the names of the classes")


@pytest.mark.parametrize("column", ["key", "label", "prediction", "probability"])
def test_a_column_that_is_not_there_is_named(path, column):
    """As of a table that somebody has cut."""
    pq.write_table(pq.read_table(path).drop_columns(column), path)
    refused(path, f"expected what a run predicted, got: No match for .*{column}")


@pytest.mark.parametrize("column", ["label", "prediction"])
@pytest.mark.parametrize("value", [2, -1, None, "cat"])
def test_predictions_of_other_classes_are_refused(path, column, value):
    """Whoever wrote them."""
    put(path, column, [value] * 3)
    refused(path, "expected labels of its 2 classes, got others")


@pytest.mark.parametrize("value", [5.0, float("nan"), None])
def test_probabilities_are_probabilities(path, value):
    """One above 1, or none, would change the calibration error without a word."""
    put(path, "probability", pa.array([value, 0.5, 0.6], pa.float32()))
    refused(path, "expected probabilities in 0-1, got")


def test_no_image_is_no_outcome(path):
    """An accuracy of nothing is no number."""
    pq.write_table(pq.read_table(path).slice(0, 0), path)
    refused(path, "expected labels of its 2 classes, got others")
