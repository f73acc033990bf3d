"""VPT's cheap deep form equals the paper's: prompts pass through the block and are thrown away."""

import copy

import torch

from ship.methods.vpt import VPT
from ship.models.vit import embed, pool


def test_deep_equals_the_plain_form(tiny_vit):
    """Running prompts through whole blocks and replacing them gives the same logits."""
    model = VPT(copy.deepcopy(tiny_vit), 3, prompt_length=4).eval()
    images = torch.randn(2, 3, 16, 16)
    z = embed(model.vit, images)
    for prompts, block in zip(model.prompts, model.vit.blocks, strict=True):
        z = block(torch.cat([z, prompts.expand(2, -1, -1)], dim=1))[:, : z.shape[1]]
    torch.testing.assert_close(model.head(pool(model.vit, z)), model(images).logits)


def test_dropout_is_drawn_for_every_image(tiny_vit):
    """In training two copies of one image see different prompts; in evaluation the same."""
    model = VPT(tiny_vit, 3, prompt_length=4, dropout=0.5)
    images = torch.randn(1, 3, 16, 16).expand(2, -1, -1, -1)
    first, second = model.train()(images).logits
    assert not torch.equal(first, second)
    first, second = model.eval()(images).logits
    torch.testing.assert_close(first, second)
