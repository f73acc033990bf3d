"""Convpass convolves the patches as an image, and every other token as an image of its own."""

import pytest
import torch
import torch.nn.functional as F
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from ship.errors import BadInput
from ship.methods.base import tuned_parameters
from ship.methods.convpass import Bypass, Convpass
from ship.models.vit import embed, pool


def randomised(module):
    """The module with random tuned tensors, for evaluation."""
    with torch.no_grad():
        for parameter in tuned_parameters(module).values():
            parameter.normal_(std=0.3)
    return module.eval()


def grids(model, images):
    """The sizes of what is convolved in a pass."""
    seen = set()
    for bypass in (*model.beside_attention, *model.beside_mlp):
        bypass.conv.register_forward_hook(lambda _, inputs, __: seen.add(tuple(inputs[0].shape[2:])))
    assert model(images).logits.shape == (len(images), 3)
    return seen


def test_tokens_without_a_place_are_images_of_one_pixel():
    """Class token and register by torch's convolution of 1 x 1 images, patches by that of a 2 x 3 image."""
    bypass = randomised(Bypass(6, 4, dropout=0.5))
    h = torch.randn(5, 2 + 6, 6)
    low = F.gelu(h @ bypass.down.weight.T + bypass.down.bias)
    pixels = [bypass.conv(low[:, i, :, None, None])[..., 0, 0] for i in range(2)]
    image = bypass.conv(low[:, 2:].reshape(5, 2, 3, 4).permute(0, 3, 1, 2)).permute(0, 2, 3, 1).reshape(5, 6, 4)
    expected = bypass.up(F.gelu(torch.cat([torch.stack(pixels, dim=1), image], dim=1)))
    torch.testing.assert_close(bypass(h, (2, 3)), expected)


def test_the_convolution_starts_as_the_identity():
    """It hands on every pixel."""
    pixels = torch.randn(2, 4, 3, 5)
    torch.testing.assert_close(Bypass(6, 4, dropout=0.0).conv(pixels), pixels)


def test_the_bypasses_stand_beside_attention_and_mlp(tiny_vit):
    """Both read what the block's own branch reads, z + SA(h) + s B(h) and z + MLP(h) + s B(h)."""
    model = randomised(Convpass(tiny_vit, 3, bottleneck=4, scale=0.5))
    images = torch.randn(2, 3, 16, 16)
    z = embed(tiny_vit, images)
    for block, first, second in zip(tiny_vit.blocks, model.beside_attention, model.beside_mlp, strict=True):
        h = block.norm1(z)
        z = z + block.attn(h) + 0.5 * first(h, (4, 4))
        h = block.norm2(z)
        z = z + block.mlp(h) + 0.5 * second(h, (4, 4))
    torch.testing.assert_close(model(images).logits, model.head(pool(tiny_vit, z)), rtol=1e-4, atol=1e-5)


def test_a_grid_may_have_two_sides():
    """Images that are not square have a grid that is not."""
    vit = VisionTransformer(img_size=(16, 24), patch_size=4, embed_dim=24, depth=1, num_heads=3, reg_tokens=2)
    assert grids(randomised(Convpass(vit, 3)), torch.randn(2, 3, 16, 24)) == {(4, 6)}


@pytest.mark.parametrize("pad", [False, True])
def test_a_vit_that_takes_other_sizes_has_other_grids(pad):
    """Smaller and larger images, and such as timm pads to whole patches."""
    sizes = {"img_size": 16, "patch_size": 4, "embed_dim": 24, "depth": 1, "num_heads": 3}
    vit = VisionTransformer(**sizes, dynamic_img_size=True, dynamic_img_pad=pad)
    model = randomised(Convpass(vit, 3))
    assert grids(model, torch.randn(2, 3, 12, 24)) == {(3, 6)}
    if pad:
        assert grids(model, torch.randn(2, 3, 17, 16)) == {(5, 4)}


def test_patches_on_another_grid_than_the_vit_tells_are_refused():
    """A ViT may have been given patches that overlap: no token is taken for another."""
    vit = VisionTransformer(img_size=16, patch_size=4, embed_dim=24, depth=1, num_heads=3, pos_embed="none")
    vit.patch_embed.proj = nn.Conv2d(3, 24, 4, stride=2)
    with pytest.raises(BadInput, match="convpass: expected 16 patches, on the ViT's grid of 4 x 4, got 49"):
        Convpass(vit, 3)(torch.randn(2, 3, 16, 16))
