"""A run's model to take away: a folder of files that others can run, each compared with the run before it is there."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from ship.artifacts import PREDICTIONS, RESULT, TUNED
from ship.compute import set_up
from ship.data.images import normaliser, stream
from ship.errors import BadInput
from ship.evaluation.outcomes import Outcomes, read_outcomes
from ship.experiment import records
from ship.experiment.params import Compute
from ship.experiment.records import read_record
from ship.inference import formats
from ship.inference.card import card
from ship.inference.facts import counted, evaluation, warned_of
from ship.inference.model import Model
from ship.inference.network import Network, network
from ship.inference.predict import answer
from ship.inference.restore import ABOUT, BACKBONE, backbone_of, find, load, way_out
from ship.models.preprocessing import Preprocessing
from ship.storage import drafted, read_tensors, sha256, write_json, write_text

BATCH = 64
CLOSE = 1e-4
"""largest difference of logits that a file may have, as a share of the largest logit where that is above 1"""
RUN_CLOSE = 1e-3
"""of probabilities, between what the run predicted in float32 and the model that comes back from it"""


class Subject(NamedTuple):
    """A finished run, all that an export wants of it."""

    run: Path
    about: dict[str, Any]
    """its RESULT"""
    model: Model
    preprocessing: Preprocessing
    found: Outcomes
    """what the run said of the whole test split"""
    data: Path
    """the folder of its images"""
    images: Tensor
    """(n, 3, S, S), uint8, of the test split"""
    logits: Tensor
    """(n, C), what the model says of them"""


class Checked(NamedTuple):
    """How a file compares with the run's model on the test images."""

    file: str
    largest_difference: float
    """of logits"""
    same_classes: int
    images: int


def export(name: str, folder: Path, tell: Callable[[str], None], *, images: int, onnx: bool, threads: int) -> None:
    """Write the run `name` to a `folder` that is not there yet, each file compared on so many test `images`.

    Raises BadInput, and leaves nothing, where the run or its test images are not there, or a file says something else.
    """
    if onnx:
        formats.check_extra()
    set_up(Compute(device="cpu", threads=threads))
    with drafted(folder) as draft:
        subject = read(find(name), images, threads)
        about, checks = _write(subject, draft, tell, onnx)
        digests = subject.about["data"]
        counts = counted(subject.data, digests, len(subject.model.classes))
        about |= {"task": subject.data.name, "warnings": warned_of(subject.data, digests)}
        about |= {"run": subject.about, "evaluation": evaluation(subject.found, counts), "checks": checks}
        write_json(draft / ABOUT, about)
        write_text(draft / "README.md", card(folder.name, about))


def read(run: Path, count: int, threads: int) -> Subject:
    """A finished run with its first `count` test images, where its model says of them what the run has said."""
    if not (run / RESULT).is_file():
        raise BadInput(f"{run}: expected the folder of a finished run, found no run.json in it ({way_out(run)})")
    about, model = read_record(run / RESULT, records.Run, "train it again"), load(run)
    made = model.preprocessing
    if made is None:
        raise BadInput(f"{run}: expected a run that knows how images are prepared, got one that does not")
    split = _test_split(run, about)
    batches = stream(
        split, size=made.image_size, interpolation=made.interpolation, batch_size=min(count, BATCH), threads=threads
    )
    pixels, logits, normalise = [], [], normaliser(made.mean, made.std, torch.device("cpu"))
    autocast = torch.autocast("cpu", enabled=False)
    for _, batch, _ in batches:
        pixels.append(batch)
        logits.append(answer(model.method, normalise(batch), autocast))
        if sum(map(len, pixels)) >= count:
            break
    first = torch.cat(pixels)[:count], torch.cat(logits)[:count]
    found = read_outcomes(run / PREDICTIONS, "train it again")
    subject = Subject(run, about, model, made, found, split.parent, *first)
    _check_run(subject)
    return subject


def compared(file: str, forward: formats.Forward, images: Tensor, logits: Tensor) -> Checked:
    """How what `file` computes compares with `logits` (n, C) on `images`. Raises BadInput where it is another model."""
    with torch.no_grad():
        found = torch.cat([forward(batch) for batch in images.split(BATCH)])
    difference, bound = (found - logits).abs().max().item(), CLOSE * max(1.0, logits.abs().max().item())
    same = found.argmax(dim=1) == logits.argmax(dim=1)
    if not difference <= bound:
        raise BadInput(f"export: {file}: expected logits within {bound:.1e} of the run's, got {difference:.1e}")
    if odd := int((~same & _ahead(logits, 2 * bound)).sum()):
        raise BadInput(f"export: {file}: expected the classes of the run, got others of {odd} images")
    return Checked(file, difference, int(same.sum()), len(found))


def _write(
    subject: Subject, draft: Path, tell: Callable[[str], None], onnx: bool
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Every file but the two that tell about them; their description, and how they compare."""
    model, made, checks = subject.model, subject.preprocessing, []
    whole = network(model, made)

    def check(file: str, forward: formats.Forward) -> None:
        checks.append(one := compared(file, forward, subject.images, subject.logits))
        tell(f"{file}: logits within {one.largest_difference:.1e}, {one.same_classes} of {one.images} classes the same")

    weights = _write_weights(subject, whole, draft)
    about = {
        "format": 1,
        "weights": weights,
        "classes": model.classes,
        "preprocessing": made._asdict(),
        "reading": subject.about.get("reading", {}),
        "input": "uint8, RGB, (batch, 3, image_size, image_size), read as `reading` says and resized as a whole",
    }
    write_json(draft / ABOUT, about)
    check("model.safetensors" if weights == "merged" else TUNED, network(load(draft), made))
    program = formats.trace(whole, made.image_size)
    check(formats.PROGRAM, formats.write_program(program, draft / formats.PROGRAM))
    if onnx:
        facts = {key: about[key] for key in ("classes", "preprocessing", "reading")}
        check(formats.ONNX, formats.write_onnx(program, draft / formats.ONNX, facts))
    return about, [one._asdict() for one in checks]


def _write_weights(subject: Subject, whole: Network, draft: Path) -> str:
    """A plain ViT of timm where there is one ("merged"), else the backbone and what is tuned beside it ("tuned")."""
    tuned = subject.run / TUNED
    source = backbone_of(read_tensors(tuned)[1], tuned)
    described = read_tensors(source)[1]
    config = formats.timm_config(described, subject.model.classes, subject.preprocessing)
    if isinstance(whole.model, VisionTransformer) and formats.fits_timm(whole.model, config):
        formats.write_timm(whole.model, config, draft)
        return "merged"
    shutil.copyfile(tuned, draft / TUNED)
    shutil.copyfile(source, draft / BACKBONE)
    return "tuned"


def _test_split(run: Path, about: dict[str, Any]) -> Path:
    """The test images of the run, known by their content, in `data/` above it. Raises BadInput where there are none."""
    there = [path for parent in run.resolve().parents for path in sorted(parent.glob("data/*/test.parquet"))]
    there.sort(key=lambda path: path.parent.name not in run.resolve().parts)  # the likely one first
    if (own := next((path for path in there if sha256(path) == about["data"]["test"]), None)) is not None:
        return own
    got = f"others: {', '.join(map(str, there))}" if there else "none"
    way_out = "snakemake trains it on these; dvc checkout brings its own back" if there else "ship prepare"
    raise BadInput(f"{run}: expected its test images in data/TASK/test.parquet, got {got} ({way_out})")


def _check_run(subject: Subject) -> None:
    """Raise BadInput where the predictions of a run are not those of its result, or not of the model that comes back.

    The latter of a run in float32 alone: others round.
    """
    path, found, count = subject.run / PREDICTIONS, subject.found, len(subject.logits)
    result = subject.about["result"]
    if found.classes != subject.model.classes:
        raise BadInput(f"{path}: expected the classes of {TUNED}, got others (train it again)")
    if len(found.keys) != result["test_images"]:
        told = f"expected the {result['test_images']} images of {RESULT}, got {len(found.keys)}"
        raise BadInput(f"{path}: {told} (train it again)")
    if not abs(found.hits.mean() - result["accuracy"]) <= 1e-6:
        raise BadInput(
            f"{path}: expected the accuracy of {RESULT}, {result['accuracy']}, got {found.hits.mean():.6f} "
            "(train it again)"
        )
    own = subject.logits.softmax(dim=1).numpy()[np.arange(count), found.predicted[:count]]
    difference = float(np.abs(own - found.confidences[:count]).max())
    if subject.about["environment"]["precision"] == "fp32" and not difference <= RUN_CLOSE:
        raise BadInput(
            f"{path}: expected probabilities within {RUN_CLOSE} of what {TUNED} gives, got {difference:.1e} "
            "(the run is not that of its files: train it again)"
        )


def _ahead(logits: Tensor, margin: float) -> Tensor:
    """Which images (n,) have a class that is ahead of all others by more than `margin`."""
    best, _ = logits.topk(min(2, logits.shape[1]), dim=1)
    return best[:, 0] - best[:, -1] > margin
