"""Run the official builders of TensorFlow Datasets on the tiny archives, and compare what they store with ours.

Members, order, labels, and what is stored: the same bytes, or for arrays the same pixels. Nothing of ship is imported.

    python -m venv oracle
    oracle/bin/pip install tensorflow-cpu==2.21 tensorflow-datasets==4.9.10 importlib_resources h5py scipy pillow
    oracle/bin/pip install opencv-python-headless==5.0.0.93
    python tests/oracle/write.py FOLDER
    oracle/bin/python tests/oracle/compare.py FOLDER tests/oracle/recorded.json
"""

import hashlib
import json
import sys
from pathlib import Path
from urllib.parse import urlsplit

import cv2
import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from etils import epath
from tensorflow_datasets.core.download import download_manager

BUILDERS = {
    "cifar": "cifar100:3.0.2",
    "caltech101": "caltech101:3.0.2",
    "dtd": "dtd:3.0.1",
    "oxford_flowers102": "oxford_flowers102:2.1.1",
    "oxford_iiit_pet": "oxford_iiit_pet:4.0.0",  # 3.2.0 is not in this release; only twelve named files differ
    "svhn": "svhn_cropped:3.1.0",
    "sun397": "sun397/tfds:4.0.0",
    "patch_camelyon": "patch_camelyon:2.0.0",
    "eurosat": "eurosat/rgb:2.0.0",
    "resisc45": "resisc45:3.0.0",
    "diabetic_retinopathy": "diabetic_retinopathy_detection/btgraham-300:3.0.0",
    "clevr_count": "clevr:3.1.0",
    "clevr_dist": "clevr:3.1.0",
    "dmlab": "dmlab:2.0.1",
    "kitti": "kitti:3.3.0",  # 3.1.0 is refused by this release; its split has the same rule
    "dsprites_loc": "dsprites:2.0.0",
    "dsprites_ori": "dsprites:2.0.0",
    "smallnorb_azi": "smallnorb:2.0.0",
    "smallnorb_ele": "smallnorb:2.0.0",
}


def farthest(edges, distance):
    """task_adaptation's rule: the last of the edges that is less than a distance, compared as float32."""
    return int(np.max(np.where((np.array(edges, np.float32) - np.float32(distance)) < 0)))


def nearest_vehicle(objects):
    depths = np.asarray(objects["location"], np.float32)[:, 2][np.asarray(objects["type"]) < 3]
    return farthest([-100, 8, 20, 999], np.min(np.append(depths, np.float32(1000))))


LABELS = {
    "clevr_count": lambda row: len(row["objects"]["size"]) - 3,
    "clevr_dist": lambda row: farthest([0, 8, 8.5, 9, 9.5, 10, 100], np.min(row["objects"]["pixel_coords"][:, 2])),
    "kitti": lambda row: nearest_vehicle(row["objects"]),
    "dsprites_loc": lambda row: int(row["label_x_position"]) // 2,
    "dsprites_ori": lambda row: int(np.floor(row["label_orientation"] / 2.5)),
    "smallnorb_azi": lambda row: int(row["label_azimuth"]),
    "smallnorb_ele": lambda row: int(row["label_elevation"]),
}


def redirect(folder):
    """Downloads are the files of a folder, by the last part of their address; extraction is the real one."""

    def local(url):
        address = getattr(url, "url", url)
        name = urlsplit(address).path.rpartition("/")[2]
        return epath.Path(folder / name)

    def kept(url):
        return getattr(url, "_extract_method", None) == tfds.download.ExtractMethod.NO_EXTRACT

    def download(self, urls):
        return tf.nest.map_structure(local, urls)

    def both(self, urls):
        return tf.nest.map_structure(lambda url: local(url) if kept(url) else self.extract(local(url)), urls)

    download_manager.DownloadManager.download = download
    download_manager.DownloadManager.download_and_extract = both
    download_manager.DownloadManager.manual_dir = property(lambda self: epath.Path(folder / "manual"))


def built(task, folder):
    """The official data set, prepared of the tiny archives."""
    redirect(folder)
    options = {}
    if task == "sun397":
        options["tfds_split_files"] = {end: str(folder / f"sun397_tfds_{end}.txt") for end in ("tr", "va", "te")}
    builder = tfds.builder(BUILDERS[task], data_dir=folder / "tfds", **options)
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(verify_ssl=False, try_download_gcs=False, register_checksums=False)
    )
    return builder


def compare(task, folder):
    """Digests of keys and labels in order; raises where anything differs."""
    ours = json.loads((folder / "ours.json").read_text())
    builder = built(task, folder)
    digests = {}
    for split, rows in ours["splits"].items():
        read = builder.as_dataset(split=split, shuffle_files=False, decoders={"image": tfds.decode.SkipDecoding()})
        official = list(tfds.as_numpy(read))
        assert len(official) == len(rows), f"{task} {split}: {len(official)} images, ours {len(rows)}"
        pixels = hashlib.sha256()
        for number, (row, (key, label)) in enumerate(zip(official, rows, strict=True)):
            place = f"{task} {split} {number} {key}"
            theirs = LABELS.get(task, lambda one: int(one["label"]))(row)
            assert theirs == label, f"{place}: label {theirs}, ours {label}"
            mine = (folder / f"ours-{split}-{number:05}").read_bytes()
            if ours["stored"] != "PNG of equal pixels" and task != "kitti":
                assert row["image"] == mine, f"{place}: other bytes"
            one, two = (tf.image.decode_image(data, channels=3).numpy() for data in (row["image"], mine))
            one = one * (255 if task.startswith("dsprites") else 1)  # as task_adaptation does
            assert np.array_equal(one, two), f"{place}: other pixels"
            pixels.update(two.tobytes())
        text = "\n".join(f"{key} {label}" for key, label in rows)
        digests[split] = {"images": len(rows), "keys and labels": hashlib.sha256(text.encode()).hexdigest()}
        if ours["stored"] == "PNG of equal pixels":
            digests[split]["pixels"] = pixels.hexdigest()
    return digests


def sort_listings():
    """Caltech101's builder draws in the order of listings; ours is the sorted one."""
    listed, walked = tf.io.gfile.listdir, tf.io.gfile.walk
    tf.io.gfile.listdir = lambda place: sorted(listed(place))
    tf.io.gfile.walk = lambda place: [(above, sorted(inside), sorted(files)) for above, inside, files in walked(place)]


def main(root, file):
    sort_listings()
    record = {"tensorflow": tf.__version__, "tensorflow_datasets": tfds.__version__, "opencv": cv2.__version__}
    found, failed = {}, {}
    for task, builder in BUILDERS.items():
        try:
            found[task] = {"builder": builder, "splits": compare(task, root / task)}
            print(task, "equal", file=sys.stderr)
        except Exception as error:  # noqa: BLE001  # all are tried before any is fatal
            failed[task] = error
            print(task, type(error).__name__, str(error)[:600], file=sys.stderr)
    if failed:
        sys.exit(f"{len(failed)} tasks differ: {', '.join(failed)}")
    file.write_text(json.dumps({**record, "tasks": found}, indent=2) + "\n")


main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]))
