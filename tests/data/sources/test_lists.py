import unicodedata

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


@pytest.fixture
def copied(vtab):
    """The union as in the published archive: copies of the images, numbered anew in another order."""
    lines = [line.rsplit(" ", 1) for line in (vtab / "train800val200.txt").read_text().splitlines()]
    (vtab / "images/train800val200").mkdir()
    rows = []
    for number, (path, label) in enumerate(reversed(lines)):
        rows.append(f"images/train800val200/{number:06}.png {label}\n")
        (vtab / rows[-1].rpartition(" ")[0]).write_bytes((vtab / path).read_bytes())
    (vtab / "train800val200.txt").write_text("".join(rows))
    return vtab


def test_vtab_takes_a_union_of_copies(copied):
    """They are trained on once, from the lists of train and val."""
    listing = lists.vtab("mine", VTAB, copied, "vtab")
    assert {part: len(items) for part, items in listing.splits.items()} == {"train": 8, "val": 4, "test": 6}
    assert not [item for items in listing.splits.values() for item in items if "train800val200" in item.key]


@pytest.mark.parametrize("other", ["label", "image", "twice"])
def test_vtab_refuses_a_union_of_others(copied, image, other):
    """A copy with another label, of another image, or of one image in place of another."""
    folder, union = copied / "images/train800val200", copied / "train800val200.txt"
    if other == "label":
        union.write_text(union.read_text().replace("000003.png 0", "000003.png 1"))
    else:
        (folder / "000003.png").write_bytes((folder / "000005.png").read_bytes() if other == "twice" else image(99))
    line = "000005.png" if other == "twice" else "000003.png"
    with pytest.raises(BadInput, match=rf"train800val200.txt: expected the images and labels of .*{line}.*without"):
        lists.vtab("mine", VTAB, copied, "vtab")


@pytest.mark.parametrize(
    ("file", "line", "message"),
    [
        ("train800.txt", "images/none.png 0", r"vtab/train800.txt:9: expected the image images/none.png, found none"),
        (
            "test.txt",
            "Images/A picture 1.png 1",
            r"found none \(there is images/a picture 1.png, which differs in case",
        ),
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
            r"train800val200.txt: expected the images and labels of .* 'images/extra.png 1'",
        ),
        (
            "train800.txt",
            "images/extra.png 1",
            r"train800val200.txt: expected the images and labels of .* 'images/extra.png 1'",
        ),
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


@pytest.mark.parametrize(("task", "test"), [("cifar", "10,000"), ("kitti", "711"), ("smallnorb_azi", "12,150")])
def test_lists_of_a_published_task_that_are_cut_are_told(vtab, caplog, task, test):
    """The accuracy would be of fewer test images than in papers, and nobody would see it."""
    lists.vtab(task, VTAB, vtab, "vtab")
    expected = f"vtab: 8 + 4 + 6 images (train + val + test), where VTAB-1k's {task} has 800 + 200 + {test}"
    assert caplog.messages == [expected]


def test_lists_of_other_tasks_have_any_size(vtab, caplog):
    """Nobody knows how many there should be, nor where a published name stands for other classes."""
    lists.vtab("mine", VTAB, vtab, "vtab")
    lists.vtab("cifar", VTAB.model_copy(update={"classes": 2}), vtab, "vtab")
    assert not caplog.messages


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
    with pytest.raises(BadInput, match=r"list.csv:1: expected the header 'path,label', got 'picture,label'"):
        table(tmp_path, put, [0, 1], header="picture,label")


OWN = Task(source="csv", path="list.csv", train=0.6, val=0.2, test=0.2)


def read(tmp_path, put, body, task=OWN, paths=None):
    """The listing of a CSV file with this text, or these bytes, beside ten images."""
    put(tmp_path, *(paths or [f"img/{n}.png" for n in range(10)]))
    data = body if isinstance(body, bytes) else body.encode()
    (tmp_path / "list.csv").write_bytes(data)
    return lists.table("mine", task, tmp_path / "list.csv", "list.csv")


def rows(line, count=10):
    return "".join(line.format(n=n, label=("cat", "dog")[n % 2]) + "\n" for n in range(count))


@pytest.mark.parametrize(
    "body",
    [
        "Path,LABEL\n" + rows("img/{n}.png,{label}"),
        ",path,label,width\n" + rows("{n},img/{n}.png,{label},224"),
        "label;path\n" + rows("{label};img/{n}.png"),
        "path\tlabel\n" + rows("img/{n}.png\t{label}"),
        ("\ufeffpath,label\n" + rows("img/{n}.png,{label}")).replace("\n", "\r\n"),
        ("path\tlabel\n" + rows("img/{n}.png\t{label}")).encode("utf-16"),
        "sep=;\npath;label\n" + rows("img/{n}.png;{label}"),
        "path,label,note\n" + rows('img/{n}.png,{label},"two\nlines, a comma"'),
        "path,label\n" + rows("img\\{n}.png,{label}"),
        "path,label\n" + rows(".\\img\\{n}.png,{label}"),
        "path,label\n\n" + rows(" img/{n}.png , {label} ") + ",\n\n",
        "File_Name,Class_Name\n" + rows("img/{n}.png,{label}"),
        "image_id,target\n" + rows("{n},{label}"),
        "path,label,image\n" + rows("{n}.png,{label},x"),
        "path,label\n" + rows("i%6Dg/{n}.png,{label}"),
    ],
)
def test_csv_in_every_spelling(tmp_path, put, body):
    """Case, other columns, separators, encodings, line ends, backslashes, blank lines."""
    listing = read(tmp_path, put, body)
    assert listing.classes == ["cat", "dog"]
    assert {item.key for part in listing.splits.values() for item in part} == {f"img/{n}.png" for n in range(10)}


def test_a_name_of_two_images_is_refused(tmp_path, put):
    """Both are named; a file of another kind is none."""
    paths = [f"img/{n}.png" for n in range(10)]
    (tmp_path / "img").mkdir()
    (tmp_path / "img" / "0.txt").write_text("0 0.5 0.5")
    body = "path,label\n" + rows("{n},{label}")
    assert sum(map(len, read(tmp_path, put, body, paths=paths).splits.values())) == 10
    with pytest.raises(BadInput, match=r"list.csv:9: expected one image 7, found 2: img/7.png, more/7.jpg"):
        read(tmp_path, put, body, paths=[*paths, "more/7.jpg"])


def test_columns_that_are_not_used_are_told(tmp_path, put):
    """One of them may have been meant as a split or a group."""
    listing = read(tmp_path, put, "path,label,subset,age\n" + rows("img/{n}.png,{label},train,7"))
    assert listing.about == {"passed_over": {"columns: subset, age": 2}}
    listing = read(tmp_path, put, "path,label,age\n" + rows("img/{n}.png,{label},7"))
    assert listing.about == {"passed_over": {"column: age": 1}}


@pytest.mark.parametrize(
    ("title", "told"),
    [
        ("patient", True),
        ("Patient_ID", True),
        ("lesion_id", True),
        ("subject.id", True),
        ("video no", True),
        ("plant", True),
        ("specimen_uid", True),
        ("anon_patient_id", True),
        ("StudyInstanceUID", True),
        ("acquisition site id", True),
        ("session", True),
        ("uid", False),
        ("age", False),
        ("outfield", False),
        ("petals", False),
    ],
)
def test_a_column_that_looks_like_groups_is_named(tmp_path, put, caplog, title, told):
    """Else images of one patient are trained on and tested, and nobody notices."""
    read(tmp_path, put, f"path,label,{title}\n" + rows("img/{n}.png,{label},7"))
    assert (f"the column {title.lower()} is not used (called `group`, it keeps its images" in caplog.text) is told


@pytest.mark.parametrize(("cells", "told"), [(("train", "Test"), True), (("train", "7"), False), (("7", "7"), False)])
def test_a_column_that_looks_like_splits_is_named(tmp_path, put, caplog, cells, told):
    """Else what others test on is trained on."""
    read(
        tmp_path,
        put,
        "path,label,subset\n"
        + "".join(rows("img/{n}.png,{label}," + cell) for cell in cells[:1])
        + rows("more/{n}.png,{label}," + cells[1]),
        paths=[f"{folder}/{n}.png" for folder in ("img", "more") for n in range(10)],
    )
    assert ("the column subset is not used (called `split`, it says what is tested on)" in caplog.text) is told


def test_labels_that_differ_in_spelling_alone_are_told(tmp_path, put, caplog):
    """As where two people have typed them."""
    body = "path,label\n" + "".join(f"img/{n}.png,{('cat', 'Cat', 'dog')[n % 3]}\n" for n in range(10))
    read(tmp_path, put, body)
    assert "'Cat' and 'cat' differ in spelling alone, and are two classes" in caplog.text


def test_a_space_behind_a_comma_is_none_of_the_cell(tmp_path, put):
    """Nor are the quotes behind it."""
    body = "path, label\n" + "".join(f'img/{n}.png, "{("cat", "dog")[n % 2]}"\n' for n in range(10))
    assert read(tmp_path, put, body).classes == ["cat", "dog"]


@pytest.mark.parametrize("there", ["NFC", "NFD"])
def test_accents_in_either_spelling(tmp_path, put, there):
    """MacOS takes letters apart where others put them together."""
    asked = {"NFC": "NFD", "NFD": "NFC"}[there]
    paths = [unicodedata.normalize(there, f"caf\u00e9/{n}.png") for n in range(10)]
    body = "path,label\n" + rows("caf\u00e9/{n}.png,{label}")
    listing = read(tmp_path, put, unicodedata.normalize(asked, body), paths=paths)
    assert {item.key for part in listing.splits.values() for item in part} == {*paths}


def test_paths_from_the_root_are_taken_where_they_lie_below(tmp_path, put):
    """As pandas writes them."""
    listing = read(tmp_path, put, "path,label\n" + rows(f"{tmp_path}/img/{{n}}.png,{{label}}"))
    assert sum(map(len, listing.splits.values())) == 10


def test_a_column_names_the_splits(tmp_path, put):
    """In any spelling; without val a share of train is set apart."""
    body = "path,label,Split\n" + rows("img/{n}.png,{label},Training", 6)
    body += "".join(f"img/{n}.png,{('cat', 'dog')[n % 2]},test\n" for n in range(6, 10))
    listing = read(tmp_path, put, body)
    assert {item.key for item in listing.splits["test"]} == {f"img/{n}.png" for n in range(6, 10)}
    assert [len(part) for part in listing.splits.values()] == [5, 1, 4]


@pytest.mark.parametrize(
    ("cells", "told"),
    [
        (("train", "dev", "eval", "test"), "one name for val in the column split, got dev, eval"),
        (
            ("train", "training", "Test", "holdout"),
            "one name for train in .*, got train, training; .*got Test, holdout",
        ),
    ],
)
def test_two_names_of_a_split_are_refused(tmp_path, put, cells, told):
    """Two sets that somebody has told apart make no single one."""
    body = "path,label,split\n" + "".join(f"img/{n}.png,{('cat', 'dog')[n // 5]},{cells[n % 4]}\n" for n in range(10))
    with pytest.raises(BadInput, match=told):
        read(tmp_path, put, body)


def test_a_name_of_a_split_in_any_case_is_one(tmp_path, put):
    """As where two people have typed it."""
    body = "path,label,split\n" + rows("img/{n}.png,{label},train", 4) + "img/4.png,cat,Train\nimg/5.png,dog,TEST\n"
    listing = read(tmp_path, put, body + "img/6.png,cat,test\n")
    assert {item.key for item in listing.splits["test"]} == {"img/5.png", "img/6.png"}


def test_a_column_keeps_groups_together(tmp_path, put):
    """A patient's images are on one side."""
    body = "path,label,Group\n" + "".join(f"img/{n}.png,{('cat', 'dog')[n % 2]},p{n // 2}\n" for n in range(10))
    listing = read(tmp_path, put, body)
    groups = [{item.group for item in part} for part in listing.splits.values()]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 5


def test_groups_that_differ_in_spelling_alone_are_told(tmp_path, put, caplog):
    """Else one patient is trained on and tested."""
    body = "path,label,group\n" + "".join(
        f"img/{n}.png,{('cat', 'dog')[n % 2]},{n // 3:0{1 + n % 2}}\n" for n in range(10)
    )
    read(tmp_path, put, body)
    told = [f"list.csv: {one} differ in spelling alone, and are two groups" for one in ("'0' and '00'", "'01' and '1'")]
    assert caplog.messages[:2] == told


def test_a_group_in_two_splits_of_the_file_is_refused(tmp_path, put):
    """All such groups at once, with what they are in."""
    body = "path,label,split,group\n" + "".join(
        f"img/{n}.png,{('cat', 'dog')[n % 2]},{('train', 'val', 'test')[n // 4]},{n % 4 + 4 * (n == 3)}\n"
        for n in range(10)
    )
    with pytest.raises(BadInput, match="column split") as found:
        read(tmp_path, put, body)
    for group, parts in (("0", "train, val, test"), ("1", "train, val, test"), ("2", "train, val")):
        assert f"expected all images of group {group!r} in one split, got them in {parts}" in str(found.value)
    assert "3 in all" in str(found.value)


@pytest.mark.parametrize(
    ("labels", "setting", "classes"),
    [
        (["007", "008"], None, ["007", "008"]),
        (["10023", "10024"], "names", ["10023", "10024"]),
        (["0", "1"], None, ["0", "1"]),
        (["1", "cat"], "names", ["1", "cat"]),
        (["00", "01"], "numbers", ["0", "1"]),
    ],
)
def test_labels_that_are_names(tmp_path, put, labels, setting, classes):
    """Codes stay as they are spelt."""
    body = "path,label\n" + "".join(f"img/{n}.png,{labels[n % 2]}\n" for n in range(10))
    assert read(tmp_path, put, body, OWN.model_copy(update={"labels": setting})).classes == classes


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("path,label\n" + rows("img/{n}.png,cat"), "list.csv: expected two or more classes, got 1"),
        ("path,cat,dog\nimg/0.png,1,0\n", "list.csv:1: expected the header 'path,label', got 'path,cat,dog'"),
        ("filename;species\nimg/0.png;1\n", "got 'filename;species', without label .category, class, class_name,"),
        ("species,dog\nimg/0.png;1\n", "got 'species,dog' .the columns may be more"),
        ("path,label\nimg/0.png,cat\nimg/0.png,dog\n", "got img/0.png again as another class .first in list.csv:2"),
        ("image_id,file_name,label\n0,0.png,cat\n", "expected one column 'path', got 2: image_id, file_name"),
        ("path,label\n" + rows("img/{n}.png,"), r"list.csv:2: expected a path and a label, .*\(10 in all\)"),
        ("path,label\n" + rows("img/0.png,{label}"), r"list.csv:3: expected every image once, .*\(9 in all\)"),
        ("path,label\n" + rows("http://x.org/{n}.png,{label}"), "expected a path below .*, got 'http://x.org/0.png'"),
        ("path,label\n" + rows("IMG/{n}.PNG,{label}"), r"list.csv:2: .*\(there is img/0.png, which differs in case\)"),
        ("path,label\nimg/0.png," + "9" * 200_000 + "\n", "list.csv:2: expected CSV, got field larger"),
        ("path,label\n" + "a" * 5000 + ".png,cat\n", "list.csv:2: .*the cell is too long for a path"),
        ("path,label\nimg/0.png," + "9" * 5000 + "\nimg/1.png,1\n", "list.csv:3: expected a name as the label"),
        ("path,label\nC:\\img\\0.png,cat\n", "list.csv:2: expected a path below the folder of the list"),
        ("path,label\n..\\img\\0.png,cat\n", "list.csv:2: expected a path below the folder of the list"),
        (
            "path,label\n" + rows("img/{n}.png,1{n}"),
            r"without a gap .*\(tasks.mine.labels: names takes them as names\)",
        ),
        ("path,label,split\n" + rows("img/{n}.png,{label},extra"), "list.csv:2: expected train, val or test as the"),
        ("path,label,split\n" + rows("img/{n}.png,{label},"), "list.csv:2: expected a split in every row"),
        ("path,label,split\n" + rows("img/{n}.png,{label},test"), "got none for train"),
        ("path,path,label\nimg/0.png,b,cat\n", "list.csv:1: expected one column 'path', got 2"),
        ("path,label\n" + rows("none/{n}.png,{label}"), r"none/0.png, found none; .*\(10 in all\)"),
        (
            "path,label\nimg/\u00e9.png,cat\n".encode("latin-1"),
            r"expected UTF-8 text, .* in line 2 \(save it as text in UTF-8",
        ),
        ("path,label\nimg/0\0.png,cat\n", "list.csv:2: expected"),
        (
            'path,label\nimg/0.png,"c\nat"\nimg/1.png,dog\n',
            r"list.csv: expected names of classes without .*, got 'c\\nat'",
        ),
    ],
)
def test_csv_that_does_not_fit_is_refused_in_one_line(tmp_path, put, body, message):
    """With its line and the cause."""
    with pytest.raises(BadInput, match=message) as error:
        read(tmp_path, put, body)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 2500


def test_files_that_are_absent_may_be_skipped(tmp_path, put):
    """They are counted."""
    body = "path,label\n" + rows("img/{n}.png,{label}", 12)
    listing = read(tmp_path, put, body, OWN.model_copy(update={"broken": "skip"}))
    assert listing.about["passed_over"] == {"no such file": 2}
