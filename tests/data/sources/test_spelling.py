import pytest

from ship.data.sources.spelling import part_of


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("Training", "train"),
        ("TRAIN", "train"),
        ("train_set", "train"),
        ("trainset", "train"),
        ("Test Images", "test"),
        ("testing", "test"),
        ("valid", "val"),
        ("Validation", "val"),
        ("val2017", "val"),
        ("dev", "val"),
        ("seg_test", "test"),
        ("training wheels", None),
        ("contest", None),
        ("valley", None),
        ("set", None),
        ("cat", None),
    ],
)
def test_names_of_splits(name, part):
    """In any case and with the usual words beside; names that only contain one are none."""
    assert part_of(name) == part
