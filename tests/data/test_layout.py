import json

import pyarrow.parquet as pq
import pytest
from originals import install, lying

from ship.data.layout import write_lists
from ship.data.prepare import prepare
from ship.data.sources.splits import SPLITS
from ship.errors import BadInput
from ship.experiment.params import Task


def rows(folder, part):
    return pq.read_table(folder / f"{part}.parquet").to_pylist()


@pytest.mark.parametrize("task", ["smallnorb_azi", "dtd", "sun397"])
def test_lists_give_the_same_task_again(tmp_path, monkeypatch, task):
    """Bytes, labels and order, also where splits have equal keys, keys have no suffix, or start with a slash."""
    (tmp_path / "archives").mkdir()
    install(monkeypatch, task, tmp_path / "archives")
    prepare(task, Task(source="vtab1k"), tmp_path, tmp_path / "one", lying(tmp_path / "archives"))
    write_lists(tmp_path / "one", tmp_path / "lists")
    prepare(task, Task(source="vtab", path="lists"), tmp_path, tmp_path / "two")
    for part in ("train", "val", "test"):
        one, two = ([(row["image"], row["label"]) for row in rows(tmp_path / place, part)] for place in ("one", "two"))
        assert one == two
    lines = (tmp_path / "lists/train800.txt").read_text() + (tmp_path / "lists/val200.txt").read_text()
    assert (tmp_path / "lists/train800val200.txt").read_text() == lines
    assert all(path.suffix in (".png", ".jpg") for path in (tmp_path / "lists/images").rglob("*") if path.is_file())


def test_a_folder_that_exists_is_left_alone(tmp_path):
    """And a task that is not prepared gives none."""
    prepare("digits", Task(train=10, val=10, test=10), tmp_path, tmp_path / "digits")
    (tmp_path / "lists").mkdir()
    with pytest.raises(BadInput, match=r"lists: expected a folder to be made, found one"):
        write_lists(tmp_path / "digits", tmp_path / "lists")
    (tmp_path / "digits/task.json").unlink()
    with pytest.raises(BadInput, match=r"task.json: expected what an earlier step leaves"):
        write_lists(tmp_path / "digits", tmp_path / "other")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["digits", "lists"]


def test_no_image_takes_the_place_of_another(tmp_path, put):
    """Where a file has the name of another without its suffix."""
    root = put(tmp_path / "pets", *(f"{part}/{title}/1.png" for part in SPLITS for title in "ab"), "val/b/2.png")
    (root / "val/b/2.png").rename(root / "val/b/1")
    prepare("pets", Task(source="folder", path="pets"), tmp_path, tmp_path / "one")
    with pytest.raises(BadInput, match=r"val.parquet: expected a file of its own for each image, got '.*b/1.png' on"):
        write_lists(tmp_path / "one", tmp_path / "lists")
    assert not (tmp_path / "lists").exists()


def test_a_key_that_leads_out_is_refused(tmp_path):
    """Whoever wrote the task."""
    prepare("digits", Task(train=10, val=10, test=10), tmp_path, tmp_path / "digits")
    table = pq.read_table(tmp_path / "digits/val.parquet")
    keys = table.schema.get_field_index("key")
    table = table.set_column(keys, "key", [["../../../../out.png", *table["key"].to_pylist()[1:]]])
    pq.write_table(table, tmp_path / "digits/val.parquet")
    with pytest.raises(BadInput, match=r"val.parquet: expected keys that stay inside of a folder, got '../../"):
        write_lists(tmp_path / "digits", tmp_path / "lists")
    assert [path.name for path in tmp_path.iterdir()] == ["digits"]
    assert json.loads((tmp_path / "digits/task.json").read_text())["task"] == "digits"
