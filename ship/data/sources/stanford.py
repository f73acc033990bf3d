"""Stanford Dogs and Stanford Cars, whose lists are MATLAB files. Loads no torch."""

from __future__ import annotations

import io
from functools import partial
from pathlib import Path
from typing import IO

from ship.data.sources import arrays
from ship.data.sources.packed import labelled, members, pick, pictures
from ship.data.sources.rows import Content, Files, Images, Wanted
from ship.errors import BadInput


def dogs(files: Files) -> Content:
    """Stanford Dogs: folders such as `n02085620-Chihuahua`, in the order of their names."""
    place, lists = files["images.tar"], files["lists.tar"]
    found = pick(lists, ["train_list.mat", "test_list.mat"], lists.name)
    keys = {
        name.partition("_")[0]: [str(row) for row in arrays.matlab(io.BytesIO(data), "file_list", name)]
        for name, data in found.items()
    }
    folders = sorted({key.partition("/")[0] for key in keys["train"]})
    rank = {folder: label for label, folder in enumerate(folders)}
    labels = {}
    for split, rows in keys.items():
        if odd := [key for key in rows if key.partition("/")[0] not in rank]:
            raise BadInput(f"{lists.name}: expected classes of train in {split}, got {odd[0]}")
        labels[split] = labelled(((key, rank[key.partition("/")[0]]) for key in rows), f"{lists.name}: {split}")
    opened = partial(members, place, place.name)
    images = partial(pictures, opened, place.name, lambda _, key: f"Images/{key}")
    return Content(labels, images, [folder.partition("-")[2] for folder in folders])


def cars(files: Files) -> Content:
    """Stanford Cars: annotations of a box, a class from 1, and a file's name."""
    kit = files["car_devkit.tgz"]
    names = ["devkit/cars_train_annos.mat", "devkit/cars_meta.mat"]
    found = pick(kit, names, kit.name)
    lists: dict[str, IO[bytes] | Path] = {
        "train": io.BytesIO(found[names[0]]),
        "test": files["cars_test_annos_withlabels.mat"],
    }
    titles = [str(name) for name in arrays.matlab(io.BytesIO(found[names[1]]), "class_names", names[1])]
    labels = {}
    for split, place in lists.items():
        rows = arrays.matlab(place, "annotations", f"annotations of {split}")
        if not {"class", "fname"} <= set(rows.dtype.names or ()):
            raise BadInput(f"annotations of {split}: expected the fields class and fname, got {rows.dtype.names}")
        pairs = [(f"cars_{split}/{row['fname']}", int(row["class"]) - 1) for row in rows]
        labels[split] = labelled(pairs, f"annotations of {split}")

    def images(wanted: Wanted) -> Images:
        for split in labels:
            place = files[f"cars_{split}.tgz"]
            opened = partial(members, place, place.name)
            yield from pictures(opened, place.name, _itself, {split: wanted.get(split, set())})

    return Content(labels, images, titles)


def _itself(_: str, key: str) -> str:
    return key
