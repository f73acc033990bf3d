"""The commands that compute: each is a rule of the workflow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ship.artifacts import Run, backbone_file
from ship.cli.app import PARAMS, BackboneName, BackboneTask, Row, RunName, Settings, app
from ship.cli.progress import Phases, epoch_line, progress
from ship.experiment.code import unchanged
from ship.experiment.names import parts
from ship.experiment.params import read_params
from ship.locks import alone

if TYPE_CHECKING:
    from ship.training.loop import Epoch


@app.command()
def backbone(name: BackboneName, params: Settings = PARAMS) -> None:
    """Fetch a backbone's weights into one file, with their preprocessing. `list` shows those that have a name here."""
    if name == "list":
        from ship.models.backbones import overview

        print(overview())
        return
    with unchanged("backbone"):
        from ship.models.backbones import fetch

        read = read_params(params)
        (name,) = parts(read, name, "backbone")
        fetch(name, read.backbones[name], backbone_file(name))


@app.command()
def features(place: BackboneTask, params: Settings = PARAMS) -> None:
    """Compute the class token after every block, for the task's training images."""
    with unchanged("features"):
        from ship.data.asked import check_asked
        from ship.methods.options import check_row
        from ship.models.features import measure_features

        read = read_params(params)
        name, task = parts(read, place, "backbone", "task")
        for row in read.grid.methods:  # before hours of other rows' runs
            check_row(read, row, task)
        check_asked(read, task)
        measure_features(read, name, task)


@app.command()
def hierarchy(place: BackboneTask, params: Settings = PARAMS) -> None:
    """Group the blocks by the similarity of their features, and find prototypes."""
    with unchanged("hierarchy"):
        from ship.models.hierarchy import measure_hierarchy

        read = read_params(params)
        measure_hierarchy(read, *parts(read, place, "backbone", "task"))


@app.command()
def search(row: Row, params: Settings = PARAMS) -> None:
    """Write a row's settings on a task: those that its search finds best on val, or its own where it has no search."""
    from ship.experiment.settings import write_settings

    read = read_params(params)
    name, task, method = parts(read, row, "backbone", "task", "method")
    asked = read.methods[method].search
    if asked is None:  # without the seconds that torch takes to load
        with unchanged("settings"):
            write_settings(read, name, task, method)
        return
    with unchanged("search", read.methods[method].method) as code, progress(asked.total, row) as show:
        from ship.data.asked import check_asked
        from ship.methods.options import check_row
        from ship.training.search import search_settings

        check_row(read, method, task)
        check_asked(read, task)

        def tell(trial: int, epochs: int, record: Epoch) -> None:
            done = trial + (record.epoch + 1 == epochs)
            show(done, f"trial {trial + 1}/{asked.total}, {epoch_line(record, epochs)}")

        search_settings(read, name, task, method, tell, code)


@app.command()
def train(run: RunName, params: Settings = PARAMS) -> None:
    """Train on train and val, then predict test (once, under last-epoch). Goes on where a killed run stopped."""
    phases, read = Phases(), read_params(params)
    name, task, method, seed = parts(read, run, "backbone", "task", "method", "seed")
    with unchanged("train", read.methods[method].method) as code:
        with phases("imports"):
            from ship.data.asked import check_asked
            from ship.methods.options import check_row
            from ship.training.train import train_run

        check_row(read, method, task)
        check_asked(read, task)
        place = Run(name, task, method, int(seed))
        with alone(place.folder), progress(1, run) as show:

            def tell(epochs: int, record: Epoch) -> None:
                show((record.epoch + 1) / epochs, epoch_line(record, epochs))

            train_run(read, place, tell, code, phases)
        print(f"{run}: {phases}")
