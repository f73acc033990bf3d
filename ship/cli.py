"""The `ship` command: every step of the workflow, by the names that `params.yaml` gives."""

from __future__ import annotations

import itertools
import json
import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import typer

from ship import cli_data
from ship.artifacts import Run, backbone_file, write_text
from ship.errors import BadInput, unknown
from ship.experiment import presets
from ship.experiment.params import json_schema, read_params
from ship.training.progress import epoch_line, progress

if TYPE_CHECKING:
    from ship.training.loop import Epoch

app = typer.Typer(
    help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
)

Settings = Annotated[Path, typer.Option("--params", help="file with the experiment")]
Task = Annotated[str, typer.Argument(help="a name from `tasks`")]
MethodName = Annotated[str, typer.Argument(help="a name from `methods`")]
Seed = Annotated[int, typer.Argument(min=0, help="one of `grid.seeds`")]
PARAMS = Path("params.yaml")


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


for command in (cli_data.data, cli_data.download, cli_data.prepare):
    app.command()(command)


@app.command()
def backbone(params: Settings = PARAMS) -> None:
    """Fetch the backbone's weights into one file, with their preprocessing."""
    from ship.models.backbones import fetch

    read = read_params(params).backbone
    fetch(read, backbone_file(read.name))


@app.command()
def features(task: Task, params: Settings = PARAMS) -> None:
    """Compute the class token after every block, for the task's training images."""
    from ship.methods.options import check_row
    from ship.models.features import measure_features

    read = read_params(params)
    for row in read.grid.methods:  # before hours of other rows' runs
        check_row(read, row, task)
    measure_features(read, task)


@app.command()
def hierarchy(task: Task, params: Settings = PARAMS) -> None:
    """Group the blocks by the similarity of their features, and find prototypes."""
    from ship.models.hierarchy import measure_hierarchy

    measure_hierarchy(read_params(params), task)


@app.command()
def search(task: Task, method: MethodName, params: Settings = PARAMS) -> None:
    """Write a row's settings on a task: fixed ones, or what its search chooses on val."""
    from ship.experiment.settings import write_settings

    read = read_params(params)
    _named(read.tasks, task, "tasks")
    asked = _named(read.methods, method, "methods").search
    if asked is None:  # without the seconds that torch takes to load
        write_settings(read, task, method)
        return
    from ship.training.search import search_settings

    with progress(asked.total, f"{task} {method}") as show:

        def tell(trial: int, epochs: int, record: Epoch) -> None:
            show(trial + (record.epoch + 1 == epochs), f"trial {trial + 1}/{asked.total}, {epoch_line(record, epochs)}")

        search_settings(read, task, method, tell)


@app.command()
def train(
    task: Task,
    method: MethodName,
    seed: Seed,
    params: Settings = PARAMS,
) -> None:
    """Train on train and val, then predict test once. Goes on where a killed run stopped."""
    from ship.experiment.settings import read_settings
    from ship.training.train import train_run

    read = read_params(params)
    run = Run(task, method, seed)
    _named(read.tasks, task, "tasks")
    _named(read.methods, method, "methods")
    epochs = read_settings(read, task, method).recipe.epochs
    with progress(epochs, f"{task} {method} {seed}") as show:
        train_run(read, run, lambda record: show(record.epoch + 1, epoch_line(record, epochs)))


@app.command()
def predict(
    task: Task,
    method: MethodName,
    seed: Seed,
    images: Annotated[list[Path], typer.Argument(help="image files")],
    params: Settings = PARAMS,
) -> None:
    """Print path, class and probability of images as CSV, by the model that a run tuned."""
    import pandas as pd

    from ship.inference.restore import classify, restore

    compute = read_params(params).compute
    anywhere = compute.model_copy(update={"device": "cpu" if compute.device == "cpu" else "auto"})
    rows = classify(restore(Run(task, method, seed)), images, anywhere)
    print(pd.DataFrame(rows).to_csv(index=False, float_format="%.4f"), end="")


@app.command()
def aggregate(params: Settings = PARAMS) -> None:
    """Put the results of all runs into one table, metrics.json and the plots' data."""
    from ship.report.aggregate import aggregate as run

    run(read_params(params))


@app.command()
def table(
    markdown: Annotated[bool, typer.Option("--markdown", help="as a table for a document")] = False,
) -> None:
    """Print the table of methods and tasks, from what `aggregate` left."""
    from ship.report import aggregate as tables
    from ship.report import text

    if not tables.TABLE.is_file():
        raise BadInput(
            f"{tables.TABLE}: expected the table of an experiment, found none (snakemake, or ship aggregate)"
        )
    summary = tables.read_table(tables.TABLE)
    print(text.markdown_table(summary) if markdown else text.text_table(summary), end="")


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


Row = TypeVar("Row")


def _named(rows: Mapping[str, Row], name: str, key: str) -> Row:
    """The row that `name` names under `key` of params.yaml."""
    if name not in rows:
        raise unknown(f"params.yaml: {key}", name, rows)
    return rows[name]


if __name__ == "__main__":
    main()
