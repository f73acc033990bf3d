"""The model card tells what is known of a model, and its code reads images as the run did."""

import re
from pathlib import Path

import pytest
import torch
from PIL import Image

from ship.data.decoding import Reading
from ship.data.images import decode
from ship.inference.card import MOST, card
from ship.models.preprocessing import Preprocessing

MADE = Preprocessing(16, (0.4, 0.5, 0.6), (0.2, 0.3, 0.25), "bicubic")


def row(name, test=4, recall=0.5, train=8):
    """What is told of a class."""
    share = recall if test else None
    return {"class": name, "training_images": train, "test_images": test, "recall": share, "precision": share}


def text_of(rows, reading=None, **evaluation):
    """The card of a model that tells these classes apart."""
    result = {"accuracy": 0.5, "loss": 1.0, "train_accuracy": 1.0, "tuned_parameters": 10, "test_images": 4}
    backbone = {"name": "vit", "weights": "random", "sha256": "0" * 64}
    data = {"train": "1" * 64, "val": "2" * 64, "test": "3" * 64}
    run = {"backbone": backbone, "method": "vpt", "options": {}, "train": {}, "data": data, "result": result}
    told = {"interval": [0.15, 0.85], "balanced_accuracy": 0.45, "images": {"train": 12, "test": 4}, "classes": rows}
    about = {"task": "own", "weights": "tuned", "classes": [one["class"] for one in rows], "checks": [], "run": run}
    about |= {"preprocessing": MADE._asdict(), "reading": reading or {}, "evaluation": told | evaluation}
    return card("x", about)


def table(text):
    """The cells of the table of classes."""
    lines = text.split("### Classes")[1].split("## Files")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if line.startswith("|")]


def test_a_name_cannot_break_the_card():
    """Classes are text, whatever they look like."""
    text = text_of([row("a|b", test=0), row("<script>"), row("c\nd")])
    assert "0. a\\|b\n1. \\<script\\>\n2. c d\n" in text
    assert text.count("vit (random weights)") == 2
    assert "| a\\|b | 8 | 0 | - | - |\n| \\<script\\> | 8 | 4 | 50.0 | 50.0 |\n| c d |" in text
    assert "No test image shows a\\|b**: how well the model knows it " in text


def test_the_card_says_how_good_the_model_is():
    """Accuracy with its interval, balanced accuracy, and the images of each split as far as they are known."""
    text = text_of([row("a"), row("b")])
    assert "| 50.0 % |\n| 95 % interval of it (Wilson) | 15.0\N{EN DASH}85.0 % |\n" in text
    assert re.search(r"\| balanced accuracy, .* \| 45.0 % \|", text)
    assert re.findall(r"^\| (\w+) \| (\S+) \| `\d{12}` \|$", text, re.MULTILINE) == [
        ("train", "12"),
        ("val", "-"),
        ("test", "4"),
    ]


def test_every_class_of_few_has_a_row():
    """In their order; without training images where these are not known."""
    rows = [row("a", recall=1), row("b", test=0), row("c", recall=0.25)]
    assert table(text_of(rows))[2:] == [
        ["a", "8", "4", "100.0", "100.0"],
        ["b", "8", "0", "-", "-"],
        ["c", "8", "4", "25.0", "25.0"],
    ]
    without = table(text_of([one | {"training_images": None} for one in rows]))
    assert without[0] == ["class", "test images", "recall, %", "precision, %"]
    assert without[2] == ["a", "4", "100.0", "100.0"]
    assert {len(line) for line in without} == {4}


def test_of_many_classes_the_worst_are_shown():
    """With the lowest recall first; those that no test image shows have none, and are named in a sentence."""
    rows = [row(f"c{i}", recall=1 - i / 100) for i in range(50)]
    rows += [row(f"n{i}", test=0) for i in range(MOST + 3)]
    text = text_of(rows)
    assert [line[0] for line in table(text)[2:]] == [f"c{i}" for i in range(49, 49 - MOST, -1)]
    assert "the 20 of 73 classes with the lowest recall" in text
    names = ", ".join(f"n{i}" for i in range(MOST))
    assert f"**No test image shows {names} and 3 more classes**: how well the model knows them " in text
    assert "No test image" not in text_of(rows[:50])


@pytest.mark.parametrize(("reading", "rule"), [({}, ""), ({"orientation": "exif", "bits": 12}, "by 16, and cut off")])
def test_the_code_of_the_card_prepares_a_photo_as_ship_does(tmp_path, monkeypatch, reading, rule):
    """It gives the same pixels when it is run as it is printed; other settings of the task are told."""
    monkeypatch.chdir(tmp_path)
    note = Image.Exif()
    note[0x0112] = 6
    Image.effect_noise((40, 30), 80).convert("RGB").save("photo.jpg", exif=note)
    text, made = text_of([row("a")], reading), {}
    exec(text.split("## Images")[1].split("```python\n")[1].split("```")[0], made)
    expected = decode(Path("photo.jpg").read_bytes(), 16, "bicubic", reading=Reading(**reading)).copy()
    assert torch.equal(made["images"][0], torch.from_numpy(expected))
    assert rule in text
