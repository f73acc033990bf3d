"""What a model looks at, against timm's own attention and against SHIP's choice written out."""

import torch
from timm.models.vision_transformer import VisionTransformer

from ship.inference.attention import look
from ship.methods.linear import Linear
from ship.methods.lora import LoRA
from ship.methods.ship import SHIP
from ship.methods.vpt import VPT


def of_timm(vit, images, block):
    """Attention of timm's own forward in `block`, (B, H, N, N)."""
    vit.blocks[block].attn.fused_attn, found = False, []
    hook = vit.blocks[block].attn.attn_drop.register_forward_hook(lambda module, given, weights: found.append(weights))
    vit(images)
    hook.remove()
    return found[0]


def test_a_merged_model_looks_where_the_method_does(tiny_vit):
    """LoRA's attention is that of the plain ViT with its updates in the weights, and not that of the backbone."""
    images, model = torch.randn(3, 3, 16, 16), LoRA(tiny_vit, 5, rank=2)
    for name, tensor in model.named_parameters():
        if name.endswith("qkv.b"):
            torch.nn.init.normal_(tensor)
    found, frozen = look(model, images), look(Linear(VisionTransformer(**SHAPE), 5), images)
    whole = of_timm(model.merged().double(), images.double(), -1)
    torch.testing.assert_close(found.attention, whole[:, :, 0].mean(1), rtol=0, atol=1e-6)
    assert not torch.allclose(found.attention, frozen.attention, atol=1e-2)


SHAPE = {"img_size": 16, "patch_size": 4, "embed_dim": 24, "depth": 4, "num_heads": 3, "num_classes": 5}


def test_prompts_have_their_share(tiny_vit):
    """Prompts in the softmax of the image take from it; all shares are 1 together, and no hook stays."""
    model = VPT(tiny_vit, 5, prompt_length=3)
    found = look(model, torch.randn(2, 3, 16, 16)).attention
    assert found.shape == (2, 17 + 3)
    torch.testing.assert_close(found.sum(1), torch.ones(2, dtype=torch.float64))
    assert not model.vit.blocks[-1].attn.qkv._forward_hooks


def test_ship_picks_what_the_class_token_attends_to(tiny_vit):
    """Before each attribute level: the tokens with the highest logits of the block before, mean over heads."""
    affinity, images = torch.eye(4), torch.randn(3, 3, 16, 16)
    model = SHIP(tiny_vit, 5, affinity=affinity, prototypes=torch.randn(6, 24), threshold=0.5, attribute_length=4)
    normed = {}
    hooks = [
        block.norm1.register_forward_hook(lambda module, given, found, i=i: normed.setdefault((i, len(found)), found))
        for i, block in enumerate(model.vit.blocks)
    ]
    found = look(model, images)
    for hook in hooks:
        hook.remove()
    assert list(found.picks) == [2, 3]
    for block, chosen in found.picks.items():
        attn, h = model.vit.blocks[block - 1].attn, normed[block - 1, 3]
        q, k, _ = attn.qkv(h).unflatten(-1, (3, 3, 8)).unbind(2)
        logits = torch.stack([(q[:, :1, head] @ k[:, :, head].mT)[:, 0] for head in range(3)]).mean(0)
        assert [set(line) for line in chosen.tolist()] == [set(line.topk(4).indices.tolist()) for line in logits]


def test_without_a_class_token_that_is_read_there_is_no_attention():
    """A head that reads the mean of all tokens looks at all of them."""
    vit = VisionTransformer(**SHAPE, global_pool="avg").eval()
    assert look(Linear(vit, 5), torch.randn(2, 3, 16, 16)).attention is None
