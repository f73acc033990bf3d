import os
from glob import glob
from pathlib import Path

# under dvc.yaml, which takes both folders for inputs of the table
if os.environ.get("DVC_STAGE", "").rpartition(":")[2] == "aggregate":
    places = (
        RUNS,
        "hierarchy/{backbone}/{task}.json",
        "hierarchy/{backbone}/{task}.safetensors",
    )
    known = {path for place in places for path in expand(place, **GRID)}
    runs = {str(Path(path).parent) for path in glob("runs/*/*/*/*/*")}
    if others := sorted({*runs, *glob("hierarchy/*/*")} - known):
        raise WorkflowError(
            f"runs, hierarchy: expected what belongs to params.yaml alone, since DVC takes these folders for inputs "
            f"of the table, got {', '.join(others)} (delete them)"
        )


rule aggregate:
    """Every run's result in one table, with means, deviations and intervals."""
    input:
        about=expand(f"{RUNS}/run.json", **GRID),
        predictions=expand(f"{RUNS}/predictions.parquet", **GRID),
        logs=expand(f"{RUNS}/log.csv", **GRID),
        hierarchies=expand("hierarchy/{backbone}/{task}.json", **GRID),
    output:
        metrics="results/metrics.json",
        table=report(
            "results/table.csv",
            caption="../report/table.rst",
            category="Results",
        ),
        paired=report(
            "results/paired.csv",
            caption="../report/paired.rst",
            category="Results",
        ),
        classes=report(
            "results/classes.csv",
            caption="../report/classes.rst",
            category="Results",
        ),
        accuracy="results/plots/accuracy.csv",
        curves="results/plots/curves.csv",
        affinity="results/plots/affinity.csv",
    log:
        "logs/aggregate.log",
    benchmark:
        "benchmarks/aggregate.tsv"
    params:
        code=code("aggregate"),
        settings=settings("grid", "tasks"),
    shell:
        "ship aggregate > {log:q} 2>&1"
