"""Data sets of image files whose labels are in lists or names of folders. Loads no torch."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

from ship.data.sources import arrays, draw, processing
from ship.data.sources.names import names_of
from ship.data.sources.packed import Member, label_of, labelled, lines, members, pick, pictures, read, unfolded
from ship.data.sources.rows import Content, Files, Images, Wanted
from ship.errors import BadInput

WHEEL = "tensorflow_datasets-4.2.0-py3-none-any.whl"
SUN = {"train": "tr", "validation": "va", "test": "te"}
SUN_FILES = "tensorflow_datasets/image_classification/sun397_{}.txt"
CALTECH = "101_ObjectCategories"


def caltech101(files: Files) -> Content:
    """Caltech101: a zip with a tar.gz of one folder a class; see `draw.caltech101` for the split."""
    (place,) = files.values()

    def inside() -> Iterator[Member]:
        for member in members(place, place.name):
            if member.name.endswith("101_ObjectCategories.tar.gz") and not member.name.startswith("__MACOSX"):
                with unfolded(member, place.name) as tape:
                    yield from members(tape, f"{place.name}: {member.name}")
                return
        raise BadInput(f"{place.name}: expected 101_ObjectCategories.tar.gz in it, found none (is it another version?)")

    folders, kept = defaultdict(list), {}
    for member in inside():
        top, _, rest = member.name.partition("/")
        folder, _, file = rest.partition("/")
        if top == CALTECH and file and "/" not in file:
            folders[folder].append(file)
            kept[rest] = read(member, place.name)  # nearly all are wanted, and make 130 MB
    classes = names_of("caltech101")
    labels = {
        split: _titled(keys, lambda key: key.partition("/")[0].lower(), classes, place.name)
        for split, keys in zip(("train", "test"), draw.caltech101(folders), strict=True)
    }

    def images(wanted: Wanted) -> Images:
        return ((split, key, partial(bytes, kept[key])) for split, keys in wanted.items() for key in sorted(keys))

    return Content(labels, images, classes)


def dtd(files: Files) -> Content:
    """Describable Textures: the first of ten published splits, as lists of `banded/banded_0002.jpg`."""
    (place,) = files.values()
    lists = {"train": "dtd/labels/train1.txt", "validation": "dtd/labels/val1.txt", "test": "dtd/labels/test1.txt"}
    found = pick(place, list(lists.values()), place.name)
    classes = names_of("dtd")
    labels = {
        split: _titled(lines(found[name], name), lambda key: key.partition("/")[0], classes, f"{place.name}: {name}")
        for split, name in lists.items()
    }
    opened = partial(members, place, place.name)
    return Content(labels, partial(pictures, opened, place.name, lambda _, key: f"dtd/images/{key}"), classes)


def flowers(files: Files) -> Content:
    """Oxford Flowers: `setid.mat` has the numbers of a split's images, `imagelabels.mat` the label of each, from 1."""
    place = files["102flowers.tgz"]
    species = arrays.matlab(files["imagelabels.mat"], "labels").reshape(-1)
    labels = {}
    for split, name in {"train": "trnid", "validation": "valid", "test": "tstid"}.items():
        numbers = arrays.matlab(files["setid.mat"], name).reshape(-1).tolist()
        if any(not 1 <= number <= len(species) for number in numbers):
            raise BadInput(f"setid.mat: expected numbers up to {len(species)}, got others in {name}")
        rows = ((f"image_{number:05}.jpg", int(species[number - 1]) - 1) for number in numbers)
        labels[split] = labelled(rows, f"setid.mat: {name}")
    images = partial(pictures, partial(members, place, place.name), place.name, lambda _, key: f"jpg/{key}")
    return Content(labels, images, names_of("oxford_flowers102"))


def pets(files: Files) -> Content:
    """Oxford-IIIT Pet: lines `name label species breed`, labels from 1."""
    place, lists = files["images.tar.gz"], files["annotations.tar.gz"]
    names = {"train": "annotations/trainval.txt", "test": "annotations/test.txt"}
    found = pick(lists, list(names.values()), lists.name)
    labels = {}
    for split, name in names.items():
        rows = [line.split(" ") for line in lines(found[name], name)]
        if odd := [row for row in rows if len(row) != 4 or not row[1].isdecimal()]:
            raise BadInput(f"{lists.name}: {name}: expected lines 'name label species breed', got {' '.join(odd[0])!r}")
        labels[split] = labelled(((f"{row[0]}.jpg", int(row[1]) - 1) for row in rows), name)
    images = partial(pictures, partial(members, place, place.name), place.name, lambda _, key: f"images/{key}")
    return Content(labels, images, names_of("oxford_iiit_pet"))


def sun397(files: Files) -> Content:
    """SUN397: the lists of the official builder, lines such as `/a/abbey/sun_x.jpg`, whose folder is the class."""
    place, wheel = files["SUN397.tar.gz"], files[WHEEL]
    names = {split: SUN_FILES.format(f"tfds_{end}") for split, end in SUN.items()}
    titles = SUN_FILES.format("labels")
    found = pick(wheel, [*names.values(), titles], wheel.name)
    classes = lines(found[titles], titles)
    labels = {
        split: _titled(lines(found[name], name), lambda key: key.rpartition("/")[0], classes, f"{wheel.name}: {name}")
        for split, name in names.items()
    }
    opened = partial(members, place, place.name)
    images = partial(pictures, opened, place.name, lambda _, key: f"SUN397{key}", change=processing.sun397)
    return Content(labels, images, classes)


def eurosat(files: Files) -> Content:
    """EuroSAT: `2750/Forest/Forest_1.jpg`; the class is what stands before the first underscore."""
    return _by_folder(files, "eurosat", "2750", "", lambda _, file: file.partition("_")[0])


def resisc45(files: Files) -> Content:
    """RESISC45: `NWPU-RESISC45/airport/airport_001.jpg`; the class is the folder."""
    return _by_folder(files, "resisc45", "NWPU-RESISC45", ".jpg", lambda folder, _: folder)


def retinopathy(files: Files) -> Content:
    """Diabetic Retinopathy: of Kaggle's test, what its solution calls Public is validation, Private test."""
    parts = {part: [files[name] for name in files if name.startswith(f"{part}.zip.")] for part in ("train", "test")}
    trained, solved = files["trainLabels.csv.zip"], files["retinopathy_solution.csv"]
    train = pick(trained, ["trainLabels.csv"], trained.name)["trainLabels.csv"]
    rows = {"train": _csv(train, trained.name, ("image", "level"))}
    solution = _csv(solved.read_bytes(), solved.name, ("image", "level", "Usage"))
    for split, usage in {"validation": "Public", "test": "Private"}.items():
        rows[split] = [row for row in solution if row["Usage"] == usage]
    if odd := [row for table in rows.values() for row in table if not row["level"].isdecimal()]:
        got = f"{odd[0]['level']!r} of {odd[0]['image']}"
        raise BadInput(f"{trained.name}, {solved.name}: expected numbers as levels, got {got}")
    labels = {
        split: labelled(((row["image"], int(row["level"])) for row in table), f"list of {split}")
        for split, table in rows.items()
    }

    def images(wanted: Wanted) -> Images:
        for part, splits in {"train": ("train",), "test": ("validation", "test")}.items():
            opened = partial(members, parts[part], f"{part}.zip")
            here = {split: wanted[split] for split in splits if split in wanted}
            path = partial("{0}/{2}.jpeg".format, part)
            yield from pictures(opened, f"{part}.zip", path, here, processing.retinopathy)

    return Content(labels, images, names_of("diabetic_retinopathy"))


def _titled(keys: Iterable[str], title: Callable[[str], str], classes: Sequence[str], shown: str) -> dict[str, int]:
    """Labels by key, of which `title` gives the name of the class."""
    numbers = {name: number for number, name in enumerate(classes)}
    return labelled(((key, label_of(title(key), numbers, shown)) for key in keys), shown)


def _by_folder(files: Files, task: str, top: str, suffix: str, title: Callable[[str, str], str]) -> Content:
    """A folder a class; the key is the class, an underscore and the file's name, which has the class in it, too."""
    (place,) = files.values()
    classes = names_of(task)
    numbers = {name: number for number, name in enumerate(classes)}
    paths: dict[str, str] = {}
    rows = []
    for member in members(place, place.name):
        above, _, file = member.name.rpartition("/")
        if above.rpartition("/")[0] == top and file.endswith(suffix):
            label = title(above.rpartition("/")[2], file)
            paths[f"{label}_{file}"] = member.name
            rows.append((f"{label}_{file}", label_of(label, numbers, f"{place.name}: {member.name}")))
    images = partial(pictures, partial(members, place, place.name), place.name, lambda _, key: paths[key])
    return Content({"train": labelled(rows, place.name)}, images, classes)


def _csv(data: bytes, shown: str, columns: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a CSV file with these columns."""
    rows = list(csv.DictReader(lines(data, shown)))
    if not rows or not all(row.get(column) for row in rows for column in columns):
        raise BadInput(f"{shown}: expected rows of {', '.join(columns)}, got others (is it another version?)")
    return rows
