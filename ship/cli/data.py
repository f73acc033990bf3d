"""The commands that bring data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
        print(*run(task, read.tasks[task], read.data_root, data_folder(task), Path(read.archives)), sep="\n")


@app.command()
def lists(task: TaskName, folder: Annotated[Path, typer.Argument(help="a new one")]) -> None:
    """Write a prepared task in the layout of the literature (images/, train800.txt ...), for other codes; lossless."""
    from ship.data.layout import write_lists

    write_lists(data_folder(task), folder)
