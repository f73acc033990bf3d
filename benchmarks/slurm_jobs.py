"""What it costs to send runs to Slurm: 57 short runs as single jobs, in groups, and in one process.

    tests/install_slurm; python benchmarks/slurm_jobs.py [--runs 57] [--groups 8 19]

Starts the tests' Slurm (three counted GPUs, none in truth) and trains the embedded backbone on few
images for an epoch, so that nearly all of the time is start-up. Everything before the runs is made beforehand. Prints
seconds, and seconds a run, of each way.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from cluster import Cluster, describe, obstacle
from project import environment_of, make_project

SNAKEMAKE = ["snakemake", "--profile", "slurm", "--quiet", "all", "--allowed-rules", "train", "--forcerun", "train"]
RUNS = "runs/vit_mini/digits/ship"
POLL = ["--slurm-init-seconds-before-status-checks", "5"]
LOOP = """
from ship.experiment.params import read_params
from ship.artifacts import Run
from ship.training.train import train_run
params = read_params("params.yaml")
for seed in params.grid.seeds:
    train_run(params, Run("vit_mini", "digits", "ship", seed), lambda epochs, record: None)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=57)
    parser.add_argument("--groups", type=int, nargs="*", default=[8, 19])
    options = parser.parse_args()
    if lack := obstacle():
        sys.exit(f"no Slurm: {lack}")
    with tempfile.TemporaryDirectory() as place:
        folder = experiment(Path(place) / "project", options.runs)
        with Cluster(Path(place) / "slurm").up():
            measure("single jobs", folder, [*SNAKEMAKE, *POLL], options.runs)
            measure("one array of jobs", folder, [*SNAKEMAKE, *POLL, "--slurm-array-jobs", "train"], options.runs)
            for size in options.groups:
                group = ["--groups", "train=runs", "--group-components", f"runs={size}"]
                measure(f"groups of {size}", folder, [*SNAKEMAKE, *POLL, *group], options.runs)
        measure("one process", folder, [sys.executable, "-c", LOOP], options.runs)


def experiment(folder: Path, runs: int) -> Path:
    """One small task, one method and many seeds; all but the runs is made."""
    task = {"source": "builtin", "train": 80, "val": 20, "test": 50}
    settings = {"grid.tasks": ["digits"], "grid.methods": ["ship"], "grid.seeds": list(range(runs))}
    backbone = {"grid.backbones": ["vit_mini"], "backbones": {"vit_mini": {"name": "vit_mini"}}, "tasks.digits": task}
    make_project(
        folder, {**settings, **backbone, "train.epochs": 1, "train.warmup_epochs": 0, "compute.device": "auto"}
    )
    describe(folder, jobs=100)
    subprocess.run(
        ["snakemake", "--cores", "2", "--quiet", "all", "--", "results/settings/vit_mini/digits/ship.json"],
        cwd=folder,
        env=environment_of(folder),
        check=True,
    )
    return folder


def measure(name: str, folder: Path, command: list[str], runs: int) -> None:
    """Time a way to make all runs."""
    shutil.rmtree(folder / "runs", ignore_errors=True)
    targets = [f"{RUNS}/{seed}/run.json" for seed in range(runs)] if command[0] == "snakemake" else []
    start = time.monotonic()
    with (folder / "said").open("wb") as said:
        code = subprocess.run(
            [*command, *(["--", *targets] if targets else [])],
            cwd=folder,
            env=environment_of(folder),
            stdout=said,
            stderr=said,
            check=False,
        ).returncode
    seconds = time.monotonic() - start
    made = len(list(folder.glob(f"{RUNS}/*/run.json")))
    print(f"{name}: {seconds:.0f} s for {made} of {runs} runs, {seconds / runs:.1f} s a run, exit {code}", flush=True)
    if code:
        print((folder / "said").read_text()[-3000:])


if __name__ == "__main__":
    main()
