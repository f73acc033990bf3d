if not any(PARAMS.methods[name].search for name in PARAMS.grid.methods):

    # nothing is searched: each file is written within a second
    localrules:
        search,


rule search:
    """The settings that a row has on a task: its own, or those that its search finds best on the images of val."""
    input:
        code=code(
            *MODELS, *FITTING, "tune.py", "rows.py", "config.py", "data/sealing.py"
        ),
        backbone=BACKBONE,
        train="data/{task}/train.parquet",
        val="data/{task}/val.parquet",
        about="data/{task}/task.json",
        features="features/{task}.safetensors",
        hierarchy="hierarchy/{task}.safetensors",
    output:
        settings="results/settings/{task}/{method}.json",
    log:
        "logs/search/{task}/{method}.log",
    benchmark:
        "benchmarks/search/{task}/{method}.tsv"
    threads: PARAMS.compute.threads
    resources:
        gpu=GPUS,
    params:
        settings=settings("methods.{method}", "train", "compute"),
    shell:
        "ship search {wildcards.task:q} {wildcards.method:q} > {log:q} 2>&1"
