"""The commands that speak of the experiment as a whole."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from ship.cli.app import PARAMS, app
from ship.experiment import presets, reference
from ship.experiment.code import digests
from ship.experiment.params import defaults, json_schema, parse_params, read_params
from ship.experiment.yaml_file import parse_yaml
from ship.storage import write_json, write_text


@app.command()
def init(
    preset: Annotated[str, typer.Argument(help="name of a preset; `ship init list` shows them")],
    settings: Annotated[list[str] | None, typer.Argument(help="KEY=VALUE, such as data_root=../vtab")] = None,
) -> None:
    """Write a preset to params.yaml, with some keys set to other values; the old file is kept."""
    if preset == "list":
        print(presets.overview())
        return
    from ship.methods.options import check_grid

    text = presets.fill(preset, settings or [])
    params = parse_params(parse_yaml(text, str(PARAMS)))
    check_grid(params)
    if kept := presets.put_aside(PARAMS, text):
        print(
            f"{PARAMS}: what was there is {kept} now; results/ are of that experiment until snakemake has run this one"
        )
    write_text(PARAMS, text)
    for line in presets.unreached(params, settings or []):
        print(f"{PARAMS}: {line}")


@app.command()
def schema(markdown: Annotated[bool, typer.Option("--markdown", help="as a page for people")] = False) -> None:
    """Print the JSON schema of params.yaml, for editors, or what it says as config/README.md."""
    page = reference.markdown(json_schema()) if markdown else json.dumps(json_schema(), indent=2)
    print(page.rstrip("\n"))


@app.command()
def code() -> None:
    """Write code.json, a digest of the code of every step and of every row's method: what DVC's stages depend on."""
    rows = read_params().methods.items()
    write_json("code.json", digests({name: (row.method, row.search is not None) for name, row in rows}, defaults()))


@app.command()
def status() -> None:
    """Say which runs are done, stale, failed, unfinished or missing, and why; a line for all with the same reason."""
    from ship.report.status import lines, notices, statuses

    params = read_params()
    print(*lines(statuses(params)), *notices(params), sep="\n")
