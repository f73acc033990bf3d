"""Pre-training of the embedded backbone on images made by formulas: no photograph, no download.

The class token learns which formula made the image; the patches learn how much of them is covered, where their object
lies, how it is turned and how large it is. Formula-driven supervision is Kataoka et al.'s (ACCV 2020, CVPR 2022). The
labels of patches are ours: they are kept out of the class token, which is all that a linear probe reads.

No image comes twice, and a run that goes on after a kill sees what it would have seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from ship.compute import Recording
from ship.errors import BadInput
from ship.pretrain.images.formula import formulas
from ship.pretrain.images.scenes import INK, PLACE
from ship.pretrain.images.stream import Painted, painted
from ship.pretrain.settings import Pretrain, learning_rate, past
from ship.pretrain.student import Student, groups, losses
from ship.storage import read_tensors, refuse_folder, write_tensors


class Record(NamedTuple):
    """Means over the steps since the last record."""

    step: int
    lr: float
    loss: float
    category_loss: float
    place_loss: float
    ink_loss: float
    accuracy: float
    """share of images whose shape is the most likely category"""


def pretrain(
    settings: Pretrain,
    out: Path,
    *,
    device: str = "cpu",
    workers: int = 1,
    record_every: int = 100,
    save_every: int = 500,
) -> Iterator[Record]:
    """Train; yield a record every so many steps; write the backbone, a .safetensors file, to `out` at the end.

    Every `save_every` steps `<out>.resume` is written, where a killed run goes on; it goes when the run ends.
    `workers` processes paint the images (0: this one does); their number changes no bit.

    Raises:
        BadInput: `<out>.resume` is from other settings, or further than the end; or there is no GPU for `cuda`.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise BadInput("device: expected a GPU, which 'cuda' asks for, found none (cpu)")
    refuse_folder(out)
    kept = out.with_name(f"{out.name}.resume")
    made = formulas(**settings.categories.model_dump())
    run = _start(settings, made.categories, device)
    last, done = settings.steps, _resume(kept, settings, run)
    sums, since = torch.zeros(len(Record._fields) - 2, device=device), 0
    size, grid = settings.model.img_size, settings.model.img_size // settings.model.patch_size
    stream = Painted(made, seed=settings.seed, batch_size=settings.batch_size, size=size, grid=grid)
    for step, batch in enumerate(painted(stream, done, last, workers), start=done + 1):
        sums, since = sums + _step(run, [part.to(device) for part in batch], settings, step), since + 1
        if step % record_every == 0 or step == last:
            yield Record(step, learning_rate(settings, step), *(sums / since).tolist())
            sums, since = torch.zeros_like(sums), 0
        if step % save_every == 0 and step < last:
            _save(kept, settings, run, step)
    _write(out, settings, run, last)
    kept.unlink(missing_ok=True)


class _Run(NamedTuple):
    """What changes from step to step."""

    student: Student
    optimiser: torch.optim.Optimizer
    average: dict[str, Tensor]
    """moving averages of the student's parameters"""
    recordings: dict[int, Recording]
    """on a GPU: steps by how many patches the student sees"""


def _start(settings: Pretrain, categories: int, device: str) -> _Run:
    options = {"seed": settings.seed, "categories": categories, "places": PLACE, "inks": INK}
    student, cuda = Student(settings.model.model_dump(), **options).to(device), device == "cuda"
    optimiser = torch.optim.AdamW(
        groups(student, settings.weight_decay),
        lr=torch.tensor(settings.lr, device=device) if cuda else settings.lr,  # there, a recorded step reads it
        betas=(0.9, 0.98),
        fused=cuda,
        capturable=cuda,
    )
    return _Run(student, optimiser, {name: p.detach().clone() for name, p in student.named_parameters()}, {})


def _step(run: _Run, batch: list[Tensor], s: Pretrain, step: int) -> Tensor:
    """One step of the optimiser and of the average; the numbers of a record, but its step and learning rate."""
    pixels, category, place, ink = batch
    mean, std = (torch.tensor(stat, device=pixels.device).view(3, 1, 1) for stat in (s.mean, s.std))
    images = (pixels.permute(0, 3, 1, 2).float() / 255 - mean) / std
    order = _seen(s, step, *place.shape[:2]).to(pixels.device)
    place, ink = (label.take_along_dim(order[..., None], dim=1) for label in (place, ink))
    rate = learning_rate(s, step)
    for group in run.optimiser.param_groups:
        group["lr"] = group["lr"].fill_(rate) if isinstance(group["lr"], Tensor) else rate
    learn: Callable[..., Tensor] = partial(_learn, run, s)
    if pixels.is_cuda:
        learn = run.recordings.setdefault(order.shape[1], Recording(learn))
    found = learn(images, order, category, place, ink)
    average = get_ema_multi_avg_fn(min(s.average, 1 - 1 / step))
    average(list(run.average.values()), [p.detach() for p in run.student.parameters()], step)
    return found


def _learn(run: _Run, s: Pretrain, images: Tensor, order: Tensor, *labels: Tensor) -> Tensor:
    """A step of the optimiser on images (B, 3, S, S) of which the patches `order` (B, k) are seen."""
    with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=s.precision == "bf16"):
        guess = run.student(images, order)
    parts = losses(guess, *labels)
    loss = parts[0] + s.place_weight * parts[1] + s.ink_weight * parts[2]
    run.optimiser.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(run.student.parameters(), 1.0)
    run.optimiser.step()
    hit = (guess.category.argmax(dim=1)[:, None] == labels[0]).any(dim=1).float().mean()
    return torch.stack([loss, *parts, hit]).detach()


def _seen(s: Pretrain, step: int, images: int, patches: int) -> Tensor:
    """Numbers of the patches that each image keeps in a step, (B, k)."""
    # a stream a step, so that a resumed run drops the same patches
    chance = torch.rand((images, patches), generator=torch.Generator().manual_seed(s.seed * 2**32 + step))
    return chance.argsort(dim=1)[:, : patches if step > s.steps - s.whole_steps else max(1, round(s.kept * patches))]


def _write(path: Path, settings: Pretrain, run: _Run, step: int) -> None:
    """The backbone alone, in half precision, with all that loading it needs."""
    weights = {name.removeprefix("vit."): t.half() for name, t in run.average.items() if name.startswith("vit.")}
    about = settings.model_dump(mode="json", include={"model", "mean", "std", "interpolation"})
    source = f"ship pretrain: {step} steps of {settings.batch_size} images made by formulas, seed {settings.seed}"
    write_tensors(path, weights, {**about, "image_size": settings.model.img_size, "source": source})


def _save(path: Path, settings: Pretrain, run: _Run, step: int) -> None:
    state = {f"average.{name}": tensor for name, tensor in run.average.items()}
    for name, parameter in run.student.named_parameters():
        state |= {f"weights.{name}": parameter}
        state |= {f"{key}.{name}": value for key, value in run.optimiser.state[parameter].items()}
    write_tensors(path, state, {"settings": settings.model_dump(mode="json"), "step": step})


def _resume(path: Path, settings: Pretrain, run: _Run) -> int:
    """Steps that are done, with everything put where they left it; 0 for a new run."""
    if not path.exists():
        return 0
    state, about = read_tensors(path)
    before, step = Pretrain(**about["settings"]), int(about["step"])
    if past(before, step) != past(settings, step) or step > settings.steps:
        raise BadInput(
            f"{path}: expected settings of a run that is at step {step} of {settings.steps}, got others (delete it)"
        )
    with torch.no_grad():
        for name, parameter in run.student.named_parameters():
            parameter.copy_(state[f"weights.{name}"])
            run.average[name].copy_(state[f"average.{name}"])
            slots = {key: state[f"{key}.{name}"] for key in ("step", "exp_avg", "exp_avg_sq")}
            run.optimiser.state[parameter] = {key: slot.to(parameter.device) for key, slot in slots.items()}
    return step
