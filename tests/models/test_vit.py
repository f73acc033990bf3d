"""embed -> blocks -> pool equals timm's forward on every family that we claim."""

import copy

import pytest
import timm
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ship.errors import BadInput
from ship.models.attention import QKV, attend
from ship.models.vit import (
    class_attention,
    embed,
    encode,
    finish_block,
    freeze,
    pass_block,
    pool,
    project_kv,
    project_q,
    project_qkv,
    require_plain,
)


class Encoder(nn.Module):
    """`encode` as a module."""

    def __init__(self, vit):
        super().__init__()
        self.vit = vit

    def forward(self, images):
        """(B, D) of normalised images."""
        return encode(self.vit, images)


FAMILIES = {
    "ViT": ("vit_tiny_patch16_224", 64),
    "DeiT-III": ("deit3_small_patch16_224", 64),
    "DINOv2": ("vit_small_patch14_dinov2", 56),
    "DINOv2 with registers": ("vit_small_patch14_reg4_dinov2", 56),
    "CLIP": ("vit_base_patch32_clip_224", 64),
    "SigLIP": ("vit_base_patch16_siglip_224", 64),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_pieces_equal_timm(family):
    """Our loop over the blocks gives timm's own logits, also where the last block computes only what is pooled."""
    name, size = FAMILIES[family]
    vit = require_plain(timm.create_model(name, img_size=size, num_classes=5), name).eval()
    for parameter in vit.parameters():  # LayerScale starts near zero, which would hide the blocks
        torch.nn.init.normal_(parameter, std=0.05)
    images = torch.randn(2, 3, size, size)
    with torch.no_grad():
        z = embed(vit, images)
        for block in vit.blocks:
            z = finish_block(block, z, attend(*project_qkv(block, block.norm1(z))))
        expected = vit(images)
        torch.testing.assert_close(vit.head(pool(vit, z)), expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(vit.head(encode(vit, images)), expected, rtol=1e-4, atol=1e-5)


def test_the_patches_of_a_hybrid_stay_its_own():
    """Its convolutions overlap."""
    vit = timm.create_model("vit_small_resnet26d_224", depth=2, img_size=64, num_classes=0).eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = vit(images)
        torch.testing.assert_close(encode(freeze(require_plain(vit, "hybrid")), images), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "patches",
    [
        nn.Conv2d(3, 24, 4, stride=2),
        nn.Conv2d(3, 24, 4, stride=4, padding=2),
        nn.Conv2d(3, 24, 2, stride=2, dilation=2),
        nn.Conv2d(3, 24, 4, stride=4, groups=3),
        nn.Sequential(nn.Conv2d(3, 8, 2, stride=2), nn.GELU(), nn.Conv2d(8, 24, 3, stride=2, padding=1)),
    ],
    ids=["overlapping", "padded", "dilated", "grouped", "convolutions"],
)
@torch.no_grad()
def test_patches_that_do_not_lie_side_by_side_stay_their_own(patches):
    """A ViT may have been given them: without positions, no other number of patches would tell."""
    sizes = {"img_size": 16, "patch_size": 4, "embed_dim": 24, "depth": 1, "num_heads": 3, "num_classes": 0}
    vit = VisionTransformer(**sizes, pos_embed="none").eval()
    vit.patch_embed.proj, images = patches, torch.randn(2, 3, 16, 16)
    expected = vit(images)
    torch.testing.assert_close(encode(freeze(require_plain(vit, "own")), images), expected, rtol=1e-4, atol=1e-5)


def test_the_operations_of_a_program_are_counted(tiny_vit):
    """On any CPU as many as timm's ViT has: a program has PyTorch's own products, which its counter knows."""
    tiny_vit.global_pool = "avg"  # reads all tokens, so that the last block leaves out none
    images = torch.zeros(1, 3, 16, 16)
    program = torch.export.export(Encoder(freeze(copy.deepcopy(tiny_vit))), (images,)).run_decompositions().module()
    counts = []
    for forward in (program, lambda x: tiny_vit.forward_head(tiny_vit.forward_features(x), pre_logits=True)):
        with torch.no_grad(), FlopCounterMode(display=False) as counted:
            forward(images)
        counts.append(counted.get_total_flops())
    assert counts[0] == counts[1] > 0


@pytest.mark.parametrize(
    "name", ["resnet18", "swin_tiny_patch4_window7_224", "beit_base_patch16_224", "deit_tiny_distilled_patch16_224"]
)
def test_other_architectures_are_refused_by_name(name):
    """What is no plain pre-norm ViT is named in the error."""
    with pytest.raises(BadInput, match=f"backbone {name}: expected a plain pre-norm ViT"):
        require_plain(timm.create_model(name), f"backbone {name}")


def test_rotary_attention_is_refused(tiny_vit):
    """A ViT whose attention is not the plain one is refused, though its class is right."""
    tiny_vit.blocks[2].attn.gate = torch.nn.Linear(24, 24)
    with pytest.raises(BadInput, match="attention of type"):
        require_plain(tiny_vit, "gated")


def test_dropout_on_attention_is_refused():
    """No method would apply it."""
    with pytest.raises(BadInput, match=r"mine: .* got dropout 0\.5 on attention"):
        require_plain(timm.create_model("vit_tiny_patch16_224", img_size=32, attn_drop_rate=0.5), "mine")


@pytest.mark.parametrize(("options", "got"), [({"global_pool": ""}, "''"), ({"patch_drop_rate": 0.5}, "0.5")])
def test_what_leaves_no_picture_of_an_image_is_refused(options, got):
    """Tokens that nobody pools, and patches that are missing in training."""
    with pytest.raises(BadInput, match=rf"mine: .* got {next(iter(options))} {got}"):
        require_plain(timm.create_model("vit_tiny_patch16_224", img_size=32, **options), "mine")


def test_weights_that_are_shared_or_made_are_refused(tiny_vit):
    """What is merged into one of them would be in the others, too, or be made anew."""
    tied = copy.deepcopy(tiny_vit)
    tied.blocks[2].attn.qkv.weight = tied.blocks[0].attn.qkv.weight
    with pytest.raises(BadInput, match=r"got one for blocks\.0\.attn\.qkv\.weight and blocks\.2\.attn\.qkv\.weight"):
        require_plain(tied, "mine")
    torch.nn.utils.parametrizations.weight_norm(tiny_vit.blocks[1].mlp.fc1)
    with pytest.raises(BadInput, match=r"mine: .* with plain weights, got the parametrised blocks\.1\.mlp\.fc1"):
        require_plain(tiny_vit, "mine")


def test_parts_alone_are_those_of_the_whole():
    """Queries, and keys and values, as the one layer gives them, with norms of both."""
    vit = VisionTransformer(img_size=16, patch_size=4, embed_dim=24, depth=1, num_heads=3, qk_norm=True)
    block, z = vit.blocks[0], torch.randn(2, 17, 24)
    for norm in (block.attn.q_norm, block.attn.k_norm):
        torch.nn.init.normal_(norm.weight)
    whole = project_qkv(block, z)
    torch.testing.assert_close((project_q(block, z), *project_kv(block, z)), tuple(whole))


def test_class_attention_is_the_mean_of_logits(tiny_vit):
    """Equals the class row of q k^T, scaled, mean over heads, written out plainly."""
    block = tiny_vit.blocks[0]
    image = project_qkv(block, torch.randn(2, 17, 24))
    logits = (image.q @ image.k.transpose(-2, -1)) * block.attn.scale
    torch.testing.assert_close(class_attention(block, image), logits[:, :, 0].mean(dim=1))


def test_similarities_are_not_rounded_by_autocast(tiny_vit):
    """Class attention of queries and keys in bf16 is that of the same numbers in float64, to float32's precision."""
    image = project_qkv(tiny_vit.blocks[0], torch.randn(2, 17, 24))
    rounded = QKV(*(part.bfloat16() for part in image))
    with torch.autocast("cpu", torch.bfloat16):
        found = class_attention(tiny_vit.blocks[0], rounded)
    exact = class_attention(tiny_vit.blocks[0], QKV(*(part.double() for part in rounded)))
    torch.testing.assert_close(found.double(), exact, rtol=1e-5, atol=1e-6)


def test_freezing_leaves_nothing_to_train(tiny_vit):
    """No tensor of the backbone asks for a gradient, and its head is gone."""
    freeze(tiny_vit)
    assert [name for name, p in tiny_vit.named_parameters() if p.requires_grad or name.startswith("head")] == []


@pytest.mark.parametrize("scaled", [False, True])
def test_tokens_stay_in_autocasts_precision(scaled):
    """Between blocks, also where LayerScale multiplies by float32; without autocast they are float32."""
    vit = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=1, init_values=0.5 if scaled else None).eval()
    with torch.autocast("cpu", torch.bfloat16):
        z = embed(vit, torch.randn(1, 3, 32, 32))
        assert (z.dtype, pass_block(vit.blocks[0], z).dtype) == (torch.bfloat16, torch.bfloat16)
    z = embed(vit, torch.randn(1, 3, 32, 32))
    assert (z.dtype, pass_block(vit.blocks[0], z).dtype) == (torch.float32, torch.float32)
