"""The experiment, its axes, and what each job depends on beside its files: settings and code."""

import re
from functools import reduce
from operator import getitem

from ship.data.asked import contents
from ship.data.inventory import needs
from ship.errors import BadInput
from ship.experiment.code import Code
from ship.experiment.params import read_params

if config:
    raise WorkflowError(
        f"settings: expected params.yaml alone, got --config or --configfile with {', '.join(config)}"
    )
try:
    PARAMS = read_params()
except BadInput as error:
    raise WorkflowError(str(error))

GRID = {
    "backbone": PARAMS.grid.backbones,
    "task": PARAMS.grid.tasks,
    "method": PARAMS.grid.methods,
    "seed": PARAMS.grid.seeds,
}
GPUS = int(PARAMS.compute.wants_gpu)  # that a job of training or features asks for
RUNS = "runs/{backbone}/{task}/{method}/{seed}"
CODE = Code()


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


def code(step):
    """A digest of the code that a step runs, of the row's method alone: an edit makes what it wrote stale."""

    def find(wildcards):
        row = PARAMS.methods[wildcards.method] if "method" in wildcards.keys() else None
        return CODE.of_row(step, row.method, bool(row.search)) if row else CODE.of(step)

    return find


def records(wildcards):
    """Notes on the archives of a task; none where it comes from elsewhere."""
    archives = needs(wildcards.task, PARAMS.tasks[wildcards.task])
    return [f"downloads/{wildcards.task}/{archive.name}.json" for archive in archives]


def refuse_strays():
    """Under dvc.yaml, which takes two folders for inputs of the table: the first stage, before hours of others."""
    from ship.report.runs import strays

    if found := strays(PARAMS):
        raise WorkflowError(
            f"runs, hierarchy: expected what belongs to params.yaml alone, since DVC takes these folders for inputs "
            f"of the table, got {', '.join(map(str, found))} (move them away, or delete them)"
        )


wildcard_constraints:
    backbone="|".join(map(re.escape, PARAMS.backbones)),
    task="|".join(map(re.escape, PARAMS.tasks)),
    method="|".join(map(re.escape, PARAMS.methods)),
    seed=r"\d+",
