"""What a prepared task was asked for. It lies beside the log of `prepare`, since it decides no byte of the images."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from ship.artifacts import asked_file, data_folder, task_file
from ship.data.sources.spreadsheet import only_one
from ship.data.sources.tree import Tree
from ship.errors import BadInput
from ship.experiment import records
from ship.experiment.params import Params
from ship.experiment.records import read_record
from ship.experiment.task import OWN
from ship.storage import below, sha256, write_json

LIST = 2**26  # bytes of a file that is read to tell whether it changed


def wanted(params: Params, task: str, root: Path = Path()) -> dict[str, Any]:
    """What decides a task's images, by dotted keys of `params`: its settings, and what lies at its path."""
    return _asked(params, task, contents(params, task, root))


def _asked(params: Params, task: str, there: str) -> dict[str, Any]:
    return {"data_root": params.data_root, **_settings(params, task), **({_place(task): there} if there else {})}


def _settings(params: Params, task: str) -> dict[str, Any]:
    row = params.tasks[task].model_dump(mode="json", exclude={"group"})
    return {f"tasks.{task}.{key}": value for key, value in row.items()}


def contents(params: Params, task: str, root: Path = Path()) -> str:
    """What lies at the path of a task of one's own, in words that change with it; empty for other tasks.

    Of a folder its images, by names and sizes, or its list; of a CSV file what it holds; of an archive its size. Where
    nothing is there that can be read, what was there when the images under `root` were prepared.
    """
    row = params.tasks[task]
    if row.source not in OWN or row.path is None:
        return ""
    place = below(params.data_root, row.path)
    try:
        if place.is_dir():
            return _file_at(only_one(place, row.path)) if row.source == "csv" else _images_in(place)
        return _file_at(place)
    except (BadInput, OSError):
        return str(read_asked(task, root).get(_place(task), ""))


def check_asked(params: Params, task: str) -> None:
    """Raise BadInput where the images that lie there were asked for with other settings of the task than there are now.

    What lies at its path may change while an experiment goes on; Snakemake sees that, and `ship status`.
    """
    then = read_asked(task) if read_record(task_file(task), records.Task) else {}  # which is written last
    for key, value in _settings(params, task).items():
        if key in then and then[key] != value:
            raise BadInput(
                f"{data_folder(task)}: expected images that were prepared with {key} {value}, got those of "
                f"{then[key]} (snakemake --cores all --forcerun prepare)"
            )


def other_contents(params: Params, task: str) -> str:
    """What lay at the path of a task when its images were prepared here, and lies there now; empty for the same."""
    then, now = read_asked(task).get(_place(task)), contents(params, task)
    return f"{_place(task)}: {then}, now {now}" if then not in (None, now) else ""


def write_asked(params: Params, task: str, there: str) -> None:
    """Keep what the images that lie there now were asked for, and the `contents` that they were read from; "" for none.

    What lies at a path may change while it is read, so the contents are those from before.
    """
    write_json(asked_file(task), {"settings": _asked(params, task, there), "images": _splits(task, Path())})


def read_asked(task: str, root: Path = Path()) -> dict[str, Any]:
    """What the images under `root` were asked for; nothing where nobody knows, as after `dvc pull`."""
    path = root / asked_file(task)
    found = read_record(path, records.Asked, f"ship prepare {task}") if path.exists() else {}
    settings: dict[str, Any] = found["settings"] if found and found["images"] == _splits(task, root) else {}
    return settings


def _place(task: str) -> str:
    return f"what is at tasks.{task}.path"


def _images_in(folder: Path) -> str:
    """How many images lie in the folder and below, and a digest of their names and sizes."""
    keys = Tree(folder, str(folder)).images(folder)
    sizes = [f"{key} {(folder / key).stat().st_size}" for key in keys]
    return f"{len(keys)} images, of names and sizes {hashlib.sha256(chr(10).join(sizes).encode()).hexdigest()[:16]}"


def _file_at(path: Path) -> str:
    size = path.stat().st_size
    return f"a file of {size} bytes" + (f", sha256 {sha256(path)[:16]}" if size <= LIST else "")


def _splits(task: str, root: Path) -> dict[str, str]:
    """Digest of every split; none of a task that is not there."""
    path = root / task_file(task)
    splits = read_record(path, records.Task)["splits"] if path.exists() else {}
    return {split: about["sha256"] for split, about in splits.items()}
