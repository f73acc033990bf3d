"""The tasks that have a name of their own: those made by `ship`, and the 19 of VTAB-1k. Loads no torch."""

from __future__ import annotations

from typing import NamedTuple

from ship.experiment.task import Task


class TaskInfo(NamedTuple):
    """A row of TASKS; `builtin` tells what `ship` makes itself from what is read as VTAB-1k lists."""

    group: str
    classes: int
    builtin: bool
    about: str


TASKS: dict[str, TaskInfo] = {
    "digits": TaskInfo("natural", 10, True, "handwritten digits, 8 x 8 px (scikit-learn's optical digits)"),
    "textures": TaskInfo("natural", 10, True, "ten procedural textures in any scale, colour and direction"),
    "tissue": TaskInfo("specialized", 2, True, "stained tissue with or without tumour cells in its middle"),
    "counting": TaskInfo("structured", 8, True, "three to ten coloured shapes on a varied background"),
    "sprite_location": TaskInfo("structured", 16, True, "x position of a sprite, in 16 bins, after dSprites"),
    "sprite_orientation": TaskInfo("structured", 16, True, "orientation of a sprite, in 16 bins, after dSprites"),
    "cifar": TaskInfo("natural", 100, False, "CIFAR-100: objects, 32 x 32 px"),
    "caltech101": TaskInfo("natural", 102, False, "Caltech101: objects, and a class of background"),
    "dtd": TaskInfo("natural", 47, False, "Describable Textures"),
    "oxford_flowers102": TaskInfo("natural", 102, False, "Oxford Flowers: species"),
    "oxford_iiit_pet": TaskInfo("natural", 37, False, "Oxford-IIIT Pet: breeds of cats and dogs"),
    "svhn": TaskInfo("natural", 10, False, "Street View House Numbers: the middle digit"),
    "sun397": TaskInfo("natural", 397, False, "SUN397: scenes"),
    "patch_camelyon": TaskInfo("specialized", 2, False, "PatchCamelyon: tumour in a slide of lymph node"),
    "eurosat": TaskInfo("specialized", 10, False, "EuroSAT: land use seen by satellite"),
    "resisc45": TaskInfo("specialized", 45, False, "RESISC45: scenes seen from the air"),
    "diabetic_retinopathy": TaskInfo("specialized", 5, False, "Diabetic Retinopathy: grade, from the fundus"),
    "clevr_count": TaskInfo("structured", 8, False, "CLEVR: number of objects, three to ten"),
    "clevr_dist": TaskInfo("structured", 6, False, "CLEVR: distance of the nearest object, binned"),
    "dmlab": TaskInfo("structured", 6, False, "DMLab: kind and distance of an object in a maze"),
    "kitti": TaskInfo("structured", 4, False, "KITTI: distance of the nearest vehicle, binned"),
    "dsprites_loc": TaskInfo("structured", 16, False, "dSprites: x position of a sprite, binned"),
    "dsprites_ori": TaskInfo("structured", 16, False, "dSprites: orientation of a sprite, binned"),
    "smallnorb_azi": TaskInfo("structured", 18, False, "SmallNORB: azimuth of a toy"),
    "smallnorb_ele": TaskInfo("structured", 9, False, "SmallNORB: elevation of the camera"),
}


def group_of(name: str, task: Task) -> str:
    """The group that the task counts to: what its settings say, else what TASKS says, else `own`."""
    return task.group or (TASKS[name].group if name in TASKS else "own")
