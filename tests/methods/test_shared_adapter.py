"""The shared adapter equals its formula, and its rank is dealt out to levels without a remainder."""

import pytest
import torch
import torch.nn.functional as F
from timm.layers import DropPath

from ship.errors import BadInput
from ship.experiment.rows import Train
from ship.methods.base import tuned_parameters
from ship.methods.shared_adapter import SharedAdapter, grouped
from ship.models.vit import embed, encode, pool
from ship.training.loop import make_optimiser

AFFINITY = torch.tensor([[1.0, 0.97, 0.5, 0.5], [0.97, 1.0, 0.5, 0.5], [0.5, 0.5, 1.0, 0.99], [0.5, 0.5, 0.99, 1.0]])


def test_every_block_is_followed_by_the_same_update(tiny_vit):
    """U + s_l * U GELU(g_l * V u) of what a block gives, written out in float64, with common and levels' factors."""
    model = SharedAdapter(tiny_vit, 3, affinity=AFFINITY, rank=4, level_rank=5).double().eval()
    images = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    with torch.no_grad():
        for parameter in tuned_parameters(model).values():
            parameter.normal_()
        z = embed(tiny_vit, images)
        for i, block in enumerate(tiny_vit.blocks):
            u, level = block(z), f"level_{i // 2}"
            common, own = model.gates[i].split([4, 2 + i // 2])
            update = F.gelu(common * (u @ model.down["all"].T)) @ model.up["all"].T
            update += F.gelu(own * (u @ model.down[level].T)) @ model.up[level].T
            z = u + model.scales[i] * update
        torch.testing.assert_close(model(images).logits, model.head(pool(tiny_vit, z)))


def test_it_starts_as_the_backbone(tiny_vit):
    """With U = 0 no update is there yet; V has the deviation 0.03, gates and scales are 1."""
    model = SharedAdapter(tiny_vit, 3, affinity=AFFINITY, rank=200).eval()
    images = torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(model(images).logits, model.head(encode(tiny_vit, images)))
    assert model.down["all"].std().item() == pytest.approx(0.03, rel=0.05)
    assert all((each == 1).all() for each in (*model.gates, *model.scales))


def test_its_matrices_alone_decay(tiny_vit):
    """Gates and scales are vectors."""
    model = SharedAdapter(tiny_vit, 3, affinity=AFFINITY, rank=4)
    decaying, others = (group["params"] for group in make_optimiser(model, Train(weight_decay=0.1)).param_groups)
    assert {id(p) for p in decaying} == {id(model.down["all"]), id(model.up["all"]), id(model.head.weight)}
    assert {id(p) for p in others} == {id(p) for p in (*model.gates, *model.scales, model.head.bias)}


def test_the_update_takes_stochastic_depth(tiny_vit):
    """That of the block's second half, with a draw of its own."""
    tiny_vit.blocks[3].drop_path2 = DropPath(0.999999)
    model = SharedAdapter(tiny_vit, 3, affinity=AFFINITY, rank=4).train()
    with torch.no_grad():
        model.up["all"].normal_()
        for block in tiny_vit.blocks[:3]:
            block.drop_path2 = DropPath(0.999999)
        images = torch.randn(2, 3, 16, 16)
        z = embed(tiny_vit, images)
        for block in tiny_vit.blocks:
            z = z + block.attn(block.norm1(z))
        torch.testing.assert_close(model(images).logits, model.head(pool(tiny_vit, z)))


@pytest.mark.parametrize(("grouping", "starts"), [("hierarchy", [0, 3, 9]), ("uniform", [0, 4, 8])])
def test_groupings_have_as_many_levels(grouping, starts):
    """Those of the hierarchy, and equal ones."""
    assert grouped([0, 3, 9], 12, grouping, 0) == starts


def test_random_boundaries_follow_from_their_number():
    """As many as asked, block 0 among them; another number, other boundaries."""
    drawn = {tuple(grouped([0, 3, 9], 12, "random", draw)) for draw in range(20)}
    assert all(len(set(each)) == 3 and each[0] == 0 and list(each) == sorted(each) for each in drawn)
    assert len(drawn) > 10
    assert grouped([0, 3, 9], 12, "random", 7) == grouped([0, 3, 9], 12, "random", 7)


@pytest.mark.parametrize("threshold", [-1.0, 0.95, 2.0])
def test_the_matrices_are_as_large_however_blocks_are_grouped(tiny_vit, threshold):
    """The rank of the levels is dealt out to the last."""
    model = SharedAdapter(tiny_vit, 3, affinity=AFFINITY, rank=3, level_rank=7, threshold=threshold)
    assert sum(p.numel() for p in (*model.down.values(), *model.up.values())) == 2 * 24 * 10


def test_what_cannot_be_is_refused(tiny_vit):
    """A block without any factor, and an affinity of another backbone."""
    with pytest.raises(BadInput, match="rank, level_rank: expected one above 0, or 4 at the least .* got 0 and 3"):
        SharedAdapter(tiny_vit, 3, affinity=AFFINITY, rank=0, level_rank=3, threshold=2.0)
    with pytest.raises(BadInput, match=r"affinity: expected shape \(4, 4\) of this backbone, got \(3, 3\)"):
        SharedAdapter(tiny_vit, 3, affinity=AFFINITY[:3, :3])
