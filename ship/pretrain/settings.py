"""What a pre-training is told: images, model, schedule.

Between warm-up and decay the learning rate is constant, hence a longer schedule begins with the very steps of a shorter
one, up to the decay.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, model_validator

from ship.errors import BadInput
from ship.experiment.fields import Count, Fraction, Positive, Rate, Settings
from ship.experiment.messages import complaints
from ship.experiment.params import Scales, Triple
from ship.experiment.yaml_file import read_yaml

LATER = {"steps", "decay_steps", "whole_steps"}  # may change while a run has not come to them


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

    @model_validator(mode="after")
    def _divisible(self) -> Architecture:
        if self.img_size % self.patch_size:
            raise ValueError(f"expected img_size divisible by patch_size {self.patch_size}, got {self.img_size}")
        if self.embed_dim % self.num_heads or self.embed_dim % 4:
            raise ValueError(
                f"expected embed_dim divisible by num_heads {self.num_heads} and by 4, got {self.embed_dim}"
            )
        return self


class Pretrain(Settings):
    """A whole pre-training, as its preset describes it. Each key changes the weights."""

    categories: Categories = Categories()
    model: Architecture = Architecture()
    mean: Annotated[Triple, Field(strict=False)] = (0.5, 0.5, 0.5)
    std: Annotated[Scales, Field(strict=False)] = (0.5, 0.5, 0.5)
    interpolation: Literal["bilinear", "bicubic"] = "bicubic"
    seed: Annotated[Count, Field(description="of the images, the first weights and the dropped patches")] = 0
    steps: Annotated[Positive, Field(description="in all")]
    warmup_steps: Annotated[Count, Field(description="linear, from zero")] = 300
    decay_steps: Annotated[Count, Field(description="the last ones: to zero, as 1 - sqrt(t)")] = 0
    whole_steps: Annotated[Count, Field(description="the last ones: no patch is dropped")] = 0
    batch_size: Positive = 64
    kept: Annotated[float, Field(gt=0, le=1, description="share of patches that is not dropped")] = 0.5
    lr: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Rate = 0.05
    place_weight: Annotated[Rate, Field(description="of the loss of what patches say of their object")] = 0.3
    ink_weight: Annotated[Rate, Field(description="of the loss of what patches say of themselves")] = 2.0
    average: Annotated[
        Fraction, Field(description="of the moving average of the weights, which is what is shipped")
    ] = 0.998
    precision: Literal["fp32", "bf16"] = "fp32"

    @model_validator(mode="after")
    def _order(self) -> Pretrain:
        if not self.whole_steps <= self.decay_steps <= self.steps - self.warmup_steps:
            got = f"{self.whole_steps}, {self.decay_steps}, {self.steps} - {self.warmup_steps}"
            raise ValueError(f"expected whole_steps <= decay_steps <= steps - warmup_steps, got {got}")
        return self


def load(path: str | Path) -> Pretrain:
    """The pre-training that a preset describes. Raises BadInput with file and key."""
    if not Path(path).is_file():
        raise BadInput(f"{path}: expected a preset of a pre-training, found none")
    try:
        return Pretrain.model_validate(read_yaml(Path(path)))
    except ValidationError as error:
        raise BadInput(f"{path}: {complaints(error, Pretrain)}") from None


def learning_rate(settings: Pretrain, step: int) -> float:
    """Linear warm-up, constant, then lr (1 - sqrt(t)) with t from 0 to 1 over the decay. Steps count from 1."""
    warm = min(1.0, step / max(settings.warmup_steps, 1))
    gone = step - 1 - (settings.steps - settings.decay_steps)
    late = 1 - (gone / settings.decay_steps) ** 0.5 if gone > 0 else 1.0
    return settings.lr * warm * late


def past(s: Pretrain, step: int) -> tuple[object, ...]:
    """What the steps up to `step` have seen of the settings."""
    late = (s.steps, s.decay_steps, s.whole_steps) if step > s.steps - s.decay_steps else ()
    return s.model_dump(exclude=LATER), late
