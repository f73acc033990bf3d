"""Is an archive converted within 1 GB of memory and in 1.2 times the time of unpacking it?

python benchmarks/archives.py FOLDER [GB] [ROUNDS]    # writes an archive of GB (2) of each format to FOLDER, once

Of each format that is read as it passes by: prepare a task from it, and unpack it to nowhere by zlib alone, in turns,
each in a process of its own. An archive holds GB, of which the task keeps 3,000 images.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import statistics
import struct
import subprocess
import sys
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
from PIL import Image

from ship.data.digests import digest
from ship.data.prepare import prepare
from ship.data.sources.catalogue import ARCHIVES, SOURCES
from ship.experiment.task import Task

KEPT = 2000  # images of test, beside 1,000 to train on
FILES = {
    "oxford_iiit_pet": "images.tar.gz",
    "dmlab": "dmlab.tar.gz",
    "clevr_count": "CLEVR_v1.0.zip",
    "patch_camelyon": "camelyonpatch_level_2_split_train_x.h5.gz",
}
Sizes = dict[str, int]


def photos(kind: str = "JPEG", height: int = 360, width: int = 480) -> list[bytes]:
    """Some encoded images that are not all noise, of a size that published data sets have."""
    found = []
    for seed in range(50):
        draw = np.random.default_rng(seed)
        coarse = draw.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        fine = np.asarray(image).astype(np.int16) + draw.integers(-12, 13, (height, width, 3))
        file = io.BytesIO()
        Image.fromarray(fine.clip(0, 255).astype(np.uint8)).save(file, kind, quality=90)
        found.append(file.getvalue())
    return found


def pets(folder: Path, size: int) -> Sizes:
    """A tar.gz of JPEGs, and their lists."""
    images = photos()
    count = size // len(images[0])
    with tarfile.open(folder / FILES["oxford_iiit_pet"], "w:gz", compresslevel=1) as tape:
        for number in range(count):
            add(tape, f"images/cat_{number}.jpg", images[number % len(images)])
    with tarfile.open(folder / "annotations.tar.gz", "w:gz") as tape:
        for name, numbers in {"trainval": range(count - KEPT), "test": range(count - KEPT, count)}.items():
            lines = [f"cat_{number} {number % 37 + 1} 1 1\n" for number in numbers]
            add(tape, f"annotations/{name}.txt", "".join(lines).encode())
    return {"train": count - KEPT, "test": KEPT}


def dmlab(folder: Path, size: int) -> Sizes:
    """A tar.gz of TFRecords."""
    images = photos()
    sizes = {"train": size // len(images[0]) - 2 * KEPT, "validation": KEPT, "test": KEPT}
    with tarfile.open(folder / FILES["dmlab"], "w:gz", compresslevel=1) as tape:
        for split, count in sizes.items():
            for start in range(0, count, 1000):
                numbers = range(start, min(start + 1000, count))
                records = [record(f"{split}_{number}.jpg", images[number % 50], number % 6) for number in numbers]
                add(tape, f"dmlab-{split}.tfrecord-{start:05}", b"".join(records))
    return sizes


def clevr(folder: Path, size: int) -> Sizes:
    """A zip of PNGs, and their scenes."""
    images = photos("PNG", 320, 480)
    sizes = {"train": size // len(images[0]) - KEPT, "validation": KEPT}
    with zipfile.ZipFile(folder / FILES["clevr_count"], "w", zipfile.ZIP_DEFLATED, compresslevel=1) as bundle:
        for split, part in {"train": "train", "validation": "val"}.items():
            names = [f"CLEVR_{part}_{number:06}.png" for number in range(sizes[split])]
            scenes = [{"image_filename": name, "objects": [{}] * (3 + row % 8)} for row, name in enumerate(names)]
            for number, name in enumerate(names):
                bundle.writestr(f"CLEVR_v1.0/images/{part}/{name}", images[number % 50])
            bundle.writestr(f"CLEVR_v1.0/scenes/CLEVR_{part}_scenes.json", json.dumps({"scenes": scenes}))
    return sizes


def patches(folder: Path, size: int) -> Sizes:
    """HDF5 inside gzip, in chunks as they are published."""
    sizes = {"train": size // (96 * 96 * 3) * 10 // 9, "validation": KEPT, "test": KEPT}
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
    return sizes


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


WRITERS: dict[str, Callable[[Path, int], Sizes]] = {
    "oxford_iiit_pet": pets,
    "dmlab": dmlab,
    "clevr_count": clevr,
    "patch_camelyon": patches,
}


def unpack(file: Path) -> None:
    """All of an archive to nowhere, by zlib alone."""
    if file.suffix == ".zip":
        with zipfile.ZipFile(file) as bundle:
            for info in bundle.infolist():
                with bundle.open(info) as member:
                    while member.read(2**20):
                        pass
        return
    with file.open("rb") as source:
        unpacker = zlib.decompressobj(31)
        while block := source.read(2**18):
            unpacker.decompress(block)


def convert(task: str, folder: Path) -> None:
    """Prepare the task, as the catalogue would describe its archives."""
    sizes = json.loads((folder / f"{task}.json").read_text())
    row = SOURCES[task]
    val = row.slices[1] if row.slices[1].startswith("validation") else "train[900:1100]"
    SOURCES[task] = row._replace(sizes=sizes, slices=("train[:800]", val, row.slices[2]))
    files = {name: folder / name for name in row.archives}
    for name in files:
        ARCHIVES[name] = ARCHIVES[name]._replace(size=None, sha256=None, md5=None)
    prepare(task, Task(source="vtab1k"), folder, folder / "out" / task, files)


def timed(*words: str | Path) -> tuple[float, float, float]:
    """Seconds, seconds of processors, and peak memory (GB) of this script with other words, in a process of its own."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, __file__, *words])
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{words}: exit {status}")
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 2**20


def rounds(task: str, folder: Path, count: int) -> Iterator[tuple[float, float, float, float, float]]:
    """Of unpacking and of conversion, in turns: seconds of both, of processors of both, and the latter's memory."""
    for _ in range(count):
        wall, processor, _ = timed("unpack", folder / FILES[task])
        whole, work, peak = timed("convert", task, folder)
        yield wall, whole, processor, work, peak


def main(folder: Path, size: int, count: int) -> None:
    """A row a format."""
    folder.mkdir(parents=True, exist_ok=True)
    print(f"{'task':16} {'archive':42} {'GB':>5} unpack convert ratio, of processors: unpack convert ratio; peak GB")
    for task, write in WRITERS.items():
        if not (folder / f"{task}.json").exists():
            (folder / f"{task}.json").write_text(json.dumps(write(folder, size)))
        for name in SOURCES[task].archives:
            digest(folder / name, "sha256")  # as whatever downloads has done
        found = list(rounds(task, folder, count))
        before, after, idle, busy, peak = (statistics.median(column) for column in zip(*found, strict=True))
        walls, works = (statistics.median(row[k + 1] / row[k] for row in found) for k in (0, 2))
        there = (folder / FILES[task]).stat().st_size / 1e9
        print(f"{task:16} {FILES[task]:42} {there:5.2f} {before:5.1f}s {after:6.1f}s {walls:5.2f}", end=" ")
        print(f"{'':15} {idle:5.1f}s {busy:6.1f}s {works:5.2f} {peak:8.2f}", flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "unpack":
        unpack(Path(sys.argv[2]))
    elif sys.argv[1] == "convert":
        convert(sys.argv[2], Path(sys.argv[3]))
    else:
        gigabytes, turns = (*map(float, sys.argv[2:]), *(2.0, 3.0)[len(sys.argv) - 2 :])
        main(Path(sys.argv[1]), int(gigabytes * 1e9), int(turns))
