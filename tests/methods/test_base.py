"""What methods share."""

import torch

from ship.methods.base import frozen_digest, tuned_parameters
from ship.methods.selective import BitFit


def test_a_frozen_digest_names_the_backbone_alone(tiny_vit):
    """Training changes nothing of it; what is not tuned does."""
    model = BitFit(tiny_vit, 5)
    before = frozen_digest(model)
    with torch.no_grad():
        for parameter in tuned_parameters(model).values():
            parameter.add_(1)
    assert frozen_digest(model) == before
    torch.nn.init.ones_(model.vit.blocks[0].mlp.fc1.weight)
    assert frozen_digest(model) != before
