"""Whole experiments to start from: the files in `presets/` of a clone, in the schema of `params.yaml`."""

from __future__ import annotations

import copy
import io
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from ship.errors import BadInput, unknown
from ship.experiment.messages import wants_text
from ship.experiment.params import Params, parse_params
from ship.experiment.yaml_file import NO_YAML, parse_yaml

FOLDER = Path("presets")


def names() -> list[str]:
    """The experiments there are; a pre-training is none, and has a command of its own."""
    if not FOLDER.is_dir():
        raise BadInput(f"{FOLDER}: expected a folder with experiments, found none (change to the root of a clone)")
    return sorted(path.stem for path in FOLDER.glob("*.yaml") if not path.stem.startswith("pretrain_"))


def overview() -> str:
    """A line a preset: its name, and the first line of its comment."""
    return "\n".join(f"{name:20} {_read(name).splitlines()[0].lstrip('# ')}" for name in names())


def fill(preset: str, settings: Sequence[str]) -> str:
    """The preset's text with KEY=VALUE settings put in, comments kept. Raises BadInput unless it is valid."""
    text = _read(preset)
    if settings:
        editor = YAML()
        editor.preserve_quotes = True
        editor.width = 4096
        tree = editor.load(text)
        _unshare(tree, set())
        for setting in settings:
            _set(editor, tree, setting)
        buffer = io.StringIO()
        editor.dump(tree, buffer)
        text = buffer.getvalue()
    origin = f"preset {preset}"
    parse_params(parse_yaml(text, origin), origin)
    return text


def unreached(params: Params, settings: Sequence[str]) -> list[str]:
    """A line for each of the KEY=VALUE `settings` of the recipe or the data without effect on the grid, and why."""
    given, found = list(dict.fromkeys(setting.partition("=")[0] for setting in settings)), []
    if "data_root" in given and not any(params.tasks[name].path for name in params.grid.tasks):
        found.append(
            "data_root does not reach any task (none has a `path`; archives=FOLDER is where original archives lie, "
            "and the preset vtab1k_lists reads the lists of the literature)"
        )
    for key in (key.removeprefix("train.") for key in given if key.startswith("train.")):
        own: dict[str, str] = {}
        for name in params.grid.methods:
            row = params.methods[name]
            tried = dict.fromkeys(row.search.candidates if row.search else {})
            for task in (None, *(task for task in row.tasks if task in params.grid.tasks)):
                place = params.train_places(name, task, tried)[key]
                if place != f"train.{key}" and place not in given:
                    own.setdefault(name, place)
        if own:
            found.append(f"train.{key} does not reach {', '.join(own)} (set by {', '.join(own.values())})")
    for axis in ("backbones", "tasks", "methods"):
        named = dict.fromkeys(key.split(".")[1] for key in given if key.startswith(f"{axis}."))
        if idle := [f"{axis}.{name}" for name in named if name not in getattr(params.grid, axis)]:
            found.append(f"{', '.join(idle)}: no run has it (grid.{axis} does not name it)")
    return found


def put_aside(path: Path, text: str) -> Path | None:
    """Rename the file at `path` to a name that is free, unless it holds `text`; the name, or None without a file."""
    if not path.is_file() or path.read_bytes() == text.encode():
        return None
    names = (path.with_name(f"{path.name}.before{number}") for number in itertools.count(1))
    return path.replace(next(name for name in names if not name.exists()))


def _read(preset: str) -> str:
    if preset not in names():
        raise unknown("preset", preset, names())
    return (FOLDER / f"{preset}.yaml").read_text(encoding="utf-8")


def _unshare(tree: Any, seen: set[int]) -> None:
    """Give groups that rows share (an anchor and its aliases) to each of them, so that a change of one is of one."""
    for key, value in tree.items():
        if isinstance(value, dict):
            if id(value) in seen:
                tree[key] = copy.deepcopy(value)
            seen.add(id(value))
            _unshare(tree[key], seen)


def _set(editor: YAML, tree: Any, setting: str) -> None:
    """Put VALUE, spelt as it is, at the dotted KEY; groups on the way are made where they are missing."""
    key, equals, value = setting.partition("=")
    if not equals or not key:
        raise BadInput(f"setting: expected KEY=VALUE, got {setting!r}")
    *groups, last = key.split(".")
    if not all([*groups, last]):
        raise BadInput(f"setting: expected KEY=VALUE with a dot between the parts of KEY, got {setting!r}")
    for group in groups:
        tree = tree.setdefault(group, {})
        if not isinstance(tree, dict):
            raise BadInput(f"setting {key}: expected a group of keys at {group}, got {tree!r}")
    tree[last] = _value(editor, key.split("."), value)


def _value(editor: YAML, parts: list[str], value: str) -> Any:
    """What VALUE says: YAML, but text as it is spelt where the schema wants text, such as `My photos #1`."""
    bare = value.strip()
    if wants_text(Params, parts) and bare not in {"", "null"} and not bare.startswith(('"', "'")):
        return _text(bare)
    try:
        return _with_texts(editor.load(value), yaml.load(value, yaml.BaseLoader), parts)  # noqa: S506  # texts alone
    except (YAMLError, *NO_YAML):
        raise BadInput(f"setting {'.'.join(parts)}: expected YAML, got {value!r}") from None


def _with_texts(loaded: Any, spelt: Any, parts: list[str]) -> Any:
    """What is loaded, with values as they are spelt where the schema wants text."""
    if isinstance(loaded, dict) and isinstance(spelt, dict):
        for key in loaded:
            loaded[key] = _with_texts(loaded[key], spelt.get(str(key)), [*parts, str(key)])
        return loaded
    return loaded if loaded is None or spelt is None or not wants_text(Params, parts) else _text(spelt)


def _text(value: str) -> str:
    """The text, in quotes where YAML, old or new, would read another value."""
    try:
        plain = yaml.safe_load(value) == value
    except NO_YAML:
        plain = False
    return value if plain else DoubleQuotedScalarString(value)
