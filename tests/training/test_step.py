"""A step that a GPU records does what the plain one does, bit for bit."""

import gc
import weakref

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer

from ship.experiment.rows import Train
from ship.methods.base import tuned_parameters
from ship.methods.vpt import VPT
from ship.models.noise import perturb, share_depth
from ship.training.loop import make_optimiser
from ship.training.objective import Batch, Objective
from ship.training.step import Recorded, Step, step_of

RATES = (0.01, 0.02, 0.03, 0.02, 0.01)


def trained(kind, device, recipe, precision=None):
    """What five steps saw, and the tuned parameters after them; everything random is in play."""
    torch.manual_seed(0)
    vit = VisionTransformer(img_size=16, patch_size=4, embed_dim=24, depth=3, num_heads=3, drop_path_rate=0.3)
    model = VPT(vit, 3, prompt_length=2, dropout=0.3).to(device).train()
    if recipe.noise:
        perturb(model.noise, recipe.noise)
        share_depth(model.vit)
    batches = [
        Batch(torch.randn(4, 3, 16, 16).to(device), torch.randint(3, (4,)).to(device), torch.arange(4).to(device))
        for _ in RATES
    ]
    autocast = torch.autocast(torch.device(device).type, precision, enabled=precision is not None)
    step = kind(model, model, make_optimiser(model, recipe), Objective(recipe, 4, 3), autocast)
    torch.manual_seed(1)
    seen = [step(batch, number, rate) for number, (batch, rate) in enumerate(zip(batches, RATES, strict=True))]
    return [*seen, *tuned_parameters(model).values()]


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
def test_a_step_has_the_rate_it_is_told(optimiser):
    """A rate of 0 changes nothing, another does."""
    torch.manual_seed(0)
    model = VPT(VisionTransformer(img_size=16, patch_size=4, embed_dim=24, depth=2, num_heads=3), 3, prompt_length=2)
    recipe = Train(optimiser=optimiser)
    step = step_of(
        model, model, make_optimiser(model, recipe), Objective(recipe, 4, 3), torch.autocast("cpu", enabled=False)
    )
    batch = Batch(torch.randn(4, 3, 16, 16), torch.randint(3, (4,)), torch.arange(4))
    before = [p.detach().clone() for p in tuned_parameters(model).values()]
    for rate, same in ((0.0, True), (0.1, False)):
        loss, penalty, hits = step(batch, 0, rate).tolist()
        assert loss > 0
        assert penalty == 0
        assert 0 <= hits <= 1
        pairs = zip(before, tuned_parameters(model).values(), strict=True)
        assert all(torch.equal(old, new) for old, new in pairs) == same


def test_a_step_has_the_gradient_of_its_own_batch():
    """What the step before has left does not count."""
    torch.manual_seed(0)
    model = VPT(VisionTransformer(img_size=16, patch_size=4, embed_dim=24, depth=2, num_heads=3), 3, dropout=0.0)
    recipe = Train()
    step = Step(
        model, model, make_optimiser(model, recipe), Objective(recipe, 4, 3), torch.autocast("cpu", enabled=False)
    )
    batch, gradients = Batch(torch.randn(4, 3, 16, 16), torch.randint(3, (4,)), torch.arange(4)), []
    for number in range(2):
        step(batch, number, 0.0)
        gradients.append([p.grad.clone() for p in tuned_parameters(model).values()])
    torch.testing.assert_close(*gradients)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", [None, torch.bfloat16], ids=["fp32", "bf16"])
@pytest.mark.parametrize(
    "settings",
    [{}, {"optimiser": "sgd"}, *({"consistency": kind, "noise": 0.5} for kind in ("fast", "lazy", "two-pass"))],
    ids=str,
)
def test_a_recorded_step_gives_the_same_bits(settings, precision):
    """Dropout, stochastic depth and noise draw the same numbers; the rate and what was kept are read anew each time."""
    plain, recorded = (trained(kind, "cuda", Train(**settings), precision) for kind in (Step, Recorded))
    assert all(torch.equal(one, other) for one, other in zip(plain, recorded, strict=True))


@pytest.mark.gpu
def test_a_recording_goes_with_its_last_user():
    """Without the garbage collector, so that the memory of its graph is free for what comes after the fit."""
    torch.manual_seed(0)
    model = VPT(VisionTransformer(img_size=16, patch_size=4, embed_dim=24, depth=2, num_heads=3), 3).cuda().train()
    recipe = Train()
    step = Recorded(
        model, model, make_optimiser(model, recipe), Objective(recipe, 4, 3), torch.autocast("cuda", enabled=False)
    )
    batch = Batch(torch.randn(4, 3, 16, 16).cuda(), torch.randint(3, (4,)).cuda(), torch.arange(4).cuda())
    for number in range(3):
        step(batch, number, 0.1)
    gc.disable()
    try:
        gone = weakref.ref(next(iter(step.recordings.values())))
        del step
        assert gone() is None
    finally:
        gc.enable()
