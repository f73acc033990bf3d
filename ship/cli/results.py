"""The commands that show what came out."""

from __future__ import annotations

from typing import Annotated

import typer

from ship.cli.app import PARAMS, Settings, app
from ship.experiment.params import read_params


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
