import torch

from ship.pretrain.student import Student, losses


def student():
    sizes = {"img_size": 16, "patch_size": 4, "embed_dim": 16, "depth": 4, "num_heads": 2}
    return Student(sizes, categories=6, places=6, inks=4, seed=0)


def test_what_no_object_owns_has_no_place():
    """Offsets, rotation and size of a patch without object do not count."""
    pupil, place = student(), torch.zeros(2, 16, 6)
    guess = pupil(torch.randn(2, 3, 16, 16), torch.arange(16).expand(2, 16))
    labels = torch.zeros(2, 2, dtype=torch.long), place, torch.zeros(2, 16, 4)
    before = losses(guess, *labels)[1]
    place[..., 1:] = 7.0
    assert losses(guess, *labels)[1] == before
