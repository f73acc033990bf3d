"""The command itself: its options, and the names that its steps take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ship.experiment.names import completion
from ship.experiment.version import version

app = typer.Typer(
    help="Every step of the workflow, by the names that `params.yaml` gives.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
PARAMS = Path("params.yaml")


@app.callback(context_settings={"help_option_names": ["-h", "--help"]}, invoke_without_command=True)
def ship(asked: Annotated[bool, typer.Option("--version", help="Print version and commit, and exit.")] = False) -> None:
    """Take the options of the command itself."""
    if asked:
        print(f"ship {version()}")
        raise typer.Exit


def _name(*axes: str) -> Any:
    form = "/".join(axes)
    complete = completion(PARAMS, *axes)
    return typer.Argument(metavar=form.upper(), help=f"as params.yaml names them: {form}", autocompletion=complete)


BackboneName = Annotated[str, _name("backbone")]
TaskName = Annotated[str, _name("task")]
BackboneTask = Annotated[str, _name("backbone", "task")]
BackboneTaskMethod = Annotated[str, _name("backbone", "task", "method")]
RunName = Annotated[str, _name("backbone", "task", "method", "seed")]
