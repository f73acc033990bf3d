"""What a training step and inference cost: the bare frozen ViT's, every method's, and that of SHIP without savings."""

from __future__ import annotations

import ctypes
import multiprocessing
import re
import statistics
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import timm
import torch
from formulas import Formulas
from torch import Tensor, nn

from ship.compute import Recording
from ship.experiment.rows import Train
from ship.inference.predict import readied
from ship.methods import METHODS, build
from ship.methods.rounding import rounded
from ship.models.linear import Linear, swap
from ship.models.vit import embed, pool
from ship.training.loop import make_optimiser
from ship.training.objective import Batch, Objective
from ship.training.step import step_of

STARTS = [0, 2, 4, 6, 8, 11]  # the published hierarchy of cifar100
PROMPTED = ("ship", "vpt", "cvpt")  # the others have their default options
CLASSES, PROTOTYPES = 100, 200
PLAIN = "SHIP from its formulas"
TOGETHER = 6  # methods: on a GPU each keeps what its recorded step takes, gigabytes of a ViT-B
RECIPE = Train()
HELD = ExitStack()  # frozen weights stay rounded as long as the process lives


class Case(NamedTuple):
    """What is timed."""

    model: str = "vit_tiny_patch16_224"
    batch: int = 8
    size: int = 224
    prompts: int = 50
    device: str = "cpu"
    precision: str = "fp32"

    @property
    def autocast(self) -> torch.autocast:
        """That of a run with this precision."""
        return torch.autocast(self.device, torch.bfloat16, enabled=self.precision == "bf16")


class Cost(NamedTuple):
    """Of one call, medians; the ratio is the median of those to the first row in the same round."""

    seconds: float
    processor_seconds: float
    ratio: float
    """on a CPU of processor seconds, which other work on the machine changes less"""
    low: float
    high: float


Rows = dict[str, Callable[[], object]]


def bare(case: Case) -> Any:
    """In bf16 with weights of bf16, so that nothing is cast."""
    with torch.device(case.device):
        vit = timm.create_model(case.model, num_classes=0, img_size=case.size).requires_grad_(False).eval()
    return vit.bfloat16() if case.precision == "bf16" else vit


def method(case: Case, name: str) -> Any:
    with torch.device(case.device):
        vit = timm.create_model(case.model, img_size=case.size).eval()
    depth = len(vit.blocks)
    levels = torch.tensor([sum(start <= block for start in STARTS) for block in range(depth)])
    facts = {"affinity": (levels[:, None] == levels).float(), "prototypes": torch.randn(PROTOTYPES, vit.embed_dim)}
    options = {"prompt_length": case.prompts} if name in PROMPTED else {}
    model = build(name, vit, CLASSES, options, facts).to(case.device)
    HELD.enter_context(rounded(model, case.autocast))
    return model


def batch(case: Case) -> tuple[Tensor, Tensor]:
    images, labels = torch.randn(case.batch, 3, case.size, case.size), torch.randint(CLASSES, (case.batch,))
    return images.to(case.device), labels.to(case.device)


def bare_step(vit: Any, images: Tensor) -> Tensor:
    """Forward and backward of the frozen ViT, to the tokens that enter its first block."""
    z = embed(vit, images).detach().requires_grad_()
    total: Tensor = pool(vit, vit.blocks(z)).sum()
    total.backward()
    return total.detach()


def method_step(case: Case, model: Any, images: Tensor, labels: Tensor) -> Callable[[], object]:
    """A whole training step, as runs make it."""
    optimiser, objective = make_optimiser(model, RECIPE), Objective(RECIPE, case.batch, CLASSES)
    step = step_of(model, model, optimiser, objective, case.autocast)
    images_of_step = Batch(images, labels, torch.arange(case.batch, device=case.device))

    def call() -> None:
        model.train()
        step(images_of_step, 0, RECIPE.lr)

    return call


@torch.inference_mode()
def infer(autocast: torch.autocast, model: nn.Module, forward: Callable[[Tensor], object], images: Tensor) -> None:
    model.eval()
    with autocast:
        forward(images)


def rows(case: Case, names: Iterable[str]) -> tuple[Rows, Rows]:
    """Steps and inferences by name; the bare ViT is first."""
    torch.manual_seed(0)
    images, labels = batch(case)
    vit, plain_case = bare(case), case._replace(precision="fp32")
    own = images.to(vit.cls_token.dtype)
    bare_call = partial(bare_step, vit, own)
    steps: Rows = {"bare ViT": Recording(bare_call) if case.device == "cuda" else bare_call}
    inferences: Rows = {"bare ViT": partial(infer, plain_case.autocast, vit, vit, own)}
    for name in names:
        model = method(case, name)
        steps[name] = method_step(case, model, images, labels)
        inferences[name] = partial(infer, case.autocast, model, readied(model, case.autocast), images)
    return steps, inferences


def from_formulas(case: Case, rounds: int, threads: int) -> Cost:
    """A step of SHIP from its formulas in float32, with PyTorch's own layers; in a process that keeps no memory."""
    torch.set_num_threads(threads)
    calls, plain = rows(case, [])[0], case._replace(precision="fp32")
    written = Formulas(method(plain, "ship"))
    swap(written, Linear, nn.Linear)
    calls[PLAIN] = method_step(plain, written, *batch(plain))
    return timed(case, calls, rounds)[PLAIN]


def timed(case: Case, calls: Rows, rounds: int) -> dict[str, Cost]:
    """The cost of each call, all of them in turn in each round, after those that warm up."""
    gpu = case.device == "cuda"
    warm = 2 if gpu else 1  # the second records
    wall: dict[str, list[float]] = {name: [] for name in calls}
    processor: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + warm):
        for name, call in calls.items():
            begin, busy = time.perf_counter(), time.process_time()
            call()
            if gpu:
                torch.cuda.synchronize()
            if number >= warm:
                wall[name].append(time.perf_counter() - begin)
                processor[name].append(time.process_time() - busy)
    counted = wall if gpu else processor
    first = next(iter(counted.values()))
    found = {}
    for name in calls:
        ratios = [own / bare for own, bare in zip(counted[name], first, strict=True)]
        medians = (statistics.median(values) for values in (wall[name], processor[name], ratios))
        found[name] = Cost(*(round(value, 4) for value in (*medians, min(ratios), max(ratios))))
    return found


def peak(case: Case, name: str) -> int:
    """Bytes that a step of the method (of the bare ViT without `name`) takes at most, beside weights and images."""
    if case.device == "cuda":
        call = rows(case, [name] if name else [])[0][name or "bare ViT"]
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        call()
        return torch.cuda.max_memory_allocated() - before
    context = multiprocessing.get_context("fork")
    answer, ask = context.Pipe(duplex=False)
    child = context.Process(target=_peak, args=(case, name, ask))
    child.start()
    found: int = answer.recv()
    child.join()
    return found


def _peak(case: Case, name: str, answer: Any) -> None:
    torch.set_num_threads(1)  # after a fork there are no others
    steps, _ = rows(case, [name] if name else [])
    call = steps[name or "bare ViT"]
    ctypes.CDLL(None).malloc_trim(0)  # what the parent freed would be taken first, and not count
    before = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    call()
    answer.send(memory("VmHWM") - before)


def memory(kind: str) -> int:
    found = re.search(rf"{kind}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return 1024 * int(found[1]) if found else 0


def table(case: Case, names: Iterable[str] = METHODS, rounds: int = 5) -> dict[str, Any]:
    """Steps and inferences of the methods, and what a step of SHIP and of the bare ViT takes of memory."""
    wanted, parts = list(names), dict[str, dict[str, Cost]]()
    for first in range(0, len(wanted), TOGETHER):
        for part, calls in zip(("step", "inference"), rows(case, wanted[first : first + TOGETHER]), strict=True):
            parts[part] = timed(case, calls, rounds) | parts.get(part, {})
    plain = (case, rounds, torch.get_num_threads())
    if case.device == "cuda":
        parts["step"][PLAIN] = from_formulas(*plain)
    else:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as other:
            parts["step"][PLAIN] = other.submit(from_formulas, *plain).result()
    told = {part: {name: cost._asdict() for name, cost in costs.items()} for part, costs in parts.items()}
    return {"case": case._asdict(), "rounds": rounds, **told}


GROWTH = {"prompts": [1, 50, 100, 200], "batch": [2, 4, 8, 16], "size": [96, 160, 224, 288]}


def growth(case: Case, rounds: int = 3) -> dict[str, list[dict[str, float]]]:
    """Of SHIP's step, as one of prompt length, batch or image size grows: processor seconds, ratio and peak memory."""
    found: dict[str, list[dict[str, float]]] = {}
    for axis, values in GROWTH.items():
        for value in values:
            here = Case(**{**case._asdict(), axis: value})
            cost = timed(here, rows(here, ["ship"])[0], rounds)["ship"]
            peaks = {"peak_bytes": peak(here, "ship"), "bare_peak_bytes": peak(here, "")}
            found.setdefault(axis, []).append({axis: value, **cost._asdict(), **peaks})
    return found
