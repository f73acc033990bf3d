"""What the page says of classes: the worst confusions first, pictures of the right images."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ship.artifacts import MISTAKES
from ship.evaluation.outcomes import Outcomes
from ship.report.inspection import PICKS, SQUARE, matrix, mistakes, pairs
from ship.report.looks import Seen
from ship.report.thumbnails import ROOM, thumbnails

COUNTS = np.array([[8, 2, 0], [3, 4, 1], [0, 0, 5]])


def test_the_most_frequent_confusion_comes_first():
    """With its share of the images of that class; what never happens is left out."""
    found = pairs(COUNTS, ["a", "b", "c"])
    assert [(pair["actual"], pair["said"], pair["count"]) for pair in found] == [
        ("b", "a", 3),
        ("a", "b", 2),
        ("b", "c", 1),
    ]
    assert found[0]["share"] == pytest.approx(3 / 8)


def test_a_small_matrix_is_whole():
    """In the order of the classes, with shares of the row."""
    found = matrix(COUNTS, ["a", "b", "c"])
    assert found["all"]
    assert [[cell["count"] for cell in row["cells"]] for row in found["rows"]] == COUNTS.tolist()
    assert found["rows"][1]["cells"][0]["share"] == pytest.approx(3 / 8)


def test_a_large_matrix_has_the_classes_that_are_confused():
    """Of a hundred classes, twenty, the two that are taken for each other among them."""
    counts = 9 * np.eye(100, dtype=np.int64)
    counts[71, 93] = 5
    found = matrix(counts, [f"class {i}" for i in range(100)])
    assert not found["all"]
    assert len(found["names"]) == SQUARE
    assert {"class 71", "class 93"} <= set(found["names"])


def test_a_class_without_images_divides_nothing():
    """Its row is empty."""
    assert matrix(np.array([[0, 0], [1, 2]]), ["a", "b"])["rows"][0]["cells"][0]["share"] == 0


def outcomes(wrong: int) -> Outcomes:
    """Forty images, the first of which are mistaken with growing confidence."""
    labels = np.zeros(40, np.int64)
    predicted = np.where(np.arange(40) < wrong, 1, 0)
    return Outcomes([f"k{i}" for i in range(40)], labels, predicted, np.linspace(0.2, 0.9, 40), ["cat", "dog"])


def seen(wrong: int) -> Seen:
    """What a run leaves of them: the surest first, each with a picture of its own number."""
    lines = [{"key": f"k{i}", "attention": [f"{i:02x}ff", "0000"]} for i in reversed(range(wrong))]
    return Seen({"grid": [2, 2], "first_patch": 1}, {line["key"]: line for line in lines[:MISTAKES]})


@pytest.fixture
def split(tmp_path, png):
    """Their pictures, in several groups of rows."""
    keys = [f"k{i}" for i in range(40)]
    pq.write_table(
        pa.table({"key": keys, "image": [png(i) for i in range(40)]}), tmp_path / "t.parquet", row_group_size=7
    )
    return tmp_path / "t.parquet"


def test_the_surest_mistakes_come_first(split):
    """At most twelve, each with both names and its own picture."""
    found = mistakes(outcomes(20), seen(20), split)
    assert len(found) == MISTAKES
    assert (found[0].actual, found[0].said) == ("cat", "dog")
    assert [one.confidence for one in found] == sorted((one.confidence for one in found), reverse=True)
    assert found[0].picture == thumbnails(split, ["k19"])["k19"]
    assert found[0].look == seen(20).look("k19")
    assert len({one.picture for one in found}) == MISTAKES
    assert mistakes(outcomes(20), seen(20), split, 4) == found[:4]
    assert mistakes(outcomes(0), seen(0), split) == []


def test_pictures_are_small(split):
    """A few kilobytes each, whatever the image: nineteen tasks fit on a page."""
    assert all(len(one.url) < 8000 for one in thumbnails(split, ["k3", "k30"]).values())


def test_pictures_keep_to_their_room(tmp_path, png):
    """Even noise, of which no picture is small: those of 19 tasks together stay in the room of a page."""
    noise = Image.effect_noise((300, 200), 90).convert("RGB")
    noise.save(tmp_path / "noise.png")
    table = pa.table({"key": ["a"], "image": [(tmp_path / "noise.png").read_bytes()]})
    pq.write_table(table, tmp_path / "n.parquet")
    room = ROOM // (19 * (MISTAKES + PICKS))
    assert (
        len(thumbnails(tmp_path / "n.parquet", ["a"], room)["a"].url)
        <= room
        < len(thumbnails(tmp_path / "n.parquet", ["a"])["a"].url)
    )
