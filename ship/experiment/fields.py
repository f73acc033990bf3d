"""The kinds of values that settings have, in `params.yaml` and as options of a method. Loads no torch."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import PydanticCustomError


def _countable(value: int) -> int:
    """`value`, if what there is so many of can be counted in 32 bits, as in tensors and files."""
    if value >= 2**31:
        raise ValueError(f"expected an integer below 2**31, got {value if value < 10**20 else 'a longer one'}")
    return value


def _text_everywhere(name: str) -> str:
    """`name`, if YAML 1.2, which DVC reads, has text there, too: to YAML 1.1, which this package reads, 2e5 is text."""
    if re.fullmatch(r"\d+[eE]-?\d+|0o[0-7]+", name):
        raise ValueError(f"expected a name that DVC reads as text, got {name}, a number in YAML 1.2 (change it)")
    return name


Name = Annotated[  # no dot, which parts keys
    str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=100), AfterValidator(_text_everywhere)
]
Place = Annotated[str, Field(pattern=r"^[^\x00]+$")]  # of a file or folder
Address = Annotated[str, Field(pattern=r"^https?://[^\s]+$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9A-Fa-f]{64}$")]
Positive = Annotated[int, Field(ge=1), AfterValidator(_countable)]
Count = Annotated[int, Field(ge=0), AfterValidator(_countable)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Rate = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Part = Annotated[float, Field(gt=0, lt=1)]
Fraction = Annotated[float, Field(ge=0, lt=1)]


def _one_rule(value: object, check: ValidatorFunctionWrapHandler) -> object:
    try:
        return check(value)
    except ValidationError:
        raise PydanticCustomError("size", "a number of images from 1 on, or a share above 0 and below 1") from None


Size = Annotated[Positive | Part, WrapValidator(_one_rule)]


class Clash(ValueError):
    """Values of one group that do not go together; any of its `keys` can be set to mend it."""

    def __init__(self, text: str, *keys: str) -> None:
        super().__init__(text)
        self.keys = keys


class Settings(BaseModel):
    """A group of keys. Unknown keys and wrong types are refused; values never change after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
