"""The five fine-grained tasks of FGVC, as VPT chose them: whole training sets, official test sets. Loads no torch."""

from __future__ import annotations

from ship.data.sources import birds, listed, stanford
from ship.data.sources.rows import Source
from ship.data.sources.vtab1k import BYTES, FLOWERS

CARS = ("cars_train.tgz", "cars_test.tgz", "car_devkit.tgz", "cars_test_annos_withlabels.mat")
TENTH = ("train", "", "test")
DRAWN = "val is a tenth of the official train, drawn by seed: VPT's lists cannot be derived"

# fmt: off
FGVC: dict[str, Source] = {
    "cub200": Source(
        "fgvc", birds.cub200, ("CUB_200_2011.tgz",), "path in `images`",
        "number in image_class_labels.txt, less one", BYTES, 200, {"train": 5994, "test": 5794}, TENTH,
        "non-commercial research", "CUB-200-2011", traps=DRAWN),
    "nabirds": Source(
        "fgvc", birds.nabirds, ("nabirds.tar.gz",), "path in `images`",
        "rank of the number in image_class_labels.txt", BYTES,
        555, {"train": 23929, "test": 24633}, TENTH,
        "non-commercial, by a form", "NABirds v1", traps=f"numbers of classes have gaps; {DRAWN}"),
    "oxford_flowers": Source(
        "fgvc", listed.flowers, FLOWERS, "`image_00001.jpg`", "number in imagelabels.mat, less one",
        BYTES, 102, {"train": 1020, "validation": 1020, "test": 6149}, ("train", "validation", "test"),
        "not stated", "Oxford Flowers 102", traps="official val, as in VPT"),
    "stanford_dogs": Source(
        "fgvc", stanford.dogs, ("images.tar", "lists.tar"), "path in `Images`", "rank of the folder", BYTES,
        120, {"train": 12000, "test": 8580}, TENTH,
        "not stated (images of ImageNet)", "Stanford Dogs", traps=f"images of ImageNet's training set; {DRAWN}"),
    "stanford_cars": Source(
        "fgvc", stanford.cars, CARS, "`cars_train/00001.jpg`", "`class` of the annotations, less one",
        BYTES, 196, {"train": 8144, "test": 8041}, TENTH,
        "non-commercial research", "Stanford Cars", traps=f"the publisher's addresses are often dead; {DRAWN}"),
}
# fmt: on
