"""Whether the GPU of this node computes what it should, the same every time, and how fast: for doctor.py, or by itself.

`python workflow/gpu.py` prints a line for every check; exit code 1 where one fails.
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack

import timm
import torch
import torch.nn.functional as F
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from ship.compute import set_up
from ship.experiment.params import Compute
from ship.experiment.rows import Train
from ship.methods import METHODS, build, method_class
from ship.methods.base import Method, tuned_parameters
from ship.methods.rounding import rounded
from ship.training.loop import make_optimiser
from ship.training.objective import Batch, Objective
from ship.training.step import Recorded, Step

LIMITS = {"fp32": (2e-5, 1e-4), "bf16": (2e-2, 1e-1)}  # of ||ours - reference|| / ||reference||: logits, gradients
MODEL, BATCH, CLASSES = "vit_base_patch16_224", 64, 100
RECIPE, EXACT = Train(), torch.autocast("cuda", enabled=False)
HELD = ExitStack()  # frozen weights stay rounded as long as the process lives
LOCK = """
import torch
from ship.compute import set_up
from ship.experiment.params import Compute
set_up(Compute(device="cuda"))
print(torch.cuda.current_device(), flush=True)
input()
"""


def main() -> None:
    """All checks, then how fast it is."""
    if not torch.cuda.is_available():
        sys.exit("gpu.py: expected a GPU that PyTorch sees, got none (`nvidia-smi`: its driver; or PyTorch's build)")
    gpu = set_up(Compute(device="cuda")).device
    good = [apart(), *computes(gpu), records(gpu)]
    speeds(gpu)
    sys.exit(0 if all(good) else 1)


def apart() -> bool:
    """Two processes take different GPUs, where there are two."""
    call = [sys.executable, "-c", LOCK]
    both = [subprocess.Popen(call, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    taken = [process.stdout.readline().strip() for process in both if process.stdout]
    for process in both:
        process.communicate("\n")
    good = all(taken) and (len(set(taken)) == 2 or torch.cuda.device_count() == 1)
    return said(f"two processes compute on GPUs {' and '.join(taken)} of {torch.cuda.device_count()}", good)


def computes(gpu: torch.device) -> list[bool]:
    """Every method's logits and gradients: beside float64 on the CPU, twice, and in bf16."""
    exact, again, in_bf16 = (dict[str, list[float]]() for _ in range(3))
    for name in METHODS:
        reference = answer(*small(name, torch.device("cpu"), torch.float64))
        found = answer(*small(name, gpu))
        exact[name] = distances(found, reference)
        again[name] = distances(answer(*small(name, gpu)), found)
        in_bf16[name] = distances(answer(*small(name, gpu), torch.bfloat16), reference)
    return [
        judged("fp32 equals float64", exact, LIMITS["fp32"]),
        judged("a step gives the same bits twice", again, (0.0, 0.0)),
        judged("bf16 is near float64", in_bf16, LIMITS["bf16"]),
    ]


def small(
    name: str, device: torch.device, dtype: torch.dtype = torch.float32, dropout: float = 0.0
) -> tuple[Method, Tensor, Tensor]:
    """A method on a small ViT in training, images and labels; the same ones each time. Dropout differs by device."""
    torch.manual_seed(0)
    vit = VisionTransformer(img_size=32, patch_size=8, embed_dim=48, depth=4, num_heads=3, num_classes=0).eval()
    levels = torch.tensor([0, 0, 1, 1])
    measured = {"affinity": (levels[:, None] == levels).float(), "prototypes": torch.randn(12, 48)}
    model = build(name, vit, 7, {}, measured)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = dropout
    images, labels = torch.randn(8, 3, 32, 32), torch.randint(7, (8,))
    return model.to(device, dtype).train(), images.to(device, dtype), labels.to(device)


def answer(model: Method, images: Tensor, labels: Tensor, dtype: torch.dtype | None = None) -> tuple[Tensor, Tensor]:
    """Logits (B, C), and the gradients of all tuned parameters in one row, after one step; in float64 on the CPU."""
    optimiser = make_optimiser(model, Train(optimiser="sgd", lr=0.1))
    for _ in range(2):  # what starts behind a zero has a gradient in the second
        with torch.autocast(images.device.type, dtype, enabled=dtype is not None):
            logits, penalty = model(images)
            loss = F.cross_entropy(logits, labels) + penalty
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        found = [p.grad.flatten() for p in tuned_parameters(model).values() if p.grad is not None]
        optimiser.step()
    return logits.detach().double().cpu(), torch.cat(found).double().cpu()


def distances(ours: tuple[Tensor, ...], reference: tuple[Tensor, ...]) -> list[float]:
    """||ours - reference|| / ||reference|| of each."""
    return [((a - b).norm() / b.norm()).item() for a, b in zip(ours, reference, strict=True)]


def judged(what: str, found: dict[str, list[float]], limits: tuple[float, float]) -> bool:
    """Say how far the methods are off at most, and which are further than they may."""
    bad = [name for name, off in found.items() if not all(o <= limit for o, limit in zip(off, limits, strict=True))]
    worst = ", ".join(f"{max(off):.1e}" for off in zip(*found.values(), strict=True))
    return said(f"{what}, {len(found)} methods: logits and gradients off by {worst} at most", not bad, ", ".join(bad))


def records(gpu: torch.device) -> bool:
    """Steps that are recorded and replayed give the bits of those that are launched kernel by kernel."""
    bad = []
    for name in (name for name in METHODS if method_class(name).recordable):
        ends = []
        for kind in (Step, Recorded):
            model, images, labels = small(name, gpu, dropout=0.1)
            step = kind(model, model, make_optimiser(model, RECIPE), Objective(RECIPE, 8, 7), EXACT)
            batch = Batch(images, labels, torch.arange(8, device=gpu))
            seen = [step(batch, number, rate) for number, rate in enumerate((1e-2, 2e-2, 3e-2, 1e-2))]
            ends.append([*seen, *tuned_parameters(model).values()])
        same = all(torch.equal(one, other) for one, other in zip(*ends, strict=True))
        bad += [] if same else [name]
    return said("a recorded step gives the bits of a plain one", not bad, ", ".join(bad))


def speeds(gpu: torch.device) -> None:
    """Say what a training step of SHIP costs, in fp32 and bf16, beside what the GPU can."""
    peak = 2 * 8192**3 / seconds(matrix_product(gpu))
    print(f"      a bf16 matrix product: {peak / 1e12:.0f} TFLOP/s")
    for precision in ("fp32", "bf16"):
        step, floating = training_step(gpu, torch.autocast("cuda", torch.bfloat16, enabled=precision == "bf16"))
        torch.cuda.reset_peak_memory_stats()
        spent = seconds(step)
        print(
            f"      SHIP on {MODEL}, batch {BATCH}, {precision}: {BATCH / spent:.0f} images/s, "
            f"{floating / spent / peak:.0%} of that, {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB",
            flush=True,
        )


def matrix_product(gpu: torch.device) -> Callable[[], object]:
    """One of 8192 x 8192 x 8192 in bf16, on random numbers."""
    a, b = torch.randn(2, 8192, 8192, device=gpu, dtype=torch.bfloat16)
    return lambda: a @ b


def training_step(gpu: torch.device, autocast: torch.autocast) -> tuple[Callable[[], object], int]:
    """A step of SHIP as runs make it, and how many floating-point operations it has."""
    with gpu:
        vit = timm.create_model(MODEL, num_classes=0)
        levels = torch.arange(len(vit.blocks)) // 3
        measured = {"affinity": (levels[:, None] == levels).float(), "prototypes": torch.randn(200, vit.embed_dim)}
        model = build("ship", vit, CLASSES, {}, measured).train()
        batch = Batch(torch.randn(BATCH, 3, 224, 224), torch.randint(CLASSES, (BATCH,)), torch.arange(BATCH))
    HELD.enter_context(rounded(model, autocast))
    step = Recorded(model, model, make_optimiser(model, RECIPE), Objective(RECIPE, BATCH, CLASSES), autocast)
    with FlopCounterMode(display=False) as counted:
        step(batch, 0, 1e-3)
    return lambda: step(batch, 1, 1e-3), counted.get_total_flops()


def seconds(call: Callable[[], object], times: int = 20) -> float:
    """Median of a call's time, after three that warm up."""
    spent = []
    for number in range(times + 3):
        torch.cuda.synchronize()
        begin = time.perf_counter()
        call()
        torch.cuda.synchronize()
        if number >= 3:
            spent.append(time.perf_counter() - begin)
    return statistics.median(spent)


def said(what: str, good: bool, bad: str = "") -> bool:
    """Print a check and how it went; whether it holds."""
    print(f"ok    {what}" if good else f"FAIL  {what}: {bad or 'no'}", flush=True)
    return good


if __name__ == "__main__":
    main()
