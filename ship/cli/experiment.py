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


def _presets(incomplete: str) -> list[str]:
    """What a shell may make of the beginning of a preset's name."""
    there = ["list", *presets.names()] if presets.FOLDER.is_dir() else []
    return [name for name in there if name.startswith(incomplete)]


@app.command()
def init(
    preset: Annotated[
        str, typer.Argument(help="name of a preset; `ship init list` shows them", autocompletion=_presets)
    ],
    settings: Annotated[list[str] | None, typer.Argument(help="KEY=VALUE, such as data_root=../vtab")] = None,
) -> None:
    """Write a preset to params.yaml, with some keys set. The old file is kept."""
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
    """Print the JSON schema of params.yaml, for editors. With --markdown, what it says: config/README.md."""
    page = reference.markdown(json_schema()) if markdown else json.dumps(json_schema(), indent=2)
    print(page.rstrip("\n"))


@app.command()
def code() -> None:
    """Write code.json, on which the stages of DVC depend. It has a digest of the code of every step and row."""
    rows = read_params().methods.items()
    write_json("code.json", digests({name: (row.method, row.search is not None) for name, row in rows}, defaults()))


@app.command()
def status() -> None:
    """Say which runs are done, stale, failed or missing, and why. All runs with the same reason share a line."""
    from ship.report.status import lines, notices, statuses

    params = read_params()
    print(*lines(statuses(params)), *notices(params), sep="\n")
