import pytest

from ship.data.sources import lists
from ship.errors import BadInput
from ship.experiment.params import Task

VTAB = Task(source="vtab", path="vtab")
CSV = Task(source="csv", path="list.csv", train=4, val=2)


def test_vtab_keeps_the_order_of_its_lists(vtab):
    """Rows stand as in the files; a path may hold spaces."""
    listing = lists.vtab("mine", VTAB, vtab, "vtab")
    assert [item.key for item in listing.splits["val"]] == [f"images/a picture {n}.png" for n in range(8, 12)]
    assert [item.label for item in listing.splits["test"]] == [0, 1] * 3
    assert listing.classes == ["0", "1"]


def test_vtab_needs_no_union(vtab):
    """train800val200.txt is compared where it is there."""
    (vtab / "train800val200.txt").unlink()
    assert len(lists.vtab("mine", VTAB, vtab, "vtab").splits["train"]) == 8


@pytest.mark.parametrize(
    ("file", "line", "message"),
    [
        ("train800.txt", "images/none.png 0", r"vtab/train800.txt:9: expected the image images/none.png, found none"),
        ("train800.txt", "images/a picture 1.png -1", r"train800.txt:9: expected every image once, got .*:2\)"),
        ("val200.txt", "images/a picture 1.png 1", r"val200.txt:5: expected every image once, got images/a picture 1"),
        (
            "test.txt",
            "images/a picture 8.png 1",
            r"test.txt:7: expected every image once, .*first in vtab/val200.txt:1",
        ),
        ("test.txt", "images/./a picture 8.png 1", r"test.txt:7: expected every image once"),
        (
            "test.txt",
            "../secret.png 1",
            r"test.txt:7: expected a path below the folder of the list, got '../secret.png'",
        ),
        ("test.txt", "/secret.png 1", r"test.txt:7: expected a path below the folder"),
        ("test.txt", "images/extra.png 1.5", r"test.txt:7: expected 'path label' with an integer label, got '.* 1.5'"),
        ("test.txt", "images/extra.png", r"test.txt:7: expected 'path label'"),
        ("test.txt", "images/extra.png -1", r"test.txt:7: expected a label from 0 to 1, got -1"),
        ("test.txt", "images/extra.png 2", r"test.txt:7: expected a label from 0 to 1, got 2"),
        (
            "train800val200.txt",
            "images/extra.png 1",
            r"train800val200.txt: expected the lines of .* 'images/extra.png 1'",
        ),
        ("train800.txt", "images/extra.png 1", r"train800val200.txt: expected the lines of .* 'images/extra.png 1'"),
    ],
)
def test_bad_line_is_refused_with_its_number(vtab, put, file, line, message):
    """Errors name file and line."""
    put(vtab, "images/extra.png")
    with (vtab / file).open("a") as target:
        target.write(line + "\n")
    with pytest.raises(BadInput, match=message):
        lists.vtab("mine", VTAB.model_copy(update={"classes": 2}), vtab, "vtab")


def test_negative_label_is_refused_without_a_number_of_classes(vtab):
    """Counting classes does not accept what is below 0."""
    lines = (vtab / "test.txt").read_text().replace("12.png 0", "12.png -3")
    (vtab / "test.txt").write_text(lines)
    with pytest.raises(BadInput, match=r"test.txt:1: expected a label of 0 or more, got -3"):
        lists.vtab("mine", VTAB, vtab, "vtab")


@pytest.mark.parametrize("label", [3, 10**12])
def test_labels_have_no_gap_where_nobody_says_how_many_there_are(vtab, label):
    """A number that came to the wrong place makes no thousand classes."""
    lines = (vtab / "test.txt").read_text().replace("12.png 0", f"12.png {label}")
    (vtab / "test.txt").write_text(lines)
    with pytest.raises(BadInput, match=r"vtab: expected labels from 0 without a gap .*, got no 2"):
        lists.vtab("mine", VTAB, vtab, "vtab")


@pytest.mark.parametrize("text", [None, "", "\n"])
def test_list_must_be_there(vtab, text):
    """An absent or empty list is refused."""
    (vtab / "val200.txt").unlink() if text is None else (vtab / "val200.txt").write_text(text)
    with pytest.raises(BadInput, match=r"vtab/val200.txt: expected .*'path label'"):
        lists.vtab("mine", VTAB, vtab, "vtab")


def test_published_task_knows_its_classes(vtab):
    """A VTAB-1k task has its published classes, even those that its draw misses."""
    listing = lists.vtab("sun397", VTAB, vtab, "vtab")
    assert len(listing.classes) == 397
    assert listing.holes


def table(tmp_path, put, labels, header="path,label"):
    put(tmp_path, *(f"{n}.png" for n in range(len(labels))))
    rows = [header, *(f"{n}.png,{label}" for n, label in enumerate(labels))]
    (tmp_path / "list.csv").write_text("\n".join(rows) + "\n", encoding="utf-8-sig")
    return lists.table("mine", CSV, tmp_path / "list.csv", "list.csv")


def test_csv_names_become_classes(tmp_path, put):
    """Text labels are numbered in alphabetical order."""
    listing = table(tmp_path, put, ["dog", "cat"] * 4)
    assert listing.classes == ["cat", "dog"]
    assert {item.key: item.label for part in listing.splits.values() for item in part}["0.png"] == 1


def test_csv_integers_stay(tmp_path, put):
    """Integer labels keep their value."""
    listing = table(tmp_path, put, [1, 0, 2] * 4)
    assert listing.classes == ["0", "1", "2"]
    assert all(item.label == (1, 0, 2)[int(item.key[:-4]) % 3] for part in listing.splits.values() for item in part)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1, "cat"], r"list.csv:4: expected an integer as the label, as in the lines before, got 'cat'"),
        (["cat", "dog", 7], r"list.csv:4: expected a name as the label, as in the lines before, got '7'"),
        ([1, 2, 5], r"list.csv: expected labels from 0 without a gap \(or names, in a CSV file\), got no 0"),
        ([0, 2, 2], r"list.csv: expected labels from 0 without a gap \(or names, in a CSV file\), got no 1"),
        ([0, 1, -1], r"list.csv:4: expected a label of 0 or more, got -1"),
        ([0, ""], r"list.csv:3: expected a path and a label, got '1.png,'"),
        ([0, "1,2"], r"list.csv:3: expected a path and a label"),
        ([0, '"'], r"list.csv:3: expected CSV, got"),
        ([], r"list.csv: expected rows below the header"),
    ],
)
def test_bad_csv_row_is_refused_with_its_number(tmp_path, put, labels, message):
    """Errors name file and line."""
    with pytest.raises(BadInput, match=message):
        table(tmp_path, put, labels)


def test_csv_header_is_needed(tmp_path, put):
    """Without a header the first image would be lost."""
    with pytest.raises(BadInput, match=r"list.csv:1: expected the header 'path,label', got 'image,label'"):
        table(tmp_path, put, [0, 1], header="image,label")
