"""The `ship` command. It joins the rooms, and is the only one that prints."""

from __future__ import annotations

import atexit
import gc
import logging
import os
import sys
from pathlib import Path

from PIL import Image

from ship.cli import data, experiment, models, results, steps  # noqa: F401  # they add their commands
from ship.cli.app import app
from ship.cli.deferred import defer_compiler
from ship.errors import BadInput
from ship.storage import is_full


def main() -> None:
    """Run the command; what a user can put right ends in one line and exit code 2."""
    _open_streams()
    gc.set_threshold(100_000)  # imports leave many objects that stay: looking through them for garbage takes a second
    atexit.register(_leave)
    defer_compiler()
    Image.MAX_IMAGE_PIXELS = None  # the setting `pixels` is the limit; a program that imports ship has its own
    handler = logging.StreamHandler()
    handler.setFormatter(_Lines())
    logging.basicConfig(handlers=[handler])
    logging.getLogger("ship").setLevel(logging.INFO)
    try:
        app()
    except BadInput as error:
        print(f"ship: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if not is_full(error):
            raise
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115  # else what is left is tried again at the end
        print(f"ship: {error.filename or 'output'}: expected room on its disk, got: {error.strerror}", file=sys.stderr)
        sys.exit(2)


class _Lines(logging.Formatter):
    """A message a line, of which a warning says that it is one."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return f"warning: {text}" if record.levelno == logging.WARNING else text


def _open_streams() -> None:
    """Let those that the caller has closed lead nowhere."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115


def _leave() -> None:
    """Spare the last look for garbage, a second, but where Triton's bindings would call what is left a leak."""
    if "triton" not in sys.modules:
        gc.freeze()
