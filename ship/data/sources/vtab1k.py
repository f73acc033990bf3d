"""The 19 tasks of VTAB-1k: archives, keys, labels and slices as in the builders of task_adaptation. Loads no torch."""

from __future__ import annotations

from ship.data.sources import annotated, arrayed, listed
from ship.data.sources.addresses import DSPRITES, NORB, PCAM
from ship.data.sources.rows import Checked, Source, Stored

PATCHES = tuple(PCAM.format(part, end) for part in arrayed.PATCHES.values() for end in "xy")
MATRICES = tuple(name.format(end) for name in NORB.values() for end in ("dat", "info"))
FLOWERS = ("102flowers.tgz", "imagelabels.mat", "setid.mat")
KAGGLE = (*(f"train.zip.{part:03}" for part in range(1, 6)), *(f"test.zip.{part:03}" for part in range(1, 8)))
RETINOPATHY = (*KAGGLE, "trainLabels.csv.zip", "retinopathy_solution.csv")
KITTI = ("data_object_image_2.zip", "data_object_label_2.zip", "devkit_object.zip")
FIRST = ("train[:800]", "validation[:200]", "test")
BYTES: Stored = "source bytes"
PNG: Stored = "PNG of equal pixels"
OWN: Stored = "own processing"
INDEX = "index in the file"
ORACLE: Checked = "official builder"
KEYS: Checked = "official builder, keys"  # and the complete keys, with recorded members

# fmt: off
VTAB1K: dict[str, Source] = {
    "cifar": Source(
        "vtab1k", arrayed.cifar, ("cifar-100-binary.tar.gz",), INDEX, "fine label", PNG,
        100, {"train": 50000, "test": 10000}, ("train[:800]", "train[45000:45200]", "test"),
        "not stated", "cifar100:3.0.2", KEYS, "val has 90 of the 100 classes"),
    "caltech101": Source(
        "vtab1k", listed.caltech101, ("caltech-101.zip",), "`accordion/image_0001.jpg`",
        "folder, in lower case", BYTES,
        102, {"train": 3060, "test": 6084}, ("train[:800]", "train[2754:2954]", "test"),
        "CC BY 4.0", "caltech101:3.0.2", ORACLE,
        "no official draw: the builder's 30 a class depend on the file system's order; ours is the sorted one"),
    "dtd": Source(
        "vtab1k", listed.dtd, ("dtd-r1.0.1.tar.gz",), "`banded/banded_0002.jpg`", "folder", BYTES,
        47, {"train": 1880, "validation": 1880, "test": 1880}, FIRST,
        "research only", "dtd:3.0.1", ORACLE, "first of ten published splits"),
    "oxford_flowers102": Source(
        "vtab1k", listed.flowers, FLOWERS, "`image_00001.jpg`", "number in imagelabels.mat, less one",
        BYTES, 102, {"train": 1020, "validation": 1020, "test": 6149}, FIRST,
        "not stated", "oxford_flowers102:2.1.1", ORACLE, "`trnid` is train: some ports swap it with `tstid`"),
    "oxford_iiit_pet": Source(
        "vtab1k", listed.pets, ("images.tar.gz", "annotations.tar.gz"), "`Abyssinian_100.jpg`",
        "second column of the list, less one", BYTES,
        37, {"train": 3680, "test": 3669}, ("train[:800]", "train[2944:3144]", "test"),
        "CC BY-SA 4.0", "oxford_iiit_pet:3.2.0", ORACLE, "some `.jpg` hold a PNG, one has a damaged tail"),
    "svhn": Source(
        "vtab1k", arrayed.svhn, ("train_32x32.mat", "test_32x32.mat"), INDEX, "`y` modulo 10", PNG,
        10, {"train": 73257, "test": 26032}, ("train[:800]", "train[65931:66131]", "test"),
        "non-commercial use", "svhn_cropped:3.0.0", KEYS, "10 stands for the digit 0"),
    "sun397": Source(
        "vtab1k", listed.sun397, ("SUN397.tar.gz", listed.WHEEL), "`/a/abbey/sun_aaalbzqrimafwbiv.jpg`",
        "folder", OWN, 397, {"train": 76128, "validation": 10875, "test": 21750}, FIRST,
        "not stated", "sun397/tfds:4.0.0", KEYS,
        "at most 120,000 pixels, JPEG again at OpenCV's 95; train has 309 of the 397 classes; no public address works"),
    "patch_camelyon": Source(
        "vtab1k", arrayed.patch_camelyon, PATCHES, "`train_0`, `valid_0`, `test_0`", "`y`", PNG,
        2, {"train": 262144, "validation": 32768, "test": 32768}, FIRST,
        "CC0", "patch_camelyon:2.0.0", ORACLE, "keys say `valid`, the split is `validation`"),
    "eurosat": Source(
        "vtab1k", listed.eurosat, ("EuroSAT.zip",), "`Forest_Forest_1.jpg`, the class twice", "folder", BYTES,
        10, {"train": 27000}, ("train[:800]", "train[16200:16400]", "train[21600:]"),
        "MIT", "eurosat/rgb:2.0.0", KEYS, "val starts at 60 %"),
    "resisc45": Source(
        "vtab1k", listed.resisc45, ("NWPU-RESISC45.zip",), "`airport_airport_001.jpg`, the class twice",
        "folder", BYTES, 45, {"train": 31500}, ("train[:800]", "train[18900:19100]", "train[25200:]"),
        "not stated", "resisc45:3.0.0", ORACLE, "val starts at 60 %; the publisher's file is a rar, this is its zip"),
    "diabetic_retinopathy": Source(
        "vtab1k", listed.retinopathy, RETINOPATHY, "`10_left`", "`level`", OWN,
        5, {"train": 35126, "validation": 10906, "test": 42670}, FIRST,
        "rules of the Kaggle competition", "diabetic_retinopathy_detection/btgraham-300:3.0.0", ORACLE,
        "radius scaled to 300, local mean taken off, JPEG again at 72; by hand, from Kaggle"),
    "clevr_count": Source(
        "vtab1k", annotated.clevr_count, ("CLEVR_v1.0.zip",), "`CLEVR_train_000000.png`",
        "number of objects, less three", BYTES,
        8, {"train": 70000, "validation": 15000}, ("train[:800]", "train[63000:63200]", "validation"),
        "CC BY 4.0", "clevr:3.1.0", KEYS, "test is the official validation split, since its test has no scenes"),
    "clevr_dist": Source(
        "vtab1k", annotated.clevr_dist, ("CLEVR_v1.0.zip",), "`CLEVR_train_000000.png`",
        "least `pixel_coords[2]`, as float32, in (0, 8], (8, 8.5], (8.5, 9], (9, 9.5], (9.5, 10], (10, 100]", BYTES,
        6, {"train": 70000, "validation": 15000}, ("train[:800]", "train[63000:63200]", "validation"),
        "CC BY 4.0", "clevr:3.1.0", KEYS, "8.500000001 is 8.5 as float32"),
    "dmlab": Source(
        "vtab1k", annotated.dmlab, ("dmlab.tar.gz",), "`filename` of the record",
        "`label` of the record", BYTES,
        6, {"train": 65550, "validation": 22628, "test": 22735}, FIRST,
        "not stated", "dmlab:2.0.1", ORACLE),
    "kitti": Source(
        "vtab1k", annotated.kitti, KITTI, "`000000.png`",
        "least z of a car, van or truck, as float32: up to 8, up to 20, more, none at all", BYTES,
        4, {"train": 6347, "validation": 423, "test": 711}, FIRST,
        "CC BY-NC-SA 3.0", "kitti:3.1.0", ORACLE, "split by video; an image without vehicles is class 3"),
    "dsprites_loc": Source(
        "vtab1k", arrayed.dsprites_loc, (DSPRITES,), INDEX, "class of x, halved", PNG,
        16, {"train": 737280}, ("train[:800]", "train[589824:590024]", "train[663552:]"),
        "Apache-2.0", "dsprites:2.0.0", KEYS, "0 and 1 become 0 and 255"),
    "dsprites_ori": Source(
        "vtab1k", arrayed.dsprites_ori, (DSPRITES,), INDEX, "class of orientation, by 2.5, rounded down", PNG,
        16, {"train": 737280}, ("train[:800]", "train[589824:590024]", "train[663552:]"),
        "Apache-2.0", "dsprites:2.0.0", KEYS, "0 and 1 become 0 and 255"),
    "smallnorb_azi": Source(
        "vtab1k", arrayed.smallnorb_azi, MATRICES, INDEX, "third number of info, halved", PNG,
        18, {"train": 24300, "test": 24300}, ("train[:800]", "test[:200]", "test[12150:]"),
        "research only", "smallnorb:2.0.0", ORACLE, "left camera only; val is of the official test split"),
    "smallnorb_ele": Source(
        "vtab1k", arrayed.smallnorb_ele, MATRICES, INDEX, "second number of info", PNG,
        9, {"train": 24300, "test": 24300}, ("train[:800]", "test[:200]", "test[12150:]"),
        "research only", "smallnorb:2.0.0", ORACLE, "left camera only; val is of the official test split"),
}
# fmt: on
