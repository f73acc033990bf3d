"""The commands that bring data."""

from __future__ import annotations

from ship.artifacts import data_folder
from ship.cli.app import PARAMS, Settings, TaskName, app
from ship.experiment.code import unchanged
from ship.experiment.names import parts
from ship.experiment.params import read_params


@app.command()
def prepare(task: TaskName, params: Settings = PARAMS) -> None:
    """Make a task's images one parquet file per split, checked and lossless."""
    with unchanged("prepare"):
        from ship.data.prepare import prepare as run

        read = read_params(params)
        (task,) = parts(read, task, "task")
        print(*run(task, read.tasks[task], read.data_root, data_folder(task)), sep="\n")
