"""What lies at a task's path is told in words that change with it, and with nothing else."""

import os
import shutil

import pytest
from project import changed

from ship.artifacts import data_folder
from ship.data.asked import check_asked, contents, other_contents, write_asked
from ship.errors import BadInput
from ship.experiment.params import parse_params
from ship.storage import write_json

IMAGES = ("cat/1.png", "cat/2.png", "dog/1.png", "dog/deep/2.png")


def told(digit):
    """task.json of a task that has one split."""
    return {"classes": ["a"], "splits": {"test": {"images": 3, "sha256": 64 * digit}}}


@pytest.fixture
def place(tmp_path, put, monkeypatch):
    """The folder of an experiment, whose images lie in `photos`."""
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "photos", *IMAGES)
    return tmp_path


def of(place, **task):
    """An experiment on them."""
    row = {"source": "folder", "path": str(place / "photos"), **task}
    return parse_params(changed({"tasks.own": row, "grid.tasks": ["own"]}))


@pytest.mark.parametrize(
    "change",
    [
        lambda photos: shutil.copy(photos / IMAGES[0], photos / "cat/3.png"),
        lambda photos: (photos / IMAGES[0]).unlink(),
        lambda photos: (photos / IMAGES[0]).rename(photos / "dog/3.png"),
        lambda photos: (photos / IMAGES[3]).write_bytes(b"shorter"),
    ],
    ids=["one more", "one less", "another class", "another size"],
)
def test_a_change_of_images_is_told(place, change):
    """With how many there are."""
    params = of(place)
    before = contents(params, "own")
    assert before.startswith("4 images")
    change(place / "photos")
    assert contents(params, "own") != before


def test_other_settings_than_the_images_have_are_refused(place):
    """By whoever would train on them; what lies at the path may change meanwhile."""
    params = of(place)
    with pytest.raises(BadInput, match=r"data/own/task\.json: expected what an earlier step leaves, found none"):
        check_asked(params, "own")
    write_json(data_folder("own") / "task.json", told("0"))
    check_asked(params, "own")  # nobody knows
    write_asked(params, "own", contents(params, "own"))
    shutil.copy(place / "photos" / IMAGES[0], place / "photos" / "cat/3.png")
    check_asked(params, "own")
    assert other_contents(params, "own").startswith("what is at tasks.own.path: 4 images")
    message = r"data/own: expected images .* tasks\.own\.seed 3, got those of 0 \(snakemake .*--forcerun prepare\)"
    with pytest.raises(BadInput, match=message):
        check_asked(of(place, seed=3), "own")


def test_what_was_found_elsewhere_is_not_known(place):
    """As after `dvc pull`: the settings are, of dvc.lock."""
    write_json(data_folder("own") / "task.json", told("0"))
    write_asked(of(place), "own", "")
    assert other_contents(of(place), "own") == ""
    with pytest.raises(BadInput, match="seed 3"):
        check_asked(of(place, seed=3), "own")


def test_what_is_no_image_and_times_tell_nothing(place):
    """A system's files come and go, and a copy has times of its own."""
    before = contents(of(place), "own")
    (place / "photos/cat/.DS_Store").write_bytes(b"1")
    (place / "photos/notes.txt").write_text("mine")
    os.utime(place / "photos/cat/1.png", (1, 1))
    shutil.copytree(place / "photos", place / "copy")
    assert contents(of(place), "own") == contents(of(place, path="copy"), "own") == before


def test_a_file_is_told_by_what_it_holds(place):
    """A list of images by its lines."""
    table = place / "photos/all.csv"
    said = set()
    for lines in ("path,label\ncat/1.png,cat\n", "path,label\ncat/2.png,cat\n"):
        table.write_text(lines)
        said.add(contents(of(place, source="csv", path=str(table)), "own"))
    assert len(said) == 2


def test_a_folder_of_a_list_is_told_by_the_list(place):
    """Swapped labels are other labels, though the images stay."""
    table = place / "photos/all.csv"
    said = set()
    for lines in ("path,label\ncat/1.png,cat\ncat/2.png,dog\n", "path,label\ncat/1.png,dog\ncat/2.png,cat\n"):
        table.write_text(lines)
        said.add(contents(of(place, source="csv", path="photos"), "own"))
    assert len(said) == 2


def test_images_that_arrive_while_others_are_read_are_told(place):
    """What is kept is what lay there before: of later ones nobody knows whether they were seen."""
    params = of(place)
    write_json(data_folder("own") / "task.json", told("0"))
    there = contents(params, "own")
    shutil.copy(place / "photos" / IMAGES[0], place / "photos" / "cat/3.png")
    write_asked(params, "own", there)
    assert "4 images" in other_contents(params, "own")


def test_images_that_are_gone_have_not_changed(place):
    """Once they are prepared nobody needs them: what was there then stays said, as long as the images made of it do."""
    params, about = of(place), place / "data/own/task.json"
    write_json(about, told("0"))
    before = contents(params, "own")
    write_asked(params, "own", contents(params, "own"))
    shutil.rmtree(place / "photos")
    assert contents(params, "own") == before
    write_json(about, told("1"))
    assert contents(params, "own") == ""


def test_published_and_built_in_tasks_have_no_such_thing(place):
    """Their archives are verified, and what is drawn follows from the settings."""
    assert contents(of(place), "digits") == ""
