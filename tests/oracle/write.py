"""Write the tiny archives, and what `ship` makes of every image of theirs, for compare.py to read.

python tests/oracle/write.py FOLDER      # with tests/ on the path, in the environment of `ship`
"""

import io
import json
import sys
import zipfile
from pathlib import Path

import numpy as np
from originals import SIZES, WRITERS, encoded, matlab, matrix, noise, packed

from ship.data.sources import draw
from ship.data.sources.catalogue import SOURCES
from ship.data.sources.packed import Joined


def extras(task, folder):
    """Files that the official builder wants beside, though nothing in VTAB-1k comes from them, or wants unpacked."""
    if task == "svhn":
        pixels = np.stack([noise(0, 32, 32)] * 2, axis=-1)
        matlab(folder / "extra_32x32.mat", X=pixels, y=np.array([[1], [2]], np.uint8))
    if task == "sun397":
        packed(folder / "Partitions.zip", {"readme.txt": b"text"})
        with zipfile.ZipFile(folder / "tensorflow_datasets-4.2.0-py3-none-any.whl") as wheel:
            for name in wheel.namelist():
                (folder / Path(name).name).write_bytes(wheel.read(name))
    if task.startswith("smallnorb"):
        for split, end in {"train": "46789x9x18x6x2x96x96-training", "test": "01235x9x18x6x2x96x96-testing"}.items():
            matrix(folder / f"smallnorb-5x{end}-cat.mat.gz", np.zeros(SIZES[split], "<i4"))
    if task in ("resisc45", "diabetic_retinopathy"):
        manual = folder / "manual"
        (manual / "sample").mkdir(parents=True)
        (manual / "sample/1_left.jpeg").write_bytes(encoded(noise(0, 40, 50)))
        for part in ("train", "test") if task == "diabetic_retinopathy" else ():
            whole = io.BufferedReader(Joined(sorted(folder.glob(f"{part}.zip.*"))))
            zipfile.ZipFile(whole).extractall(manual)
        for name in {"resisc45": ["NWPU-RESISC45.zip"]}.get(task, ["trainLabels.csv.zip"]):
            zipfile.ZipFile(folder / name).extractall(manual)


def main(root):
    for task in (task for task in WRITERS if SOURCES[task].family == "vtab1k"):
        folder = root / task
        folder.mkdir(parents=True)
        WRITERS[task](folder)
        source = SOURCES[task]
        content = source.read({name: folder / name for name in source.archives})
        wanted = {split: set(labels) for split, labels in content.labels.items()}
        images = {(split, key): make() for split, key, make in content.images(wanted)}
        ours = {}
        for split, labels in content.labels.items():
            ours[split] = [[key, labels[key]] for key in draw.stored(split, labels)]
            for number, (key, _) in enumerate(ours[split]):
                (folder / f"ours-{split}-{number:05}").write_bytes(images[split, key])
        (folder / "ours.json").write_text(json.dumps({"stored": source.stored, "splits": ours}))
        extras(task, folder)


main(Path(sys.argv[1]))
