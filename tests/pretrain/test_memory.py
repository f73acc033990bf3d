"""What a step of a pre-training sees again."""

import torch

from ship.pretrain.memory import Memory
from ship.pretrain.settings import Pretrain


def test_a_step_sees_its_own_images_and_some_of_the_last_batches():
    """Its own first; all parts of an image stay together, and nothing comes that is older than the window."""
    memory = Memory(Pretrain(steps=300, batch_size=2, again=3, window=4))
    for step in range(1, 30):
        numbers = torch.arange(2 * step, 2 * step + 2)
        images, labels = memory.extended([numbers[:, None], -numbers], step)
        assert images[:2, 0].tolist() == numbers.tolist()
        assert torch.equal(labels, -images[:, 0])
        assert len(images) == 8
        assert images.min() >= 2 * max(1, step - 3)


def test_without_it_a_batch_stays_as_it_is():
    """And nothing is kept."""
    memory, batch = Memory(Pretrain(steps=300)), [torch.zeros(2)]
    assert memory.extended(batch, 1) is batch
    assert not memory.kept
