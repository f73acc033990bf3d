"""The data sets of VTAB-1k and FGVC, one row a task, and the archives that they are made of. Loads no torch."""

from __future__ import annotations

from ship.data.sources.addresses import ARCHIVES
from ship.data.sources.fgvc import FGVC
from ship.data.sources.rows import Archive, Source
from ship.data.sources.vtab1k import VTAB1K

__all__ = ["ARCHIVES", "SOURCES", "Archive", "Source"]

SOURCES: dict[str, Source] = {**VTAB1K, **FGVC}
