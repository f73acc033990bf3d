"""A whole made-up experiment on disk, in the files that runs leave: 3 tasks x 3 methods x 2 seeds."""

from __future__ import annotations

import hashlib
import io
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from ship.artifacts import (
    PREDICTIONS,
    Run,
    backbone_file,
    features_file,
    hierarchy_file,
    settings_file,
    split_file,
    task_file,
)
from ship.evaluation.outcomes import Outcomes, write_outcomes
from ship.experiment.code import Code
from ship.experiment.params import Params, parse_params
from ship.report.aggregate import expected_runs
from ship.storage import write_json, write_text

LEVEL = {"linear": 0.62, "vpt": 0.74, "ship": 0.78}
HARD = {"digits": -0.15, "textures": 0.1, "counting": 0.12}
TUNED = {"linear": 0, "vpt": 23_040, "ship": 61_440}
IMAGES, EPOCHS, BLOCKS = 400, 12, 12
CLASSES = ["none", "one", "two & more", "three", "four", "five", "six", "seven", "eight", "NA"]
CODE = Code()
WEIGHTS = hashlib.sha256(b"").hexdigest()  # an empty file


def params(seeds: tuple[int, ...] = (0, 1), backbones: tuple[str, ...] = ("vit_mini",)) -> Params:
    return parse_params(
        {
            "grid": {"backbones": list(backbones), "tasks": list(HARD), "methods": list(LEVEL), "seeds": list(seeds)},
            "backbones": {name: {"name": name} for name in backbones},
            "tasks": {name: {} for name in HARD},
            "methods": {
                "linear": {"method": "linear", "train": {"lr": 0.01}},
                "vpt": {"method": "vpt", "options": {"prompt_length": 10}},
                "ship": {
                    "method": "ship",
                    "options": {"threshold": 0.9},
                    "tasks": {"digits": {"options": {"threshold": 0.95}}},
                },
            },
            "data_root": ".",
            "hierarchy": {},
            "train": {"epochs": EPOCHS, "warmup_epochs": 2},
            "protocol": "last-epoch",
            "compute": {},
        }
    )


def write(root: Path, settings: Params) -> None:
    """All files of a finished experiment under `root`."""
    for number, run in enumerate(expected_runs(settings)):
        about = settings_of(settings, run) | about_of(settings, run)
        write_run(root, run, np.random.default_rng(number), **about)
    for backbone, task, method in product(settings.grid.backbones, settings.grid.tasks, settings.grid.methods):
        chosen = settings_of(settings, Run(backbone, task, method, 0))
        write_json(root / settings_file(backbone, task, method), {**chosen, "search": None})
    for backbone, (number, task) in product(settings.grid.backbones, enumerate(settings.grid.tasks)):
        _write_hierarchy(root, backbone, task, 0.012 + 0.008 * number)
    for number, task in enumerate(settings.grid.tasks):
        write_images(root / split_file(task, "test"), np.random.default_rng(number))


def write_images(path: Path, random: np.random.Generator, side: int = 8) -> None:
    """Test images of noise, of which each has few bytes."""
    files = []
    for _ in range(IMAGES):
        file = io.BytesIO()
        Image.fromarray(random.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(file, "PNG")
        files.append(file.getvalue())
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(
        pa.table({"key": [f"test/{i:05d}" for i in range(IMAGES)], "image": files}), path, row_group_size=128
    )


def write_inputs(root: Path, settings: Params) -> None:
    """What the runs are of: tasks, empty weights and features."""
    for backbone, task in product(settings.grid.backbones, settings.grid.tasks):
        write_json(root / task_file(task), told(test=(IMAGES, "cd" * 32)))
        for file in (backbone_file(backbone), features_file(backbone, task), hierarchy_file(backbone, task)):
            write_text(root / file, "")


def told(**splits: tuple[int, str]) -> dict[str, Any]:
    """What task.json says of a task: number of images and digest of each split."""
    return {"classes": CLASSES, "splits": {name: {"images": n, "sha256": of} for name, (n, of) in splits.items()}}


def settings_of(settings: Params, run: Run) -> dict[str, Any]:
    """Options and recipe of a run."""
    recipe = settings.train_of(run.method, run.task)
    return {"options": settings.options_of(run.method, run.task), "train": recipe.model_dump()}


def about_of(settings: Params, run: Run) -> dict[str, Any]:
    """What a run says of itself beside that."""
    method, compute = settings.methods[run.method].method, settings.compute.model_dump()
    code = CODE.modules("train", method)
    return {"method": method, "compute": compute, "hierarchy": {"prototypes": 200, "seed": 0}, "code": code}


def write_run(root: Path, run: Run, random: np.random.Generator, **about: Any) -> None:
    """What one run leaves; of a task or a method that is not above, something in between."""
    level = LEVEL.get(run.method, 0.7) - HARD.get(run.task, 0.0)
    labels = np.arange(IMAGES) % 10
    hits = random.random(IMAGES) < level
    predictions = np.where(hits, labels, (labels + 1) % 10)
    keys, confidences = [f"test/{i:05d}" for i in range(IMAGES)], random.uniform(0.3, 1, IMAGES).astype(np.float32)
    found = Outcomes(keys, labels, predictions, confidences, CLASSES)
    write_outcomes(root / run.folder / PREDICTIONS, found, np.zeros((IMAGES, len(CLASSES)), np.float16))
    _write_looks(root, run, random, [f"test/{i:05d}" for i in np.flatnonzero(~hits)[:12]])
    epochs = np.arange(EPOCHS)
    learnt = (level + 0.08) * (1 - np.exp(-(epochs + 1) / 3)) + random.normal(0, 0.008, EPOCHS)
    log = {"epoch": epochs, "lr": 1e-3, "loss": 2 - learnt, "penalty": 0.0, "accuracy": learnt}
    write_text(root / run.folder / "log.csv", pd.DataFrame(log).to_csv(index=False))
    result = {
        "accuracy": round(float(hits.mean()), 6),
        "loss": 0.7,
        "test_images": IMAGES,
        "train_accuracy": round(float(learnt[-1]), 6),
        "epochs": EPOCHS,
        "tuned_parameters": TUNED.get(run.method, 10_000) + 1930,
        "tuned_parameters_without_head": TUNED.get(run.method, 10_000),
    }
    backbone = {"name": run.backbone, "weights": "pretrained", "image_size": 32, "mean": [0.5] * 3, "std": [0.5] * 3}
    write_json(
        root / run.folder / "run.json",
        {
            **about,
            "result": result,
            "data": {"test": "cd" * 32},
            "backbone": {**backbone, "interpolation": "bicubic", "sha256": WEIGHTS},
            "environment": {
                "ship": "0.1.0",
                "python": "3.11.2",
                "torch": "2.9.0",
                "device": "cpu AVX2",
                "precision": "fp32",
                "cuda": "none",
            },
        },
    )
    seconds = {"linear": 3.1, "vpt": 41.5, "ship": 55.0}.get(run.method, 30.0)
    write_text(root / run.benchmark, f"s\th:m:s\tmax_rss\n{seconds + run.seed}\t0:00:41\t{900 + 10 * run.seed}\n")


def _write_looks(root: Path, run: Run, random: np.random.Generator, keys: list[str]) -> None:
    """On a grid of patches that is wider than high, with prompts in the softmax of vpt and picks of ship."""
    shares = {"others": 0.1, "patches": 0.9, "prompts": 0.0}
    if run.method == "vpt":
        shares |= {"patches": 0.7, "prompts": 0.2}
    about = {"grid": [3, 4], "first_patch": 1, "probe": run.method == "linear", "block": BLOCKS - 1, "shares": shares}
    images: list[dict[str, Any]] = []
    for key in keys:
        attention = [bytes(line).hex() for line in random.integers(0, 256, (3, 4), dtype=np.uint8)]
        images.append({"key": key, "attention": attention})
        if run.method == "ship":
            images[-1]["picks"] = {"7": [0, 4, 5], "10": [1, 11, 12]}
    write_json(root / run.folder / "looks.json", {**about, "images": images})


def _write_hierarchy(root: Path, backbone: str, task: str, slope: float) -> None:
    away = np.abs(np.subtract.outer(np.arange(BLOCKS), np.arange(BLOCKS)))
    late = 1 + np.add.outer(np.arange(BLOCKS), np.arange(BLOCKS)) / BLOCKS
    hierarchies = [
        {"threshold": 0.8, "first_blocks": [0, 8]},
        {"threshold": 0.92, "first_blocks": [0, 4, 7, 10]},
        {"threshold": 2.0, "first_blocks": list(range(BLOCKS))},
    ]
    affinity = np.clip(1 - slope * away * late, 0, 1).tolist()
    write_json(
        root / hierarchy_file(backbone, task, ".json"),
        {"prototypes": 200, "seed": 0, "affinity": affinity, "hierarchies": hierarchies},
    )
