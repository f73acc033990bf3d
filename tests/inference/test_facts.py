"""What an export says of the test images is what the run said of them."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ship.evaluation.outcomes import Outcomes
from ship.inference.facts import counted, evaluation, warned_of
from ship.storage import sha256, write_json

LABELS, PREDICTED = np.array([0, 0, 0, 0, 1, 1]), np.array([0, 0, 0, 2, 1, 0])
FOUND = Outcomes([f"k{i}" for i in range(6)], LABELS, PREDICTED, np.full(6, 0.9, np.float32), ["a", "b", "c"])


def test_the_figures_are_those_of_the_predictions():
    """Counted by hand; a class without test images counts nowhere, and JSON can hold all of it."""
    told = evaluation(FOUND, {"train": np.array([3, 4, 5]), "val": np.array([1, 1, 1]), "test": np.array([4, 2, 0])})
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert told["balanced_accuracy"] == pytest.approx((3 / 4 + 1 / 2) / 2)
    low, high = told["interval"]
    assert low < 4 / 6 < high
    assert told["images"] == {"train": 12, "val": 3, "test": 6}
    assert [[*row.values()] for row in told["classes"]] == [
        ["a", 4, 4, 0.75, 0.75],
        ["b", 5, 2, 0.5, 1.0],
        ["c", 6, 0, None, None],
    ]


def test_training_images_are_told_of_where_all_are_known():
    """A run trains on train and val: the images of one are not those of a class."""
    told = evaluation(FOUND, {"train": np.array([3, 4, 5])})
    assert {row["training_images"] for row in told["classes"]} == {None}
    assert told["images"] == {"train": 12}


def test_only_the_images_of_the_run_are_counted(tmp_path):
    """Those of another draw, which lie at the same place, and those that are not there are none of its."""
    digests = {}
    for split, labels in {"train": [0, 0, 2], "val": [1]}.items():
        pq.write_table(pa.table({"key": [f"{i}" for i in labels], "label": labels}), tmp_path / f"{split}.parquet")
        digests[split] = sha256(tmp_path / f"{split}.parquet")
    found = counted(tmp_path, {**digests, "val": "0" * 64, "test": "1" * 64}, 4)
    assert {split: part.tolist() for split, part in found.items()} == {"train": [2, 0, 1, 0]}


def test_only_warnings_of_the_images_of_the_run_are_told(tmp_path):
    """What is said of others is none of its."""
    splits = {split: {"images": 1, "sha256": split} for split in ("train", "val", "test")}
    write_json(tmp_path / "task.json", {"classes": ["a"], "splits": splits})
    write_json(tmp_path / "notices.json", {"warnings": ["3 images are dark"]})
    digests = {split: split for split in splits}
    assert warned_of(tmp_path, digests) == ["3 images are dark"]
    assert warned_of(tmp_path, {**digests, "val": "other"}) == warned_of(tmp_path / "gone", digests) == []
