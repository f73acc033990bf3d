"""A YAML file of keys and values, in which every key is said once. Loads no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from ship.errors import BadInput

MERGE = "tag:yaml.org,2002:merge"


def read_yaml(path: Path) -> dict[str, Any]:
    """Keys and values of a file. Raises BadInput where it holds others, a key twice, or no UTF-8 text."""
    try:
        raw = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506  # a safe one
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: expected UTF-8 text, got {error}") from None
    except OSError as error:
        raise BadInput(f"{path}: expected a file that can be read, got: {error.strerror}") from None
    except yaml.YAMLError as error:
        said = " ".join(str(error).split()).replace('"<unicode string>"', "it")
        raise BadInput(f"{path}: expected YAML, got {said}") from None
    if not isinstance(raw, dict):
        raise BadInput(f"{path}: expected keys and values, got {type(raw).__name__}")
    return raw


class _Loader(yaml.SafeLoader):
    """Refuses a key that is there twice, of which YAML would keep the last, and keys from elsewhere."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        if any(key.tag == MERGE for key, _ in node.value):
            said = "the merge key << (repeat its keys, or write KEY: *NAME)"
            raise yaml.constructor.ConstructorError(None, None, said, node.start_mark)
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        if double := [key for key in keys if keys.count(key) > 1]:
            raise yaml.constructor.ConstructorError(None, None, f"the key {double[0]!r} twice", node.start_mark)
        return super().construct_mapping(node, deep=deep)
