import pytest

from ship.data.sources.spelling import check_printable, part_of, warn_alike
from ship.errors import BadInput


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


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["Pat3", "pat3"], True),
        (["3", "003"], True),
        (["p-01", "P-1"], True),
        ([" A", "A", "A "], True),
        (["Pat 3", "Pat3"], True),
        (["caf\u00e9", "cafe\u0301"], True),
        (["3", "30", "300", "0"], False),
        (["p10", "p1", "p100"], False),
        (["cat", "cats"], False),
    ],
)
def test_names_that_differ_in_spelling_alone_are_told(caplog, names, told):
    """In case, spaces, leading zeros, and how accents are put together."""
    warn_alike(names, "pets", "groups")
    assert len(caplog.records) == (len(names) - 1) * told
    assert all("differ in spelling alone, and are two groups" in line for line in caplog.messages)


def test_of_many_names_that_are_alike_the_first_are_told(caplog):
    """And how many more there are."""
    warn_alike([name for n in range(30) for name in (f"p{n}", f"P{n}")], "pets", "groups")
    assert len(caplog.messages) == 6
    assert caplog.messages[-1] == "pets: 25 more groups differ from others in spelling alone"


@pytest.mark.parametrize("name", ["a\nb", "a\0", "\x1b[31mred", "a\x85b", "a\u2028b", "a\tb"])
def test_names_that_break_lines_are_refused(name):
    """All of them at once, as they would be written."""
    check_printable(["caf\u00e9 noir", "\u732b", "a\u00a0b", "#1 (new), 'x'"], "pets")
    rule = "pets: expected names of classes without line breaks and other control characters, got "
    with pytest.raises(BadInput) as error:
        check_printable(["cat", name, name * 2], "pets")
    assert str(error.value).startswith(f"{rule}{name!r}; {rule}{name * 2!r} (2 in all) (")
