"""The MLP head equals its formula."""

import torch
import torch.nn.functional as F

from ship.methods.mlp import MLP


def test_two_layers_stand_on_what_the_head_reads(tiny_vit):
    """W GELU(V x + a) + b."""
    model, x = MLP(tiny_vit, 3, width=8), torch.randn(5, 24)
    hidden = F.gelu(x @ model.hidden.weight.T + model.hidden.bias)
    torch.testing.assert_close(model.on_pooled(x).logits, hidden @ model.head.weight.T + model.head.bias)
