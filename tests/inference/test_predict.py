"""What is said of images follows from their logits, in whatever batches they come."""

import pytest
import torch

from ship.errors import Unfit
from ship.inference.predict import answer, predict, readied
from ship.methods.base import Output
from ship.methods.vpt import VPT

OFF = torch.autocast("cpu", enabled=False)


def test_predictions_are_the_formulas():
    """Class, probability and cross-entropy of each image, in order; accuracy and loss are their means."""
    logits, labels = 3 * torch.randn(7, 4), torch.randint(4, (7,))
    found = predict(Output, zip(logits.split(3), labels.split(3), strict=True), OFF)
    shares = logits.double().exp() / logits.double().exp().sum(dim=1, keepdim=True)
    assert torch.equal(found.labels, labels)
    assert torch.equal(found.classes, shares.argmax(dim=1))
    torch.testing.assert_close(found.every.double(), shares, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(found.probabilities.double(), shares.amax(dim=1), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.losses.double(), -shares[torch.arange(7), labels].log(), rtol=1e-5, atol=1e-6)
    assert found.accuracy == pytest.approx((shares.argmax(dim=1) == labels).double().mean().item(), abs=1e-6)
    assert found.loss == pytest.approx(found.losses.mean().item(), abs=1e-6)


def test_a_method_is_made_ready_for_evaluation(tiny_vit):
    """Nothing is drawn, and its logits are in float32."""
    bf16, images = torch.autocast("cpu", torch.bfloat16), torch.randn(2, 3, 16, 16)
    for options in ({"deep": True}, {"deep": False}):
        forward = readied(VPT(tiny_vit, 3, dropout=0.5, **options).train(), bf16)
        one, other = (answer(forward, images, bf16) for _ in range(2))
        assert one.dtype == torch.float32
        assert torch.equal(one, other)


def test_losses_that_are_not_finite_are_no_mean():
    """With what to do."""
    found = predict(Output, [(torch.tensor([[torch.inf, 0.0]]), torch.tensor([0]))], OFF)
    with pytest.raises(Unfit, match=r"expected finite losses .* got nan \(lower train\.lr\)"):
        _ = found.loss
