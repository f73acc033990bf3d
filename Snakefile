# The workflow: from images to the table that compares methods. `params.yaml` is the experiment.
# A rule is found by its name: workflow/rules/<rule>.smk, which calls `ship <rule>`.
import atexit
import os
import shutil

from snakemake.utils import min_version

min_version("9.10")


# with --sdm apptainer alone (docs/cluster.md)
container: "workflow/envs/ship.sif"


# of `snakemake --report report.zip`
report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/download.smk"
include: "workflow/rules/prepare.smk"
include: "workflow/rules/backbone.smk"
include: "workflow/rules/features.smk"
include: "workflow/rules/hierarchy.smk"
include: "workflow/rules/search.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/aggregate.smk"
include: "workflow/rules/report.smk"


if "DVC_STAGE" in os.environ:
    refuse_strays()


# --resources gpu=N counts the GPUs of this machine (and of a group of jobs), not those of a cluster
resource_scopes:
    gpu="local",
    turn="local",


localrules:
    all,
    prepare,
    backbone,


rule all:
    """The whole experiment; checkpoints are asked for too, since git does not hold them."""
    default_target: True
    input:
        "results/metrics.json",
        "report/index.html",
        expand(f"{RUNS}/tuned.safetensors", **GRID),


onsuccess:
    # under dvc.yaml, a stage is a Snakemake of its own, and the next one reads them, too
    if "DVC_STAGE" not in os.environ:
        shutil.rmtree("pixels", ignore_errors=True)


onerror:
    # below Snakemake's own last words, in one block: what failed, why, and what to do
    atexit.register(os.system, "echo; ship status")
