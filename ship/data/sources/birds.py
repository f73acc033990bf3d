"""CUB-200-2011 and NABirds, whose lists have one form: an image's number, and what is said of it. Loads no torch."""

from __future__ import annotations

from functools import partial

from ship.data.sources.packed import labelled, lines, members, pick, pictures
from ship.data.sources.rows import Content, Files
from ship.errors import BadInput

LISTS = ("images.txt", "image_class_labels.txt", "train_test_split.txt", "classes.txt")


def cub200(files: Files) -> Content:
    """CUB-200-2011: classes such as `001.Black_footed_Albatross`, numbered from 1."""
    return _birds(files, "CUB_200_2011")


def nabirds(files: Files) -> Content:
    """NABirds: 555 of the numbers of a hierarchy of species have images."""
    return _birds(files, "nabirds")


def _birds(files: Files, top: str) -> Content:
    """A class's label is the rank of its number among those that have images."""
    (place,) = files.values()
    names = [f"{top}/{name}" for name in LISTS]
    found = pick(place, names, place.name)
    paths, numbers, trained, titles = (_table(found[name], f"{place.name}: {name}") for name in names)
    if odd := sorted((paths.keys() ^ numbers.keys()) | (paths.keys() ^ trained.keys())):
        raise BadInput(f"{place.name}: expected the image {odd[0]} in each of its lists, found it in some")
    if odd := sorted(number for number in set(numbers.values()) if not number.isdecimal()):
        raise BadInput(f"{place.name}: expected numbers of classes in {names[1]}, got {odd[0]!r}")
    used = sorted(set(numbers.values()), key=int)
    if lacking := [number for number in used if number not in titles]:
        raise BadInput(f"{place.name}: expected the name of class {lacking[0]} in classes.txt, found none")
    rank = {number: label for label, number in enumerate(used)}
    labels = {
        split: labelled(
            ((paths[image], rank[number]) for image, number in numbers.items() if trained[image] == flag), place.name
        )
        for split, flag in (("train", "1"), ("test", "0"))
    }
    opened = partial(members, place, place.name)
    images = partial(pictures, opened, place.name, lambda _, key: f"{top}/images/{key}")
    return Content(labels, images, [titles[number] for number in used])


def _table(data: bytes, shown: str) -> dict[str, str]:
    """What follows the first word of each line, by that word."""
    rows = [line.partition(" ") for line in lines(data, shown)]
    if odd := [number for number, _, rest in rows if not rest.strip()]:
        raise BadInput(f"{shown}: expected lines of a number and a value, got {odd[0]!r}")
    return {number: rest.strip() for number, _, rest in rows}
