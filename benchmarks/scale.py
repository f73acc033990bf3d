"""What `ship status`, `aggregate`, `table` and `report` cost on VTAB-1k: 19 tasks of their true sizes, 20 methods.

    python benchmarks/scale.py                # 3 seeds, 1,140 runs: seconds, and largest memory of each command
    python benchmarks/scale.py --seeds 4      # 1,520 runs

The runs are made up: the files that runs leave, with random predictions; nothing is trained.
"""

from __future__ import annotations

import argparse
import io
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from PIL import Image

from ship.artifacts import (
    LOG,
    LOOKS,
    PREDICTIONS,
    RESULT,
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
from ship.methods import METHODS
from ship.report.runs import expected_runs
from ship.storage import sha256, write_json, write_text

TEST = {  # images, classes
    "cifar": (10_000, 100),
    "caltech101": (6_084, 102),
    "dtd": (1_880, 47),
    "oxford_flowers102": (6_149, 102),
    "oxford_iiit_pet": (3_669, 37),
    "svhn": (26_032, 10),
    "sun397": (21_750, 397),
    "patch_camelyon": (32_768, 2),
    "eurosat": (5_400, 10),
    "resisc45": (6_300, 45),
    "diabetic_retinopathy": (42_670, 5),
    "clevr_count": (15_000, 8),
    "clevr_dist": (15_000, 6),
    "dmlab": (22_735, 6),
    "kitti": (711, 4),
    "dsprites_loc": (73_728, 16),
    "dsprites_ori": (73_728, 16),
    "smallnorb_azi": (12_150, 18),
    "smallnorb_ele": (12_150, 9),
}
BACKBONE = "vit_base_in21k"
WEIGHTS = 343_000_000  # bytes
EPOCHS, BLOCKS = 100, 12
COMMANDS = ("status", "aggregate", "table", "report")


def main() -> None:
    """Make the experiment in a temporary folder, run each command in it, print what it cost."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--methods", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the experiment stays, and may be already")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        if not (folder / "params.yaml").exists():
            # in a process of its own: the memory of a command would count that of its parent
            maker = multiprocessing.get_context("spawn").Process(target=make, args=(folder, given.methods, given.seeds))
            maker.start()
            maker.join()
            if maker.exitcode:
                sys.exit(maker.exitcode)
        for word in COMMANDS:
            seconds, busy, memory = cost([sys.executable, "-m", "ship.cli", word], folder)
            print(f"ship {word:10} {seconds:6.1f} s, {busy:6.1f} s of a core, {memory / 2**30:.2f} GiB", flush=True)
        print(f"report/index.html {(folder / 'report/index.html').stat().st_size / 1e6:.2f} MB")


def cost(command: list[str], folder: Path) -> tuple[float, float, int]:
    """Seconds on the wall and of a core, and bytes, of a command, which must succeed."""
    begin = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(command)}: expected success, got {os.waitstatus_to_exitcode(status)}")
    return time.perf_counter() - begin, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


def make(root: Path, methods: int, seeds: int) -> None:
    """Write the experiment and all that its runs leave under `root`."""
    raw = yaml.safe_load(Path("presets/vtab1k.yaml").read_text(encoding="utf-8"))
    rows = list(METHODS)[:methods]
    raw["grid"] |= {"methods": rows, "seeds": list(range(seeds))}
    raw["methods"] = {name: {"method": name} for name in rows}
    raw["train"] |= {"epochs": EPOCHS}
    write_text(root / "params.yaml", yaml.safe_dump(raw, sort_keys=False))
    params, code = parse_params(raw), Code()
    weights = root / backbone_file(BACKBONE)
    write_text(weights, "")
    os.truncate(weights, WEIGHTS)
    seen = {"image_size": 224, "interpolation": "bicubic", "mean": [0.5] * 3, "std": [0.5] * 3}
    made_of = {**params.backbones[BACKBONE].model_dump(include={"name", "weights"}), **seen, "sha256": sha256(weights)}
    for task, (images, classes) in TEST.items():
        splits = {name: {"images": size, "sha256": name * 8} for name, size in (("train", 800), ("test", images))}
        names = [f"class {number}" for number in range(classes)]
        write_json(root / task_file(task), {"classes": names, "splits": splits})
        write_photos(root / split_file(task, "test"), images)
        write_text(root / features_file(BACKBONE, task), "")
        write_hierarchy(root, task)
        hard = np.random.default_rng(images).random(images)
        about = {"backbone": made_of, "data": {name: part["sha256"] for name, part in splits.items()}}
        for run in (run for run in expected_runs(params) if run.task == task):
            write_run(root, params, run, names, hard, {**about, "code": code.modules("train", run.method)})


def write_photos(path: Path, images: int) -> None:
    """Test images of soft noise, which have the bytes of photos; a few, again and again."""
    random, files = np.random.default_rng(images), []
    for _ in range(20):
        file = io.BytesIO()
        Image.fromarray(random.integers(0, 256, (24, 24, 3), dtype=np.uint8)).resize((224, 224)).save(file, "JPEG")
        files.append(file.getvalue())
    keys = [f"test/{i:06d}.png" for i in range(images)]
    pq.write_table(pa.table({"key": keys, "image": [files[i % 20] for i in range(images)]}), path, row_group_size=1024)


def write_run(root: Path, params: Params, run: Run, names: list[str], hard: Any, about: dict[str, Any]) -> None:
    """The files of one run: better methods get more of the images right, each seed others."""
    rank = list(METHODS).index(run.method)
    random = np.random.default_rng([rank, run.seed, len(hard)])
    hits = hard + random.normal(0, 0.15, len(hard)) < 0.6 + 0.015 * rank
    labels = random.integers(0, len(names), len(hard))
    keys = [f"test/{i:06d}.png" for i in range(len(hard))]
    predicted = np.where(hits, labels, (labels + 1) % len(names))
    folder, found = root / run.folder, Outcomes(keys, labels, predicted, random.random(len(hard), np.float32), names)
    write_outcomes(folder / PREDICTIONS, found, np.zeros((len(hard), len(names)), np.float16))
    write_looks(folder / LOOKS, run, random, [keys[i] for i in np.flatnonzero(~hits)[:12]])
    epochs = np.arange(EPOCHS)
    loss = 2 * np.exp(-epochs / 30) + random.random(EPOCHS) / 10
    log = {"epoch": epochs, "lr": 1e-3, "loss": loss, "penalty": 0.0, "accuracy": 1 - loss / 3}
    write_text(folder / LOG, pd.DataFrame(log).to_csv(index=False, float_format="%.9g"))
    settings = {
        "options": params.options_of(run.method, run.task),
        "train": params.train_of(run.method, run.task).model_dump(),
    }
    write_json(root / settings_file(*run.row), {**settings, "search": None})
    counts = {
        "test_images": len(hard),
        "tuned_parameters": 10**5 * (rank + 1),
        "tuned_parameters_without_head": 10**5 * rank,
    }
    result = {"accuracy": round(float(hits.mean()), 6), "loss": 0.7, "train_accuracy": 0.9, "epochs": EPOCHS, **counts}
    method, compute = params.methods[run.method].method, params.compute.model_dump()
    says = {
        "run": str(run),
        "method": method,
        **settings,
        "compute": compute,
        "hierarchy": {"prototypes": 200, "seed": 0},
    }
    write_json(folder / RESULT, {**says, **about, "result": result, "environment": {"torch": "2", "device": "cpu"}})
    write_text(root / run.benchmark, f"s\th:m:s\tmax_rss\n{60 + rank}\t0:01:00\t2000\n")


def write_looks(path: Path, run: Run, random: np.random.Generator, keys: list[str]) -> None:
    """As of a ViT-B/16 at 224 px: 14 x 14 patches, of which SHIP picks ten before two blocks."""
    shares = {"others": 0.1, "patches": 0.9, "prompts": 0.0}
    about = {"grid": [14, 14], "first_patch": 1, "probe": False, "block": BLOCKS - 1, "shares": shares}
    images: list[dict[str, Any]] = [
        {"key": key, "attention": [bytes(line).hex() for line in random.integers(0, 256, (14, 14), np.uint8)]}
        for key in keys
    ]
    for image in images if run.method == "ship" else []:
        image["picks"] = {block: random.choice(197, 10, replace=False).tolist() for block in ("8", "10")}
    write_json(path, {**about, "images": images})


def write_hierarchy(root: Path, task: str) -> None:
    """As of a ViT-B/16."""
    away = np.abs(np.subtract.outer(np.arange(BLOCKS), np.arange(BLOCKS)))
    levels = [{"threshold": 0.5 + 0.05 * n, "first_blocks": list(range(0, BLOCKS, 11 - n))} for n in range(10)]
    found = {"prototypes": 200, "seed": 0, "affinity": (1 - 0.04 * away).tolist(), "hierarchies": levels}
    write_json(root / hierarchy_file(BACKBONE, task, ".json"), found)
    write_text(root / hierarchy_file(BACKBONE, task), "")


if __name__ == "__main__":
    main()
