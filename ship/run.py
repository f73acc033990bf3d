"""One run, backbone x task x method x seed: from prepared files to what it leaves behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pandas as pd
import torch
from torch import Tensor, nn

from ship.artifacts import (
    Run,
    backbone_file,
    data_folder,
    features_file,
    hierarchy_file,
    read_json,
    read_tensors,
    replacing,
    sha256,
    write_json,
    write_tensors,
    write_text,
)
from ship.compute import Compute, environment, set_up
from ship.config import Params, Train
from ship.data.images import batches, normalise, pixels, read_split, stream
from ship.errors import BadInput
from ship.methods import build, check_options
from ship.methods.base import Output, tuned_parameters, tuned_state
from ship.models import backbones
from ship.predict import Predictions, predict
from ship.resume import clear, identity, resume, resume_file, save
from ship.train import Epoch, make_optimiser, train

TEST_BATCH = 64


class Prepared(NamedTuple):
    """All that a run needs, read and built."""

    model: nn.Module
    forward: Callable[[Tensor], Output]
    batches: Callable[[int], Iterator[tuple[Tensor, Tensor]]]
    steps: int
    preprocessing: backbones.Preprocessing
    classes: list[str]


def execute(params: Params, run: Run, show: Callable[[Epoch], None]) -> None:
    """Train, predict the test split once, and write what the run leaves: its four files and its result.

    A run that was killed goes on from its last finished epoch, with the same bits in the end.
    """
    row = params.methods[run.method]
    check_options(row.method, params.options_of(run.method, run.task), f"params.yaml: methods.{run.method}")
    compute, recipe = set_up(params.compute), params.train_of(run.method, run.task)
    prepared = prepare_run(params, run, compute)
    log = _train(params, run, prepared, recipe, compute, show)
    predictions, keys = _predict(run, prepared, compute)
    if not predictions.losses.isfinite().all():
        raise BadInput(f"train: expected finite losses on the test images, got others (lower lr, now {recipe.lr:g})")
    _write(params, run, prepared, log, predictions, keys, compute)
    clear(run)


def prepare_run(params: Params, run: Run, compute: Compute) -> Prepared:
    """The model with its fresh tuned parameters, and the training images (train and val) that it sees."""
    recipe = params.train_of(run.method, run.task)
    vit, preprocessing = backbones.load(backbone_file(params.backbone.name), recipe.drop_path)
    classes = read_json(data_folder(run.task) / "task.json")["classes"]
    statistics = read_tensors(hierarchy_file(run.task))[0]
    torch.manual_seed(run.seed)
    options = params.options_of(run.method, run.task)
    model: Any = build(params.methods[run.method].method, vit, len(classes), options, statistics)
    model.to(compute.device)
    split = read_split(data_folder(run.task) / "train.parquet", data_folder(run.task) / "val.parquet")
    labels = torch.from_numpy(split.labels)
    if model.trains_on == "pooled":
        inputs, forward = read_tensors(features_file(run.task))[0]["pooled"], model.on_pooled
    else:
        inputs = pixels(split.images, preprocessing.image_size, preprocessing.interpolation, compute.threads)
        forward = model

    def epoch_batches(epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        for x, y in batches(inputs, labels, recipe.batch_size, seed=run.seed, epoch=epoch, device=compute.device):
            yield (normalise(x, preprocessing.mean, preprocessing.std) if x.dtype == torch.uint8 else x), y

    steps = max(1, len(labels) // recipe.batch_size)
    return Prepared(model, forward, epoch_batches, steps, preprocessing, classes)


def _train(
    params: Params, run: Run, prepared: Prepared, recipe: Train, compute: Compute, show: Callable[[Epoch], None]
) -> list[Epoch]:
    """Train to the end, saving after each epoch what it takes to go on."""
    model, optimiser = prepared.model, make_optimiser(prepared.model, recipe)
    mark = identity(params, run, compute)
    log = resume(resume_file(run), model, optimiser, mark)
    records = train(
        model,
        prepared.forward,
        prepared.batches,
        optimiser,
        recipe,
        seed=run.seed,
        steps=prepared.steps,
        autocast=compute.autocast,
        first_epoch=len(log),
    )
    for record in records:
        log.append(record)
        save(resume_file(run), model, optimiser, mark, log)
        show(record)
    return log


def _predict(run: Run, prepared: Prepared, compute: Compute) -> tuple[Predictions, list[str]]:
    """Predictions for the test split, read here and nowhere else, and the keys of its images."""
    prepared.model.eval()
    keys: list[str] = []
    size, mean, std, interpolation = prepared.preprocessing

    def test_batches() -> Iterator[tuple[Tensor, Tensor]]:
        path = data_folder(run.task) / "test.parquet"
        for names, images, labels in stream(path, size, interpolation, TEST_BATCH, compute.threads):
            keys.extend(names)
            yield normalise(images.to(compute.device), mean, std), labels.to(compute.device)

    return predict(prepared.model, test_batches(), compute.autocast), keys


def _write(
    params: Params,
    run: Run,
    prepared: Prepared,
    log: list[Epoch],
    predictions: Predictions,
    keys: list[str],
    compute: Compute,
) -> None:
    """The run's four files and its result. Nothing in them holds a time, a host or a path of this machine."""
    settings = _settings(params, run, prepared)
    write_tensors(
        run.folder / "tuned.safetensors", tuned_state(prepared.model), {**settings, "classes": prepared.classes}
    )
    write_text(run.folder / "log.csv", pd.DataFrame(log).to_csv(index=False, float_format="%.9g", lineterminator="\n"))
    table = {"key": keys, "label": predictions.labels, "prediction": predictions.classes}
    with replacing(run.folder / "predictions.parquet") as draft:
        pd.DataFrame({**table, "probability": predictions.probabilities}).to_parquet(draft, index=False)
    result = _result(run, prepared, log, predictions, settings)
    write_json(run.folder / "run.json", {**settings, "result": result, "environment": environment(compute)})
    write_json(run.result, result)


def _settings(params: Params, run: Run, prepared: Prepared) -> dict[str, Any]:
    """What it takes to build the model again, and to run the run again."""
    path, backbone = backbone_file(params.backbone.name), prepared.preprocessing._asdict()
    task = read_json(data_folder(run.task) / "task.json")
    return {
        "task": run.task,
        "row": run.method,
        "seed": run.seed,
        "method": params.methods[run.method].method,
        "options": params.options_of(run.method, run.task),
        "train": params.train_of(run.method, run.task).model_dump(),
        "hierarchy": params.hierarchy.model_dump(),
        "compute": params.compute.model_dump(),
        "backbone": {"name": params.backbone.name, **backbone, "sha256": sha256(path)},
        "data": {split: task["splits"][split]["sha256"] for split in task["splits"]},
    }


def _result(
    run: Run, prepared: Prepared, log: list[Epoch], predictions: Predictions, settings: dict[str, Any]
) -> dict[str, Any]:
    tuned = tuned_parameters(prepared.model)
    head = sum(tensor.numel() for name, tensor in tuned.items() if name.startswith("head."))
    total = sum(tensor.numel() for tensor in tuned.values())
    hits = predictions.classes == predictions.labels
    return {
        "task": run.task,
        "method": run.method,
        "seed": run.seed,
        "group": read_json(data_folder(run.task) / "task.json")["group"],
        "backbone": settings["backbone"]["name"],
        "accuracy": round(hits.double().mean().item(), 6),
        "loss": round(predictions.losses.double().mean().item(), 6),
        "test_images": len(hits),
        "train_accuracy": round(log[-1].accuracy, 6),
        "train_loss": round(log[-1].loss, 6),
        "epochs": len(log),
        "tuned_parameters": total,
        "tuned_parameters_without_head": total - head,
    }
