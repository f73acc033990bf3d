"""Is an archive converted within 1 GB of memory and in 1.2 times the time of unpacking it?

python benchmarks/archives.py FOLDER [GB] [ROUNDS] [TASK ...]    # writes some GB (2) a task to FOLDER, and removes them

Of each format that is read as it passes by, in turns, each in a process of its own: unpack it to nowhere as people do
(`gzip -dc` or `unzip -p`), unpack it by Python's zlib, and prepare a task from it. An archive has the proportions of a
real one, whose counts are scaled to GB: so many bytes an image, and so many images that the task keeps.

    task             format               real GB   images   kept                               bytes an image
    oxford_iiit_pet  JPEGs in tar.gz         0.79     7349   800 + 200 + 3669      (64 %)       107,000
    dmlab            TFRecords in tar.gz     3.02   110913   800 + 200 + 22735     (21 %)        27,000
    clevr_count      PNGs in zip            19.02   100000   800 + 200 + 15000     (16 %)       185,000
    patch_camelyon   HDF5 in gzip, three     8.03   327680   800 + 200 + 32768     (10 %)        24,500 of 27,648 packed

Sizes and counts are those of the catalogue and of the official builders; pixels are smooth with noise, as much of it as
gives the bytes an image.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import h5py
import numpy as np
from PIL import Image

from ship.data.digests import digest
from ship.data.prepare import prepare
from ship.data.sources.catalogue import ARCHIVES, SOURCES
from ship.data.sources.rows import Source
from ship.experiment.task import Task

FILES = {
    "oxford_iiit_pet": ("images.tar.gz",),
    "dmlab": ("dmlab.tar.gz",),
    "clevr_count": ("CLEVR_v1.0.zip",),
    "patch_camelyon": tuple(f"camelyonpatch_level_2_split_{part}_x.h5.gz" for part in ("train", "valid", "test")),
}
BYTES = {"oxford_iiit_pet": 791_918_971, "dmlab": 3_017_022_789, "clevr_count": 19_021_600_724}
BYTES["patch_camelyon"] = 6_421_353_462 + 805_965_320 + 800_875_929
Sizes = dict[str, int]


def photos(kind: str, size: tuple[int, int], coarse: int, noise: int, mode: str = "RGB") -> list[bytes]:
    """Fifty encoded images, smooth over `coarse` pixels, with a little noise."""
    found = []
    for seed in range(50):
        draw = np.random.default_rng(seed)
        spots = draw.integers(0, 256, (size[1] // coarse, size[0] // coarse, 3), dtype=np.uint8)
        image = Image.fromarray(spots).resize(size, Image.Resampling.BICUBIC)
        fine = np.asarray(image).astype(np.int16) + draw.integers(-noise, noise + 1, (size[1], size[0], 1))
        file = io.BytesIO()
        Image.fromarray(fine.clip(0, 255).astype(np.uint8)).convert(mode).save(file, kind, quality=90)
        found.append(file.getvalue())
    return found


def pets(folder: Path, sizes: Sizes) -> None:
    """A tar.gz of JPEGs, and their lists."""
    images = photos("JPEG", (500, 376), 8, 22)
    count = sum(sizes.values())
    with tarfile.open(folder / "images.tar.gz", "w:gz", compresslevel=1) as tape:
        for number in range(count):
            add(tape, f"images/cat_{number}.jpg", images[number % len(images)])
    order = np.random.default_rng(0).permutation(count)  # the lists of the real one are spread over the archive, too
    with tarfile.open(folder / "annotations.tar.gz", "w:gz") as tape:
        for name, numbers in {"trainval": order[: sizes["train"]], "test": order[sizes["train"] :]}.items():
            lines = [f"cat_{number} {number % 37 + 1} 1 1\n" for number in numbers]
            add(tape, f"annotations/{name}.txt", "".join(lines).encode())


def dmlab(folder: Path, sizes: Sizes) -> None:
    """A tar.gz of TFRecords."""
    images = photos("JPEG", (352, 228), 8, 2)
    with tarfile.open(folder / "dmlab.tar.gz", "w:gz", compresslevel=1) as tape:
        for split, count in sizes.items():
            for start in range(0, count, 1000):
                numbers = range(start, min(start + 1000, count))
                records = [record(f"{split}_{number}.jpg", images[number % 50], number % 6) for number in numbers]
                add(tape, f"dmlab-{split}.tfrecord-{start:05}", b"".join(records))


def clevr(folder: Path, sizes: Sizes) -> None:
    """A zip of PNGs with alpha, and their scenes; the 15 % of the official test are only passed over."""
    images = photos("PNG", (480, 320), 48, 1, "RGBA")
    sizes = {"train": sizes["train"], "val": sizes["validation"], "test": sizes["validation"]}
    with zipfile.ZipFile(folder / "CLEVR_v1.0.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as bundle:
        for part, count in sizes.items():
            names = [f"CLEVR_{part}_{number:06}.png" for number in range(count)]
            for number, name in enumerate(names):
                bundle.writestr(f"CLEVR_v1.0/images/{part}/{name}", images[number % 50])
            scenes = [{"image_filename": name, "objects": [{}] * (3 + row % 8)} for row, name in enumerate(names)]
            bundle.writestr(f"CLEVR_v1.0/scenes/CLEVR_{part}_scenes.json", json.dumps({"scenes": scenes}))


def patches(folder: Path, sizes: Sizes) -> None:
    """HDF5 inside gzip; noise of that height packs to 0.89 of itself, as the real one."""
    draw = np.random.default_rng(0)
    for split, part in {"train": "train", "validation": "valid", "test": "test"}.items():
        plain = folder / "plain.h5"
        with h5py.File(plain, "w") as bundle:
            x = bundle.create_dataset("x", (sizes[split], 96, 96, 3), np.uint8, chunks=(1, 96, 96, 3))
            for start in range(0, sizes[split], 1000):
                count = min(1000, sizes[split] - start)
                x[start : start + count] = draw.normal(128, 30, (count, 96, 96, 3)).clip(0, 255).astype(np.uint8)
        pack(plain, folder / f"camelyonpatch_level_2_split_{part}_x.h5.gz")
        with h5py.File(plain, "w") as bundle:
            bundle["y"] = (np.arange(sizes[split]) % 2).astype(np.uint8).reshape(-1, 1, 1, 1)
        pack(plain, folder / f"camelyonpatch_level_2_split_{part}_y.h5.gz")
        plain.unlink()


def add(tape: tarfile.TarFile, name: str, data: bytes) -> None:
    """A file in a tar archive."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tape.addfile(info, io.BytesIO(data))


def record(name: str, image: bytes, label: int) -> bytes:
    """A TFRecord of an Example; checksums are zero, since none is read."""

    def field(number: int, data: bytes) -> bytes:
        size, digits = len(data), []
        while size > 127:
            digits.append(size & 127 | 128)
            size >>= 7
        return bytes([number << 3 | 2, *digits, size]) + data

    values = {"image": field(1, field(1, image)), "filename": field(1, field(1, name.encode()))}
    values["label"] = field(3, field(1, bytes([label])))
    entries = [field(1, field(1, key.encode()) + field(2, value)) for key, value in values.items()]
    message = field(1, b"".join(entries))
    return struct.pack("<QI", len(message), 0) + message + bytes(4)


def pack(plain: Path, packed: Path) -> None:
    """Write a file inside gzip."""
    with plain.open("rb") as source, gzip.open(packed, "wb", compresslevel=1) as file:
        while block := source.read(2**20):
            file.write(block)


WRITERS: dict[str, Callable[[Path, Sizes], None]] = {
    "oxford_iiit_pet": pets,
    "dmlab": dmlab,
    "clevr_count": clevr,
    "patch_camelyon": patches,
}


def scaled(task: str, size: int) -> Source:
    """The task's row of the catalogue, with counts as small as an archive of `size` bytes is."""

    def less(text: str) -> str:
        return re.sub(r"\d+", lambda number: str(round(int(number[0]) * size / BYTES[task])), text)

    row = SOURCES[task]
    sizes = {split: int(less(str(count))) for split, count in row.sizes.items()}
    train, val, test = (less(piece) for piece in row.slices)
    return row._replace(sizes=sizes, slices=(train, val, test))


def unpack(files: Sequence[Path]) -> None:
    """All of the archives to nowhere, by zlib alone."""
    for file in files:
        if file.suffix == ".zip":
            with zipfile.ZipFile(file) as bundle:
                for info in bundle.infolist():
                    with bundle.open(info) as member:
                        while member.read(2**20):
                            pass
            continue
        with file.open("rb") as source:
            unpacker = zlib.decompressobj(31)
            while block := source.read(2**18):
                unpacker.decompress(block)


def convert(task: str, folder: Path, size: int) -> None:
    """Prepare the task, as the catalogue would describe its archives."""
    SOURCES[task] = scaled(task, size)
    files = {name: folder / name for name in SOURCES[task].archives}
    for name in files:
        ARCHIVES[name] = ARCHIVES[name]._replace(size=None, sha256=None, md5=None)
    prepare(task, Task(source="vtab1k"), folder, folder / "out", files)


def timed(*words: str | Path) -> tuple[float, float, float]:
    """Seconds, seconds of processors, and peak memory (GB) of a command, in a process of its own."""
    start = time.perf_counter()
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{words}: exit {status}")
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 2**20


def measure(task: str, folder: Path, size: int, rounds: int) -> str:
    """Of an archive that lies in `folder`: seconds and those of processors, ratios by pairs, and memory, as a row."""
    files = [folder / name for name in FILES[task]]
    tool = ("unzip", "-p") if files[0].suffix == ".zip" else ("gzip", "-dc")
    itself = (sys.executable, __file__)
    ways: list[list[str | Path]] = [
        [*tool, *files],
        [*itself, "unpack", *files],
        [*itself, "convert", task, folder, str(size)],
    ]
    found = np.array([[timed(*way) for way in ways] for _ in range(rounds)])  # (rounds, way, figure)
    cells = [f"{task:16} {sum(file.stat().st_size for file in files) / 1e9:5.2f}"]
    for figure in (0, 1):
        cells += [f"{seconds:7.1f}" for seconds in np.median(found[:, :, figure], axis=0)]
        ratios = np.median(found[:, 2:, figure] / found[:, :2, figure], axis=0)
        cells += [f"{ratio:6.2f}" for ratio in ratios]
    return " ".join([*cells, f"{found[:, 2, 2].max():8.2f}"])


def main(folder: Path, size: int, rounds: int, tasks: Sequence[str]) -> None:
    """A row a task."""
    figures = f"{'tool':>7} {'zlib':>7} {'prepare':>7} {'/tool':>6} {'/zlib':>6}"
    print(f"{'':22} {'seconds':^37} {'seconds of processors':^37}\n{'task':16} {'GB':>5} {figures} {figures} peak GB")
    for task in tasks:
        place = folder / task
        place.mkdir(parents=True)
        try:
            WRITERS[task](place, scaled(task, size).sizes)
            for name in SOURCES[task].archives:
                digest(place / name, "sha256")  # as whatever downloads has done
            print(measure(task, place, size, rounds), flush=True)
        finally:
            shutil.rmtree(place)


if __name__ == "__main__":
    if sys.argv[1] == "unpack":
        unpack([Path(word) for word in sys.argv[2:]])
    elif sys.argv[1] == "convert":
        convert(sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
    else:
        gigabytes, turns = (*map(float, sys.argv[2:4]), *(2.0, 3.0)[len(sys.argv) - 2 :])
        main(Path(sys.argv[1]), int(gigabytes * 1e9), int(turns), sys.argv[4:] or list(WRITERS))
