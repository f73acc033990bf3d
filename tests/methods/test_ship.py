"""SHIP equals the authors' implementation, and its cheap form equals the plain one."""

import copy

import oracle
import pytest
import torch
import torch.nn.functional as F
from timm.models.vision_transformer import VisionTransformer

from ship.errors import BadInput
from ship.methods.ship import SHIP, matching_loss
from ship.models.attention import QKV, attend
from ship.models.noise import perturb
from ship.models.vit import encode


def affinity_of(starts, depth):
    """An affinity that gives `starts` at threshold 0.5: 1 within a level, 0 across."""
    level = torch.tensor([sum(start <= block for start in starts) for block in range(depth)])
    return (level[:, None] == level).float()


@pytest.mark.parametrize("name", ["ship_a", "ship_b"])
def test_golden(name):
    """Logits and losses within 2e-5, gradients within 1e-4 relative, float32."""
    config, vit, tensors = oracle.read(name)
    model = SHIP(
        vit,
        config["num_classes"],
        affinity=affinity_of(config["hierarchy"], config["depth"]),
        prototypes=tensors["prototypes"],
        threshold=0.5,
        prompt_length=config["prompt_length"],
    )
    tuned = oracle.put_tuned(model, tensors)

    logits, penalty = model.train()(oracle.images(tensors))
    cross_entropy = F.cross_entropy(logits, tensors["labels"])
    (cross_entropy + penalty).backward()

    oracle.check_close(logits, tensors["expect.logits"])
    oracle.check_close(cross_entropy, tensors["expect.cross_entropy"])
    oracle.check_close(penalty / 0.5, tensors["expect.matching_loss"])
    oracle.check_close(cross_entropy + penalty, tensors["expect.loss"])
    oracle.check_gradients(model, tuned, tensors)


def test_matching_loss_is_not_rounded_by_autocast():
    """It is that of float64, to float32's precision: in bf16, a distance has two digits."""
    prompts, targets = torch.randn(2, 3, 8), torch.randn(2, 5, 8)
    with torch.autocast("cpu", torch.bfloat16):
        found = matching_loss(prompts, targets)
    torch.testing.assert_close(found.double(), matching_loss(prompts.double(), targets.double()), rtol=1e-5, atol=1e-6)


def test_matching_loss_is_the_least_distance():
    """Equals the distances written out one by one."""
    prompts, targets = torch.randn(2, 3, 5), torch.randn(2, 4, 5)
    plain = [min(1 - F.cosine_similarity(p, t, dim=0) for t in targets[b]) for b in range(2) for p in prompts[b]]
    torch.testing.assert_close(matching_loss(prompts, targets), torch.stack(plain).mean())


def test_gates_of_0_leave_the_backbone_as_it_is(tiny_vit):
    """Prompts enter by the gate of each head and level alone; a gate of 0.1 beside 1 is the weighted sum."""
    affinity, prototypes, images = affinity_of([0, 2], 4), torch.randn(5, 24), torch.randn(2, 3, 16, 16)
    options = {"affinity": affinity, "prototypes": prototypes, "threshold": 0.5, "prompt_length": 3}
    torch.manual_seed(1)
    gated = SHIP(copy.deepcopy(tiny_vit), 3, gated=True, **options).eval()
    torch.manual_seed(1)
    fixed = SHIP(copy.deepcopy(tiny_vit), 3, image_weight=1.0, **options).eval()
    with torch.no_grad():
        torch.testing.assert_close(gated(images).logits, gated.head(encode(tiny_vit, images)))
        assert [tuple(gate.shape) for gate in gated.gates] == [(3,), (3,)]
        for gate in gated.gates:
            gate.fill_(0.1)
        torch.testing.assert_close(gated(images).logits, fixed(images).logits)
        gated.gates[1][2] = 5.0
        assert not torch.allclose(gated(images).logits, fixed(images).logits)
    with pytest.raises(BadInput, match="ship: gated: expected decoupled attention"):
        SHIP(tiny_vit, 3, gated=True, decoupled=False, **options)


def test_a_single_level_has_no_attribute_prompts(tiny_vit):
    """Block 0 has no block before whose class attention could choose tokens."""
    one = SHIP(tiny_vit, 3, affinity=torch.ones(4, 4), prototypes=torch.randn(5, 24))
    assert len(one.sip) == 1
    assert one.ap.numel() == 0


def test_statistics_of_another_backbone_are_refused(tiny_vit):
    """Wrong depth or width is named with both shapes."""
    with pytest.raises(BadInput, match=r"affinity: expected shape \(4, 4\).*got \(12, 12\)"):
        SHIP(tiny_vit, 3, affinity=torch.ones(12, 12), prototypes=torch.randn(5, 24))
    with pytest.raises(BadInput, match=r"prototypes: expected shape \(K, 24\).*got \(5, 48\)"):
        SHIP(tiny_vit, 3, affinity=torch.ones(4, 4), prototypes=torch.randn(5, 48))


def test_a_backbone_without_class_token_is_refused():
    """Class attention needs a class token; the error names the options that do without."""
    vit = VisionTransformer(
        img_size=16, patch_size=4, embed_dim=24, depth=2, num_heads=3, class_token=False, global_pool="avg"
    )
    given = {"affinity": torch.ones(2, 2), "prototypes": torch.randn(5, 24)}
    with pytest.raises(BadInput, match="class token.*attribute_length: 0 and matching_weight: 0 do without it"):
        SHIP(vit, 3, **given)
    assert SHIP(vit, 3, **given, attribute_length=0, matching_weight=0)(torch.randn(2, 3, 16, 16)).logits.shape == (
        2,
        3,
    )


@pytest.mark.parametrize("off", [{"attribute_length": 0}, {"attribute_levels": 0}])
def test_what_is_switched_off_asks_for_nothing(off):
    """Without attributes and matching there is no class attention, nor a number of tokens that it picks."""
    sizes = {"img_size": 8, "patch_size": 4, "embed_dim": 24, "depth": 2, "num_heads": 3}
    vit = VisionTransformer(**sizes, class_token=False, global_pool="avg")
    given = {"affinity": torch.eye(2), "prototypes": torch.randn(5, 24)}
    model = SHIP(vit, 3, **given, matching_weight=0.0, **off)
    images = torch.randn(2, 3, 8, 8)
    assert model.train()(images).logits.shape == model.eval()(images).logits.shape == (2, 3)


def test_each_option_that_picks_too_many_tokens_is_named():
    """The one at fault, with what the backbone has."""
    vit = VisionTransformer(img_size=8, patch_size=4, embed_dim=24, depth=2, num_heads=3)
    given = {"affinity": torch.eye(2), "prototypes": torch.randn(5, 24)}
    with pytest.raises(BadInput, match="^ship: matching_tokens: expected at most 5 image tokens, got 10$"):
        SHIP(vit, 3, **given, attribute_length=5)
    with pytest.raises(BadInput, match="attribute_length: expected at most 5 .* got 6; matching_tokens: .* got 10$"):
        SHIP(vit, 3, **given, attribute_length=6)


def test_in_one_softmax_noise_acts_on_what_prompts_add(tiny_vit):
    """Prompts that are copies of the image's keys and values add nothing."""
    facts = {"affinity": torch.eye(4), "prototypes": torch.randn(5, 24)}
    lengths = {"prompt_length": 2, "shared_length": 2, "attribute_length": 2, "matching_tokens": 2}
    model = SHIP(tiny_vit, 3, **facts, decoupled=False, **lengths).train()
    perturb(model.noise, 0.5)
    image = QKV(*torch.randn(3, 2, 3, 17, 8))
    torch.testing.assert_close(model._gather(1, image, (image.k, image.v)), attend(*image))
