"""A method fitted to a task's training images: what a run and a trial of a search share.

It knows the training splits by name and no other: whoever wants another split predicted names its file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from ship.artifacts import backbone_file, features_file, hierarchy_file, measured_of, split_file, task_file
from ship.compute import Runtime
from ship.data.images import batches, normaliser, read_pixels, stream
from ship.data.reading import read_labels, verified
from ship.errors import BadInput
from ship.experiment import records
from ship.experiment.length import TRAINING, images_in, steps_an_epoch
from ship.experiment.records import read_record
from ship.experiment.rows import Train
from ship.inference.predict import Predictions, batch_size, predict, readied
from ship.methods import build
from ship.methods.base import Output
from ship.methods.options import check_recipe
from ship.methods.rounding import rounded
from ship.models import backbones
from ship.models.noise import perturb, share_depth
from ship.models.preprocessing import Preprocessing
from ship.storage import read_tensors, sha256
from ship.training.augment import augmentation
from ship.training.loop import Epoch, epochs, make_optimiser
from ship.training.objective import Batch, Objective, balanced
from ship.training.resume import Keeper, Origin, Progress, identity
from ship.training.ridge import start_head

Timed = Callable[[str], AbstractContextManager[object]]  # of what a block does
ON_DEVICE = 4 * 2**30  # bytes of training images that stay on a GPU


class Setup(NamedTuple):
    """Everything that is chosen about a fit."""

    backbone: str
    """a key of `backbones`"""
    task: str
    method: str
    """a key of METHODS"""
    options: dict[str, Any]
    recipe: Train
    seed: int
    splits: tuple[str, ...] = TRAINING
    """the first of TRAINING, or both"""


def images_of(task: str, splits: tuple[str, ...] = TRAINING) -> int:
    """How many images the splits of a prepared task have."""
    return images_in(read_record(task_file(task), records.Task)["splits"], splits)


def origin_of(backbone: str, task: str, code: Mapping[str, str]) -> Origin:
    """What the fits on a task are made of, each file read once."""
    splits = {split_file(task, split): verified(task, split) for split in TRAINING}
    others = (task_file(task), backbone_file(backbone), features_file(backbone, task), hierarchy_file(backbone, task))
    return Origin({**splits, **{path: sha256(path) for path in others}}, code)


def check_unchanged(origin: Origin, backbone: str, task: str) -> None:
    """Raise BadInput where the task has been prepared since, or its hierarchy measured; results tell of both."""
    for path in (task_file(task), hierarchy_file(backbone, task)):  # what a task says of itself is written last
        if sha256(path) != origin.files[path]:
            raise BadInput(f"{path}: expected what training began with, got another one (train it again)")


class Assembled(NamedTuple):
    """All that a fit needs, read and built."""

    origin: Origin
    model: Any
    forward: Callable[[Tensor], Output]
    batches: Callable[[int], Iterator[Batch]]
    objective: Objective
    steps: int
    preprocessing: Preprocessing
    classes: list[str]


def assemble(setup: Setup, origin: Origin, runtime: Runtime, part: Timed = nullcontext) -> Assembled:
    """The model with its fresh tuned parameters, and the training images that it sees."""
    recipe = setup.recipe
    check_recipe(setup.method, recipe, setup.method)
    with part("backbone"):
        vit, preprocessing = backbones.load(backbone_file(setup.backbone), recipe.drop_path)
    classes = read_record(task_file(setup.task), records.Task)["classes"]
    splits = [split_file(setup.task, split) for split in setup.splits]
    labels = torch.from_numpy(read_labels(*splits))
    with part("model"):
        model = _fresh(setup, origin, vit, labels, len(classes)).to(runtime.device)
    size, mean, std, interpolation = preprocessing
    normalise: Callable[[Tensor], Tensor]
    if model.trains_on == "pooled":
        examples = _pooled(setup, origin, len(labels))
        forward, normalise = model.on_pooled, nn.Identity()
    else:
        with part("images"):
            files = tuple((path, origin.files[path]) for path in splits)
            examples = _decoded(files, size, interpolation, runtime.threads)
        forward, normalise = model, normaliser(mean, std, runtime.device)
    # on the device from the start, so that no step waits for a copy, unless they would fill it
    place = runtime.device if examples.nbytes <= ON_DEVICE else examples.device
    examples, labels = examples.to(place), labels.to(place)
    augment = augmentation(recipe.augment, size, interpolation)

    def epoch_batches(epoch: int) -> Iterator[Batch]:
        order = batches(examples, labels, recipe.batch_size, seed=setup.seed, epoch=epoch, device=runtime.device)
        for inputs, *others in order:
            yield Batch(normalise(augment(inputs)), *others)

    weights = balanced(labels, len(classes)).to(runtime.device) if recipe.class_weights == "balanced" else None
    objective = Objective(recipe, len(labels), len(classes), weights)
    steps = steps_an_epoch(recipe, len(labels))
    return Assembled(origin, model, forward, epoch_batches, objective, steps, preprocessing, classes)


def _fresh(setup: Setup, origin: Origin, vit: VisionTransformer, labels: Tensor, classes: int) -> Any:
    """The method around `vit` as it starts, with noise and head as the recipe asks; `labels` are of training images."""
    statistics = _measured(hierarchy_file(setup.backbone, setup.task), setup, origin)
    torch.manual_seed(setup.seed)
    model: Any = build(setup.method, vit, classes, setup.options, statistics)
    if setup.recipe.noise:
        perturb(model.noise, setup.recipe.noise)
        share_depth(model.vit)
    if setup.recipe.head == "ridge":
        start_head(model.head, _pooled(setup, origin, len(labels)), labels)
    return model


def _pooled(setup: Setup, origin: Origin, count: int) -> Tensor:
    """What a head reads of the first `count` training images, (count, D): those of train, then those of val."""
    return _measured(features_file(setup.backbone, setup.task), setup, origin)["pooled"][:count]


@lru_cache(maxsize=1)
def _decoded(files: tuple[tuple[Path, str], ...], size: int, interpolation: str, threads: int) -> Tensor:
    """The images of files, known by path and digest; nobody changes them, so the trials of a search share them."""
    return read_pixels(*(path for path, _ in files), size=size, interpolation=interpolation, threads=threads)


def fit(
    setup: Setup,
    assembled: Assembled,
    runtime: Runtime,
    path: Path,
    show: Callable[[Epoch], None],
    watch: Callable[[], float] | None = None,
) -> Progress:
    """Train to the end, leaving in `path` what it takes to go on, and going on from what is there.

    What `watch` says of the model after each epoch is kept beside the records; it decides nothing.
    """
    model, optimiser = assembled.model, make_optimiser(assembled.model, setup.recipe)
    mark = identity([*setup, watch is not None], assembled.origin, runtime)
    keeper = Keeper(path, model, optimiser, mark, kept=assembled.objective.kept)
    progress, autocast = keeper.resume(), _autocast(model, runtime)
    records = epochs(
        model,
        assembled.forward,
        assembled.batches,
        optimiser,
        assembled.objective,
        seed=setup.seed,
        steps=assembled.steps,
        autocast=autocast,
        first_epoch=len(progress.log),
    )
    with rounded(model, autocast):
        for record in records:
            progress.log.append(record)
            if watch is not None:
                progress.watched.append(watch())
            keeper.keep(progress)
            show(record)
    return progress


def _autocast(model: Any, runtime: Runtime) -> torch.autocast:
    """The run's own; of a probe none, since its features are in float32, and rounding them costs more than it saves."""
    return torch.autocast(runtime.device.type, enabled=False) if model.trains_on == "pooled" else runtime.autocast


def _measured(path: Path, setup: Setup, origin: Origin) -> dict[str, Tensor]:
    """The tensors of the task's features or hierarchy. Raises BadInput where they are of another backbone or images."""
    tensors, about = read_tensors(path)
    if about.get("of") != measured_of(setup.backbone, setup.task, origin.files.__getitem__):
        place = f"{setup.backbone}/{setup.task}"
        raise BadInput(
            f"{path}: expected what was measured of {setup.backbone} on the images of {setup.task}, got it of others "
            f"(ship features {place} && ship hierarchy {place})"
        )
    return tensors


def predictions(assembled: Assembled, path: Path, runtime: Runtime) -> tuple[Predictions, list[str]]:
    """What the model says of the images in the parquet file `path`, in one pass, and their keys."""
    keys: list[str] = []
    size, mean, std, interpolation = assembled.preprocessing
    normalise = normaliser(mean, std, runtime.device)

    def pairs() -> Iterator[tuple[Tensor, Tensor]]:
        batch = batch_size(runtime.device)
        for names, images, labels in stream(
            path, size=size, interpolation=interpolation, batch_size=batch, threads=runtime.threads
        ):
            keys.extend(names)
            yield normalise(images), labels.to(runtime.device)

    with rounded(assembled.model, runtime.autocast):
        return predict(readied(assembled.model, runtime.autocast), pairs(), runtime.autocast), keys


def validate(setup: Setup, assembled: Assembled, runtime: Runtime) -> Predictions:
    """What the model says of the images of val; a probe, of what is known of them without a pass through the ViT."""
    if assembled.model.trains_on != "pooled":
        return predictions(assembled, split_file(setup.task, TRAINING[1]), runtime)[0]
    labels = torch.from_numpy(read_labels(split_file(setup.task, TRAINING[1])))
    features = _measured(features_file(setup.backbone, setup.task), setup, assembled.origin)
    batches = [(features["pooled"][-len(labels) :].to(runtime.device), labels.to(runtime.device))]
    assembled.model.eval()
    return predict(assembled.model.on_pooled, batches, _autocast(assembled.model, runtime))
