"""Tiny archives of VTAB-1k and FGVC in their original formats, and what must come out of them."""

import gzip
import io
import json
import struct
import tarfile
import zipfile
from functools import partial
from typing import NamedTuple

import h5py
import numpy as np
from PIL import Image
from scipy.io import savemat

from ship.data.sources.catalogue import ARCHIVES, SOURCES
from ship.data.sources.names import names_of
from ship.storage import sha256

LIMITS = {":800": ":8", "45000:45200": "20:24", "2754:2954": "20:24", "2944:3144": "20:24", "65931:66131": "20:24"}
LIMITS |= {"16200:16400": "20:24", "18900:19100": "20:24", "63000:63200": "20:24", "589824:590024": "20:24"}
LIMITS |= {":200": ":4", "21600:": "30:", "25200:": "30:", "663552:": "30:", "12150:": "12:"}
SIZES = {"train": 40, "validation": 12, "test": 16}
SUN = {"/a/abbey": 0, "/a/airplane_cabin": 1, "/c/car_interior/backseat": 78}


class Original(NamedTuple):
    """An image of an archive: its label, and the bytes or the pixels that must be stored."""

    label: int
    stored: bytes | np.ndarray | None


def noise(seed, height=12, width=10):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def encoded(pixels, kind="JPEG"):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def tar(path, files, mode="w:gz"):
    with tarfile.open(path, mode) as tape:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tape.addfile(info, io.BytesIO(data))


def packed(path, files):
    with zipfile.ZipFile(path, "w") as bundle:
        for name, data in files.items():
            bundle.writestr(name, data)


def matlab(path, **values):
    savemat(path, values, do_compression=True)


def tiny(task, content):
    """The row of the catalogue with the sizes of a tiny archive."""
    source = SOURCES[task]
    slices = []
    for piece in source.slices:
        name, bracket, limits = piece.partition("[")
        slices.append(f"{name}[{LIMITS[limits[:-1]]}]" if bracket else piece)
    return source._replace(sizes={split: len(images) for split, images in content.items()}, slices=tuple(slices))


def install(monkeypatch, task, folder, verify=True):
    """Write a task's archives and let the catalogue describe them. Returns images by official split and key."""
    content = WRITERS[task](folder)
    monkeypatch.setitem(SOURCES, task, tiny(task, content))
    for name in SOURCES[task].archives:
        size, digest = ((folder / name).stat().st_size, sha256(folder / name)) if verify else (None, None)
        monkeypatch.setitem(ARCHIVES, name, ARCHIVES[name]._replace(size=size, sha256=digest, md5=None))
    return content


def cifar(folder):
    content, files = {}, {}
    for name, count in (("coarse", 20), ("fine", 100)):
        files[f"cifar-100-binary/{name}_label_names.txt"] = "".join(f"thing_{n}\n" for n in range(count)).encode()
    for seed, split in enumerate(("test", "train")):
        pixels = [noise((seed, row), 32, 32) for row in range(SIZES[split])]
        content[split] = {str(row): Original(row % 100, image) for row, image in enumerate(pixels)}
        planes = [image.transpose(2, 0, 1).tobytes() for image in pixels]
        records = [bytes([row % 20, row % 100]) + data for row, data in enumerate(planes)]
        files[f"cifar-100-binary/{split}.bin"] = b"".join(records)
    tar(folder / "cifar-100-binary.tar.gz", files)
    return {split: content[split] for split in ("train", "test")}


def caltech101(folder):
    rng = np.random.RandomState(1234)
    files, content = {}, {"train": {}, "test": {}}
    names = ["BACKGROUND_Google", "Faces", "accordion"]
    paths = {name: [f"image_{row:04}.jpg" for row in range(1, 36)] + ["tmp"] * (name == names[0]) for name in names}
    for name in names:
        drawn = {paths[name][row] for row in rng.choice(len(paths[name]), 30, replace=False)}
        for row, path in enumerate(paths[name]):
            data = encoded(noise((len(name), row)))
            files[f"101_ObjectCategories/{name}/{path}"] = data
            if path != "tmp":
                label = names_of("caltech101").index(name.lower())
                content["train" if path in drawn else "test"][f"{name}/{path}"] = Original(label, data)
    inner = folder / "inner.tar.gz"
    tar(inner, dict(reversed(files.items())))
    packed(folder / "caltech-101.zip", {"caltech-101/101_ObjectCategories.tar.gz": inner.read_bytes()})
    inner.unlink()
    return content


def dtd(folder):
    files, content = {}, {}
    classes = names_of("dtd")
    for seed, (split, name) in enumerate({"train": "train1", "validation": "val1", "test": "test1"}.items()):
        keys = [f"{classes[row % 47]}/{classes[row % 47]}_{1000 * seed + row:04}.jpg" for row in range(SIZES[split])]
        content[split] = {key: Original(row % 47, encoded(noise((seed, row)))) for row, key in enumerate(keys)}
        files |= {f"dtd/images/{key}": image.stored for key, image in content[split].items()}
        files[f"dtd/labels/{name}.txt"] = "".join(f"{key}\n" for key in keys).encode()
    tar(folder / "dtd-r1.0.1.tar.gz", files, "w")
    return content


def flowers(folder, sizes=SIZES):
    content, ids, labels = {}, {}, np.arange(sum(sizes.values())) % 102 + 1
    start = 1
    for split, name in {"test": "tstid", "train": "trnid", "validation": "valid"}.items():
        ids[name] = np.arange(start, start + sizes[split])
        content[split] = {
            f"image_{number:05}.jpg": Original(int(labels[number - 1]) - 1, encoded(noise(number)))
            for number in ids[name]
        }
        start += sizes[split]
    matlab(folder / "setid.mat", **ids)
    matlab(folder / "imagelabels.mat", labels=labels)
    images = {f"jpg/{key}": image.stored for split in content.values() for key, image in split.items()}
    tar(folder / "102flowers.tgz", images)
    return {split: content[split] for split in ("train", "validation", "test")}


def pets(folder):
    files, lists, content = {}, {}, {}
    for seed, (split, name) in enumerate({"train": "trainval", "test": "test"}.items()):
        titles = [f"Abyssinian_{1000 + 100 * seed + row}" for row in range(SIZES[split])]
        content[split] = {
            f"{title}.jpg": Original(row % 37, encoded(noise((seed, row)), "PNG" if row % 5 == 0 else "JPEG"))
            for row, title in enumerate(titles)
        }
        files |= {f"images/{key}": image.stored for key, image in content[split].items()}
        lists |= {f"annotations/trimaps/{title}.png": encoded(noise(0), "PNG") for title in titles}
        lists[f"annotations/{name}.txt"] = "".join(f"{t} {row % 37 + 1} 1 1\n" for row, t in enumerate(titles)).encode()
    tar(folder / "images.tar.gz", files)
    tar(folder / "annotations.tar.gz", lists)
    return content


def svhn(folder):
    content = {}
    for seed, split in enumerate(("train", "test")):
        pixels = [noise((seed, row), 32, 32) for row in range(SIZES[split])]
        digits = np.arange(SIZES[split]) % 10 + 1
        content[split] = {str(row): Original(int(digits[row]) % 10, image) for row, image in enumerate(pixels)}
        matlab(folder / f"{split}_32x32.mat", X=np.stack(pixels, axis=-1), y=digits[:, None].astype(np.uint8))
    return content


def sun397(folder):
    files, lists, content = {}, {}, {}
    where = "tensorflow_datasets/image_classification/sun397_"
    for seed, (split, end) in enumerate({"train": "tr", "validation": "va", "test": "te"}.items()):
        content[split] = {}
        for row in range(SIZES[split]):
            title = list(SUN)[row % 3]
            key = f"{title}/sun_{seed}{row:03}.jpg"
            image = encoded(
                noise((seed, row), 300, 500) if row == 3 else noise((seed, row)), "PNG" if row == 5 else "JPEG"
            )
            files[f"SUN397{key}"] = image
            content[split][key] = Original(SUN[title], None)
        lists[f"{where}tfds_{end}.txt"] = "".join(f"{key}\n" for key in content[split]).encode()
    known = {label: title for title, label in SUN.items()}
    titles = [known.get(number, f"/z/{number:03}") for number in range(397)]
    lists[f"{where}labels.txt"] = "".join(f"{title}\n" for title in titles).encode()
    files["SUN397/z/unused.jpg"] = b"no image"
    tar(folder / "SUN397.tar.gz", files)
    packed(folder / "tensorflow_datasets-4.2.0-py3-none-any.whl", lists)
    return content


def patch_camelyon(folder):
    content = {}
    for seed, (split, part) in enumerate({"train": "train", "validation": "valid", "test": "test"}.items()):
        pixels = [noise((seed, row), 96, 96) for row in range(SIZES[split])]
        content[split] = {f"{part}_{row}": Original(row % 2, image) for row, image in enumerate(pixels)}
        for end, array, chunks in (
            ("x", np.stack(pixels), (3, 96, 96, 3) if split == "test" else None),
            ("y", (np.arange(SIZES[split], dtype=np.uint8) % 2).reshape(-1, 1, 1, 1), None),
        ):
            file = io.BytesIO()
            with h5py.File(file, "w") as bundle:
                bundle.create_dataset(end, data=array, chunks=chunks, compression="gzip" if chunks else None)
            place = folder / f"camelyonpatch_level_2_split_{part}_{end}.h5.gz"
            place.write_bytes(gzip.compress(file.getvalue()))
    return content


def _folders(folder, name, task, top):
    classes = names_of(task)
    files, content = {f"{top}/readme.txt": b"text"}, {"train": {}}
    for row in range(SIZES["train"]):
        title = classes[row % len(classes)]
        data = encoded(noise(row))
        files[f"{top}/{title}/{title}_{row + 1}.jpg"] = data
        content["train"][f"{title}_{title}_{row + 1}.jpg"] = Original(row % len(classes), data)
    packed(folder / name, files)
    return content


def eurosat(folder):
    return _folders(folder, "EuroSAT.zip", "eurosat", "2750")


def resisc45(folder):
    return _folders(folder, "NWPU-RESISC45.zip", "resisc45", "NWPU-RESISC45")


def retinopathy(folder):
    bundles, rows, content = {"train": {}, "test": {}}, ["image,level,Usage"], {}
    for seed, (split, usage) in enumerate({"train": None, "validation": "Public", "test": "Private"}.items()):
        part = "train" if split == "train" else "test"
        keys = [f"{100 * seed + row}_{'left' if row % 2 else 'right'}" for row in range(SIZES[split])]
        content[split] = {key: Original(row % 5, None) for row, key in enumerate(keys)}
        for row, key in enumerate(keys):
            bundles[part][f"{part}/{key}.jpeg"] = encoded(noise((seed, row), 40, 50))
        if usage:
            rows += [f"{key},{row % 5},{usage}" for row, key in enumerate(keys)]
    labels = "image,level\n" + "".join(f"{key},{image.label}\n" for key, image in content["train"].items())
    packed(folder / "trainLabels.csv.zip", {"trainLabels.csv": labels.encode()})
    (folder / "retinopathy_solution.csv").write_text("\r\n".join(rows) + "\r\n")
    for part, count in (("train", 5), ("test", 7)):
        packed(folder / "whole.zip", bundles[part])
        data = (folder / "whole.zip").read_bytes()
        (folder / "whole.zip").unlink()
        step = len(data) // count + 1
        for number in range(count):
            (folder / f"{part}.zip.{number + 1:03}").write_bytes(data[number * step : (number + 1) * step])
    return content


def _clevr(folder, rule):
    files, content = {}, {}
    for seed, (split, part) in enumerate({"train": "train", "validation": "val"}.items()):
        scenes, content[split] = [], {}
        for row in range(SIZES[split]):
            key = f"CLEVR_{part}_{row:06}.png"
            data = encoded(noise((seed, row)), "PNG")
            files[f"CLEVR_v1.0/images/{part}/{key}"] = data
            depths = [7.5 + row % 7 / 2 + 1e-9 * (row % 2), *(12.0 + step for step in range(2 + row % 8))]
            look = {"color": "red", "material": "rubber", "shape": "cube", "size": "small", "rotation": 0.5}
            objects = [{**look, "pixel_coords": [1, 2, depth], "3d_coords": [1.0, 2.0, 3.0]} for depth in depths]
            scenes.append({"image_filename": key, "objects": objects})
            content[split][key] = Original(rule(depths), data)
        text = {"info": {"split": "\u00e9"}, "scenes": scenes}
        files[f"CLEVR_v1.0/questions/CLEVR_{part}_questions.json"] = b'{"questions": []}'
        files[f"CLEVR_v1.0/scenes/CLEVR_{part}_scenes.json"] = json.dumps(text, ensure_ascii=False).encode()
    files["CLEVR_v1.0/questions/CLEVR_test_questions.json"] = b'{"questions": []}'
    files["CLEVR_v1.0/images/test/CLEVR_test_000000.png"] = encoded(noise(9), "PNG")
    packed(folder / "CLEVR_v1.0.zip", files)
    return content


def clevr_count(folder):
    return _clevr(folder, lambda depths: len(depths) - 3)


def clevr_dist(folder):
    def rule(depths):
        near = np.float32(min(depths))
        return sum(bool(edge < near) for edge in (8, 8.5, 9, 9.5, 10))

    return _clevr(folder, rule)


def field(number, data):
    """A field of a protocol buffer with a length, or a number."""
    if isinstance(data, int):
        return bytes([number << 3]) + varint(data)
    return bytes([number << 3 | 2]) + varint(len(data)) + data


def varint(value):
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def masked(data):
    """Data and their CRC-32C, rotated and shifted as in TFRecord."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    value ^= 0xFFFFFFFF
    return data + struct.pack("<I", ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def dmlab(folder):
    files, content = {}, {}
    for seed, split in enumerate(("train", "validation", "test")):
        messages, content[split] = [], {}
        for row in range(SIZES[split]):
            key, data = f"video_{seed}_{row}.jpg", encoded(noise((seed, row)))
            content[split][key] = Original(row % 6, data)
            values = {
                "image": field(1, field(1, data)),
                "filename": field(1, field(1, key.encode())),
                "label": field(3, field(1, bytes([row % 6]) if row % 2 else row % 6)),
            }
            entries = [field(1, field(1, name.encode()) + field(2, value)) for name, value in values.items()]
            messages.append(field(1, b"".join(entries)))
        records = [masked(struct.pack("<Q", len(data))) + masked(data) for data in messages]
        for shard in range(2):
            files[f"dmlab-{split}.tfrecord-{shard:05}-of-00002"] = b"".join(records[shard::2])
    tar(folder / "dmlab.tar.gz", files)
    return content


def kitti(folder):
    drives = [f"2011_09_26_drive_{number:04}_sync" for number in range(20)]
    count = 60
    order = np.random.default_rng(0).permutation(count) + 1
    mapping = [f"2011_09_26 {drives[row % 20]} {row:010}" for row in range(count)]
    kit = {"mapping/train_mapping.txt": "\n".join(mapping) + "\n", "mapping/train_rand.txt": ",".join(map(str, order))}
    packed(folder / "devkit_object.zip", {name: text.encode() for name, text in kit.items()})
    choice = np.random.RandomState(123)
    test = set(choice.choice(drives, 2, replace=False))
    validation = set(choice.choice(sorted({*drives} - test), 2, replace=False))
    images, notes, content = {}, {}, {"train": {}, "validation": {}, "test": {}}
    for image in range(count):
        drive = drives[(order[image] - 1) % 20]
        split = "test" if drive in test else "validation" if drive in validation else "train"
        cases = [(7.5, "Car", 0), (8.00000001, "Van", 0), (20.5, "Truck", 2), (9, "Tram", 3), (15, "Car", 1)]
        depth, kind, label = cases[image % 5]
        rest = "0.00 0 -1.57 1 2 3 4 1.5 1.6 3.9 1.0 1.7"
        text = f"{kind} {rest} {depth} -1.5\nDontCare -1 -1 -10 1 2 3 4 -1 -1 -1 -1000 -1000 -1000 -10\n"
        data = encoded(noise(image), "PNG")
        images[f"training/image_2/{image:06}.png"] = data
        images[f"testing/image_2/{image:06}.png"] = encoded(noise((9, image)), "PNG")
        notes[f"training/label_2/{image:06}.txt"] = text.encode()
        content[split][f"{image:06}.png"] = Original(label, data)
    packed(folder / "data_object_image_2.zip", images)
    packed(folder / "data_object_label_2.zip", notes)
    return content


def _dsprites(folder, column, rule):
    count = SIZES["train"]
    pixels = np.random.default_rng(1).integers(0, 2, (count, 64, 64), dtype=np.uint8)
    classes = np.zeros((count, 6), np.int64)
    classes[:, 3], classes[:, 4] = np.arange(count) % 40, np.arange(count) % 32
    with h5py.File(folder / "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.hdf5", "w") as bundle:
        bundle.create_dataset("imgs", data=pixels, chunks=(7, 16, 16), compression="gzip")
        bundle["latents/classes"] = classes
        bundle["latents/values"] = classes.astype(np.float64)
    return {"train": {str(row): Original(rule(int(classes[row, column])), 255 * pixels[row]) for row in range(count)}}


def dsprites_loc(folder):
    return _dsprites(folder, 4, lambda value: value // 2)


def dsprites_ori(folder):
    return _dsprites(folder, 3, lambda value: int(value / 2.5))


def matrix(path, array):
    sizes = [*array.shape, *[1] * (3 - array.ndim)]
    head = struct.pack(f"<ii{len(sizes)}i", 507333717 if array.dtype == np.uint8 else 507333716, array.ndim, *sizes)
    path.write_bytes(gzip.compress(head + array.tobytes()))


def _smallnorb(folder, column, step):
    content = {}
    ends = {"train": "46789x9x18x6x2x96x96-training", "test": "01235x9x18x6x2x96x96-testing"}
    for seed, (split, end) in enumerate(ends.items()):
        count = SIZES[split]
        pixels = np.random.default_rng(seed).integers(0, 256, (count, 2, 96, 96), dtype=np.uint8)
        rows = np.arange(count)
        info = np.stack([rows % 10, rows % 9, 2 * (rows % 18), rows % 6], axis=1).astype("<i4")
        matrix(folder / f"smallnorb-5x{end}-dat.mat.gz", pixels)
        matrix(folder / f"smallnorb-5x{end}-info.mat.gz", info)
        content[split] = {str(row): Original(int(info[row, column]) // step, pixels[row, 0]) for row in rows}
    return content


def smallnorb_azi(folder):
    return _smallnorb(folder, 2, 2)


def smallnorb_ele(folder):
    return _smallnorb(folder, 1, 1)


def _birds(folder, name, top, classes, number):
    """Images of `classes` classes, of which the one labelled n is called `number(n)`."""
    lists, files, content = {key: [] for key in ("images", "image_class_labels", "train_test_split")}, {}, {}
    for split, start in (("train", 0), ("test", 2 * classes)):
        content[split] = {}
        for row in range(start, start + 2 * classes):
            label = row % classes
            key, data = f"{number(label):03}.bird/{row}.jpg", encoded(noise(row, 2, 2))
            lists["images"].append(f"id-{row} {key}")
            lists["image_class_labels"].append(f"id-{row} {number(label)}")
            lists["train_test_split"].append(f"id-{row} {int(split == 'train')}")
            content[split][key], files[f"{top}/images/{key}"] = Original(label, data), data
    titles = [f"{label} the bird {label}" for label in range(1, number(classes - 1) + 1)]
    texts = {f"{top}/{key}.txt": "\n".join(rows).encode() for key, rows in {**lists, "classes": titles}.items()}
    tar(folder / name, {**files, **texts})
    return content


def cub200(folder):
    return _birds(folder, "CUB_200_2011.tgz", "CUB_200_2011", 200, lambda label: label + 1)


def nabirds(folder):
    return _birds(folder, "nabirds.tar.gz", "nabirds", 555, lambda label: label + 200)


def dogs(folder):
    files, content = {}, {}
    for split, start in (("train", 0), ("test", 240)):
        keys = [f"n{row % 120:05}-Dog_{row % 120}/n{row}.jpg" for row in range(start, start + 240)]
        content[split] = {key: Original(row % 120, encoded(noise(start + row, 2, 2))) for row, key in enumerate(keys)}
        files |= {f"Images/{key}": image.stored for key, image in content[split].items()}
        matlab(folder / f"{split}_list.mat", file_list=np.array(keys, object)[:, None])
    lists = {f"{split}_list.mat": (folder / f"{split}_list.mat").read_bytes() for split in content}
    tar(folder / "lists.tar", lists, "w")
    tar(folder / "images.tar", files, "w")
    return content


def cars(folder):
    content, kit = {}, {}
    kind = [("bbox_x1", "O"), ("class", "O"), ("fname", "O")]
    for seed, split in enumerate(("train", "test")):
        keys = [f"{row + 1:05}.jpg" for row in range(392)]
        content[split] = {
            f"cars_{split}/{key}": Original(row % 196, encoded(noise((seed, row), 2, 2)))
            for row, key in enumerate(keys)
        }
        tar(folder / f"cars_{split}.tgz", {key: image.stored for key, image in content[split].items()})
        notes = np.array([(1, row % 196 + 1, key) for row, key in enumerate(keys)], kind)
        matlab(folder / f"{split}.mat", annotations=notes)
        kit[f"devkit/cars_{split}_annos.mat"] = (folder / f"{split}.mat").read_bytes()
    (folder / "cars_test_annos_withlabels.mat").write_bytes(kit.pop("devkit/cars_test_annos.mat"))
    matlab(folder / "meta.mat", class_names=np.array([f"Car {label}" for label in range(196)], object))
    kit["devkit/cars_meta.mat"] = (folder / "meta.mat").read_bytes()
    tar(folder / "car_devkit.tgz", kit)
    return content


WRITERS = {
    "cifar": cifar,
    "caltech101": caltech101,
    "dtd": dtd,
    "oxford_flowers102": flowers,
    "oxford_iiit_pet": pets,
    "svhn": svhn,
    "sun397": sun397,
    "patch_camelyon": patch_camelyon,
    "eurosat": eurosat,
    "resisc45": resisc45,
    "diabetic_retinopathy": retinopathy,
    "clevr_count": clevr_count,
    "clevr_dist": clevr_dist,
    "dmlab": dmlab,
    "kitti": kitti,
    "dsprites_loc": dsprites_loc,
    "dsprites_ori": dsprites_ori,
    "smallnorb_azi": smallnorb_azi,
    "smallnorb_ele": smallnorb_ele,
    "cub200": cub200,
    "nabirds": nabirds,
    "oxford_flowers": partial(flowers, sizes=dict.fromkeys(SIZES, 102)),
    "stanford_dogs": dogs,
    "stanford_cars": cars,
}


def lying(folder):
    """The archives that lie in a folder, by name."""
    return {path.name: path for path in folder.iterdir()} if folder.is_dir() else {}
