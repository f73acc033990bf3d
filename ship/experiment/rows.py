"""What a row of `methods` may say: a method, its options, its recipe, and what is searched. Loads no torch."""

from __future__ import annotations

import json
import math
import re
from itertools import islice, product
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    WithJsonSchema,
    model_serializer,
    model_validator,
)

from ship.experiment.fields import Clash, Count, Fraction, Name, Positive, Rate, Seed, Settings

MANY_COMBINATIONS = 1000  # of a search's settings: no more are tried beforehand


def _plain(value: object) -> object:
    """`value`, if a JSON file can hold it."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        raise ValueError(
            f"expected a finite number, text, a truth value, null or a list of them, got {value}"
        ) from None
    return value


def _views(value: object) -> object:
    """`value`, if it says how two views are had, or 0 for one."""
    if value in VIEWS:
        return value
    if isinstance(value, int | float) and not isinstance(value, bool) and value == 0:
        return 0.0
    raise ValueError(f"expected 0, {', '.join(VIEWS)}, got {value!r} (how much it counts is consistency_weight)")


def _by_name(tree: dict[str, Any]) -> dict[str, Any]:
    """In the order of the keys, so that the order in the file decides nothing."""
    return dict(sorted(tree.items()))


Sorted = AfterValidator(_by_name)
Plain = Annotated[Any, AfterValidator(_plain)]
Values = Annotated[list[Plain], Field(min_length=1)]
VIEWS = ["fast", "lazy", "two-pass"]  # of `consistency`
LATER = {  # keys of `train` that results may lack
    *("steps", "class_weights", "label_smoothing", "augment"),
    *("consistency_weight", "head"),
}


class Train(Settings):
    """The recipe: an optimiser, linear warm-up, cosine."""

    epochs: Annotated[Positive, Field(description="passes over the training images")] = 100
    batch_size: Annotated[Positive, Field(description="images a step")] = 64
    optimiser: Annotated[Literal["adamw", "sgd"], Field(description="sgd has a momentum of 0.9")] = "adamw"
    lr: Annotated[float, Field(gt=0, description="peak learning rate")] = 1e-3
    weight_decay: Annotated[Rate, Field(description="of the optimiser")] = 1e-4
    warmup_epochs: Annotated[Count, Field(description="of a linear warm-up; below `epochs`")] = 10
    warmup_lr: Annotated[Rate, Field(description="where the warm-up starts")] = 1e-6
    floor_lr: Annotated[Rate, Field(description="where the cosine ends")] = 1e-5
    drop_path: Annotated[Fraction, Field(description="stochastic depth of the last block; linear over blocks")] = 0.1
    noise: Annotated[
        Rate, Field(description="deviation of factors on what a method adds, in training; falls from block 1 on (PACE)")
    ] = 0.0
    steps: Annotated[
        Positive | None, Field(description="optimiser steps at the least: few images get more epochs for it")
    ] = None
    consistency: Annotated[
        float | str,
        BeforeValidator(_views),
        WithJsonSchema({"enum": [0, *VIEWS]}),
        Field(
            description="whether two views of an image, with other noise, are to have the same logits (PACE): two-pass "
            "in every step; lazy half a batch in every second step; fast with the second view of the epoch before"
        ),
    ] = 0.0
    consistency_weight: Annotated[Rate, Field(description="of the squared distance of both views' logits")] = 0.1
    class_weights: Annotated[
        Literal["none", "balanced"],
        Field(description="balanced: every class counts the same in all"),
    ] = "none"
    label_smoothing: Annotated[Fraction, Field(description="share of the target that is spread over all classes")] = 0.0
    augment: Annotated[
        Literal["none", "flip", "crop", "flip+crop", "trivialaugment"],
        Field(
            description="of images, at random; flip: mirrored; crop: half to all of the area; trivialaugment: both, "
            "and one change of colour or shape"
        ),
    ] = "none"
    head: Annotated[
        Literal["random", "ridge"],
        Field(description="where it starts; ridge: ridge regression on the features of the training images"),
    ] = "random"

    @model_validator(mode="after")
    def _consistent(self) -> Train:
        if self.consistency and not self.noise:
            raise Clash(f"expected noise above 0 beside consistency {self.consistency}, got 0", "noise", "consistency")
        if self.warmup_epochs >= self.epochs:
            said = f"expected warmup_epochs below epochs, got {self.warmup_epochs} and {self.epochs}"
            raise Clash(said, "warmup_epochs", "epochs")
        for key in ("warmup_lr", "floor_lr"):
            if (rate := getattr(self, key)) > self.lr:
                raise Clash(f"expected {key} at most lr, got {rate:g} and {self.lr:g}", key, "lr")
        return self

    @model_serializer(mode="wrap")
    def _said(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without the keys of LATER that nobody asks for, as in what was written before there were such keys."""
        fields = type(self).model_fields
        later = LATER - {"consistency_weight"} if self.consistency else LATER  # then its default counts
        return {k: value for k, value in handler(self).items() if k not in later or value != fields[k].default}


def _some(model: type[Settings]) -> dict[str, Any]:
    """The JSON schema of some of the keys of `model`."""
    fields = model.model_json_schema()["properties"]
    said = {key: {word: part for word, part in field.items() if word != "default"} for key, field in fields.items()}
    return {"type": "object", "additionalProperties": False, "properties": said}


SomeTrain = Annotated[dict[str, Plain], WithJsonSchema(_some(Train))]  # checked with the rest of a recipe


class Range(Settings):
    """An interval that values are drawn from."""

    low: Annotated[float, Field(description="the least value")]
    high: Annotated[float, Field(description="the greatest value")]
    log: Annotated[bool, Field(description="draw the logarithm evenly")] = False
    whole: Annotated[bool, Field(description="whole numbers alone")] = False

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        if self.low >= self.high:
            raise ValueError(f"expected low below high, got {self.low:g} and {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"expected low above 0, since it is logarithmic, got {self.low:g}")
        if self.whole and not (self.low.is_integer() and self.high.is_integer()):
            raise ValueError(f"expected whole ends, got {self.low:g} and {self.high:g}")
        return self

    def value(self, drawn: float) -> int | float:
        """What is drawn, as it is set: six digits are enough, within the ends."""
        return round(drawn) if self.whole else min(max(float(f"{drawn:.6g}"), self.low), self.high)


class Search(Settings):
    """Settings that are chosen for each task on the images of `val`, after training on those of `train` alone."""

    sampler: Annotated[
        Literal["grid", "random", "tpe"], Field(description="grid: every combination of `choices`; tpe: Optuna's")
    ] = "tpe"
    trials: Annotated[Positive | None, Field(description="how many; a grid has as many as combinations")] = None
    seed: Annotated[Seed, Field(description="of the sampler and of every trial's training")] = 0
    choices: Annotated[dict[str, Values], Sorted] = Field({}, description="values by options.KEY or train.KEY")
    ranges: Annotated[dict[str, Range], Sorted] = Field({}, description="intervals by options.KEY or train.KEY")

    @model_validator(mode="after")
    def _complete(self) -> Search:
        if not (self.choices or self.ranges):
            raise ValueError("expected choices or ranges, found neither")
        for key in [*self.choices, *self.ranges]:
            if not re.fullmatch(r"(options|train)\.[a-z_]+", key):
                raise ValueError(f"expected keys as options.KEY or train.KEY, got {key!r}")
        for key, values in self.choices.items():
            if any(value in values[:number] for number, value in enumerate(values)):
                raise ValueError(f"expected each of the choices of {key} once, got {values}")
        if both := sorted(self.choices.keys() & self.ranges.keys()):
            raise ValueError(f"expected {both[0]} in choices or in ranges, found it in both")
        if self.sampler == "grid" and (self.ranges or self.trials is not None):
            raise ValueError("expected choices alone with the sampler grid, got ranges or trials")
        if self.sampler != "grid" and self.trials is None:
            raise ValueError(f"expected trials with the sampler {self.sampler}, found none")
        return self

    @property
    def candidates(self) -> dict[str, list[Any]]:
        """Of each setting that is chosen, every value, or both ends."""
        ends = {key: [span.value(span.low), span.value(span.high)] for key, span in self.ranges.items()}
        return {**self.choices, **ends}

    @property
    def places(self) -> dict[str, str]:
        """Of each setting that is chosen, whether it stands in choices or in ranges."""
        return {**dict.fromkeys(self.choices, "choices"), **dict.fromkeys(self.ranges, "ranges")}

    def combinations(self, prefix: str) -> list[dict[str, Any]]:
        """The candidates of the settings under `prefix`: every one with the first of the others, and each with each.

        Of the latter there are MANY_COMBINATIONS at most.
        """
        own = {key: values for key, values in self.candidates.items() if key.startswith(prefix)}
        first = {key: values[0] for key, values in own.items()}
        alone = [{**first, key: value} for key, values in own.items() for value in values]
        each_with_each = islice(product(*own.values()), MANY_COMBINATIONS)
        return [*alone, *(dict(zip(own, values, strict=True)) for values in each_with_each)]

    @property
    def total(self) -> int:
        """How many trials there are."""
        return self.trials or math.prod(map(len, self.choices.values()))


class Override(Settings):
    """What differs for one task within a row."""

    options: dict[str, Plain] = Field({}, description="keyword arguments of the method")
    train: SomeTrain = Field({}, description="keys of `train`")


class Method(Settings):
    """A row of the comparison: a method, its options, and where its recipe differs."""

    method: Annotated[Name, Field(description="a key of METHODS")]
    options: dict[str, Plain] = Field({}, description="keyword arguments of the method")
    train: SomeTrain = Field({}, description="keys of `train` that differ for this row")
    search: Annotated[Search | None, Field(description="what is chosen; the rest is fixed")] = None
    tasks: dict[str, Override] = Field({}, description="options and train keys that differ for one task")
