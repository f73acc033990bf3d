"""Images by files and folders: each gets its row, and what cannot be read is named."""

import io
import os

import pandas as pd
import pytest
import torch
from PIL import Image

import ship
from ship.data import images as reading
from ship.errors import BadInput
from ship.experiment.params import Compute
from ship.inference.files import classify, image_files, named
from ship.inference.predict import batch_size
from ship.inference.rows import Columns, to_csv, to_file
from ship.models.preprocessing import Preprocessing

COMPUTE = Compute(device="cpu", threads=1)


@pytest.fixture
def model(tiny_vit):
    """A linear probe with three classes that knows how its images are prepared."""
    model = ship.wrap(tiny_vit, "linear", num_classes=3)
    model.preprocessing = Preprocessing(16, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "bicubic")
    model.classes = ["cat", "dog, wet", "p"]
    return model


@pytest.fixture
def photos(tmp_path):
    """Three images in two folders, one broken image, and two files that are none."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for name in ("b.png", "a.JPG", "more/c.webp"):
        Image.effect_noise((20, 20), 40).convert("RGB").save(folder / name)
    (folder / "broken.png").write_bytes((folder / "b.png").read_bytes()[:80])
    (folder / "notes.txt").write_text("none")
    (folder / "more/README").write_text("none")
    return folder


def test_a_folder_gives_its_images_and_tells_what_it_passes_over(photos):
    """In the order of their names, at every depth; other files by suffix; a folder without an image is refused."""
    told, refused = [], []
    found = list(image_files([photos, "x.gif"], refused.append, told.append))
    assert [path.name for path in found] == ["a.JPG", "b.png", "broken.png", "c.webp", "x.gif"]
    assert told == [f"{photos}: passed over (1 .txt: no image, 1 no suffix: no image)"]
    assert refused == []
    (photos / "more/c.webp").unlink()
    assert list(image_files([photos / "more"], refused.append, told.append)) == []
    assert refused == [f"{photos / 'more'}: expected images in this folder, found none"]


def test_a_folder_gives_what_would_be_prepared(photos):
    """No hidden files, none of a NAS, no PDF; linked folders, and images without a suffix; broken links are named."""
    told, refused = [], []
    for name in ("._b.png", "@eaDir/b.png", "a.pdf", "noext"):
        (photos / name).parent.mkdir(exist_ok=True)
        (photos / name).write_bytes((photos / "b.png").read_bytes())
    (photos / "a.pdf").write_text("%PDF-1.4")
    (photos / "lost.png").symlink_to("nowhere")
    (photos.parent / "linked").mkdir()
    (photos.parent / "linked/here").symlink_to(photos)
    found = list(image_files([photos.parent / "linked"], refused.append, told.append))
    assert [path.name for path in found] == ["a.JPG", "b.png", "broken.png", "c.webp", "noext"]
    assert [line.split(": expected")[0] for line in refused] == [f"{photos.parent}/linked/here/lost.png"]
    assert "1 .pdf: no image" in told[0]
    assert "1 .png: in a system's folder" in told[0]


def test_names_that_are_none_stop_nothing(model, photos, monkeypatch):
    """Empty ones, too long ones, other bytes than text, and the home of nobody; an empty line is no name."""
    monkeypatch.setenv("HOME", str(photos))
    odd = photos / os.fsdecode(b"\xff.png")
    odd.write_bytes((photos / "b.png").read_bytes())
    stdin = [b"~/b.png\r\n", b"\n", b"x" * 5000 + b"\n", b"a\0.png\n", os.fsencode(odd) + b"\n"]
    refused = []
    files = image_files(named(["", "-", "~$nobody.png"], stdin), refused.append, pytest.fail)
    assert [answer.path for answer in classify(model, files, COMPUTE, refused.append)] == [photos / "b.png"]
    messages = [
        "'': expected a file or a folder, got an empty name",
        "'a\\x00.png': expected the name of a file",
        f"{odd}: expected a name in UTF-8 (rename it)",
        "x" * 5000 + ": expected an image that can be read, got File name too long",
        "~$nobody.png: expected a folder of a user",
    ]
    assert all(line.startswith(text) for line, text in zip(sorted(refused), sorted(messages), strict=True))


def test_a_list_in_the_place_of_an_image_is_told_from_one(model, tmp_path):
    """It is read of standard input."""
    refused = []
    (tmp_path / "names.CSV").write_text("path\na.png\n")
    assert not [*classify(model, [tmp_path / "names.CSV"], COMPUTE, refused.append)]
    assert refused[0].endswith("cannot identify image file (names of images, one a line, are read of `-`)")


def test_the_good_get_their_rows_and_the_bad_are_named(model, photos):
    """A file that is broken, absent or a folder stops no other; each image is decoded once."""
    refused = []
    files = [photos / "a.JPG", photos / "broken.png", photos / "absent.png", photos / "more", photos / "b.png"]
    answers = list(classify(model, files, COMPUTE, refused.append))
    assert [answer.path.name for answer in answers] == ["a.JPG", "b.png"]
    assert all(answer.probabilities.sum().item() == pytest.approx(1) for answer in answers)
    assert [line.split(": expected")[0] for line in refused] == [str(path) for path in files[1:4]]


def test_rows_come_before_the_last_image_is_named(model, photos, monkeypatch):
    """A batch is answered before the next is asked for, so a list may be endless; nothing is decoded twice."""
    decoded, asked = [], []
    rgb = reading.rgb
    monkeypatch.setattr(reading, "rgb", lambda data, place, reading: decoded.append(place) or rgb(data, place, reading))

    def names():
        while True:
            asked.append(1)
            yield photos / "b.png"

    answers = classify(model, names(), COMPUTE, pytest.fail)
    next(answers)
    assert len(asked) == len(decoded) == batch_size(torch.device("cpu"))


def test_columns(model, photos, tmp_path):
    """Top classes, all probabilities; CSV and parquet hold the same; names are quoted."""
    answers = list(classify(model, [photos / "a.JPG", photos / "b.png"], COMPUTE, pytest.fail))
    columns = Columns(model.classes, top=2, every=True)
    names = ["path", "class", "probability", "class_2", "probability_2", "p(cat)", "p(dog, wet)", "p(p)"]
    tables = []
    for name in ("out.CSV", "out.parquet"):
        with to_file(tmp_path / name, columns) as put:
            for answer in answers:
                put(answer)
        table = pd.read_csv(tmp_path / name) if name.endswith("CSV") else pd.read_parquet(tmp_path / name)
        assert list(table.columns) == names
        tables.append(table)
    assert tables[0]["class"].tolist() == tables[1]["class"].tolist()
    assert tables[0].probability.tolist() == pytest.approx(tables[1].probability.tolist(), abs=1e-4)
    best = [model.classes[answer.probabilities.argmax()] for answer in answers]
    assert tables[1]["class"].tolist() == best
    text = io.StringIO()
    with to_csv(text, Columns(model.classes)) as put:
        put(answers[0]._replace(probabilities=torch.tensor([0.1, 0.8, 0.1])))
    assert text.getvalue() == f'path,class,probability\n{answers[0].path},"dog, wet",0.8000\n'


def test_what_is_refused(model, tmp_path):
    """More classes than there are, a file of another kind, a model that does not know how images are prepared."""
    with pytest.raises(BadInput, match="--top: expected 1 to 3, the number of classes, got 4"):
        Columns(model.classes, top=4)
    with pytest.raises(BadInput, match="--out: expected a file .csv or .parquet"), to_file(tmp_path / "a.txt", None):
        pass
    model.preprocessing = None
    with pytest.raises(BadInput, match="expected a model of a run or an export"):
        list(classify(model, [], COMPUTE, pytest.fail))


def test_an_empty_list_is_refused():
    """A search that found nothing is no success."""
    assert list(named(["a", "-"], [b"\n", b"b\n"])) == ["a", "b"]
    with pytest.raises(BadInput, match="-: expected names of images on standard input, one a line, found none"):
        list(named(["-"], [b"\n"]))


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_device_that_is_not_there_is_refused_before_the_first_answer(model):
    """No table has been begun then."""
    with pytest.raises(BadInput, match="expected a CUDA device"):
        classify(model, iter(()), Compute(device="cuda", threads=1), print)
