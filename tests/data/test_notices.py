"""Warnings of images are kept, and nothing else."""

import ast
import logging

from ship.data.notices import noticed
from ship.experiment.code import PACKAGE


def test_warnings_are_kept_without_places_each_once():
    """The place is of this machine; what another room warns of is none of the images."""
    here = logging.getLogger("ship.data.sources.lists")
    with noticed() as words:
        here.warning("%s: %d images are odd", "/home/me: here/list.csv", 3)
        here.warning("%s: %d images are odd", "elsewhere", 3)
        here.warning("all are odd")
        here.info("%s: read", "list.csv")
        logging.getLogger("ship.models").warning("of another room")
    here.warning("after the end")
    assert words == ["3 images are odd", "all are odd"]


def test_what_a_program_wants_to_hear_decides_nothing(tmp_path):
    """What is kept is compared with what another machine kept."""
    package = logging.getLogger("ship")
    before = package.level
    package.setLevel(logging.ERROR)
    try:
        with noticed() as words:
            logging.getLogger("ship.data.inspection").warning("%s: odd", "own")
    finally:
        package.setLevel(before)
    assert words == ["odd"]
    assert logging.getLogger("ship.data").level == logging.NOTSET


def test_a_warning_names_its_place_first():
    """It is left out of what is kept, since it is of this machine."""
    texts = [ast.unparse(call.args[0]) for path in (PACKAGE / "data").rglob("*.py") for call in warnings_of(path)]
    assert len(texts) > 4
    assert all(text[1:].startswith("%s: ") for text in texts), texts  # after its quotation mark


def warnings_of(path):
    """The calls of a module that warn."""
    calls = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
    return [call for call in calls if ast.unparse(call.func) == "_log.warning"]
