"""What a prepared task was asked for. It lies beside the log of `prepare`, since it decides no byte of the images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ship.artifacts import data_folder, read_json, write_json
from ship.experiment.params import Params


def wanted(params: Params, task: str) -> dict[str, Any]:
    """The settings that decide a task's images, by dotted keys of `params`."""
    settings = params.tasks[task].model_dump(mode="json", exclude={"group"})
    return {"data_root": params.data_root, **{f"tasks.{task}.{key}": value for key, value in settings.items()}}


def write_asked(params: Params, task: str) -> None:
    """Keep what the images that lie there now were asked for."""
    write_json(_file(task), {"settings": wanted(params, task), "images": _images(task, Path())})


def read_asked(task: str, root: Path = Path()) -> dict[str, Any]:
    """What the images under `root` were asked for; nothing where nobody knows, as after `dvc pull`."""
    path = root / _file(task)
    found = read_json(path) if path.exists() else {}
    settings: dict[str, Any] = found["settings"] if found and found["images"] == _images(task, root) else {}
    return settings


def _file(task: str) -> Path:
    return Path("logs", "prepare", f"{task}.json")


def _images(task: str, root: Path) -> dict[str, str]:
    """Digest of every split; none of a task that is not there."""
    path = root / data_folder(task) / "task.json"
    splits = read_json(path)["splits"] if path.exists() else {}
    return {split: about["sha256"] for split, about in splits.items()}
