"""The loop: schedule, exact continuation, and what happens when the loss breaks."""

import copy

import pytest
import torch
import torch.nn.functional as F

from ship.data.seeds import derive_seed
from ship.errors import BadInput
from ship.experiment.params import Train
from ship.methods.base import Output, load_tuned, tuned_parameters, tuned_state
from ship.methods.vpt import VPT
from ship.models.vit import perturb
from ship.training.loop import balanced, epochs, learning_rate, make_optimiser, objective

RECIPE = Train(epochs=4, batch_size=2, lr=0.01, warmup_epochs=1)
OFF = torch.autocast("cpu", enabled=False)


def batches(epoch):
    """Two batches that follow from the epoch alone."""
    generator = torch.Generator().manual_seed(epoch)
    for _ in range(2):
        yield torch.randn(2, 3, 16, 16, generator=generator), torch.tensor([0, 1])


def run(model, first_epoch=0, optimiser=None, recipe=RECIPE, feed=batches):
    """Train `model`; its records."""
    optimiser = optimiser or make_optimiser(model, recipe)
    return epochs(model, model, feed, optimiser, recipe, seed=0, steps=2, autocast=OFF, first_epoch=first_epoch)


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


def test_a_broken_loss_names_epoch_and_step(tiny_vit):
    """NaN stops the run at the end of its epoch, with the step at which it came."""

    def poisoned(epoch):
        for step, (images, labels) in enumerate(batches(epoch)):
            yield images * (float("nan") if (epoch, step) == (1, 1) else 1), labels

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


def test_without_consistency_the_objective_is_cross_entropy_and_penalty():
    """To the bit, gradient included, in one pass."""
    logits, labels, passes = torch.randn(4, 3, requires_grad=True), torch.tensor([0, 1, 2, 0]), []

    def forward(inputs):
        passes.append(inputs)
        return Output(logits * 1.5, logits.square().sum() * 0.1)

    _, loss, penalty = objective(forward, torch.zeros(4), labels, RECIPE)
    found = torch.autograd.grad(loss, logits)[0]
    plain = F.cross_entropy(logits * 1.5, labels) + logits.square().sum() * 0.1
    assert torch.equal(loss, plain)
    assert torch.equal(found, torch.autograd.grad(plain, logits)[0])
    assert torch.equal(penalty, logits.square().sum() * 0.1)
    assert len(passes) == 1


def test_consistency_is_the_squared_distance_of_two_passes():
    """Mean over images; cross-entropy and penalty are means of both passes."""
    first, second = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([[0.0, 0.0], [0.0, 5.0]])
    outputs = iter([Output(first, 0.5), Output(second, 1.5)])
    labels = torch.tensor([0, 1])
    recipe = RECIPE.model_copy(update={"noise": 0.5, "consistency": 0.2})
    logits, loss, penalty = objective(lambda _: next(outputs), torch.zeros(2), labels, recipe)
    assert torch.equal(logits, first)
    assert penalty == pytest.approx(1.0 + 0.2 * (1 + 9) / 2)
    assert loss == pytest.approx((F.cross_entropy(first, labels) + F.cross_entropy(second, labels)) / 2 + penalty)


def test_a_noisy_method_trains_on_and_predicts_without_noise(tiny_vit):
    """The penalty is positive in training; in evaluation the model is the same as without."""
    plain, images = VPT(copy.deepcopy(tiny_vit), 3, prompt_length=2).eval(), torch.randn(2, 3, 16, 16)
    perturb(tiny_vit, 0.5)
    model = VPT(tiny_vit, 3, prompt_length=2).eval()
    load_tuned(model, tuned_state(plain), "here")
    assert torch.equal(model(images).logits, plain(images).logits)
    records = list(run(model, recipe=RECIPE.model_copy(update={"noise": 0.5, "consistency": 1.0})))
    assert all(record.penalty > 0 for record in records)


def test_balanced_classes_count_the_same():
    """Whatever their sizes; a mean image counts 1, and a class without images nothing."""
    labels = torch.tensor([0] * 19 + [2])
    weights = balanced(labels, 4)
    assert weights.tolist() == pytest.approx([20 / (2 * 19), 0, 20 / 2, 0])
    assert weights[labels].mean() == pytest.approx(1)
    assert torch.equal(balanced(torch.tensor([1, 0]), 2), torch.ones(2))


def test_the_objective_weighs_classes_and_smooths_labels():
    """As the definitions say: a mean with weights, of a target that has a share for every class."""
    logits, labels, weights = torch.randn(4, 3), torch.tensor([0, 1, 2, 0]), torch.tensor([0.5, 1.0, 3.0])
    recipe = RECIPE.model_copy(update={"label_smoothing": 0.3})
    _, loss, _ = objective(lambda _: Output(logits), torch.zeros(4), labels, recipe, weights)
    target = 0.7 * F.one_hot(labels, 3) + 0.3 / 3
    each = -(target * weights * logits.log_softmax(dim=1)).sum(dim=1)
    assert loss == pytest.approx((each.sum() / weights[labels].sum()).item())
