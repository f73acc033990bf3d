"""The `ship` command. It joins the rooms, and is the only one that prints."""

from __future__ import annotations

import atexit
import gc
import logging
import sys

from ship.cli import data, experiment, models, results, steps  # noqa: F401  # they add their commands
from ship.cli.app import app
from ship.cli.deferred import defer_compiler
from ship.errors import BadInput


def main() -> None:
    """Run the command; what a user can put right ends in one line and exit code 2."""
    gc.set_threshold(100_000)  # imports leave many objects that stay: looking through them for garbage takes a second
    atexit.register(_leave)
    defer_compiler()
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    logging.getLogger("ship").setLevel(logging.INFO)
    try:
        app()
    except BadInput as error:
        print(f"ship: {error}", file=sys.stderr)
        sys.exit(2)


def _leave() -> None:
    """Spare the last look for garbage, a second, but where Triton's bindings would call what is left a leak."""
    if "triton" not in sys.modules:
        gc.freeze()
