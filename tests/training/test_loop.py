"""The loop: schedule, exact continuation, and what happens when the loss breaks."""

import copy

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer

from ship.data.seeds import derive_seed
from ship.errors import BadInput
from ship.experiment.params import Train
from ship.methods.base import tuned_parameters
from ship.methods.selective import Full
from ship.methods.vpt import VPT
from ship.models.noise import perturb, share_depth
from ship.training.loop import epochs, learning_rate, make_optimiser
from ship.training.objective import Batch, Objective

RECIPE = Train(epochs=4, batch_size=2, lr=0.01, warmup_epochs=1)
OFF = torch.autocast("cpu", enabled=False)


def batches(epoch):
    """Two batches that follow from the epoch alone."""
    generator = torch.Generator().manual_seed(epoch)
    for _ in range(2):
        yield Batch(torch.randn(2, 3, 16, 16, generator=generator), torch.tensor([0, 1]), torch.tensor([0, 1]))


def run(model, first_epoch=0, optimiser=None, recipe=RECIPE, feed=batches, objective=None):
    """Train `model`; its records."""
    optimiser, objective = optimiser or make_optimiser(model, recipe), objective or Objective(recipe, 2, 3)
    return epochs(model, model, feed, optimiser, objective, seed=0, steps=2, autocast=OFF, first_epoch=first_epoch)


def test_the_first_step_is_not_lost():
    """Warm-up rises from the first step, ends on the peak; the cosine ends on the floor."""
    recipe = Train(epochs=10, lr=1.0, warmup_epochs=2, warmup_lr=0.0, floor_lr=0.1)
    rates = [learning_rate(step, 5, recipe) for step in range(50)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == 1.0 == max(rates)
    assert rates[-1] == pytest.approx(0.1)
    assert rates[9:] == sorted(rates[9:], reverse=True)


def test_no_warm_up_starts_below_the_peak_of_the_cosine():
    """Without warm-up the rate falls from the start."""
    recipe = Train(epochs=2, lr=1.0, warmup_epochs=0)
    assert learning_rate(0, 5, recipe) < 1.0


def test_a_stopped_run_goes_on_with_the_same_bits(tiny_vit):
    """Two epochs, then two more with state carried over, equal four epochs, dropout and stochastic depth included."""
    model = VPT(tiny_vit, 3, prompt_length=2, dropout=0.3)
    other = copy.deepcopy(model)
    whole = list(run(model))
    optimiser = make_optimiser(other, RECIPE)
    records = run(other, optimiser=optimiser)
    first = [next(records), next(records)]
    records.close()
    torch.manual_seed(99)  # whatever happened in between
    rest = list(run(other, first_epoch=2, optimiser=optimiser))
    assert whole == first + rest
    for (name, a), b in zip(tuned_parameters(model).items(), tuned_parameters(other).values(), strict=True):
        assert torch.equal(a, b), name


@pytest.mark.parametrize("kind", ["fast", "lazy", "two-pass"])
def test_a_stopped_run_with_two_views_goes_on_with_the_same_bits(kind):
    """What the objective has kept goes over too: with `fast`, the logits of the epoch before."""
    vit = VisionTransformer(img_size=16, patch_size=4, embed_dim=24, depth=3, num_heads=3, drop_path_rate=0.3)
    recipe = RECIPE.model_copy(update={"noise": 0.5, "consistency": kind})
    model = VPT(vit, 3, prompt_length=2, dropout=0.3)
    perturb(model.noise, recipe.noise)
    share_depth(model.vit)
    other = copy.deepcopy(model)
    whole = list(run(model, recipe=recipe))
    assert all(record.penalty > 0 for record in whole[1:])
    optimiser, first, second = make_optimiser(other, recipe), Objective(recipe, 2, 3), Objective(recipe, 2, 3)
    records = run(other, optimiser=optimiser, objective=first)
    done = [next(records), next(records)]
    second.kept.update(first.kept)
    torch.manual_seed(99)  # whatever happened in between
    assert whole == done + list(run(other, first_epoch=2, optimiser=optimiser, objective=second))
    for (name, a), b in zip(tuned_parameters(model).items(), tuned_parameters(other).values(), strict=True):
        assert torch.equal(a, b), name


def test_a_broken_loss_names_epoch_and_step(tiny_vit):
    """NaN stops the run at the end of its epoch, with the step at which it came."""

    def poisoned(epoch):
        for step, (images, *others) in enumerate(batches(epoch)):
            yield Batch(images * (float("nan") if (epoch, step) == (1, 1) else 1), *others)

    with pytest.raises(BadInput, match=r"expected a finite loss, got nan at epoch 2, step 2 .*now 0.01"):
        list(run(VPT(tiny_vit, 3, prompt_length=2), feed=poisoned))


def test_training_learns(tiny_vit):
    """The loss falls on batches that repeat."""
    records = list(
        run(VPT(tiny_vit, 3, prompt_length=2), feed=lambda epoch: batches(0), recipe=Train(epochs=20, lr=0.05))
    )
    assert records[-1].loss < records[0].loss / 2
    assert records[-1].accuracy == 1.0


def test_vectors_do_not_decay(tiny_vit):
    """Weight decay shrinks prompts and weights, not biases."""
    groups = make_optimiser(VPT(tiny_vit, 3, prompt_length=2), Train(weight_decay=0.1)).param_groups
    assert {(p.ndim > 1, group["weight_decay"]) for group in groups for p in group["params"]} == {
        (True, 0.1),
        (False, 0.0),
    }


def test_tokens_and_position_embedding_do_not_decay():
    """Where they are tuned, as in `full`; matrices of the blocks do."""
    vit = VisionTransformer(img_size=16, patch_size=4, embed_dim=24, depth=2, num_heads=3, reg_tokens=2)
    decaying, others = (group["params"] for group in make_optimiser(Full(vit, 3), Train(weight_decay=0.1)).param_groups)
    assert {id(p) for p in (vit.pos_embed, vit.cls_token, vit.reg_token)} <= {id(p) for p in others}
    assert {id(vit.blocks[0].attn.qkv.weight), id(vit.patch_embed.proj.weight)} <= {id(p) for p in decaying}
    assert all(p.ndim > 1 for p in decaying)


def test_adamw_decays_apart_from_the_gradient(tiny_vit):
    """Without a gradient, w <- (1 - rate decay) w."""
    model = VPT(tiny_vit, 3, prompt_length=2)
    weight, before = model.head.weight, model.head.weight.detach().clone()
    weight.grad = torch.zeros_like(weight)
    make_optimiser(model, Train(lr=0.5, weight_decay=0.1)).step()
    torch.testing.assert_close(weight.detach(), 0.95 * before)


def test_sgd_has_momentum_and_decays_with_the_gradient(tiny_vit):
    """Two steps by hand: v <- 0.9 v + g + decay w, w <- w - rate v."""
    model = VPT(tiny_vit, 3, prompt_length=2)
    optimiser = make_optimiser(model, Train(optimiser="sgd", lr=0.5, weight_decay=0.1))
    weight, expected, velocity = model.head.weight, model.head.weight.detach().clone(), 0.0
    for gradient in (1.0, -2.0):
        weight.grad = torch.full_like(weight, gradient)
        optimiser.step()
        velocity = 0.9 * velocity + gradient + 0.1 * expected
        expected = expected - 0.5 * velocity
    torch.testing.assert_close(weight.detach(), expected)


def test_seeds_differ_for_every_pair():
    """(1, 23) and (12, 3) are different streams."""
    assert len({derive_seed(a, b) for a in range(30) for b in range(30)}) == 900


def test_every_epoch_of_every_seed_draws_its_own():
    """Dropout, noise and augmentation follow from both."""
    seen = []

    def feed(epoch):
        seen.append(torch.rand(()).item())
        yield from batches(epoch)

    for seed in (0, 1):
        model = VPT(
            VisionTransformer(img_size=16, patch_size=4, embed_dim=24, depth=2, num_heads=3), 3, prompt_length=2
        )
        optimiser, objective = make_optimiser(model, RECIPE), Objective(RECIPE, 2, 3)
        list(epochs(model, model, feed, optimiser, objective, seed=seed, steps=2, autocast=OFF))
    assert len(set(seen)) == len(seen) == 2 * RECIPE.epochs
