"""Changed images: of the same kind as before, each by a draw of its own, the same from the same seed."""

import pytest
import torch

from ship.training.augment import augmentation

NAMES = ["flip", "crop", "flip+crop", "trivialaugment"]


def images():
    """The same picture eight times."""
    one = torch.randint(0, 256, (3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    return one.repeat(8, 1, 1, 1)


def test_none_changes_nothing_and_draws_nothing():
    """The generator stays where it was: so do the bits of every run without it."""
    before, batch = torch.get_rng_state(), images()
    assert augmentation("none", 16, "bicubic")(batch) is batch
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", NAMES)
def test_images_keep_their_shape_and_kind(name):
    """Bytes in, bytes out; what went in is as it was."""
    batch = images()
    changed = augmentation(name, 16, "bilinear")(batch)
    assert (changed.shape, changed.dtype) == (batch.shape, torch.uint8)
    assert torch.equal(batch, images())


@pytest.mark.parametrize("name", NAMES)
def test_every_image_has_a_draw_of_its_own_and_a_seed_repeats_it(name):
    """A batch does not turn as one."""
    change, found = augmentation(name, 16, "bicubic"), []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        found.append(change(images()))
    assert len({image.numpy().tobytes() for image in found[0]}) > 1
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_a_flip_is_the_image_or_its_mirror():
    """Nothing else."""
    batch = images()
    kinds = {image.numpy().tobytes() for image in augmentation("flip", 16, "bicubic")(batch)}
    assert kinds == {batch[0].numpy().tobytes(), batch[0].flip(-1).numpy().tobytes()}
