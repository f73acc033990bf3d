"""How a setting that does not fit reads: `key: expected <rule>, got <value>`, with a hint where there is one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ship.errors import unknown


def complaints(
    error: ValidationError, model: type[BaseModel], place: str = "", places: Mapping[str, str] = MappingProxyType({})
) -> str:
    """All complaints of `model`, whose keys stand under `place`, or those of `places` elsewhere."""
    said = [_of_key(details, model, place, places) for details in error.errors()]
    return "; ".join(dict.fromkeys(said))


def _of_key(details: ErrorDetails, model: type[BaseModel], place: str, places: Mapping[str, str]) -> str:
    """One of them, with its key."""
    parts = [str(part) for part in details["loc"] if part != "[key]"]  # of a name itself
    key = ".".join(part for part in [place, *parts] if part)
    if details["type"] == "value_error":  # our own sentence, which may name its key itself
        own = details["ctx"]["error"]
        mend = " or ".join(places.get(name, f"{key}.{name}") for name in getattr(own, "keys", ()))
        return ": ".join(part for part in [key, str(own)] if part) + (f" (set {mend})" if mend else "")
    if details["type"] == "extra_forbidden":
        return str(unknown(key, parts[-1], _model_at(model, parts[:-1]).model_fields))
    if details["type"] == "missing":
        return f"{key}: expected a value, found none"
    return f"{key}: {complaint(details)}"


def complaint(details: ErrorDetails) -> str:
    """`expected <rule>, got <value>`, of one of pydantic's complaints, with a hint of YAML's."""
    value = details["input"]
    if details["type"] == "string_type" and value is not None and not isinstance(value, dict | list):
        kind = {"int": "whole number", "float": "number", "bool": "truth value"}.get(name := type(value).__name__, name)
        return f"expected text, got {value} (YAML reads it as a {kind}: write it in quotes)"
    return found_instead(details) + _yaml_hint(value, whole=details["type"].startswith("int"))


def found_instead(details: Mapping[str, Any]) -> str:
    """`expected <rule>, got <value>` alone."""
    rule, value = details["msg"].removeprefix("Input should be "), details["input"]
    rule = rule.replace("a valid integer", "an integer").replace("a valid", "a")
    rule = rule.replace("String should match pattern", "text that matches")
    rule = re.sub(r"String should have at (most|least) (\d+) characters?", r"text of at \1 \2 characters", rule)
    rule = re.sub(r"a dictionary( or instance of \w+)?", "keys and values", rule).replace("a tuple", "a list")
    if details["type"] == "too_short":
        rule = "one or more"
    return f"expected {rule}, got {shortened(repr(value))}"


def shortened(text: str) -> str:
    """The text, or its first 200 characters where it is longer."""
    return text if len(text) <= 200 else f"{text[:200]}... ({len(text)} characters)"


def _yaml_hint(value: object, *, whole: bool) -> str:
    """YAML 1.1 reads 1e-3 and 1.0e3 as text: say so, and how the number is written, or the `whole` one."""
    if isinstance(value, str) and "e" in value.lower():
        try:
            number = float(value)
        except ValueError:
            return ""
        if whole:
            return f" (write {number:.0f})" if number.is_integer() else ""
        mantissa, _, exponent = value.lower().partition("e")
        point = "" if "." in mantissa else ".0"
        return f" (YAML reads {value} as text: write {mantissa}{point}e{int(exponent):+d})"
    return ""


def wants_text(model: type[BaseModel], parts: Sequence[str]) -> bool:
    """Whether the key that lies at `parts` below `model` holds text alone, or nothing."""
    try:
        kind: Any = _model_at(model, parts[:-1]).model_fields[parts[-1]].annotation
    except (AttributeError, KeyError, IndexError, TypeError):  # no such key, which is told later
        return False
    either = get_args(kind) if get_origin(kind) in {Union, UnionType} else (kind,)
    return {get_args(part)[0] if get_origin(part) is Annotated else part for part in either} <= {str, type(None)}


def _model_at(model: type[BaseModel], parts: Sequence[str]) -> type[BaseModel]:
    """The group of keys that lies at `parts` below `model`; rows of a table are passed over by their name."""
    kind: Any = model
    for part in parts:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            kind = kind.model_fields[part].annotation
        else:  # dict[str, a group]
            kind = get_args(kind)[1]
        while get_origin(kind) in {Annotated, UnionType}:  # of a group that may be absent, the group
            kind = get_args(kind)[0]
    return kind
