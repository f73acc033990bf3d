"""What a prepared split says without its images being decoded."""

from contextlib import suppress

import numpy as np
import pandas as pd
import pytest

from ship.data.decoding import PLAIN
from ship.data.prepare import prepare
from ship.data.reading import read_encoded, read_keys, read_labels
from ship.errors import BadInput
from ship.experiment.params import Task


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """The splits of a small prepared task, the first in groups of seven rows."""
    out = tmp_path_factory.mktemp("digits")
    prepare("digits", Task(train=40, val=30, test=20), ".", out)
    pd.read_parquet(out / "train.parquet").to_parquet(out / "train.parquet", row_group_size=7)
    return out / "train.parquet", out / "val.parquet"


def test_labels_of_several_splits(digits):
    """Those of the first, then those of the second, as int64."""
    expected = [label for path in digits for label in pd.read_parquet(path)["label"]]
    assert read_labels(*digits).dtype == np.int64
    assert read_labels(*digits).tolist() == expected


def test_keys_are_in_the_order_of_the_split(digits):
    """They name its rows."""
    assert read_keys(digits[0]) == pd.read_parquet(digits[0])["key"].tolist()


@pytest.mark.parametrize("rows", [[33, 2, 8, 9], [7, 6, 14], [5], []])
def test_encoded_images_are_in_the_order_asked_for(digits, rows):
    """Those of every group of rows, and none where none is asked for."""
    images = pd.read_parquet(digits[0])["image"]
    assert read_encoded(digits[0], rows) == ([images[row] for row in rows], PLAIN)


@pytest.mark.parametrize(
    ("text", "message"), [(None, "found none"), ("no parquet", "expected a whole parquet file, got .*.ship prepare")]
)
def test_broken_split_is_refused(tmp_path, text, message):
    """An absent or broken file is the user's to put right."""
    if text:
        (tmp_path / "train.parquet").write_text(text)
    with pytest.raises(BadInput, match=rf"train.parquet: .*{message}"):
        read_labels(tmp_path / "train.parquet")


@pytest.mark.parametrize("read", [read_keys, read_labels, lambda path: read_encoded(path, [0])])
def test_bytes_that_a_disk_has_changed_are_told(digits, tmp_path, read):
    """Wherever they lie; the file can be opened all the same."""
    whole, odd = digits[1].read_bytes(), tmp_path / "val.parquet"
    for start in range(4, len(whole) - 4, max(1, len(whole) // 60)):
        odd.write_bytes(whole[:start] + bytes(255 - byte for byte in whole[start : start + 40]) + whole[start + 40 :])
        with suppress(BadInput):  # any other error fails; numbers may be others without one
            read(odd)


def test_a_split_without_a_column_is_told(digits, tmp_path):
    """It was written by something else."""
    pd.read_parquet(digits[1])[["image"]].to_parquet(tmp_path / "val.parquet")
    for read in (read_keys, read_labels):
        with pytest.raises(BadInput, match=r"val.parquet: expected a whole parquet file, got .*(key|label)"):
            read(tmp_path / "val.parquet")
