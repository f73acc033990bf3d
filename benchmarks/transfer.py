"""How well a backbone's features transfer: test accuracy of methods on tasks, pre-trained against random weights.

    python benchmarks/transfer.py PRESET FOLDER --tasks digits textures --methods linear ship --seeds 0 1 2 \
        --weights vit_mini=pretrained random=random early=out.500.safetensors

Every (weights, task, method, seed) is a run of the preset, made by the same functions as the `ship` command; what is in
FOLDER already is not made again. `--vtab` adds tasks that lie on the disk in VTAB's layout, as NAME=PATH. Prints
`weights,task,method,seed,accuracy` lines, then means over seeds with their standard deviation.
"""

from __future__ import annotations

import argparse
import os
import statistics
from pathlib import Path

from ship.artifacts import Run, backbone_file, data_folder, features_file, hierarchy_file, read_json
from ship.data.prepare import prepare
from ship.experiment.params import Params, parse_params, read_params
from ship.experiment.settings import write_settings
from ship.models.backbones import fetch
from ship.models.features import measure_features
from ship.models.hierarchy import measure_hierarchy
from ship.training.train import train_run


def main() -> None:
    options = parse()
    rows: dict[tuple[str, str, str], list[float]] = {}
    home, preset = options.folder.resolve(), options.preset.resolve()
    # a file's path must hold in the folder that its runs are made in
    weights = [
        (name, str(Path(source).resolve()) if Path(source).is_file() else source) for name, source in options.weights
    ]
    for name, source in weights:
        (home / name).mkdir(parents=True, exist_ok=True)
        os.chdir(home / name)
        params = experiment(preset, source, options)
        for task in options.tasks:
            if not features_file(task).exists():
                measure(params, task)
            for method in options.methods:
                for seed in options.seeds:
                    accuracy = result(params, Run(task, method, seed))
                    print(f"{name},{task},{method},{seed},{accuracy:.4f}", flush=True)
                    rows.setdefault((name, task, method), []).append(accuracy)
    for key, found in rows.items():
        spread = statistics.stdev(found) if len(found) > 1 else float("nan")
        print(f"{' '.join(key)}: {100 * statistics.mean(found):.1f} +- {100 * spread:.1f} (n = {len(found)})")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("preset", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tasks", nargs="+", required=True)
    parser.add_argument("--methods", nargs="+", default=["linear"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--weights", nargs="+", type=pair, default=[("vit_mini", "pretrained"), ("random", "random")])
    parser.add_argument("--vtab", nargs="*", type=pair, default=[])
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def pair(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name, value


def experiment(preset: Path, source: str, options: argparse.Namespace) -> Params:
    """The preset with these weights, tasks and threads."""
    raw = read_params(preset).model_dump(exclude_unset=True)
    raw["backbone"]["weights"] = source
    raw["compute"] = {**raw.get("compute", {}), "threads": options.threads, "device": "cpu"}
    raw["tasks"] |= {name: {"source": "vtab", "path": path} for name, path in options.vtab}
    raw["grid"]["tasks"] = options.tasks
    return parse_params(raw, str(preset))


def measure(params: Params, task: str) -> None:
    """Everything that the runs of a task need."""
    if not backbone_file(params.backbone.name).exists():
        fetch(params.backbone, backbone_file(params.backbone.name))
    if not (data_folder(task) / "task.json").exists():
        prepare(task, params.tasks[task], params.data_root, data_folder(task))
    measure_features(params, task)
    if not hierarchy_file(task).exists():
        measure_hierarchy(params, task)


def result(params: Params, run: Run) -> float:
    if not run.result.exists():
        write_settings(params, run.task, run.method)
        train_run(params, run, lambda _: None)
    return float(read_json(run.result)["accuracy"])


if __name__ == "__main__":
    main()
