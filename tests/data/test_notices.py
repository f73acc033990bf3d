"""Warnings of images are kept, and nothing else."""

import logging

from ship.data.notices import noticed


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
