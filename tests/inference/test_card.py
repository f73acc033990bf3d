"""The model card tells what is known of a model, and its code reads images as the run did."""

import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import ship
from ship.data.decoding import Reading
from ship.data.images import decode
from ship.data.png import SIGNATURE
from ship.experiment.params import Compute
from ship.inference.card import MOST, card
from ship.inference.files import classify
from ship.inference.model import Model
from ship.inference.network import network
from ship.models.preprocessing import Preprocessing

MADE = Preprocessing(16, (0.4, 0.5, 0.6), (0.2, 0.3, 0.25), "bicubic")


def row(name, test=4, recall=0.5, train=8):
    """What is told of a class."""
    share = recall if test else None
    return {"class": name, "training_images": train, "test_images": test, "recall": share, "precision": share}


def text_of(rows, reading=None, warnings=(), checks=(), **evaluation):
    """The card of a model that tells these classes apart."""
    result = {"accuracy": 0.5, "loss": 1.0, "train_accuracy": 1.0, "tuned_parameters": 10, "test_images": 4}
    backbone = {"name": "vit", "weights": "random", "sha256": "0" * 64}
    data = {"train": "1" * 64, "val": "2" * 64, "test": "3" * 64}
    run = {"backbone": backbone, "method": "vpt", "options": {}, "train": {}, "data": data, "result": result}
    told = {"interval": [0.15, 0.85], "balanced_accuracy": 0.45, "images": {"train": 12, "test": 4}, "classes": rows}
    about = {"task": "own", "weights": "tuned", "classes": [one["class"] for one in rows], "checks": checks, "run": run}
    about |= {"warnings": list(warnings), "preprocessing": MADE._asdict(), "reading": reading or {}}
    about |= {"evaluation": told | evaluation}
    return card("x", about)


def code_of(text):
    """The code that prepares a photo."""
    return text.split("## Images")[1].split("```python\n")[1].split("```")[0]


def table(text):
    """The cells of the table of classes."""
    lines = text.split("### Classes")[1].split("## Files")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if line.startswith("|")]


def test_what_was_noticed_of_images_is_said_once():
    """Whoever gets the model should know that test lacks a class; nothing is said of images that are all right."""
    text = text_of([row("a"), row("b", test=0)], warnings=["test has no image of b (1 of 2)"])
    assert "this was noticed:\n\n* test has no image of b (1 of 2)\n\nClasses, in the order" in text
    assert "noticed" not in text_of([row("a"), row("b")])


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


def odd_images():
    """Files as cameras, microscopes and scanners leave them, by what is odd about them."""
    random = np.random.default_rng(0)
    photo = Image.fromarray(random.integers(0, 256, (30, 40, 3), dtype=np.uint8))
    note = Image.Exif()
    note[0x0112] = 6  # the top is to the right
    yield "turned.jpg", {"exif": note}, photo
    yield "sixteen.png", {}, Image.fromarray(random.integers(0, 2**16, (30, 40), dtype=np.uint16))
    yield "twelve.tif", {}, Image.fromarray(random.integers(0, 2**12, (30, 40), dtype=np.uint16))
    yield "alpha.png", {}, Image.fromarray(random.integers(0, 256, (30, 40, 4), dtype=np.uint8))
    shape = np.zeros((30, 40, 4), np.uint8)
    shape[..., 3] = random.integers(0, 256, (30, 40))
    yield "dark.png", {}, Image.fromarray(shape)
    yield "light.png", {}, Image.fromarray(np.maximum(shape, np.array([250, 250, 250, 0], np.uint8)))
    yield "palette.png", {"transparency": 3}, photo.quantize(16)
    yield "two.jpg", {"format": "MPO", "save_all": True, "append_images": [photo.rotate(180)]}, photo
    yield "pages.tif", {"save_all": True, "append_images": [photo.rotate(90 * i) for i in (1, 2)]}, photo


READINGS = [
    {},
    {"orientation": "exif"},
    {"alpha": "drop"},
    {"alpha": "white"},
    {"alpha": "black", "orientation": "exif", "bits": 12, "frames": "middle", "pixels": 300},
    {"bits": 12},
    {"frames": "middle"},
    {"frames": "last", "orientation": "exif"},
    {"frames": "refuse"},
    {"pixels": 300},
]


@pytest.mark.parametrize("reading", READINGS, ids=lambda reading: ",".join(f"{k}={v}" for k, v in reading.items()))
def test_the_code_of_the_card_reads_images_as_ship_predict_does(tmp_path, monkeypatch, tiny_vit, reading):
    """It gives the same pixels and probabilities when it is run as it is printed, and refuses what is refused."""
    monkeypatch.chdir(tmp_path)
    method = ship.wrap(tiny_vit, "linear", num_classes=5).method.eval()
    model = Model(method, "linear", {}, list("abcde"), MADE, Reading(**reading))
    whole, code, same = network(model, MADE), code_of(text_of([row("a")], reading)), 0
    for name, how, image in odd_images():
        image.save("photo.jpg", **{"format": Image.registered_extensions()[Path(name).suffix], **how})
        found = list(classify(model, [Path("photo.jpg")], Compute(device="cpu"), lambda fault: None))
        if not found:
            with pytest.raises(ValueError, match="photo.jpg: expected"):
                exec(code, {})
            continue
        exec(code, made := {})
        pixels = decode(Path("photo.jpg").read_bytes(), 16, "bicubic", reading=Reading(**reading))
        assert np.array_equal(made["images"][0], pixels), name
        with torch.no_grad():
            torch.testing.assert_close(whole(made["images"]).softmax(1)[0], found[0].probabilities, msg=name)
            torch.testing.assert_close(model(made["x"]).softmax(1)[0], found[0].probabilities, msg=name)
        same += 1
    assert same == (8 if reading.get("frames") == "refuse" else 9)


def test_the_code_of_the_card_refuses_what_it_cannot_read_as_ship_does(tmp_path, monkeypatch):
    """A PNG in colour with 16 bits a channel, of which PIL has the upper eight, beside a task that uses others."""
    monkeypatch.chdir(tmp_path)
    colours = np.random.default_rng(0).integers(0, 2**16, (4, 4, 3)).astype(">u2")
    header = struct.pack(">IIBBBBB", 4, 4, 16, 2, 0, 0, 0)
    rows = zlib.compress(b"".join(b"\0" + row.tobytes() for row in colours))
    chunks = ((b"IHDR", header), (b"IDAT", rows), (b"IEND", b""))
    Path("photo.jpg").write_bytes(
        SIGNATURE
        + b"".join(
            struct.pack(">I", len(part)) + kind + part + struct.pack(">I", zlib.crc32(kind + part))
            for kind, part in chunks
        )
    )
    exec(code_of(text_of([row("a")])), made := {})
    assert np.array_equal(made["images"][0], decode(Path("photo.jpg").read_bytes(), 16, "bicubic"))
    with pytest.raises(ValueError, match=r"expected grey or 8 bits a channel, got 16 bits in colour .ship predict"):
        exec(code_of(text_of([row("a")], {"bits": 12})), {})


def test_a_card_names_the_files_that_are_there():
    """`--no-onnx` leaves one out."""
    check = {"images": 4, "largest_difference": 1e-6, "same_classes": 4}
    files = [check | {"file": name} for name in ("tuned.safetensors", "program.pt2", "model.onnx")]
    assert "onnx" not in text_of([row("a")], checks=files[:2])
    assert 'InferenceSession("FOLDER/model.onnx")' in text_of([row("a")], checks=files)


def test_the_code_of_the_card_has_the_lines_that_the_settings_need():
    """And no others: most tasks say nothing of reading files."""
    plain = code_of(text_of([row("a")]))
    assert not [word for word in ("math", "ImageOps", "frames", "draft", "reduce", "tile") if word in plain]
    assert ">> 8)" in plain
    whole = text_of([row("a")], {"bits": 12, "alpha": "white"})
    assert ">> 4)" in code_of(whole)
    assert "getextrema" not in code_of(whole)
    assert "by 16, and cut off above 255" in whole
