"""What a step minimises: exact where there is one view, and by hand where there are two."""

import pytest
import torch
import torch.nn.functional as F
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from ship.experiment.rows import Train
from ship.methods.base import Output
from ship.models.noise import SharedDepth, share_depth
from ship.training.objective import Batch, Objective, balanced, cross_entropy

RECIPE = Train(epochs=4, batch_size=2, lr=0.01, warmup_epochs=1)
NOISY = RECIPE.model_copy(update={"noise": 0.5, "consistency_weight": 0.2})
MODEL = nn.Identity()  # without stochastic depth


def batch(inputs, labels, rows=None):
    """Images of these labels, the first of all where no rows are told."""
    return Batch(inputs, torch.tensor(labels), torch.arange(len(labels)) if rows is None else torch.tensor(rows))


def test_one_view_is_cross_entropy_and_penalty():
    """To the bit, gradient included, in one pass."""
    logits, passes = torch.randn(4, 3, requires_grad=True), []

    def forward(inputs):
        passes.append(inputs)
        return Output(logits * 1.5, logits.square().sum() * 0.1)

    labels = torch.tensor([0, 1, 2, 0])
    _, loss, penalty = Objective(RECIPE, 4, 3)(MODEL, forward, batch(torch.zeros(4), [0, 1, 2, 0]), 0)
    found = torch.autograd.grad(loss, logits)[0]
    plain = F.cross_entropy(logits * 1.5, labels) + logits.square().sum() * 0.1
    assert torch.equal(loss, plain)
    assert torch.equal(found, torch.autograd.grad(plain, logits)[0])
    assert torch.equal(penalty, logits.square().sum() * 0.1)
    assert len(passes) == 1


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize(
    "weights", [None, torch.tensor([0.5, 2.0, 1.0], dtype=torch.float64)], ids=["same", "weighted"]
)
def test_cross_entropy_is_pytorchs(weights, smoothing):
    """Value and gradient, with weights, smoothing, both or none."""
    logits, labels = torch.randn(5, 3, dtype=torch.float64, requires_grad=True), torch.tensor([0, 2, 2, 1, 0])
    plain = F.cross_entropy(logits, labels, weights, label_smoothing=smoothing)
    found = cross_entropy(logits, labels, weights, smoothing)
    torch.testing.assert_close(found, plain)
    torch.testing.assert_close(*(torch.autograd.grad(loss, logits)[0] for loss in (found, plain)))


def test_two_passes_are_apart_by_their_squared_distance():
    """Mean over images; cross-entropy is that of the first view, and the penalty of the method that of both."""
    first, second = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([[0.0, 0.0], [0.0, 5.0]])
    judge = Objective(NOISY.model_copy(update={"consistency": "two-pass"}), 2, 2)

    def forward(inputs):
        assert torch.equal(inputs, torch.tensor([5.0, 6.0, 5.0, 6.0]))
        return Output(torch.cat([first, second]), 0.5)

    logits, loss, penalty = judge(MODEL, forward, batch(torch.tensor([5.0, 6.0]), [0, 1]), 3)
    assert torch.equal(logits, first)
    assert penalty == pytest.approx(0.5 + 0.2 * (1 + 9) / 2)
    assert loss == pytest.approx(F.cross_entropy(first, torch.tensor([0, 1])) + penalty)


def test_lazy_sees_half_a_batch_twice_in_every_second_step():
    """So no step has more than a batch."""
    judge, drawn = Objective(NOISY.model_copy(update={"consistency": "lazy"}), 4, 2), torch.randn(4, 2)
    images = batch(torch.tensor([5.0, 6.0, 7.0, 8.0]), [0, 1, 1, 0])
    seen = []

    def forward(inputs):
        seen.append(inputs.tolist())
        return Output(drawn)

    logits, loss, penalty = judge(MODEL, forward, images, 2)
    assert torch.equal(logits, drawn[:2])
    assert penalty == pytest.approx(0.2 * (drawn[:2] - drawn[2:]).square().sum().item() / 2)
    assert loss == pytest.approx((F.cross_entropy(drawn[:2], torch.tensor([0, 1])) + penalty).item())
    logits, loss, penalty = judge(MODEL, forward, images, 3)
    assert torch.equal(logits, drawn)
    assert penalty == 0
    assert seen == [[5, 6, 5, 6], [5, 6, 7, 8]]


def test_fast_compares_an_image_with_what_it_was_when_last_seen():
    """Whatever its place in the batch; when it comes for the first time there is nothing to compare with."""
    judge, images = Objective(NOISY.model_copy(update={"consistency": "fast"}), 5, 3), torch.zeros(2)
    a, b, c, d = torch.randn(4, 2, 3).requires_grad_().unbind()
    assert judge(MODEL, lambda _: Output(a), batch(images, [0, 1], [4, 1]), 0).penalty == 0
    assert judge(MODEL, lambda _: Output(b), batch(images, [0, 1], [0, 2]), 1).penalty == 0
    found = judge(MODEL, lambda _: Output(c), batch(images, [0, 1], [2, 4]), 2)
    expected = 0.2 * ((c[0] - b[1]).square().sum() + (c[1] - a[0]).square().sum()) / 2
    assert found.penalty.item() == pytest.approx(expected.item())
    assert not torch.autograd.grad(found.loss, [a, b], allow_unused=True)[0]  # what was is given
    again = judge(MODEL, lambda _: Output(d), batch(images, [0, 1], [4, 3]), 3)
    assert again.penalty.item() == pytest.approx(0.2 * (d[0] - c[1]).square().sum().item() / 2)


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
    judge = Objective(recipe, 4, 3, weights)
    _, loss, _ = judge(MODEL, lambda _: Output(logits), batch(torch.zeros(4), [0, 1, 2, 0]), 0)
    target = 0.7 * F.one_hot(labels, 3) + 0.3 / 3
    each = -(target * weights * logits.log_softmax(dim=1)).sum(dim=1)
    assert loss == pytest.approx((each.sum() / weights[labels].sum()).item())


def test_stochastic_depth_is_told_how_many_views_a_step_has():
    """One or two."""
    model, views = (
        VisionTransformer(img_size=16, patch_size=4, embed_dim=24, depth=3, num_heads=3, drop_path_rate=0.3),
        [],
    )
    share_depth(model)

    def forward(inputs):
        views.append({module.views for module in model.modules() if isinstance(module, SharedDepth)})
        return Output(torch.randn(len(inputs), 2))

    judge = Objective(NOISY.model_copy(update={"consistency": "lazy"}), 2, 2)
    for step in range(3):
        judge(model, forward, batch(torch.zeros(2), [0, 1]), step)
    assert views == [{2}, {1}, {2}]


@pytest.mark.parametrize("step", [0, 1])
def test_losses_of_rounded_logits_are_not_rounded(step):
    """Autocast leaves logits in bf16."""
    judge, logits = Objective(NOISY.model_copy(update={"consistency": "lazy"}), 2, 2), torch.randn(2, 2).bfloat16()
    found = judge(MODEL, lambda _: Output(logits), batch(torch.zeros(2), [0, 1]), step)
    assert found.loss.dtype == found.logits.dtype == torch.float32
