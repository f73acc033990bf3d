"""Whether what runs left is of the settings, backbone, images and code that there are now, and if not, why."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from ship.artifacts import Run, backbone_file, task_file
from ship.data import asked
from ship.errors import BadInput
from ship.experiment import records
from ship.experiment.code import Code
from ship.experiment.length import for_images, images_in
from ship.experiment.params import Params
from ship.experiment.records import read_record
from ship.experiment.rows import Train
from ship.experiment.settings import wanted_settings
from ship.experiment.values import as_yaml
from ship.report.runs import WATCHED, read_about
from ship.storage import sha256

SHOWN = 3  # changes of a run, in its line

Changes = dict[str, tuple[Any, Any]]
"""By key: the value that a run had, and the one that it would have now; None where there is none"""


class Now:
    """What the runs of an experiment under `root` would be of, were they run now; each file is read once.

    What is not there, as the backbone after `dvc pull runs`, is nothing that could differ.
    """

    def __init__(self, params: Params, root: Path = Path()) -> None:
        self.params, self.root, self.code = params, root, Code()
        self._settings: dict[tuple[str, str, str], dict[str, Any]] = {}

    @cached_property
    def weights(self) -> dict[str, str]:
        """Digest of every backbone's file."""
        files = {name: self.root / backbone_file(name) for name in self.params.grid.backbones}
        return {name: sha256(path) for name, path in files.items() if path.exists()}

    @cached_property
    def splits(self) -> dict[str, dict[str, Any]]:
        """What is known of every split of every task."""
        files = {task: self.root / task_file(task) for task in self.params.grid.tasks}
        known = {task: read_record(path, records.Task) for task, path in files.items() if path.exists()}
        return {task: known[task]["splits"] if task in known else {} for task in files}

    @cached_property
    def asked(self) -> dict[str, dict[str, Any]]:
        """What the images of every task were asked for, where it is known."""
        return {task: asked.read_asked(task, self.root) for task in self.params.grid.tasks}

    @cached_property
    def wanted(self) -> dict[str, dict[str, Any]]:
        """What the images of every task would be asked for."""
        return {task: asked.wanted(self.params, task, self.root) for task in self.params.grid.tasks}

    def settings(self, row: tuple[str, str, str]) -> dict[str, Any]:
        """Of a backbone, task and method. Raises BadInput where a search has yet to choose them."""
        if row not in self._settings:
            self._settings[row] = wanted_settings(self.params, *row, self.root)
        return self._settings[row]

    def recipe(self, row: tuple[str, str, str]) -> dict[str, Any]:
        """That of its settings, with as many epochs as it has on the task's images, where they are there."""
        _, task, _ = row
        recipe, images = Train(**self.settings(row)["train"]), images_in(self.splits[task])
        return (for_images(recipe, images) if images else recipe).model_dump()

    def about(self, run: Run) -> dict[str, Any]:
        """What `run.json` would say of the run. Raises BadInput where its settings have yet to be chosen."""
        method, splits = self.params.methods[run.method].method, self.splits[run.task]
        named = self.params.backbones[run.backbone].model_dump(mode="json", exclude={"sha256"}, exclude_none=True)
        weights = {"sha256": self.weights[run.backbone]} if run.backbone in self.weights else {}
        measured = self.params.hierarchy.model_dump()
        if images := images_in(splits):  # a centre is one image at the least
            measured["prototypes"] = min(measured["prototypes"], images)
        return {
            "method": method,
            "options": self.settings(run.row)["options"],
            "train": self.recipe(run.row),
            "protocol": self.params.protocol,
            "compute": self.params.compute.model_dump(),
            "hierarchy": measured,
            "backbone": named | weights,
            "data": {split: part["sha256"] for split, part in splits.items()},
            "code": self.code.modules("train", method),
        }


def changes(now: Now, run: Run) -> Changes:
    """What a run that is there has otherwise than it would have now: nothing, where it is current."""
    try:
        then = read_about(now.root, run)
        wanted = now.about(run)
        before, search = now.settings(run.row).get("search", ({}, {}))
    except BadInput as error:
        return {"settings": (None, str(error))}
    had = {key: then.get(key) or {} for key in wanted}
    had |= {group: {key: had[group].get(key) for key in wanted[group]} for group in ("backbone", "data")}
    had["protocol"] = "best-test-epoch" if WATCHED in then["result"] else "last-epoch"
    old, new = _flat({**had, "search": before}), _flat({**wanted, "search": search})
    if not images_in(now.splits[run.task]):
        new |= _by_images(old, new)
    if asked_then := now.asked[run.task]:
        old |= asked_then
        new |= {key: value for key, value in now.wanted[run.task].items() if key in asked_then}
    return {key: (old.get(key), new.get(key)) for key in dict.fromkeys([*old, *new]) if old.get(key) != new.get(key)}


def _by_images(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """What follows from how many images there are, which nobody knows: as the run had it, where that may be."""
    longer = ("train.epochs", "train.warmup_epochs") if new.get("train.steps") else ()
    fewer = ("hierarchy.prototypes",)
    may_be = [key for key in longer if old.get(key, 0) >= new[key]]
    may_be += [key for key in fewer if old.get(key, math.inf) <= new[key]]
    return {key: old[key] for key in may_be}


def changes_line(found: Changes) -> str:
    """Each key with the old value and the new one; of files and modules, that they are others."""
    said = []
    for key, (old, new) in found.items():
        group, _, name = key.partition(".")
        if group == "code":
            said.append(f"the code of {name}")
        elif key == "backbone.sha256" or group == "data":
            said.append(f"the {'weights of the backbone' if group == 'backbone' else f'images of {name}'}")
        elif group == "settings":
            said.append(str(new))
        else:
            said.append(f"{key} {as_yaml(old)} -> {as_yaml(new)}")
    more = f" and {len(said) - SHOWN} more" if len(said) > SHOWN else ""
    return ", ".join(said[:SHOWN]) + more


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Values by dotted keys."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found
