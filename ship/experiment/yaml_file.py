"""A YAML file of keys and values, in which every key is said once. Loads no torch."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from ship.errors import BadInput

MERGE = "tag:yaml.org,2002:merge"
NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
# what PyYAML raises, also of dates that are none, of tags that do not fit, and of thousands of brackets
NO_YAML = (yaml.YAMLError, ValueError, LookupError, AttributeError, RecursionError)


def read_yaml(path: Path) -> dict[str, Any]:
    """Keys and values of a file. Raises BadInput where it holds others, a key twice, or no UTF-8 text."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: expected UTF-8 text, got {error}") from None
    except OSError as error:
        raise BadInput(f"{path}: expected a file that can be read, got: {error.strerror}") from None
    return parse_yaml(text, str(path))


def parse_yaml(text: str, origin: str) -> dict[str, Any]:
    """Keys and values in a text; `origin` names it in errors. Raises BadInput where it holds others, or a key twice."""
    try:
        raw = yaml.load(text, _Loader)  # noqa: S506  # a safe one
    except NO_YAML as error:
        said = " ".join(str(error).split()).replace('"<unicode string>"', "it")
        raise BadInput(f"{origin}: expected YAML, got {said}") from None
    if not isinstance(raw, dict):
        raise BadInput(f"{origin}: expected keys and values, got {type(raw).__name__}")
    return raw


class _Loader(yaml.SafeLoader):
    """Refuses a key that is there twice, of which YAML would keep the last, and keys from elsewhere."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        if any(key.tag == MERGE for key, _ in node.value):
            said = "the merge key << (repeat its keys, or write KEY: *NAME)"
            raise yaml.constructor.ConstructorError(None, None, said, node.start_mark)
        seen = []
        for key, _ in node.value:
            if (name := self.construct_object(key, deep=True)) in seen:
                raise yaml.constructor.ConstructorError(None, None, f"the key {name!r} twice", key.start_mark)
            seen.append(name)
        return super().construct_mapping(node, deep=deep)

    def construct_number(self, node: yaml.ScalarNode) -> int | float:
        """A number as people read it: YAML 1.1 takes 010 for 8, and 1:30 for 90."""
        number = super().construct_yaml_int if node.tag == NUMBERS[0] else super().construct_yaml_float
        found: int | float = number(node)
        if re.match(r"[-+]?0[0-9_]|.*:", node.value):
            said = f"{node.value}, which is {found} in YAML (write {found}, or the text in quotes)"
            raise yaml.constructor.ConstructorError(None, None, said, node.start_mark)
        return found


for tag in NUMBERS:
    _Loader.add_constructor(tag, _Loader.construct_number)
