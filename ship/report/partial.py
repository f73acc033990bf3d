"""A page of what is there, where some runs could not be made: what is missing, and why."""

from __future__ import annotations

from pathlib import Path

from ship.experiment.params import Params
from ship.report.aggregate import aggregate
from ship.report.page import write_page
from ship.report.runs import expected_runs
from ship.report.status import check_done, not_done

PARTIAL = Path("report", "partial")
"""The page index.html, and the tables that it shows; apart from results/, which hold whole tables only"""


def write_partial(params: Params, root: Path = Path()) -> Path:
    """Write the page of the runs that are there under `root`; where it lies. Raises BadInput where none is.

    What an older experiment left, in a clone or before an edit, is not there.
    """
    folder = root / PARTIAL
    missing = not_done(params, root)
    if len(missing) == len(expected_runs(params)):
        check_done(params, root)  # which says why
    aggregate(params, root, folder, without=missing)
    write_page(params, root, folder / "index.html", tables=folder, missing=missing)
    return folder / "index.html"
