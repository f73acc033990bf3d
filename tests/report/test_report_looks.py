"""What a run looked at, as the page draws it: the right patches, few bytes, and words."""

import base64
import io

import numpy as np
from PIL import Image

from ship.artifacts import Run
from ship.report.looks import CELL, in_words, overlay_of, read_looks

GRID = np.array([[0, 10, 20], [255, 128, 30]], np.uint8)


def test_an_overlay_is_the_grid_in_sixteen_steps():
    """A pixel a patch; the more attention, the less transparent and the brighter, and none is clear."""
    picture = Image.open(io.BytesIO(base64.b64decode(overlay_of(GRID).partition(",")[2])))
    pixels = np.asarray(picture.convert("RGBA")).astype(int)
    assert pixels.shape == (2, 3, 4)
    assert pixels[0, 0, 3] == 0
    order = np.argsort(GRID, axis=None)
    for values in (pixels[..., 3], pixels[..., :3].sum(-1)):
        assert (np.diff(values.ravel()[order]) >= 0).all()
        assert values[1, 0] > values[1, 1] > values[0, 1]


def test_an_overlay_is_small():
    """Of 14 x 14 patches less than 400 characters, of 37 x 37 less than 1,250."""
    random = np.random.default_rng(0)
    for side, most in ((14, 400), (37, 1250)):
        assert len(overlay_of(random.integers(0, 256, (side, side), dtype=np.uint8))) < most


def test_a_look_in_words_says_how_focused_it_is_and_where():
    """Rows and columns are counted from 1."""
    assert in_words(GRID) == ("half of the attention is on 1 of 6 patches, the highest in row 2 of 2, column 1 of 3")
    assert in_words(np.full((2, 2), 255, np.uint8)).startswith("half of the attention is on 2 of 4 patches")


def test_picked_patches_are_marked(finished):
    """Where they lie on the grid, of the next block by dots; tokens before the patches have no mark."""
    seen = read_looks(finished.root, Run("vit_mini", "digits", "ship", 0))
    look = seen.look(next(iter(seen.images)))
    first, second = look.frames
    assert look.words.endswith("; 2 patches are picked before block 7; 3 patches are picked before block 10")
    assert first == f"M{3 * CELL + 1} 1h8v8h-8zM1 {CELL + 1}h8v8h-8z"  # tokens 4 and 5 are patches 3 and 4 of 3 x 4
    assert second.startswith("M4 4h2v2h-2z")
    assert seen.picks == {7: 3, 10: 3}


def test_a_run_without_looks_has_none(tmp_path):
    """As of a version that left none."""
    seen = read_looks(tmp_path, Run("vit_mini", "digits", "ship", 0))
    assert (seen.images, seen.picks) == ({}, {})
