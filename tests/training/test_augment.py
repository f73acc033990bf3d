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


def ramps(count):
    """Pictures that rise to the right in the first channel, and down in the second; the third is even."""
    x = torch.arange(64, dtype=torch.uint8) * 4
    even = torch.full((64, 64), 100, dtype=torch.uint8)
    return torch.stack([x.expand(64, 64), x[:, None].expand(64, 64), even]).repeat(count, 1, 1, 1)


def test_a_crop_keeps_half_of_the_area_or_more():
    """And now and then nearly all of it."""
    torch.manual_seed(0)
    found = augmentation("crop", 64, "bilinear")(ramps(200))[:, :2].double()
    area = ((found.amax((2, 3)) - found.amin((2, 3)) + 4) / 256).prod(1)
    assert 0.45 < area.min() < 0.6
    assert area.max() > 0.9


def test_a_crop_is_resized_as_it_is_told():
    """By the interpolation of the backbone."""
    image = torch.tensor([0, 255], dtype=torch.uint8)[torch.randint(2, (4, 3, 16, 16))]
    assert set(augmentation("crop", 16, "nearest")(image).unique().tolist()) == {0, 255}


@pytest.mark.parametrize("name", ["flip+crop", "trivialaugment"])
def test_what_is_composed_flips_some(name):
    """TrivialAugment changes colours, too."""
    torch.manual_seed(0)
    found = augmentation(name, 64, "bilinear")(ramps(60)).double()
    rising = found[:, 0, :, -1].mean(1) > found[:, 0, :, 0].mean(1)
    assert 0 < rising.sum() < 60
    assert bool((found[:, 2] == 100).all()) is (name == "flip+crop")
