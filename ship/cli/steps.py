"""The commands that compute: each is a rule of the workflow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ship.artifacts import Run, backbone_file
from ship.cli.app import BackboneName, BackboneTask, BackboneTaskMethod, RunName, app
from ship.cli.progress import Phases, epoch_line, progress
from ship.experiment.code import unchanged
from ship.experiment.names import parts
from ship.experiment.params import read_params

if TYPE_CHECKING:
    from ship.training.loop import Epoch


@app.command()
def backbone(name: BackboneName) -> None:
    """Fetch a backbone's weights, with their preprocessing. `list` shows those that have a name here."""
    if name == "list":
        from ship.models.backbones import overview

        print(overview())
        return
    with unchanged("backbone"):
        from ship.models.backbones import fetch

        params = read_params()
        (name,) = parts(params, name, "backbone")
        fetch(name, params.backbones[name], backbone_file(name))


@app.command()
def features(place: BackboneTask) -> None:
    """Compute the class token of training images after each block."""
    with unchanged("features"):
        from ship.data.asked import check_asked
        from ship.methods.options import check_row
        from ship.models.features import measure_features

        params = read_params()
        name, task = parts(params, place, "backbone", "task")
        for row in params.grid.methods:  # before hours of other rows' runs
            check_row(params, row, task)
        check_asked(params, task)
        measure_features(params, name, task)


@app.command()
def hierarchy(place: BackboneTask) -> None:
    """Group the blocks by similar features, and find prototypes."""
    with unchanged("hierarchy"):
        from ship.models.hierarchy import measure_hierarchy

        params = read_params()
        measure_hierarchy(params, *parts(params, place, "backbone", "task"))


@app.command()
def search(place: BackboneTaskMethod) -> None:
    """Write the settings that a row's search finds best on val. Those of a row without a search are its own."""
    from ship.experiment.settings import write_settings

    params = read_params()
    name, task, method = parts(params, place, "backbone", "task", "method")
    asked = params.methods[method].search
    if asked is None:  # without the seconds that torch takes to load
        with unchanged("settings"):
            write_settings(params, name, task, method)
        return
    with unchanged("search", params.methods[method].method) as code, progress(asked.total, place) as show:
        from ship.data.asked import check_asked
        from ship.training.search import search_settings

        check_asked(params, task)

        def tell(trial: int, epochs: int, record: Epoch) -> None:
            done = trial + (record.epoch + 1 == epochs)
            show(done, f"trial {trial + 1}/{asked.total}, {epoch_line(record, epochs)}")

        search_settings(params, name, task, method, tell, code)


@app.command()
def train(run: RunName) -> None:
    """Train on train and val, then predict test. Goes on where a killed run stopped."""
    phases, params = Phases(), read_params()
    name, task, method, seed = parts(params, run, "backbone", "task", "method", "seed")
    with unchanged("train", params.methods[method].method) as code:
        with phases("imports"):
            from ship.data.asked import check_asked
            from ship.training.train import train_run

        check_asked(params, task)
        with progress(1, run) as show:

            def tell(epochs: int, record: Epoch) -> None:
                show((record.epoch + 1) / epochs, epoch_line(record, epochs))

            train_run(params, Run(name, task, method, int(seed)), tell, code, phases)
        print(f"{run}: {phases}")
