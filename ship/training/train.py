"""One run, backbone x task x method x seed: from prepared files to what it leaves behind."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

from ship.artifacts import (
    LOG,
    LOOKS,
    PREDICTIONS,
    RESULT,
    TUNED,
    Run,
    backbone_file,
    hierarchy_file,
    split_file,
    task_file,
)
from ship.compute import Runtime, environment, set_up
from ship.data.reading import read_told, verified
from ship.evaluation.outcomes import Outcomes, write_outcomes
from ship.experiment import records
from ship.experiment.length import for_images, steps_an_epoch
from ship.experiment.params import Params
from ship.experiment.records import read_record
from ship.experiment.settings import read_settings
from ship.inference.predict import Predictions
from ship.locks import alone
from ship.methods.base import frozen_digest, tuned_parameters, tuned_state
from ship.methods.options import check_row
from ship.storage import read_tensors, write_json, write_tensors, write_text
from ship.training.fit import (
    Assembled,
    Setup,
    Timed,
    assemble,
    check_unchanged,
    fit,
    images_of,
    origin_of,
    predictions,
)
from ship.training.looks import looks
from ship.training.loop import Epoch
from ship.training.resume import RESUME, Progress, clear

ENOUGH_STEPS = 100  # optimiser steps: with ten, rows rank otherwise than with a hundred

_log = logging.getLogger(__name__)


class Outcome(NamedTuple):
    """A run that is trained and has predicted the test split."""

    setup: Setup
    assembled: Assembled
    progress: Progress
    found: Predictions
    keys: list[str]
    """of the test images, in the order of `found`"""
    looks: dict[str, Any]
    """what the model looked at in its most confident mistakes"""


def train_run(
    params: Params,
    run: Run,
    show: Callable[[int, Epoch], None],
    code: Mapping[str, str] = MappingProxyType({}),
    part: Timed = nullcontext,
) -> None:
    """Train, predict the test split once, and write what the run leaves: its five files.

    A run that was killed goes on from the last epoch that it saved, with the same bits in the end. What is known of the
    `code` that computes it, digests by module, is kept with it; `part` is entered around each part of the work;
    `show` is given the number of epochs and each of them.
    """
    check_row(params, run.method, run.task)
    runtime = set_up(params.compute)
    with alone(run.folder):
        outcome = _trained(params, run, runtime, show, code, part)
        with part("writing"):
            _write(params, run, outcome, runtime)
            clear(run.folder, RESUME)


def _trained(
    params: Params,
    run: Run,
    runtime: Runtime,
    show: Callable[[int, Epoch], None],
    code: Mapping[str, str],
    part: Timed,
) -> Outcome:
    """The run, trained to its end or from where it was killed, and what it says of the test split."""
    options, told, _ = read_settings(params, run.backbone, run.task, run.method)
    recipe = for_images(told, images := images_of(run.task))
    if (steps := recipe.epochs * steps_an_epoch(recipe, images)) < ENOUGH_STEPS:
        _log.warning(
            f"{run}: {steps} optimiser steps in all, on {images} images: too few for a comparison "
            f"(train.steps={ENOUGH_STEPS} or more trains longer)"
        )
    test, method = split_file(run.task, "test"), params.methods[run.method].method
    setup = Setup(run.backbone, run.task, method, options, recipe, run.seed)
    with part("digests"):
        origin = origin_of(run.backbone, run.task, code)
    assembled = assemble(setup, origin, runtime, part)

    def tested() -> tuple[Predictions, list[str]]:
        verified(run.task, "test")
        return predictions(assembled, test, runtime)

    watch = (lambda: tested()[0].accuracy) if params.protocol == "best-test-epoch" else None
    with part("training"):
        progress = fit(setup, assembled, runtime, run.folder / RESUME, partial(show, recipe.epochs), watch)
    with part("test"):
        found, keys = tested()
    check_unchanged(origin, run.backbone, run.task)
    with part("looks"):
        return Outcome(setup, assembled, progress, found, keys, looks(assembled, found, keys, test, runtime))


def _write(params: Params, run: Run, outcome: Outcome, runtime: Runtime) -> None:
    """The run's five files. Nothing in them holds a time, a host or a path of this machine."""
    assembled = outcome.assembled
    settings, result = _settings(params, run, outcome), _result(outcome)
    tuned = tuned_state(assembled.model)
    more = {"precision": runtime.precision, "classes": assembled.classes, "frozen": frozen_digest(assembled.model)}
    write_tensors(run.folder / TUNED, tuned, {**settings, **more})
    lines = [",".join(Epoch._fields), *(",".join(f"{part:.9g}" for part in epoch) for epoch in outcome.progress.log)]
    write_text(run.folder / LOG, "".join(f"{line}\n" for line in lines))
    found = outcome.found
    said = found.labels.numpy(), found.classes.numpy(), found.probabilities.numpy()
    write_outcomes(run.folder / PREDICTIONS, Outcomes(outcome.keys, *said, assembled.classes), found.every.numpy())
    write_json(run.folder / LOOKS, outcome.looks)
    write_json(
        run.folder / RESULT,
        {**settings, "result": result, "environment": environment(runtime), "code": dict(assembled.origin.code)},
    )


def _settings(params: Params, run: Run, outcome: Outcome) -> dict[str, Any]:
    """What it takes to build the model again, and to run the run again."""
    setup, preprocessing = outcome.setup, outcome.assembled.preprocessing._asdict()
    named = params.backbones[run.backbone].model_dump(include={"name", "weights"})
    task = read_record(task_file(run.task), records.Task)
    told = read_told(split_file(run.task, "train"))
    _, hierarchy = read_tensors(hierarchy_file(run.backbone, run.task))
    return {
        "run": str(run),
        "method": setup.method,
        "options": setup.options,
        "train": setup.recipe.model_dump(),
        "hierarchy": {key: hierarchy[key] for key in ("prototypes", "seed")},
        "compute": params.compute.model_dump(),
        "backbone": {**named, **preprocessing, "sha256": outcome.assembled.origin.files[backbone_file(run.backbone)]},
        "data": {split: task["splits"][split]["sha256"] for split in task["splits"]},
        **({"reading": told} if told else {}),
    }


def _result(outcome: Outcome) -> dict[str, Any]:
    _, assembled, progress, found, *_ = outcome
    tuned, last = tuned_parameters(assembled.model), progress.log[-1]
    head = sum(tensor.numel() for name, tensor in tuned.items() if name.startswith("head."))
    total = sum(tensor.numel() for tensor in tuned.values())
    leaky = {"best_test_epoch_accuracy": max(progress.watched)} if progress.watched else {}
    return {
        "accuracy": found.accuracy,
        **leaky,
        "loss": found.loss,
        "test_images": len(found.labels),
        "train_accuracy": round(last.accuracy, 6),
        "train_loss": round(last.loss, 6),
        "epochs": len(progress.log),
        "tuned_parameters": total,
        "tuned_parameters_without_head": total - head,
    }
