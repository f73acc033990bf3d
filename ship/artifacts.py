"""Where each artifact of an experiment lies, and what it is called."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

# the files that a run leaves in its folder
TUNED = "tuned.safetensors"  # what was tuned, and all settings: with the backbone, the model
LOG = "log.csv"  # a row an epoch of training
PREDICTIONS = "predictions.parquet"  # a row a test image
LOOKS = "looks.json"  # what it looked at in its most confident mistakes
RESULT = "run.json"  # settings, environment, code, and what came out; written last
OUTPUTS = (TUNED, LOG, PREDICTIONS, LOOKS, RESULT)  # all of them

# the files of a prepared task in its folder, beside its splits
TASK = "task.json"  # classes, splits and where the images come from; written last, so without it a task is not whole
NOTICES = "notices.json"  # what a person should know of the images; no run depends on it

MISTAKES = 12  # the most confident of a run, in its looks.json


def data_folder(task: str) -> Path:
    """train.parquet, val.parquet, test.parquet, notices.json, task.json"""
    return Path("data", task)


def task_file(task: str) -> Path:
    """Classes, splits and where the images come from."""
    return data_folder(task) / TASK


def notices_file(task: str) -> Path:
    """What a person should know of the images."""
    return data_folder(task) / NOTICES


def split_file(task: str, split: str) -> Path:
    """Images and labels of train, val or test."""
    return data_folder(task) / f"{split}.parquet"


def backbone_file(backbone: str) -> Path:
    """Weights of the frozen backbone, with their preprocessing."""
    return Path("backbones", f"{backbone}.safetensors")


def features_file(backbone: str, task: str) -> Path:
    """`blocks` (L, n, D), the class token after every block, and `pooled` (n, D), what a head reads."""
    return Path("features", backbone, f"{task}.safetensors")


def hierarchy_file(backbone: str, task: str, suffix: str = ".safetensors") -> Path:
    """`affinity` (L, L) and `prototypes` (K, D); as .json, affinity and every hierarchy for people."""
    return Path("hierarchy", backbone, f"{task}{suffix}")


def measured_of(backbone: str, task: str, digest: Callable[[Path], str]) -> dict[str, str]:
    """The `digest` of what features and hierarchy of a task are measured of: the backbone and the training images."""
    splits = {name: split_file(task, name) for name in ("train", "val")}
    return {name: digest(path) for name, path in {"backbone": backbone_file(backbone), **splits}.items()}


def settings_file(backbone: str, task: str, method: str) -> Path:
    """The settings that every run of a row on a task has, and how they were chosen; small enough for git."""
    return Path("results", "settings", backbone, task, f"{method}.json")


def search_folder(backbone: str, task: str, method: str) -> Path:
    """What an unfinished search goes on from; there only until it is finished."""
    return Path("searches", backbone, task, method)


def log_file(step: str, *place: str) -> Path:
    """What a step said of a backbone, a task, a row or a run."""
    return Path("logs", step, *place[:-1], f"{place[-1]}.log")


def asked_file(task: str) -> Path:
    """What a task's images were asked for when they were prepared: of this machine, so beside the log."""
    return log_file("prepare", task).with_suffix(".json")


def benchmark_file(step: str, *place: str) -> Path:
    """Snakemake's measurement of a step's seconds and memory; never compared, never cached."""
    return Path("benchmarks", step, *place[:-1], f"{place[-1]}.tsv")


class Run(NamedTuple):
    """One run, backbone x task x method x seed, and its place in every folder that holds runs."""

    backbone: str
    task: str
    method: str
    seed: int

    def __str__(self) -> str:
        """Its one name, as `vit_tiny/own/ship/0`."""
        return "/".join(map(str, self))

    @property
    def row(self) -> tuple[str, str, str]:
        """Backbone, task and row of the comparison, which all seeds have: what settings belong to."""
        return self.backbone, self.task, self.method

    @property
    def folder(self) -> Path:
        """Where its OUTPUTS lie."""
        return Path("runs", str(self))

    @property
    def benchmark(self) -> Path:
        """Snakemake's measurement of it."""
        return benchmark_file("runs", str(self))
