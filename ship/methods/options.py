"""Whether a row of the experiment fits its method: the constructor's keyword arguments are the schema."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from itertools import product
from types import MappingProxyType
from typing import Any, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError
from torch import nn

from ship.errors import BadInput, Unfit, unknown
from ship.experiment.messages import complaint
from ship.experiment.params import Chosen, Params
from ship.experiment.rows import MANY_COMBINATIONS, Train
from ship.methods import METHODS, method_class

NOWHERE: Mapping[str, str] = MappingProxyType({})
STRICT = ConfigDict(strict=True, allow_inf_nan=False)


def check_row(params: Params, name: str, task: str) -> None:
    """Raise BadInput unless a row's method takes its settings on `task`, and every option that its search may try."""
    row, place = params.methods[name], f"params.yaml: methods.{name}"
    own, tries = (row.tasks[task].options if task in row.tasks else ()), (row.search.places if row.search else {})
    places = {key: f"{place}.tasks.{task}.options.{key}" for key in own}
    check_options(row.method, params.options_of(name, task), place, places)
    check_recipe(row.method, params.train_of(name, task), place)
    for key, values in row.search.candidates.items() if row.search else ():
        option, said = key.removeprefix("options."), f"{place}.search.{tries[key]}.{key}"
        for value in values if key.startswith("options.") else ():
            check_options(row.method, {option: value}, place, {option: said})
    if row.search and (tried := row.search.combinations("train.")) and len(tried) < MANY_COMBINATIONS:
        _check_some(params, name, task, tried, f"{place}.search")


def check_grid(params: Params) -> None:
    """Raise BadInput, with the first fault of each row, unless the grid's rows fit their methods on all its tasks."""
    faults: dict[str, str] = {}
    for name, task in product(params.grid.methods, params.grid.tasks):
        try:
            check_row(params, name, task)
        except BadInput as fault:
            faults.setdefault(name, str(fault))
    if faults:
        raise BadInput("; ".join(faults.values()))


def check_options(method: str, options: Mapping[str, Any], place: str, places: Mapping[str, str] = NOWHERE) -> None:
    """Raise BadInput unless `method` is one of METHODS and takes every one of `options`; `place` names the key.

    Those of `places` are said elsewhere.

    The types of the constructor's keyword arguments are the schema.
    """
    if method not in METHODS:
        raise unknown(f"{place}.method", method, METHODS)
    check_arguments(method, options, f"{place}.options", places)


def check_arguments(method: str, options: Mapping[str, Any], place: str, places: Mapping[str, str] = NOWHERE) -> None:
    """Raise BadInput, with all faults, unless `method`, one of METHODS, takes every one of `options`.

    They stand under `place`, or those of `places` elsewhere.
    """
    known, faults = _options(method_class(method)), []
    for name, value in options.items():
        key = places.get(name, f"{place}.{name}")
        if name not in known:
            faults.append(str(unknown(key, name, known)))
            continue
        try:
            TypeAdapter(known[name], config=STRICT).validate_python(value)
        except ValidationError as error:
            faults.append(f"{key}: {complaint(error.errors()[0])}")
    if faults:
        raise BadInput("; ".join(faults))


def check_recipe(method: str, recipe: Train, place: str) -> None:
    """Raise Unfit where a method cannot do what the recipe asks of it; `place` names the method."""
    kind = method_class(method)
    if recipe.noise and not kind.takes_noise:
        raise Unfit(
            f"{place}: expected train.noise 0, since {method} adds nothing to the blocks that noise could act on, "
            f"got {recipe.noise:g} (set train.noise and train.consistency 0 in this row)"
        )
    if recipe.head == "ridge" and not kind.reads_pooled:
        raise Unfit(f"{place}: expected train.head=random, since the head of {method} reads no features, got ridge")
    if kind.trains_on == "pooled" and recipe.augment != "none":
        raise Unfit(f"{place}: expected train.augment=none, since it sees no image, got {recipe.augment}")


def _check_some(params: Params, name: str, task: str, tried: Sequence[Chosen], place: str) -> None:
    """Raise BadInput where a row can do nothing of what its search may try: every trial would fail."""
    faults = []
    for chosen in tried:
        try:
            check_recipe(params.methods[name].method, params.train_of(name, task, chosen), place)
        except (Unfit, ValueError) as fault:  # the latter of values that do not go together
            faults.append(str(fault))
        else:
            return
    if faults:
        raise BadInput(faults[0])


def _options(method: type[nn.Module]) -> dict[str, Any]:
    """Keyword arguments with their types; those without a default are statistics."""
    parameters = inspect.signature(method).parameters.values()
    types = get_type_hints(method.__init__, include_extras=True)
    return {p.name: types[p.name] for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is not p.empty}
