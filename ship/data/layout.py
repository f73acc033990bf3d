"""A prepared task as a folder in the layout of the literature, for users of other codes: lossless. Loads no torch."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from ship.artifacts import TASK
from ship.data.formats import suffixes
from ship.data.reading import opened
from ship.data.sources.lists import LISTS, UNION
from ship.data.sources.splits import SPLITS
from ship.errors import BadInput
from ship.experiment import records
from ship.experiment.records import read_record
from ship.storage import drafted, write_text

KINDS = {
    b"\x89PNG": ".png",
    b"\xff\xd8\xff": ".jpg",
    b"GIF8": ".gif",
    b"BM": ".bmp",
    b"II*\0": ".tif",
    b"MM\0*": ".tif",
}


def write_lists(prepared: Path, folder: Path) -> None:
    """Write train800.txt, val200.txt, train800val200.txt and test.txt with lines `path label`, and the images beside.

    The files have these names whatever the sizes, since that is what readers look for. Images have the bytes of the
    prepared task, under `images/<list>/<key>`, with a suffix where their key has none. The folder must not exist.
    """
    read_record(prepared / TASK, records.Task)  # without it, the splits are not whole
    with drafted(folder) as draft:
        lines = {part: _write_split(prepared / f"{part}.parquet", draft, LISTS[part]) for part in SPLITS}
        for part, rows in lines.items():
            write_text(draft / LISTS[part], "".join(rows))
        write_text(draft / UNION, "".join([*lines["train"], *lines["val"]]))


def _write_split(file: Path, root: Path, list_name: str) -> list[str]:
    """Write the images of a split, a group of rows at a time. Returns the lines of its list."""
    lines = []
    with opened(file) as split:
        for group in range(split.num_row_groups):
            for row in split.read_row_group(group).to_pylist():
                path = PurePosixPath("images", list_name.removesuffix(".txt"), _name(row["key"], row["image"]))
                if ".." in path.parts:
                    raise BadInput(f"{file}: expected keys that stay inside of a folder, got {row['key']!r}")
                place = root / path
                place.parent.mkdir(parents=True, exist_ok=True)
                if place.exists():
                    got = f"{row['key']!r} on another's (rename it, and prepare the task again)"
                    raise BadInput(f"{file}: expected a file of its own for each image, got {got}")
                place.write_bytes(row["image"])
                lines.append(f"{path} {row['label']}\n")
    return lines


def _name(key: str, image: bytes) -> str:
    """The key as a relative path; a key that is no name of an image gets the suffix of its format."""
    path = key.lstrip("/")
    if PurePosixPath(path).suffix.lower() in suffixes():
        return path
    return path + next((suffix for start, suffix in KINDS.items() if image.startswith(start)), "")
