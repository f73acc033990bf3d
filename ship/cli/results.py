"""The commands that show what came out."""

from __future__ import annotations

import shutil
from typing import Annotated

import typer

from ship.cli.app import app
from ship.errors import BadInput
from ship.experiment.params import read_params


@app.command()
def aggregate() -> None:
    """Put the results of all runs into one table. With it come metrics.json and the plots' data."""
    from ship.report.aggregate import aggregate as run
    from ship.report.status import check_done

    params = read_params()
    check_done(params)
    run(params)


@app.command()
def table(
    markdown: Annotated[bool, typer.Option("--markdown", help="as a table for a document")] = False,
) -> None:
    """Print the table of methods and tasks. It is what `aggregate` left; that of other runs is refused."""
    from ship.report import text
    from ship.report.aggregate import TABLE, by_backbone, of_these_runs, read_table
    from ship.report.status import check_done

    params = read_params()
    check_done(params)
    if not of_these_runs(params):
        raise BadInput(f"{TABLE}: expected the results of the runs here, found none or others' (ship aggregate)")
    width = shutil.get_terminal_size((text.WIDTH, 1)).columns
    for number, (name, rows) in enumerate(by_backbone(read_table(TABLE)).items()):
        print(("\n" if number else "") + text.caption(name, params), end="\n\n")
        print(text.markdown_table(rows) if markdown else text.text_table(rows, width), end="")


@app.command()
def report(
    partial: Annotated[bool, typer.Option("--partial", help="to report/partial/, of the runs that there are")] = False,
) -> None:
    """Make the page report/index.html of results/. They are computed again where they are of other runs."""
    from ship.report.aggregate import aggregate as again
    from ship.report.aggregate import of_these_runs
    from ship.report.page import write_page
    from ship.report.partial import write_partial
    from ship.report.status import check_done

    params = read_params()
    if partial:
        print(f"what is there, and why the rest is not: {write_partial(params)}")
    else:
        check_done(params)
        if not of_these_runs(params):  # as after `git checkout results`, which Snakemake takes for a change of an input
            again(params)
            print("results/ were not of these runs: made again")
        write_page(params)
