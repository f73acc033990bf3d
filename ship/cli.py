"""The `ship` command: every step of the workflow, by the names that `params.yaml` gives."""

from __future__ import annotations

import itertools
import json
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ship.artifacts import Run, backbone_file, data_folder, write_json, write_text
from ship.errors import BadInput
from ship.experiment import presets
from ship.experiment.code import digests, unchanged
from ship.experiment.names import completion, parts
from ship.experiment.params import json_schema, read_params
from ship.inference import command
from ship.training.progress import epoch_line, progress

if TYPE_CHECKING:
    from ship.training.loop import Epoch

app = typer.Typer(help=__doc__, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)

Settings = Annotated[Path, typer.Option("--params", help="file with the experiment")]
PARAMS = Path("params.yaml")


def _name(*axes: str) -> Any:
    form = "/".join(axes)
    complete = completion(PARAMS, *axes)
    return typer.Argument(metavar=form.upper(), help=f"as params.yaml names them: {form}", autocompletion=complete)


BackboneName = Annotated[str, _name("backbone")]
TaskName = Annotated[str, _name("task")]
BackboneTask = Annotated[str, _name("backbone", "task")]
Row = Annotated[str, _name("backbone", "task", "method")]
RunName = Annotated[str, _name("backbone", "task", "method", "seed")]


@app.command()
def init(
    preset: Annotated[str, typer.Argument(help="name of a preset; `ship init list` shows them")],
    settings: Annotated[list[str] | None, typer.Argument(help="KEY=VALUE, such as data_root=../vtab")] = None,
    path: Settings = PARAMS,
) -> None:
    """Write a preset to params.yaml, with some keys set to other values; the old file is kept."""
    if preset == "list":
        print(presets.overview())
        return
    text = presets.fill(preset, settings or [])
    if path.exists() and path.read_bytes() != text.encode():
        names = (path.with_name(f"{path.name}.before{number}") for number in itertools.count(1))
        path.replace(kept := next(name for name in names if not name.exists()))
        print(f"{path}: what was there is {kept} now")
    write_text(path, text)


@app.command()
def schema() -> None:
    """Print the JSON schema of params.yaml, for editors."""
    print(json.dumps(json_schema(), indent=2))


@app.command()
def code(params: Settings = PARAMS) -> None:
    """Write code.json, a digest of the code of every step and of every row's method: what DVC's stages depend on."""
    write_json("code.json", digests({name: row.method for name, row in read_params(params).methods.items()}))


@app.command()
def prepare(task: TaskName, params: Settings = PARAMS) -> None:
    """Make a task's images one parquet file per split, checked and lossless."""
    with unchanged("prepare"):
        from ship.data.prepare import prepare as run

        read = read_params(params)
        (task,) = parts(read, task, "task")
        run(task, read.tasks[task], read.data_root, data_folder(task))


@app.command()
def backbone(name: BackboneName, params: Settings = PARAMS) -> None:
    """Fetch a backbone's weights into one file, with their preprocessing."""
    with unchanged("backbone"):
        from ship.models.backbones import fetch

        read = read_params(params)
        (name,) = parts(read, name, "backbone")
        fetch(read.backbones[name], backbone_file(name))


@app.command()
def features(place: BackboneTask, params: Settings = PARAMS) -> None:
    """Compute the class token after every block, for the task's training images."""
    with unchanged("features"):
        from ship.methods.options import check_row
        from ship.models.features import measure_features

        read = read_params(params)
        name, task = parts(read, place, "backbone", "task")
        for row in read.grid.methods:  # before hours of other rows' runs
            check_row(read, row, task)
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
        write_settings(read, name, task, method)
        return
    with unchanged("search", read.methods[method].method), progress(asked.total, row) as show:
        from ship.training.search import search_settings

        def tell(trial: int, epochs: int, record: Epoch) -> None:
            done = trial + (record.epoch + 1 == epochs)
            show(done, f"trial {trial + 1}/{asked.total}, {epoch_line(record, epochs)}")

        search_settings(read, name, task, method, tell)


@app.command()
def train(run: RunName, params: Settings = PARAMS) -> None:
    """Train on train and val, then predict test once. Goes on where a killed run stopped."""
    from ship.experiment.settings import read_settings

    read = read_params(params)
    name, task, method, seed = parts(read, run, "backbone", "task", "method", "seed")
    epochs = read_settings(read, name, task, method).recipe.epochs
    with unchanged("train", read.methods[method].method) as code, progress(epochs, run) as show:
        from ship.training.train import train_run

        def tell(record: Epoch) -> None:
            show(record.epoch + 1, epoch_line(record, epochs))

        train_run(read, Run(name, task, method, int(seed)), tell, code)


app.command()(command.predict)
app.command()(command.export)


@app.command()
def aggregate(params: Settings = PARAMS) -> None:
    """Put the results of all runs into one table, metrics.json and the plots' data."""
    from ship.report.aggregate import aggregate as run

    run(read_params(params))


@app.command()
def table(
    params: Settings = PARAMS,
    markdown: Annotated[bool, typer.Option("--markdown", help="as a table for a document")] = False,
) -> None:
    """Print the table of methods and tasks, from what `aggregate` left. Refuses that of another experiment."""
    from ship.report import text
    from ship.report.aggregate import TABLE, by_backbone, read_table
    from ship.report.stale import check_current

    read = read_params(params)
    check_current(read)
    for number, (name, rows) in enumerate(by_backbone(read_table(TABLE)).items()):
        print(("\n" if number else "") + text.caption(name, read), end="\n\n")
        print(text.markdown_table(rows) if markdown else text.text_table(rows), end="")


@app.command()
def report(
    params: Settings = PARAMS,
    partial: Annotated[bool, typer.Option("--partial", help="to report/partial/, of the runs that there are")] = False,
) -> None:
    """Make the page report/index.html of what `aggregate` left."""
    from ship.report.page import write_page
    from ship.report.partial import write_partial
    from ship.report.stale import check_current

    read = read_params(params)
    if partial:
        print(f"what is there, and why the rest is not: {write_partial(read)}")
    else:
        check_current(read)
        write_page(read)


@app.command()
def pretrain(
    preset: Annotated[Path, typer.Argument(help="such as presets/pretrain_vit_mini.yaml")],
    out: Annotated[Path, typer.Argument(help="the weights, a .safetensors file")],
    device: Annotated[
        Literal["cpu", "cuda"], typer.Option(help="what to train on; cpu alone repeats its bits")
    ] = "cpu",
    workers: Annotated[int, typer.Option(min=0, help="processes that draw images")] = 2,
) -> None:
    """Make the embedded backbone again, on images that are drawn by formulas. Goes on where a killed run stopped."""
    from ship.pretrain.settings import load
    from ship.pretrain.training import pretrain as run

    settings = load(preset)
    with progress(settings.last, preset.stem) as show:
        for record in run(settings, out, device=device, workers=workers):
            done = f"step {record.step}/{settings.last}"
            show(record.step, f"{done}, loss {record.loss:.4f}, {record.accuracy:.1%} right")


def main() -> None:
    """Run the command; what a user can put right ends in one line and exit code 2."""
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    logging.getLogger("ship").setLevel(logging.INFO)
    try:
        app()
    except BadInput as error:
        print(f"ship: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
