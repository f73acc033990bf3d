"""What `params.yaml` may say: the schema of an experiment, read and checked. Loads no torch.

An experiment is `grid` (what is run: the axes alone) and the settings that the axes name. The same file is read by
Snakemake, by DVC and by every `ship` command, so a key stands in one place and means one thing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from ship.errors import BadInput, unknown
from ship.experiment.code import Code
from ship.experiment.fields import Address, Name, Place, Positive, Seed, Settings, Sha256
from ship.experiment.messages import complaints
from ship.experiment.options import option_faults
from ship.experiment.rows import Method, Train
from ship.experiment.task import Task
from ship.experiment.yaml_file import read_yaml

Triple = tuple[float, float, float]
Above = Annotated[float, Field(gt=0)]
Scales = tuple[Above, Above, Above]
Chosen = Mapping[str, Any]  # values by options.KEY or train.KEY
NOTHING: Chosen = MappingProxyType({})


class Grid(Settings):
    """What is run: every task with every method and every seed, on every backbone."""

    backbones: Annotated[list[Name], Field(min_length=1, description="names from `backbones`")]
    tasks: Annotated[list[Name], Field(min_length=1, description="names from `tasks`")]
    methods: Annotated[list[Name], Field(min_length=1, description="names from `methods`")]
    seeds: Annotated[list[Seed], Field(min_length=1, description="one run each")]


class Backbone(Settings):
    """A row of frozen ViTs. What is not said here comes from the configuration of its weights."""

    name: Annotated[
        str,
        Field(
            pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$",
            description="a name that `ship backbone list` shows, or any plain ViT of timm, with its tag",
        ),
    ]
    weights: Annotated[
        Place, Field(description="pretrained, random (in a row whose name says so), or a .safetensors or .npz file")
    ] = "pretrained"
    sha256: Annotated[Sha256 | None, Field(description="of the file of the weights; others are refused")] = None
    image_size: Annotated[Positive | None, Field(description="override, pixels")] = None
    mean: Annotated[Triple | None, Field(description="override, of images in 0-1", strict=False)] = None
    std: Annotated[Scales | None, Field(description="override, of images in 0-1", strict=False)] = None
    interpolation: Annotated[Literal["bilinear", "bicubic", "nearest"] | None, Field(description="override")] = None

    @model_validator(mode="after")
    def _verified(self) -> Backbone:
        if self.sha256 is not None and self.weights == "random":
            raise ValueError("expected pretrained weights, or those of a file, beside sha256, got 'random'")
        return self


class Hierarchy(Settings):
    """What is measured once per task on the frozen backbone. The threshold belongs to a method's options."""

    prototypes: Annotated[Positive, Field(description="k-means centres K; at most one an image")] = 200
    seed: Annotated[Seed, Field(description="of k-means")] = 0


class Compute(Settings):
    """How it is computed. Each of these changes bits, so each is a setting."""

    device: Annotated[Literal["auto", "cpu", "cuda"], Field(description="auto: cuda where there is one")] = "auto"
    precision: Annotated[
        Literal["fp32", "bf16", "auto"],
        Field(description="bf16: autocast, faster where it is built in; auto: bf16 there, fp32 elsewhere"),
    ] = "fp32"
    threads: Annotated[int, Field(ge=1, le=1024, description="CPU threads of a job")] = 2

    @property
    def wants_gpu(self) -> bool:
        """Whether a job of training or features asks a cluster for one."""
        return self.device != "cpu"


class Params(Settings):
    """A whole experiment, as `params.yaml` describes it. Every group must stand there, since DVC looks for each."""

    grid: Grid
    backbones: dict[Name, Backbone]
    data_root: Annotated[Place, Field(description="folder that the paths of tasks start from")]
    archives: Annotated[
        Place,
        Field(
            description="folder that archives are downloaded to, or lie in already; may be anywhere, changes no result"
        ),
    ] = "archives"
    mirrors: Annotated[
        list[Address],
        Field(
            default=[],
            description="addresses that have archives as ADDRESS/NAME, asked before the publishers; changes no result",
        ),
    ]
    tasks: dict[Name, Task]
    methods: dict[Name, Method]
    hierarchy: Hierarchy
    train: Train
    protocol: Annotated[
        Literal["last-epoch", "best-test-epoch"],
        Field(description="last-epoch: test is read once; best-test-epoch: a leaky figure beside it, as in papers"),
    ]
    compute: Compute

    @model_validator(mode="after")
    def _names(self) -> Params:
        for axis, key in (("backbones", "name"), ("tasks", "source"), ("methods", "method")):
            chosen, known = getattr(self.grid, axis), getattr(self, axis)
            for name in chosen:
                if name not in known:
                    fault = unknown(f"grid.{axis}", name, known)
                    raise ValueError(f"{fault} (a new row needs a key: {axis}.{name}.{key})")
            if len(set(chosen)) < len(chosen):
                raise ValueError(f"grid.{axis}: expected each name once, got {chosen}")
        seen: dict[str, tuple[str, ...]] = {}
        for names in product(self.grid.backbones, self.grid.tasks, self.grid.methods):
            if (other := seen.setdefault("-".join(names), names)) != names:
                raise ValueError(f"grid: expected names that differ when DVC joins them, got {other} and {names}")
        if len(set(self.grid.seeds)) < len(self.grid.seeds):
            raise ValueError(f"grid.seeds: expected each seed once, got {self.grid.seeds}")
        return self

    @model_validator(mode="after")
    def _random(self) -> Params:
        for name, row in self.backbones.items():
            if row.weights == "random" and "random" not in name:
                raise ValueError(
                    f"backbones.{name}: expected a name with 'random', which its weights are, got {name!r}"
                )
        return self

    @model_validator(mode="after")
    def _rows(self) -> Params:
        code = Code()
        known = code.methods()
        rows = [(f"methods.{name}", row) for name, row in self.methods.items() if row.method in known]
        if faults := [fault for place, row in rows for fault in option_faults(place, row, code.options(row.method))]:
            raise ValueError("; ".join(faults))
        for name, row in self.methods.items():
            if row.method not in known:
                raise ValueError(str(unknown(f"methods.{name}.method", row.method, known)))
            for place in [None, *row.tasks]:
                self.train_of(name, place)
                for chosen in row.search.combinations("train.") if row.search else ():
                    self.train_of(name, place, chosen)
            for task, own in row.tasks.items():
                if task not in self.tasks:
                    raise ValueError(str(unknown(f"methods.{name}.tasks", task, self.tasks)))
                keys = {*(f"options.{key}" for key in own.options), *(f"train.{key}" for key in own.train)}
                if row.search and (both := sorted(keys & row.search.candidates.keys())):
                    key = f"methods.{name}.tasks.{task}.{both[0]}"
                    raise ValueError(f"{key}: expected it here or in methods.{name}.search, found it in both")
        return self

    def options_of(self, method: str, task: str | None = None, chosen: Chosen = NOTHING) -> dict[str, Any]:
        """Keyword arguments of the row `method` on `task`; what a search has `chosen` goes before all."""
        row = self.methods[method]
        own = row.tasks[task].options if task in row.tasks else {}
        return {**row.options, **own, **under("options.", chosen)}

    def train_of(self, method: str, task: str | None = None, chosen: Chosen = NOTHING) -> Train:
        """The recipe: `train`, then the row's keys, then the task's within the row, then what a search has `chosen`."""
        row = self.methods[method]
        own, found = row.tasks[task].train if task in row.tasks else {}, under("train.", chosen)
        try:
            return Train(**{**self.train.model_dump(), **row.train, **own, **found})
        except ValidationError as error:
            place = f"methods.{method}" + (".search" if found else f".tasks.{task}" if own else "") + ".train"
            raise ValueError(complaints(error, Train, place, self.train_places(method, task, chosen))) from None

    def train_places(self, method: str, task: str | None = None, chosen: Chosen = NOTHING) -> dict[str, str]:
        """Where each key of that recipe is said."""
        row, name = self.methods[method], f"methods.{method}"
        own = row.tasks[task].train if task in row.tasks else {}
        search = row.search.places if row.search else {}
        return {
            **{key: f"train.{key}" for key in Train.model_fields},
            **{key: f"{name}.train.{key}" for key in row.train},
            **{key: f"{name}.tasks.{task}.train.{key}" for key in own},
            **{key: f"{name}.search.{search[f'train.{key}']}.train.{key}" for key in under("train.", chosen)},
        }


def under(prefix: str, chosen: Chosen) -> dict[str, Any]:
    """The values of the keys that start with `prefix`, by the rest of them."""
    return {key.removeprefix(prefix): value for key, value in chosen.items() if key.startswith(prefix)}


def read_params(path: str | Path = "params.yaml") -> Params:
    """The experiment that the file describes. Raises BadInput with file and key."""
    if not Path(path).is_file():
        way_out = "ship init quickstart" if Path("presets").is_dir() else "change to the root of a clone"
        raise BadInput(f"{path}: expected a file with the experiment, found none ({way_out})")
    return parse_params(read_yaml(Path(path)), str(path))


def defaults() -> str:
    """The values of all keys that `params.yaml` need not say, as text."""
    return json.dumps(sorted(_defaults(Params.model_json_schema(), "")))


def _defaults(schema: Mapping[str, Any], place: str) -> Iterator[tuple[str, str]]:
    for key, part in schema.items():
        if key == "default":
            yield place, json.dumps(part, sort_keys=True)
        elif isinstance(part, dict):
            yield from _defaults(part, f"{place}/{key}")


def parse_params(raw: dict[str, Any], origin: str = "params.yaml") -> Params:
    """The experiment in `raw`; `origin` names the file in errors."""
    try:
        return Params.model_validate(raw)
    except ValidationError as error:
        raise BadInput(f"{origin}: {complaints(error, Params)}") from None


def json_schema() -> dict[str, Any]:
    """JSON schema of `params.yaml`, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Params.model_json_schema()}
