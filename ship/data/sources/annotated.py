"""Data sets whose labels are computed from annotations, by the rules of task_adaptation. Loads no torch."""

from __future__ import annotations

import codecs
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ship.data.sources import draw
from ship.data.sources.packed import Member, labelled, lines, members, pick, pictures, read, unfolded
from ship.data.sources.rows import Content, Files, Images, Wanted
from ship.data.sources.tfrecord import example, records
from ship.errors import BadInput

CLEVR = {"train": "train", "validation": "val"}
NEAREST = np.array([8, 8.5, 9, 9.5, 10], np.float32)  # distances in CLEVR, and 8 and 20 metres in KITTI
VEHICLES = ("Car", "Van", "Truck")
KITTI_IMAGE = "training/image_2/{}"


def clevr_count(files: Files) -> Content:
    """CLEVR: the number of objects, three to ten."""
    return _clevr(files, lambda objects: len(objects) - 3, [f"{count} objects" for count in range(3, 11)])


def clevr_dist(files: Files) -> Content:
    """CLEVR: the distance of the nearest object, as float32."""
    edges = ["up to 8", "8 to 8.5", "8.5 to 9", "9 to 9.5", "9.5 to 10", "more than 10"]
    return _clevr(files, nearest_object, edges)


def nearest_object(objects: list[dict[str, Any]]) -> int:
    """The class of the least distance: how many of the edges 8, 8.5, ... 10 are less than it."""
    return int((np.float32(min(one["pixel_coords"][2] for one in objects)) > NEAREST).sum())


def nearest_vehicle(annotations: list[str]) -> int:
    """KITTI: 0 up to 8 m, 1 up to 20 m, 2 beyond, 3 without any car, van or truck; z is the 14th field of a line."""
    rows = [line.split(" ") for line in annotations]
    depths = [np.float32(row[13]) for row in rows if row[0] in VEHICLES]
    return sum(bool(min(depths) > np.float32(edge)) for edge in (8, 20)) if depths else 3


def kitti(files: Files) -> Content:
    """KITTI: the 7,481 labelled images, split by the drive that they are taken from."""
    images, notes, kit = files.values()
    names = ("mapping/train_rand.txt", "mapping/train_mapping.txt")
    order, drives = (lines(data, f"{kit.name}: {name}") for name, data in pick(kit, names, kit.name).items())
    numbers = [int(number) - 1 for line in order for number in line.split(",") if number.strip()]
    taken = defaultdict(list)
    for image, number in enumerate(numbers):
        if not 0 <= number < len(drives):
            raise BadInput(f"{kit.name}: expected numbers of the {len(drives)} lines of {names[1]}, got {number + 1}")
        taken[drives[number].split(" ")[1]].append(image)
    found = {
        PurePosixPath(member.name).stem: nearest_vehicle(lines(read(member, notes.name), member.name))
        for member in members(notes, notes.name)
        if re.fullmatch(r"training/label_2/\d{6}\.txt", member.name)
    }
    if lacking := [image for image in range(len(numbers)) if f"{image:06}" not in found]:
        raise BadInput(f"{notes.name}: expected training/label_2/{lacking[0]:06}.txt in it, found none")
    labels = {
        split: {f"{image:06}.png": found[f"{image:06}"] for image in chosen}
        for split, chosen in draw.kitti(taken).items()
    }
    opened = partial(members, images, images.name)
    classes = ["up to 8 m", "8 to 20 m", "more than 20 m", "no vehicle"]
    return Content(labels, partial(pictures, opened, images.name, lambda _, key: KITTI_IMAGE.format(key)), classes)


def dmlab(files: Files) -> Content:
    """DMLab: TFRecords with image, filename and label, for each split some files."""
    (place,) = files.values()

    def passed(splits: list[str]) -> Iterator[tuple[str, bytes, str]]:
        for member in members(place, place.name):
            file = PurePosixPath(member.name).name
            for split in splits:
                if file.startswith(f"dmlab-{split}.tfrecord"):
                    shown = f"{place.name}: {member.name}"
                    with unfolded(member, place.name) as content:
                        yield from ((split, message, shown) for message in records(content, shown))

    def picture(message: bytes, shown: str) -> bytes:
        return bytes(example(message, shown)["image"])

    def images(wanted: Wanted) -> Images:
        order = {split: iter(labels[split]) for split, keys in wanted.items() if keys}
        for split, message, shown in passed([*order]):
            if (key := next(order[split])) in wanted[split]:
                yield split, key, partial(picture, message, shown)

    rows: dict[str, list[tuple[str, int]]] = {"train": [], "validation": [], "test": []}
    for split, message, shown in passed([*rows]):
        found: dict[str, Any] = example(message, shown)
        if lacking := {"image", "filename", "label"} - found.keys():
            raise BadInput(f"{shown}: expected image, filename and label, got no {min(lacking)}")
        rows[split].append((found["filename"].decode(), found["label"]))
    labels = {split: labelled(pairs, f"{place.name}: {split}") for split, pairs in rows.items()}
    return Content(labels, images, [str(label) for label in range(6)])


def _clevr(files: Files, rule: Callable[[list[dict[str, Any]]], int], classes: list[str]) -> Content:
    """The scenes name the image that each is of; those of train and validation are in the archive."""
    (place,) = files.values()
    left = {f"CLEVR_v1.0/scenes/CLEVR_{part}_scenes.json": split for split, part in CLEVR.items()}
    labels: dict[str, dict[str, int]] = {}
    for member in members(place, place.name):
        if member.name in left:
            rows = ((scene["image_filename"], rule(scene["objects"])) for scene in _scenes(member, place))
            labels[left.pop(member.name)] = labelled(rows, f"{place.name}: {member.name}")
    if left:
        raise BadInput(f"{place.name}: expected {', '.join(left)} in it, found none (is it another version?)")

    def path(split: str, key: str) -> str:
        return f"CLEVR_v1.0/images/{CLEVR[split]}/{key}"

    return Content(labels, partial(pictures, partial(members, place, place.name), place.name, path), classes)


def _scenes(member: Member, place: Path) -> Iterator[dict[str, Any]]:
    """The scenes of a file of some 200 MB, one after the other: as a whole it would fill the memory."""
    decoder, text, started = json.JSONDecoder(), "", False
    with unfolded(member, place.name) as content:
        pieces = iter(partial(content.read, 2**20), b"")
        for piece in codecs.iterdecode(pieces, "utf-8"):
            text += piece
            if not started:
                found = re.search(r'"scenes"\s*:\s*\[', text)
                text, started = (text[found.end() :], True) if found else (text[-64:], False)
            while started:
                text = text.lstrip(" \n\r\t,")
                try:
                    scene, end = decoder.raw_decode(text)
                except ValueError:  # the rest of it comes with the next piece
                    break
                text = text[end:]
                yield scene
            if started and text.startswith("]"):
                return
    raise BadInput(f"{place.name}: {member.name}: expected a list of scenes, got one without an end")
