import torch

from ship.pretrain.student import Student, losses, wake


def student():
    sizes = {"img_size": 16, "patch_size": 4, "embed_dim": 16, "depth": 4, "num_heads": 2}
    return Student(sizes, stride=2, categories=6, places=6, inks=4, seed=0)


def test_sleeping_blocks_add_nothing():
    """A shallow student is, to the bit, the whole one; and so it is when its blocks wake."""
    pupil, images = student(), torch.randn(3, 3, 16, 16)
    order = torch.arange(16).expand(3, 16)
    shallow = pupil(images, order, shallow=True)
    for _ in range(2):
        for one, other in zip(shallow, pupil(images, order, shallow=False), strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=0)
        wake(dict(pupil.named_parameters()), stride=2)


def test_waking_blocks_learn():
    """The first gradients reach the outputs of blocks that wake."""
    pupil = student()
    wake(dict(pupil.named_parameters()), stride=2)
    torch.testing.assert_close(pupil.vit.blocks[1].attn.qkv.weight, pupil.vit.blocks[0].attn.qkv.weight)
    pupil(torch.randn(3, 3, 16, 16), torch.arange(16).expand(3, 16), shallow=False).category.sum().backward()
    assert pupil.vit.blocks[1].mlp.fc2.weight.grad.abs().sum() > 0


def test_what_no_object_owns_has_no_place():
    """Offsets, rotation and size of a patch without object do not count."""
    pupil, place = student(), torch.zeros(2, 16, 6)
    guess = pupil(torch.randn(2, 3, 16, 16), torch.arange(16).expand(2, 16), shallow=True)
    labels = torch.zeros(2, 2, dtype=torch.long), place, torch.zeros(2, 16, 4)
    before = losses(guess, *labels, label_smoothing=0.1)[1]
    place[..., 1:] = 7.0
    assert losses(guess, *labels, label_smoothing=0.1)[1] == before
