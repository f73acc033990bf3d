"""A model to take away says what the run said, in every file, or is not written."""

import copy
import json
import shutil

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import timm
import torch
from PIL import Image
from project import BACKBONE, command, measured, settle
from timm.models.vision_transformer import VisionTransformer

import ship
from ship.artifacts import Run
from ship.errors import BadInput
from ship.inference import export as exporting
from ship.inference import formats
from ship.inference.export import compared, export
from ship.inference.network import Network, network
from ship.methods import METHODS, method_class
from ship.models.preprocessing import Preprocessing
from ship.storage import read_json, write_json
from ship.training.train import train_run

SPLITS = ("train", "val", "test")
MADE = Preprocessing(16, (0.4, 0.5, 0.6), (0.2, 0.3, 0.25), "bicubic")
CASES = [(name, {}) for name in METHODS]
CASES += [("ship", {"decoupled": False}), ("ship", {"attribute_length": 0}), ("ship", {"threshold": 2.0})]
MERGING = [name for name in METHODS if hasattr(method_class(name), "merged")]
CASES += [("vpt", {"deep": False}), ("lora", {"dora": True})]
ROWS = {
    "lora": {"method": "lora", "options": {"rank": 2}},
    "ship": {"method": "ship", "options": {"prompt_length": 2}},
}


def some_images(count=6):
    """RGB images, uint8."""
    return torch.randint(0, 256, (count, 3, 16, 16), dtype=torch.uint8)


def wrapped(vit, method, **options):
    """The method with five classes, every tuned tensor moved away from where it starts."""
    model = ship.wrap(vit, method, num_classes=5, images=torch.randn(12, 3, 16, 16), **options).eval()
    with torch.no_grad():
        for parameter in model.tuned_parameters:
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return model


def said(model, images):
    """The model's logits of uint8 images."""
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (MADE.mean, MADE.std))
    with torch.no_grad():
        return model((images / 255 - mean) / std)


@pytest.mark.slow
@pytest.mark.parametrize(("method", "options"), CASES)
def test_every_format_says_what_the_method_says(tmp_path, method, options):
    """Logits within 1e-4 and the same classes, at other batch sizes than the traced one.

    What methods that merge leave is timm's plain ViT, whose files differ in numbers alone: LoRA's stand for them.
    """
    two_blocks = VisionTransformer(img_size=16, patch_size=4, embed_dim=24, depth=2, num_heads=3).eval()
    model, images = wrapped(two_blocks, method, **options), some_images()
    logits = said(model, images)
    runs = {"network": (whole := network(model, MADE))}
    if type(whole.model) is not VisionTransformer or method == "lora":
        program = formats.trace(whole, MADE.image_size)
        runs["program"] = formats.write_program(program, tmp_path / "program.pt2")
        runs["onnx"] = formats.write_onnx(program, tmp_path / "model.onnx", {"classes": model.classes})
    for name, run in runs.items():
        assert compared(name, run, images, logits).same_classes == len(images)
        assert compared(name, run, images[:1], logits[:1]).largest_difference <= 1e-4


@pytest.mark.parametrize("method", MERGING)
def test_merged_weights_are_rounded_once(tiny_vit, method):
    """They are those of double precision, so that a file adds no error to that of its own arithmetic."""
    model = wrapped(tiny_vit, method)
    exact = copy.deepcopy(model.method).double().merged().state_dict()
    found = network(model, MADE).model.state_dict()
    assert found.keys() == exact.keys()
    assert all(torch.equal(tensor, exact[name].float()) for name, tensor in found.items())


@pytest.fixture
def run(tmp_path, monkeypatch, request):
    """The folder of a finished run of the method on digits, in a project that is the working directory."""
    params = measured(
        tmp_path / "project",
        monkeypatch,
        "digits",
        {"methods": ROWS, "grid.methods": [*ROWS], "tasks.digits.orientation": "exif"},
    )
    settle(params, "digits")
    place = Run(BACKBONE, "digits", request.param, 0)
    train_run(params, place, lambda epochs, record: None)
    return place.folder.absolute()


def answers_of_the_card(folder, photo):
    """The highest probability by the code that the card prints: of a photo, then of each way to use the files."""
    text = (folder / "README.md").read_text().replace("FOLDER", str(folder)).replace("photo.jpg", photo)
    made = {}
    for code in reversed(text.split("```python\n")[1:]):
        exec(code.partition("```")[0], made)
    images, x = made["images"], made["x"]
    networks = [made[name] for name in ("model", "vit") if name in made]
    assert not any(network.training for network in networks)  # a hybrid's batch norms would count the photo in
    answers = [made["program"](images), *(network(x) for network in networks)]
    answers += map(torch.from_numpy, made["session"].run(["logits"], {"images": images.numpy()}))
    return [logits.softmax(dim=1).max().item() for logits in answers]


@pytest.mark.slow
@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize(("run", "weights"), [("lora", "merged"), ("ship", "tuned")], indirect=["run"])
def test_an_export_works_alone(run, weights, tmp_path, monkeypatch):
    """Without project and clone: from Python, by timm where it is plain, and by the command."""
    folder, lines = tmp_path / "exported", []
    monkeypatch.setattr(exporting, "BATCH", 8)
    export(str(run), folder, lines.append, images=18, onnx=True, threads=1)
    files = {"lora": {"config.json", "model.safetensors"}, "ship": {"tuned.safetensors", "backbone.safetensors"}}
    assert {path.name for path in folder.iterdir()} == files[run.parent.name] | {
        *("README.md", "ship.json", "program.pt2", "model.onnx")
    }
    assert len(lines) == 3
    about = json.loads((folder / "ship.json").read_text())
    assert about["weights"] == weights
    assert {(check["images"], check["same_classes"]) for check in about["checks"]} == {(18, 18)}
    predicted = pd.read_parquet(run / "predictions.parquet")
    task = {part: pd.read_parquet(tmp_path / f"project/data/digits/{part}.parquet") for part in SPLITS}
    photos = tmp_path / "photos"
    photos.mkdir()
    for i, image in enumerate(task["test"].image):
        (photos / f"{i:02}.png").write_bytes(image)
    note = Image.Exif()
    note[0x0112] = 6  # the top is to the right
    Image.open(photos / "00.png").rotate(90).save(photos / "lying.png", exif=note)
    shutil.rmtree(tmp_path / "project")
    monkeypatch.chdir(tmp_path)
    done = command("ship", "predict", "exported", "photos", "--device", "cpu", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = [line.split(",") for line in done.stdout.splitlines()[1:]]
    assert rows.pop()[1:] == rows[0][1:]  # it was turned upright, as the task says
    assert [int(row[1]) for row in rows] == predicted.prediction.tolist()
    (photos / "00.png").write_text("no image")
    arguments = ["--device", "cpu", "--top", "2", "--all", "--out", "rows.parquet"]
    done = command("ship", "predict", "exported", "-", *arguments, cwd=tmp_path, input="photos/00.png\nphotos/01.png\n")
    assert done.returncode == 1
    assert done.stderr.startswith("ship: photos/00.png: expected a whole image, got")
    assert pd.read_parquet("rows.parquet", columns=["path", "class_2", "p(9)"]).path.tolist() == ["photos/01.png"]
    model = ship.load(folder)
    assert (model.classes, model.preprocessing.image_size) == ([str(digit) for digit in range(10)], 64)
    assert answers_of_the_card(folder, "photos/01.png") == pytest.approx(
        [predicted.probability[1]] * {"merged": 4, "tuned": 3}[weights], abs=1e-3
    )
    if weights == "merged":
        images = torch.randn(2, 3, 64, 64)
        plain = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
        assert torch.equal(plain(images), model.merged()(images))
        assert timm.data.resolve_model_data_config(plain)["mean"] == [*model.preprocessing.mean]
        for name in ("model.safetensors", "config.json"):  # as of a clone without its large files
            (folder / name).write_text("version https://git-lfs.github.com/spec/v1")
            with pytest.raises(BadInput, match="exported: expected all files of an export, whole, got: .* .copy it"):
                ship.load(folder)
    text = (folder / "README.md").read_text()
    assert f"{100 * about['run']['result']['accuracy']:.1f} %" in text
    assert "| `model.onnx` | 18 |" in text
    told = about["evaluation"]
    assert told["images"] == {part: len(rows) for part, rows in task.items()}
    for label, row in enumerate(told["classes"]):
        own = predicted[predicted.label == label]
        assert row["training_images"] == sum((task[part].label == label).sum() for part in ("train", "val"))
        assert (row["test_images"], row["recall"]) == (
            len(own),
            pytest.approx((own.prediction == label).mean(), abs=1e-6),
        )


@pytest.mark.parametrize("run", ["lora"], indirect=True)
def test_what_export_refuses(run, tmp_path):
    """A folder that is there, no run, other test images, a run that is not that of its files; and nothing is left."""

    def refused(message, name=str(run), folder=tmp_path / "exported"):
        with pytest.raises(BadInput, match=message):
            export(name, folder, pytest.fail, images=20, onnx=False, threads=1)
        assert not [path for path in tmp_path.iterdir() if "exported" in path.name]

    refused("expected a folder to be made", folder=run)
    refused("expected a run .*found none", name=f"{run.parent}/7")
    path = run / "predictions.parquet"
    table = pq.read_table(path)
    pq.write_table(table.slice(0, 5), path)
    refused(r"predictions.parquet: expected the \d+ images of run.json, got 5")
    pq.write_table(table.drop_columns("prediction"), path)
    refused("predictions.parquet: expected what a run predicted, got: No match for .*prediction")
    pq.write_table(table.set_column(2, "prediction", pa.array([99] * len(table))), path)
    refused("predictions.parquet: expected labels of its 10 classes, got others")
    classes = json.loads(table.schema.metadata[b"classes"])
    pq.write_table(table.replace_schema_metadata({"classes": json.dumps(classes[::-1])}), path)
    refused("predictions.parquet: expected the classes of tuned.safetensors, got others")
    about = read_json(run / "run.json")
    pq.write_table(table.set_column(2, "prediction", table["label"]), path)
    refused(f"predictions.parquet: expected the accuracy of run.json, {about['result']['accuracy']}, got 1.000000")
    halved = pa.array(table["probability"].to_numpy() / 2)
    pq.write_table(table.set_column(3, "probability", halved), path)
    refused("expected probabilities within 0.001 of what tuned.safetensors gives")
    about["compute"]["precision"] = "auto"
    write_json(run / "run.json", about)
    refused("expected probabilities within 0.001 of what tuned.safetensors gives")  # whatever made it fp32
    path.write_bytes(b"PAR1")
    refused("predictions.parquet: expected what a run predicted, got")
    images = tmp_path / "project/data/digits/test.parquet"
    pq.write_table(pq.read_table(images).slice(1), images)
    refused("expected its test images in data/TASK/test.parquet, got others: .*digits/test.parquet")
    images.unlink()
    refused("expected its test images in data/TASK/test.parquet, got none")
    (run / "run.json").unlink()
    refused("expected the folder of a finished run")


def test_a_backbone_that_pools_by_the_mean_is_plain_too():
    """Its fc_norm and its pooling come back with timm's own model."""
    vit = timm.create_model("test_vit", num_classes=3, img_size=16, global_pool="avg")
    assert formats.fits_timm(
        vit, formats.timm_config({"model": "test_vit", "global_pool": "avg"}, ["a", "b", "c"], MADE)
    )
    assert not formats.fits_timm(vit, formats.timm_config({"model": "test_vit"}, ["a", "b", "c"], MADE))


def test_another_model_is_found_out(tiny_vit):
    """Logits that differ by more than the bound; nan."""
    images, model = some_images(), wrapped(tiny_vit, "linear")
    logits = said(model, images)
    whole: Network = network(model, MADE)
    assert compared("here", whole, images, logits).largest_difference <= 1e-5
    for wrong in (1e-3, torch.nan):
        with pytest.raises(BadInput, match="export: here: expected logits within"):
            compared("here", lambda x, wrong=wrong: whole(x) + wrong, images, logits)


def test_the_extra_is_asked_for(monkeypatch):
    """Before anything is computed, with what to install."""
    monkeypatch.setattr(formats, "EXTRA", ("onnx", "surely_not_there"))
    with pytest.raises(BadInput, match=r"found no surely_not_there .pip install 'ship-tuning\[export\]', or --no-onnx"):
        exporting.formats.check_extra()
