"""Every key of `params.yaml` as Markdown, for people, made from its JSON schema: `config/README.md`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ship.experiment.values import as_yaml

Schema = dict[str, Any]

INTRODUCTION = """# What `params.yaml` may say

<!-- `ship schema --markdown > config/README.md` writes this page. Edit ship/experiment/, not this file. -->

`params.yaml` in the root of the clone is the only configuration of the workflow.
It describes one experiment: which backbones, tasks, methods and seeds, and the settings of each.
`ship init list` shows complete experiments, and `ship init NAME KEY=VALUE ...` writes one of them to `params.yaml`.
`--config` and `--configfile` of Snakemake are refused, since DVC and the `ship` command would not see them.

A key that is not listed here is refused, and so is a value of another kind.
Words in capitals stand for a name that you choose.
Editors complete and check the file with `workflow/schemas/params.schema.json`.
What depends on the cluster stands in `profiles/slurm/site.yaml`.
"""


def markdown(schema: Schema) -> str:
    """The page: a section for every group of keys, in the order of the schema."""
    return "\n".join([INTRODUCTION, *_sections(schema, schema.get("$defs", {}), "")])


def _sections(group: Schema, known: dict[str, Schema], place: str) -> Iterator[str]:
    """The group's own keys as a table, then the groups within it; `place` is its dotted key, empty for the file."""
    inner = {key: _group(field, known) for key, field in group["properties"].items()}
    rows = [
        _row(key, field, key in group.get("required", []), inner[key]) for key, field in group["properties"].items()
    ]
    about = group["description"].replace(". ", ".\n")  # a sentence a line
    yield f"## {f'`{place}`' if place else 'The file'}\n\n{about}\n"
    yield "| key | value | default | meaning |\n| --- | --- | --- | --- |\n" + "\n".join(rows) + "\n"
    for key, found in inner.items():
        if found:
            name, below = found
            yield from _sections(below, known, ".".join(filter(None, (place, key, name))))


def _group(field: Schema, known: dict[str, Schema]) -> tuple[str, Schema] | None:
    """The group of keys that a field holds, behind a name where it holds several by name; None where it holds none."""
    for part in field.get("anyOf", [field]):
        if "$ref" in part:
            return "", known[part["$ref"].rpartition("/")[2]]
        for value in _named(part):
            return "NAME", known[value["$ref"].rpartition("/")[2]]
    return None


def _named(field: Schema) -> list[Schema]:
    """The schema of the groups that an object holds by name; nothing where it holds plain values."""
    values = [field.get("additionalProperties"), *field.get("patternProperties", {}).values()]
    return [value for value in values if isinstance(value, dict) and "$ref" in value]


def _row(key: str, field: Schema, required: bool, inner: tuple[str, Schema] | None) -> str:
    """A line of the table."""
    kind = " or ".join(_kind(part) for part in field.get("anyOf", [field]) if part.get("type") != "null")
    default = "required" if required else _default(field.get("default"))
    about = field.get("description") or (inner[1]["description"] if inner else "")
    return "| " + " | ".join(text.replace("|", "\\|") for text in (f"`{key}`", kind, default, about)) + " |"


def _default(value: Any) -> str:
    """What holds where a key is absent."""
    return "null" if value is None else f"`{as_yaml(value)}`"


def _kind(field: Schema) -> str:
    """Which values a field takes, in words. Raises KeyError for a kind that has no words yet."""
    if "$ref" in field:
        return "keys below"
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if "const" in field:
        return f"`{field['const']}`"
    kind = field.get("type", "any")
    if kind == "array":
        own = field.get("prefixItems")
        return f"[{', '.join(map(_kind, own))}]" if own else f"list: {_kind(field['items'])}"
    if kind == "object":
        return "keys below, by name" if _named(field) else "keys and values"
    words = {
        "integer": "whole number",
        "number": "number",
        "string": "text",
        "boolean": "`true`, `false`",
        "any": "any",
    }
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    bounds = [f"{sign} {_number(field[name])}" for name, sign in signs.items() if name in field]
    return " ".join([words[kind], ", ".join(bounds)]).strip()


def _number(value: float) -> str:
    """A bound; those of 32 bits as a power."""
    return "2^32" if value == 2**32 else f"{value:g}"
