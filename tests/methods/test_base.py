"""What methods share."""

import copy

import pytest
import torch
from torch import nn

from ship.errors import BadInput
from ship.methods.base import frozen_digest, tuned_parameters
from ship.methods.selective import BitFit
from ship.methods.shared_adapter import SharedAdapter
from ship.methods.ship import SHIP


@pytest.mark.parametrize("kind", [SHIP, SharedAdapter])
def test_a_state_of_other_levels_is_refused(tiny_vit, kind):
    """Its prompts and adapters belong to other blocks; with the same levels it is taken."""
    given = {"prototypes": torch.randn(5, 24)} if kind is SHIP else {"level_rank": 4}
    one, two = (kind(copy.deepcopy(tiny_vit), 3, affinity=part, **given) for part in (torch.eye(4), torch.ones(4, 4)))
    whole = nn.Sequential(one)
    with pytest.raises(BadInput, match=r"load_state_dict: expected the affinity .* \(affinity=state\['0.affinity'\]"):
        whole.load_state_dict({f"0.{name}": tensor for name, tensor in two.state_dict().items()}, strict=False)
    assert whole.load_state_dict(whole.state_dict())


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
