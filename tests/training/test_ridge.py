"""The ridge head equals what leaving out each image and fitting again gives, in float64."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ship.training.ridge import WEIGHTS, fit_ridge, start_head

IMAGES, WIDTH, CLASSES = 30, 8, 4


@pytest.fixture
def features():
    """Of four clusters that overlap, far from the origin."""
    labels = torch.arange(IMAGES) % CLASSES
    centres = torch.randn(CLASSES, WIDTH, dtype=torch.float64)
    return 5 + centres[labels] + 0.8 * torch.randn(IMAGES, WIDTH, dtype=torch.float64), labels


def solve(x, y, ridge):
    """Weights and intercept by the normal equations, with an intercept that is not shrunk."""
    ones = torch.cat([x, torch.ones(len(x), 1, dtype=x.dtype)], dim=1)
    shrink = ridge * torch.eye(WIDTH + 1, dtype=x.dtype)
    shrink[-1, -1] = 0
    return torch.linalg.solve(ones.T @ ones + shrink, ones.T @ y)


def left_out(x, y, ridge):
    """Prediction of every image by the fit to all others."""
    found = []
    for i in range(len(x)):
        others = torch.arange(len(x)) != i
        solved = solve(x[others], y[others], ridge)
        found.append(x[i] @ solved[:-1] + solved[-1])
    return torch.stack(found)


def test_the_ridge_is_that_of_the_least_leave_one_out_error(features):
    """Of all weights that are tried, each with thirty other fits."""
    x, labels = features
    y = F.one_hot(labels, CLASSES).double()
    found = fit_ridge(x, labels, CLASSES)
    ridges = WEIGHTS * torch.linalg.svdvals(x - x.mean(dim=0)).square().mean()
    errors = [(y - left_out(x, y, ridge)).square().sum().item() for ridge in ridges]
    assert found.ridge == pytest.approx(ridges[errors.index(min(errors))].item())
    assert 0 < errors.index(min(errors)) < len(errors) - 1


def test_the_scale_is_that_of_the_least_leave_one_out_cross_entropy(features):
    """No factor a little away from it is better."""
    x, labels = features
    found = fit_ridge(x, labels, CLASSES)
    logits = left_out(x, F.one_hot(labels, CLASSES).double(), found.ridge)
    losses = [F.cross_entropy(found.scale * factor * logits, labels).item() for factor in (0.99, 1.0, 1.01)]
    assert min(losses) == losses[1]
    assert 0.1 < found.scale < 100


def test_the_head_is_the_solution_of_the_normal_equations(features):
    """Times the scale; more features than images change nothing in that."""
    x, labels = features
    found = fit_ridge(x, labels, CLASSES)
    solved = found.scale * solve(x, F.one_hot(labels, CLASSES).double(), found.ridge)
    torch.testing.assert_close(found.weight, solved[:-1].T)
    torch.testing.assert_close(found.bias, solved[-1])
    head = nn.Linear(100, CLASSES)
    start_head(head, torch.randn(IMAGES, 100), labels)
    assert head.weight.isfinite().all()


def test_features_that_are_all_alike_give_the_classes_shares():
    """And a class without images is the least likely."""
    labels = torch.tensor([0, 0, 0, 1])
    found = fit_ridge(torch.ones(4, 3), labels, 3)
    assert torch.equal(found.weight, torch.zeros(3, 3, dtype=torch.float64))
    assert found.bias.argsort(descending=True).tolist() == [0, 1, 2]
