"""What a training step and inference cost: the bare frozen ViT's, every method's, and that of SHIP without savings."""

from __future__ import annotations

import ctypes
import multiprocessing
import re
import statistics
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import timm
import torch
import torch.nn.functional as F
from formulas import Formulas
from torch import Tensor, nn

from ship.experiment.params import Train
from ship.inference.predict import readied
from ship.methods import METHODS, build
from ship.models.vit import embed, pool
from ship.training.loop import make_optimiser

STARTS = [0, 2, 4, 6, 8, 11]  # the published hierarchy of cifar100
PROMPTED = {"cvpt", "ship", "vpt"}  # the others have their default options
CLASSES, PROTOTYPES = 100, 200
PLAIN = "SHIP from its formulas"
EXACT = torch.autocast("cpu", enabled=False)


class Case(NamedTuple):
    """What is timed."""

    model: str = "vit_tiny_patch16_224"
    batch: int = 8
    size: int = 224
    prompts: int = 50


class Cost(NamedTuple):
    """Of one call, medians; the ratio is the median of those to the first row in the same round."""

    seconds: float
    processor_seconds: float
    ratio: float
    """of processor seconds, which other work on the machine changes less"""
    low: float
    high: float


Rows = dict[str, Callable[[], object]]


def bare(case: Case) -> nn.Module:
    return timm.create_model(case.model, num_classes=0, img_size=case.size).requires_grad_(False).eval()


def method(case: Case, name: str) -> Any:
    vit = timm.create_model(case.model, img_size=case.size).eval()
    depth = len(vit.blocks)
    levels = torch.tensor([sum(start <= block for start in STARTS) for block in range(depth)])
    facts = {"affinity": (levels[:, None] == levels).float(), "prototypes": torch.randn(PROTOTYPES, vit.embed_dim)}
    options = {"prompt_length": case.prompts} if name in PROMPTED else {}
    return build(name, vit, CLASSES, options, facts)


def batch(case: Case) -> tuple[Tensor, Tensor]:
    return torch.randn(case.batch, 3, case.size, case.size), torch.randint(CLASSES, (case.batch,))


def bare_step(vit: Any, images: Tensor) -> None:
    """Forward and backward of the frozen ViT, to the tokens that enter its first block."""
    z = embed(vit, images).detach().requires_grad_()
    pool(vit, vit.blocks(z)).sum().backward()


def method_step(model: nn.Module, optimiser: torch.optim.Optimizer, images: Tensor, labels: Tensor) -> None:
    """A whole training step."""
    model.train()
    logits, penalty = model(images)
    optimiser.zero_grad(set_to_none=True)
    (F.cross_entropy(logits, labels) + penalty).backward()
    optimiser.step()


@torch.inference_mode()
def infer(model: nn.Module, forward: Callable[[Tensor], object], images: Tensor) -> None:
    model.eval()
    forward(images)


def rows(case: Case, names: Iterable[str], plain: bool = False) -> tuple[Rows, Rows]:
    """Steps and inferences by name; the bare ViT is first."""
    torch.manual_seed(0)
    images, labels = batch(case)
    vit = bare(case)
    steps: Rows = {"bare ViT": partial(bare_step, vit, images)}
    inferences: Rows = {"bare ViT": partial(infer, vit, vit, images)}
    for name in names:
        model = method(case, name)
        steps[name] = partial(method_step, model, make_optimiser(model, Train()), images, labels)
        inferences[name] = partial(infer, model, readied(model, EXACT), images)
    if plain:
        written = Formulas(method(case, "ship"))
        steps[PLAIN] = partial(method_step, written, make_optimiser(written, Train()), images, labels)
    return steps, inferences


def timed(calls: Rows, rounds: int) -> dict[str, Cost]:
    """The cost of each call, all of them in turn in each round, after one that warms up."""
    wall: dict[str, list[float]] = {name: [] for name in calls}
    processor: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name, call in calls.items():
            begin, busy = time.perf_counter(), time.process_time()
            call()
            if number:
                wall[name].append(time.perf_counter() - begin)
                processor[name].append(time.process_time() - busy)
    first = next(iter(processor.values()))
    found = {}
    for name in calls:
        ratios = [own / bare for own, bare in zip(processor[name], first, strict=True)]
        medians = (statistics.median(values) for values in (wall[name], processor[name], ratios))
        found[name] = Cost(*(round(value, 4) for value in (*medians, min(ratios), max(ratios))))
    return found


def peak(case: Case, name: str) -> int:
    """Bytes that a step of the method (of the bare ViT without `name`) takes at most, beside weights and images."""
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


def table(case: Case, names: Iterable[str] = METHODS, rounds: int = 5, plain: bool = True) -> dict[str, Any]:
    """Steps and inferences of the methods, and what a step of SHIP and of the bare ViT takes of memory."""
    steps, inferences = rows(case, names, plain)
    found = {"case": case._asdict(), "rounds": rounds}
    parts = {"step": timed(steps, rounds), "inference": timed(inferences, rounds)}
    return found | {part: {name: cost._asdict() for name, cost in costs.items()} for part, costs in parts.items()}


GROWTH = {"prompts": [1, 50, 100, 200], "batch": [2, 4, 8, 16], "size": [96, 160, 224, 288]}


def growth(case: Case, rounds: int = 3) -> dict[str, list[dict[str, float]]]:
    """Of SHIP's step, as one of prompt length, batch or image size grows: processor seconds, ratio and peak memory."""
    found: dict[str, list[dict[str, float]]] = {}
    for axis, values in GROWTH.items():
        for value in values:
            here = case._replace(**{axis: value})
            cost = timed(rows(here, ["ship"])[0], rounds)["ship"]
            peaks = {"peak_bytes": peak(here, "ship"), "bare_peak_bytes": peak(here, "")}
            found.setdefault(axis, []).append({axis: value, **cost._asdict(), **peaks})
    return found
