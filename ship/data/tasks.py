"""The tasks that have a name of their own: those made by `ship`, and the 19 of VTAB-1k. Loads no torch."""

from __future__ import annotations

from typing import NamedTuple

from ship.experiment.task import Task


class TaskInfo(NamedTuple):
    """A row of TASKS; `builtin` tells what `ship` makes itself from what is read as VTAB-1k lists."""

    group: str
    classes: int
    builtin: bool


TASKS: dict[str, TaskInfo] = {
    "digits": TaskInfo("natural", 10, True),
    "textures": TaskInfo("natural", 10, True),
    "tissue": TaskInfo("specialized", 2, True),
    "counting": TaskInfo("structured", 8, True),
    "sprite_location": TaskInfo("structured", 16, True),
    "sprite_orientation": TaskInfo("structured", 16, True),
    "cifar": TaskInfo("natural", 100, False),
    "caltech101": TaskInfo("natural", 102, False),
    "dtd": TaskInfo("natural", 47, False),
    "oxford_flowers102": TaskInfo("natural", 102, False),
    "oxford_iiit_pet": TaskInfo("natural", 37, False),
    "svhn": TaskInfo("natural", 10, False),
    "sun397": TaskInfo("natural", 397, False),
    "patch_camelyon": TaskInfo("specialized", 2, False),
    "eurosat": TaskInfo("specialized", 10, False),
    "resisc45": TaskInfo("specialized", 45, False),
    "diabetic_retinopathy": TaskInfo("specialized", 5, False),
    "clevr_count": TaskInfo("structured", 8, False),
    "clevr_dist": TaskInfo("structured", 6, False),
    "dmlab": TaskInfo("structured", 6, False),
    "kitti": TaskInfo("structured", 4, False),
    "dsprites_loc": TaskInfo("structured", 16, False),
    "dsprites_ori": TaskInfo("structured", 16, False),
    "smallnorb_azi": TaskInfo("structured", 18, False),
    "smallnorb_ele": TaskInfo("structured", 9, False),
}


def group_of(name: str, task: Task) -> str:
    """The group that the task counts to: what its settings say, else what TASKS says, else `own`."""
    return task.group or (TASKS[name].group if name in TASKS else "own")
