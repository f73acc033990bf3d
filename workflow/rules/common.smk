"""The experiment, its axes, and the code that each rule's numbers depend on."""

from functools import reduce
from operator import getitem
from pathlib import Path

from ship.experiment.params import read_params
from ship.errors import BadInput

if config:
    raise WorkflowError(
        f"settings: expected params.yaml alone, got --config or --configfile with {', '.join(config)}"
    )
try:
    PARAMS = read_params("params.yaml")
except BadInput as error:
    raise WorkflowError(str(error))

GRID = {
    "task": PARAMS.grid.tasks,
    "method": PARAMS.grid.methods,
    "seed": PARAMS.grid.seeds,
}
GPUS = int(
    PARAMS.compute.device != "cpu"
)  # that a job of training or features asks for
BACKBONE = f"backbones/{PARAMS.backbone.name}.safetensors"


def settings(*keys, but=None):
    """The settings under dotted `keys` of params.yaml, whose change makes a job's results stale; without the key `but`."""

    def find(wildcards):
        tree, found = PARAMS.model_dump(mode="json"), {}
        for key in keys:
            filled = key.format(**wildcards)
            found[filled] = reduce(getitem, filled.split("."), tree)
            if isinstance(found[filled], dict):
                found[filled].pop(but, None)
        return found

    return find


def code(*names):
    """The modules of the package that decide the bytes of a rule's output."""
    return sorted(str(path) for name in names for path in Path("ship").glob(name))


DATA = [
    f"data/{name}.py"
    for name in (
        "archives",
        "builtin",
        "decoding",
        "folders",
        "listing",
        "lists",
        "painting",
        "prepare",
        "tasks",
    )
]
MODELS = [
    "models/backbones.py",
    "models/statistics.py",
    "models/vit.py",
    "data/images.py",
    "data/decoding.py",
    "data/seeds.py",
    "compute.py",
    "artifacts.py",
]

FITTING = [
    "methods/*.py",
    "train.py",
    "predict.py",
    "fit.py",
    "resume.py",
    "chosen.py",
]


wildcard_constraints:
    task="|".join(map(re.escape, PARAMS.tasks)),
    method="|".join(map(re.escape, PARAMS.methods)),
    seed=r"\d+",
