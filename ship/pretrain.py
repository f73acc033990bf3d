"""Pre-training of the embedded backbone on images made by formulas: no photograph, no download.

The class token learns which formula made the image; the patches learn how much of them is covered, where their object
lies, how it is turned and how large it is. Formula-driven supervision is Kataoka et al.'s (ACCV 2020, CVPR 2022). The
labels of patches are ours: they are kept out of the class token, which is all that a linear probe reads.

No image comes twice, and a run that goes on after a kill sees what it would have seen. Between warm-up and decay the
learning rate is constant, hence a longer schedule begins with the very steps of a shorter one, up to the decay.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import torch
import yaml
from pydantic import Field, ValidationError, model_validator
from torch import Tensor, nn

from ship.artifacts import read_tensors, write_tensors
from ship.complaints import first_line
from ship.config import Triple
from ship.data.formula import formulas
from ship.data.painted import Painted, painted
from ship.data.scenes import INK, PLACE
from ship.errors import BadInput
from ship.fields import Count, Fraction, Positive, Rate, Settings
from ship.models.student import Student, groups, losses, wake

LATER = {"shallow_steps", "steps", "decay_steps", "whole_steps", "stop"}  # may change while a run has not come to them


class Categories(Settings):
    """How many formulas of each family."""

    contours: Positive = 56
    strokes: Positive = 112
    fractals: Positive = 24
    textures: Positive = 40
    seed: Count = 0


class Architecture(Settings):
    """Keyword arguments of timm's VisionTransformer."""

    img_size: Positive = 28
    patch_size: Annotated[int, Field(ge=2, multiple_of=2, description="even: patches are labelled by quarters")] = 4
    embed_dim: Positive = 128
    depth: Positive = 12
    num_heads: Positive = 4


class Pretrain(Settings):
    """A whole pre-training, as its preset describes it. Each key changes the weights."""

    categories: Categories = Categories()
    model: Architecture = Architecture()
    mean: Annotated[Triple, Field(strict=False)] = (0.5, 0.5, 0.5)
    std: Annotated[Triple, Field(strict=False)] = (0.5, 0.5, 0.5)
    interpolation: Literal["bilinear", "bicubic"] = "bicubic"
    seed: Annotated[Count, Field(description="of the images, the first weights and the dropped patches")] = 0
    steps: Annotated[Positive, Field(description="in all")]
    stop: Annotated[Positive | None, Field(description="end after this step of the schedule, not its last")] = None
    warmup_steps: Annotated[Count, Field(description="linear, from zero")] = 300
    shallow_steps: Annotated[Count, Field(description="the first ones: every `stride`-th block alone")] = 0
    stride: Positive = 3
    decay_steps: Annotated[Count, Field(description="the last ones: to zero, as 1 - sqrt(t)")] = 0
    whole_steps: Annotated[Count, Field(description="the last ones: no patch is dropped")] = 0
    batch_size: Positive = 64
    kept: Annotated[float, Field(gt=0, le=1, description="share of patches that is not dropped")] = 0.5
    lr: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Rate = 0.05
    label_smoothing: Fraction = 0.1
    place_weight: Annotated[Rate, Field(description="of the loss of what patches say of their object")] = 0.3
    ink_weight: Annotated[Rate, Field(description="of the loss of what patches say of themselves")] = 2.0
    average: Annotated[
        Fraction, Field(description="of the moving average of the weights, which is what is shipped")
    ] = 0.998
    precision: Literal["fp32", "bf16"] = "fp32"

    @model_validator(mode="after")
    def _order(self) -> Pretrain:
        if not self.whole_steps <= self.decay_steps <= self.steps - self.warmup_steps:
            raise ValueError("expected whole_steps <= decay_steps <= steps - warmup_steps")
        return self


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


def load(path: str | Path) -> Pretrain:
    """The pre-training that a preset describes. Raises BadInput with file and key."""
    try:
        return Pretrain(**yaml.safe_load(Path(path).read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise BadInput(f"{path}: expected a preset of a pre-training, found none") from None
    except (yaml.YAMLError, TypeError) as error:
        raise BadInput(f"{path}: expected keys and values in YAML, got {' '.join(str(error).split())}") from None
    except ValidationError as error:
        raise BadInput(f"{path}: {first_line(error, Pretrain)}") from None


def pretrain(
    settings: Pretrain,
    out: Path,
    *,
    device: str = "cpu",
    workers: int = 1,
    record_every: int = 100,
    save_every: int = 500,
    snapshot_every: int = 0,
) -> Iterator[Record]:
    """Train; yield a record every so many steps; write the backbone, a .safetensors file, to `out` at the end.

    Every `save_every` steps `<out>.resume` is written, where a killed run goes on; it goes when the run ends. Every
    `snapshot_every` steps (0: never) a backbone `<stem>.<step>.safetensors` is written. `workers` processes
    paint the images (0: this one does); their number changes no bit.

    Raises:
        BadInput: `<out>.resume` is from other settings, or further than the end.
    """
    kept = out.with_name(f"{out.name}.resume")
    made = formulas(**settings.categories.model_dump())
    run = _start(settings, made.categories, device)
    last = min(settings.stop or settings.steps, settings.steps)
    done = _resume(kept, settings, run, last)
    sums, since = torch.zeros(len(Record._fields) - 2), 0
    size, grid = settings.model.img_size, settings.model.img_size // settings.model.patch_size
    stream = Painted(made, seed=settings.seed, batch_size=settings.batch_size, size=size, grid=grid)
    for step, batch in enumerate(painted(stream, done, last, workers), start=done + 1):
        sums, since = sums + _step(run, [part.to(device) for part in batch], settings, step), since + 1
        if step % record_every == 0 or step == last:
            yield Record(step, learning_rate(settings, step), *(sums / since).tolist())
            sums, since = torch.zeros_like(sums), 0
        if snapshot_every and step % snapshot_every == 0:
            _write(out.with_stem(f"{out.stem}.{step}"), settings, run, step)
        if step % save_every == 0 and step < last:
            _save(kept, settings, run, step)
    _write(out, settings, run, last)
    kept.unlink(missing_ok=True)


def learning_rate(settings: Pretrain, step: int) -> float:
    """Linear warm-up, constant, then lr (1 - sqrt(t)) with t from 0 to 1 over the decay. Steps count from 1."""
    warm = min(1.0, step / max(settings.warmup_steps, 1))
    gone = step - 1 - (settings.steps - settings.decay_steps)
    late = 1 - (gone / settings.decay_steps) ** 0.5 if gone > 0 else 1.0
    return settings.lr * warm * late


class _Run(NamedTuple):
    """What changes from step to step."""

    student: Student
    optimiser: torch.optim.Optimizer
    average: dict[str, Tensor]
    """moving averages of the student's parameters"""


def _start(settings: Pretrain, categories: int, device: str) -> _Run:
    options = {"stride": settings.stride, "seed": settings.seed, "categories": categories, "places": PLACE, "inks": INK}
    student = Student(settings.model.model_dump(), **options).to(device)
    optimiser = torch.optim.AdamW(groups(student, settings.weight_decay), lr=settings.lr, betas=(0.9, 0.98))
    return _Run(student, optimiser, {name: p.detach().clone() for name, p in student.named_parameters()})


def _step(run: _Run, batch: list[Tensor], s: Pretrain, step: int) -> Tensor:
    """One step of the optimiser; the numbers of a record, but its step and learning rate."""
    pixels, category, place, ink = batch
    if step == s.shallow_steps + 1:
        wake(dict(run.student.named_parameters()), s.stride)
        wake(run.average, s.stride)
    mean, std = (torch.tensor(stat, device=pixels.device).view(3, 1, 1) for stat in (s.mean, s.std))
    images = (pixels.permute(0, 3, 1, 2).float() / 255 - mean) / std
    order = _seen(s, step, *place.shape[:2]).to(pixels.device)
    with torch.autocast(pixels.device.type, dtype=torch.bfloat16, enabled=s.precision == "bf16"):
        guess = run.student(images, order, shallow=step <= s.shallow_steps)
    place, ink = (label.take_along_dim(order[..., None], dim=1) for label in (place, ink))
    parts = losses(guess, category, place, ink, label_smoothing=s.label_smoothing)
    loss = parts[0] + s.place_weight * parts[1] + s.ink_weight * parts[2]
    for group in run.optimiser.param_groups:
        group["lr"] = learning_rate(s, step)
    run.optimiser.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(run.student.parameters(), 1.0)
    run.optimiser.step()
    for name, tensor in run.student.named_parameters():
        run.average[name].lerp_(tensor.detach(), 1 - min(s.average, 1 - 1 / step))
    hit = (guess.category.argmax(dim=1)[:, None] == category).any(dim=1).float().mean()
    return torch.stack([loss, *parts, hit]).detach().cpu()


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


def _resume(path: Path, settings: Pretrain, run: _Run, last: int) -> int:
    """Steps that are done, with everything put where they left it; 0 for a new run. `last` is where it ends."""
    if not path.exists():
        return 0
    state, about = read_tensors(path)
    before, step = Pretrain(**about["settings"]), int(about["step"])
    if _past(before, step) != _past(settings, step) or step > last:
        raise BadInput(f"{path}: expected settings of a run that is at step {step} of {last}, got others (delete it)")
    with torch.no_grad():
        for name, parameter in run.student.named_parameters():
            parameter.copy_(state[f"weights.{name}"])
            run.average[name].copy_(state[f"average.{name}"])
            slots = {key: state.get(f"{key}.{name}") for key in ("step", "exp_avg", "exp_avg_sq")}
            # the step stays on the CPU; a sleeping block has no slots
            on = {k: t if k == "step" else t.to(parameter.device) for k, t in slots.items() if t is not None}
            run.optimiser.state[parameter] = on
    return step


def _past(s: Pretrain, step: int) -> tuple[object, ...]:
    """What the steps up to `step` have seen of the settings."""
    late = (s.steps, s.decay_steps, s.whole_steps) if step > s.steps - s.decay_steps else ()
    return s.model_dump(exclude=LATER), min(s.shallow_steps, step), late
