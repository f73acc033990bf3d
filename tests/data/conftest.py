import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="session")
def image():
    """Bytes of a small PNG that differs for every number."""

    def make(number: int = 0, mode: str = "RGB", kind: str = "PNG") -> bytes:
        values = np.random.default_rng(number).integers(0, 256, (9, 7, 3), dtype=np.uint8)
        file = io.BytesIO()
        Image.fromarray(values).convert(mode).save(file, format=kind)
        return file.getvalue()

    return make


@pytest.fixture
def put(image):
    """Write images to the paths given."""

    def write(root: Path, *paths: str) -> Path:
        for number, path in enumerate(paths):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(image(number))
        return root

    return write


@pytest.fixture
def vtab(tmp_path, put):
    """A folder in the VTAB layout: 8, 4 and 6 images of two classes."""
    root = tmp_path / "vtab"
    lists = {"train800": range(8), "val200": range(8, 12), "test": range(12, 18)}
    for name, numbers in lists.items():
        lines = [f"images/a picture {number}.png {number % 2}\n" for number in numbers]
        put(root, *(line.rpartition(" ")[0] for line in lines))
        (root / f"{name}.txt").write_text("".join(lines))
    whole = (root / "train800.txt").read_text() + (root / "val200.txt").read_text()
    (root / "train800val200.txt").write_text(whole)
    return root


@pytest.fixture
def classes(tmp_path, put):
    """A folder with 12 cats and 6 dogs."""
    return put(tmp_path / "pets", *(f"{('dog', 'cat', 'cat')[n % 3]}/{n}.png" for n in range(18)))
