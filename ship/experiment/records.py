"""What the files of an experiment say: each kind as it is written, and checked where it is read. Loads no torch.

A record has the keys that some reader needs; a file may have more. Files come from other commits, from git and from
disks that fail, so what is read is checked before a line is computed from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ship.errors import BadInput
from ship.experiment.fields import Count, Positive, Rate, Share
from ship.experiment.messages import found_instead
from ship.storage import read_json

SHOWN = 3  # faults of a file, in an error

Words = dict[str, str]
Anything = dict[str, Any]
Three = Annotated[list[float], Field(min_length=3, max_length=3)]


class Record(BaseModel):
    """What is known of a file's keys."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)


class Split(Record):
    """Of a prepared task."""

    images: Count
    sha256: str


class Task(Record):
    """task.json."""

    classes: list[str]
    splits: dict[str, Split]


class Notices(Record):
    """notices.json of a prepared task."""

    broken: Count = 0
    passed_over: dict[str, int] = {}
    warnings: list[str] = []


class Asked(Record):
    """logs/prepare/TASK.json: what a task was asked for, and the digests of the splits that came of it."""

    settings: Anything
    images: Words


class Level(Record):
    """A hierarchy, and the largest threshold that gives it."""

    threshold: float
    first_blocks: list[int]


class Hierarchy(Record):
    """hierarchy/BACKBONE/TASK.json."""

    affinity: Annotated[list[list[float]], Field(min_length=1)]
    hierarchies: Annotated[list[Level], Field(min_length=1)]

    @model_validator(mode="after")
    def _square(self) -> Hierarchy:
        if any(len(row) != len(self.affinity) for row in self.affinity):
            raise ValueError(f"expected {len(self.affinity)} numbers in each row of affinity, got others")
        return self


class Result(Record):
    """What came out of a run."""

    accuracy: Share
    best_test_epoch_accuracy: Share | None = None
    test_images: Positive
    tuned_parameters: Count
    tuned_parameters_without_head: Count


class Run(Record):
    """run.json."""

    result: Result
    environment: Words
    method: str = ""
    backbone: Anything = {}
    data: Words = {}
    reading: Anything = {}
    code: Words = {}
    options: Anything = {}
    train: Anything = {}
    hierarchy: Anything = {}
    compute: Anything = {}


class Look(Record):
    """What a model looked at in one image."""

    key: str
    attention: list[str] = []
    picks: dict[str, list[int]] = {}


class Shares(Record):
    """Of the attention of a class token."""

    patches: Share
    others: Share
    prompts: Share


class Looks(Record):
    """looks.json."""

    images: list[Look]
    grid: Annotated[list[int], Field(min_length=2, max_length=2)] = [1, 1]
    first_patch: Count = 0
    shares: Shares | None = None


class Chosen(Record):
    """results/settings/BACKBONE/TASK/METHOD.json; `search` is there where there was one."""

    options: Anything
    train: Anything
    search: Anything | None


class Trials(Record):
    """trials.json of an unfinished search."""

    identity: str
    trials: list[Annotated[list[Any], Field(min_length=4, max_length=4)]]


class Preprocessing(Record):
    """Of a backbone."""

    image_size: Positive
    mean: Three
    std: Three
    interpolation: str


class Tuned(Record):
    """The header of tuned.safetensors."""

    method: str
    options: Anything
    classes: list[str]
    backbone: Anything = {}
    reading: Anything = {}


class Exported(Record):
    """ship.json of an export."""

    weights: str
    classes: list[str]
    preprocessing: Preprocessing
    reading: Anything = {}


class Epochs(Record):
    """How far an unfinished run had come."""

    identity: str
    log: list[list[float]]
    watched: list[Rate]


def read_record(path: str | Path, kind: type[Record], way_out: str = "make it again") -> Anything:
    """What a JSON file holds. Raises BadInput where it is absent, or no record of this kind."""
    return check_record(read_json(path), kind, path, way_out)


def check_record(found: Any, kind: type[Record], origin: str | Path, way_out: str = "make it again") -> Anything:
    """What was `found` in the file `origin`, if it is a record of this kind. Raises BadInput with the first faults."""
    try:
        kind.model_validate(found)
    except ValidationError as error:
        faults = [_told(details) for details in error.errors()]
        more = f"; and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        raise BadInput(f"{origin}: {'; '.join(faults[:SHOWN])}{more} ({way_out})") from None
    whole: Anything = found
    return whole


def _told(details: Mapping[str, Any]) -> str:
    key = ".".join(map(str, details["loc"]))
    if details["type"] == "missing":
        return f"expected {key}, found none"
    said = str(details["ctx"]["error"]) if details["type"] == "value_error" else found_instead(details)
    return f"{key}: {said}" if key else said
