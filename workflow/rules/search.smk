if not any(PARAMS.methods[name].search for name in PARAMS.grid.methods):

    # nothing is searched: each file is written within a second
    localrules:
        search,


rule search:
    """The settings that a row has on a task: its own, or those that its search finds best on the images of val."""
    input:
        backbone="backbones/{backbone}.safetensors",
        train="data/{task}/train.parquet",
        val="data/{task}/val.parquet",
        about="data/{task}/task.json",
        features="features/{backbone}/{task}.safetensors",
        hierarchy="hierarchy/{backbone}/{task}.safetensors",
    output:
        settings="results/settings/{backbone}/{task}/{method}.json",
    log:
        "logs/search/{backbone}/{task}/{method}.log",
    benchmark:
        "benchmarks/search/{backbone}/{task}/{method}.tsv"
    priority: 1
    threads: PARAMS.compute.threads
    resources:
        gpu=GPUS,
    params:
        code=code("search"),
        settings=settings("methods.{method}", "train", "compute"),
    shell:
        "ship search {wildcards.backbone:q}/{wildcards.task:q}/{wildcards.method:q} > {log:q} 2>&1"
