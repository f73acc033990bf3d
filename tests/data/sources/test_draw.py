import hashlib
import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from ship.data.sources import draw
from ship.data.sources.catalogue import SOURCES
from ship.data.sources.names import names_of
from ship.data.sources.published import members
from ship.data.sources.splits import SPLITS

SHARED = Path(__file__).parents[4] / "shared" / "vtab1k" / "splits.json"
DIGESTS = json.loads((Path(__file__).parent / "keys.json").read_text())
EUROSAT = [3000, 3000, 3000, 2500, 2500, 2000, 2500, 3000, 2500, 3000]


def digest(keys):
    return hashlib.sha256("\n".join(keys).encode()).hexdigest()


def doubled(task, counts, form):
    """Keys of a folder a class, which have the class twice."""
    names = zip(names_of(task), counts, strict=True)
    return [f"{name}_{name}_{form.format(row)}.jpg" for name, count in names for row in range(1, count + 1)]


def complete(task):
    """All keys of the official splits, by the scheme of their names; None where only its archives know them."""
    sizes = SOURCES[task].sizes
    if SOURCES[task].key == "index in the file":
        return {split: [str(row) for row in range(count)] for split, count in sizes.items()}
    if task.startswith("clevr"):
        short = {"train": "train", "validation": "val"}
        return {split: [f"CLEVR_{short[split]}_{row:06}.png" for row in range(n)] for split, n in sizes.items()}
    if task == "patch_camelyon":
        short = {"train": "train", "validation": "valid", "test": "test"}
        return {split: [f"{short[split]}_{row}" for row in range(n)] for split, n in sizes.items()}
    if task == "eurosat":
        return {"train": doubled(task, EUROSAT, "{}")}
    return {"train": doubled(task, [700] * 45, "{:03}")} if task == "resisc45" else None


VTAB1K = [task for task, source in SOURCES.items() if source.family == "vtab1k"]
KNOWN = [task for task in VTAB1K if complete(task)]
LABELS = {  # in closed form, of the key
    "eurosat": lambda key: names_of("eurosat").index(key.partition("_")[0]),
    "dsprites_loc": lambda key: int(key) // 32 % 32 // 2,
    "dsprites_ori": lambda key: int(int(key) // 1024 % 40 / 2.5),
}


@cache
def chosen(task):
    """Members of a task: of its complete keys where they are known, else of as many numbers."""
    keys = complete(task) or {split: map(str, range(count)) for split, count in SOURCES[task].sizes.items()}
    return members(task, SOURCES[task], {split: dict.fromkeys(rows, 0) for split, rows in keys.items()}, 0)


@pytest.mark.parametrize("task", KNOWN)
def test_members_of_the_complete_key_lists(task):
    """Fed with every key of the official splits, train, val and test have the recorded members, in their order."""
    assert {split: len(rows) for split, rows in complete(task).items()} == SOURCES[task].sizes
    assert {part: digest(key for _, key in rows) for part, rows in chosen(task).items()} == DIGESTS[task]


@pytest.fixture
def recorded(task):
    """The splits of a task as an independent computation recorded them."""
    tasks = json.loads(SHARED.read_text())["tasks"] if SHARED.is_file() else {}
    if task not in tasks:
        pytest.skip("needs the recorded splits of this task")
    return tasks[task]


@pytest.mark.parametrize("task", KNOWN)
def test_members_are_those_of_the_recorded_splits(task, recorded):
    """Key by key, where an independent computation with the official hasher is there."""
    for part, name in zip(SPLITS, ("train800", "val200", "test"), strict=True):
        there, ours = recorded["splits"][name], [key for _, key in chosen(task)[part]]
        assert digest(ours) == there["sha256"]
        assert ours == there.get("keys", ours)
        assert ours[:10] == there["first10"]
        if "label_sha256" in there and task in LABELS:
            assert digest(str(LABELS[task](key)) for key in ours) == there["label_sha256"]


@pytest.mark.parametrize("task", VTAB1K)
def test_recorded_keys_are_in_stored_order(task, recorded):
    """Also those whose complete lists only the archives have: any subset of a split keeps its order."""
    for name in ("train800", "val200"):
        part = recorded["splits"][name]
        assert draw.stored(part["salt"], sorted(part["keys"])) == part["keys"]


@pytest.mark.parametrize("task", VTAB1K)
def test_slices_have_the_sizes_of_vtab(task):
    """800, 200 and a test split of the published size, without an image in two of them."""
    sizes = {part: len(images) for part, images in chosen(task).items()}
    assert sizes == {"train": 800, "val": 200, "test": DIGESTS["sizes of test"][task]}


def test_a_tenth_of_train_is_val_where_a_source_has_none():
    """Stratified, by seed; whole training sets are divided, nothing is lost."""
    source = SOURCES["cub200"]
    labels = {split: {f"{split}/{row}": row % 200 for row in range(count)} for split, count in source.sizes.items()}
    parts = members("cub200", source, labels, 3)
    assert {part: len(rows) for part, rows in parts.items()} == {"train": 5395, "val": 599, "test": 5794}
    per_class = np.bincount([labels["train"][key] for _, key in parts["val"]])
    assert set(per_class.tolist()) <= {2, 3, 4}
    assert parts == members("cub200", source, labels, 3)
    assert parts["val"] != members("cub200", source, labels, 4)["val"]


def test_caltech_draws_from_sorted_names():
    """However an archive is ordered; what is no image takes part in the draw and is left out."""
    folders = {"b": [f"{row}.jpg" for row in range(40)], "A": [*(f"{row}.jpg" for row in range(31)), "tmp"]}
    train, test = draw.caltech101(folders)
    again = draw.caltech101({name: list(reversed(files)) for name, files in reversed(folders.items())})
    assert (train, test) == again
    assert len(train) + len(test) == 71
    assert sum(key.startswith("b/") for key in train) == 30


def test_slices_read_as_in_tensorflow_datasets():
    """Open at either end; a split that is too short for its slice is refused."""
    splits = {"train": list("abcdef")}
    assert [draw.cut(piece, splits)[1] for piece in ("train", "train[:2]", "train[4:]", "train[1:3]")] == [
        list("abcdef"),
        list("ab"),
        list("ef"),
        list("bc"),
    ]
    with pytest.raises(draw.BadInput, match=r"train\[:7\]: expected at least 7 images in the official train, got 6"):
        draw.cut("train[:7]", splits)
