rule features:
    """Class token after every block, (L, n, D), for the training images of a task."""
    input:
        backbone="backbones/{backbone}.safetensors",
        train="data/{task}/train.parquet",
        val="data/{task}/val.parquet",
    output:
        features="features/{backbone}/{task}.safetensors",
    log:
        "logs/features/{backbone}/{task}.log",
    benchmark:
        "benchmarks/features/{backbone}/{task}.tsv"
    priority: 1
    threads: PARAMS.compute.threads
    resources:
        gpu=GPUS,
    params:
        code=code("features"),
        settings=settings("compute"),
    shell:
        "ship features {wildcards.backbone:q}/{wildcards.task:q} > {log:q} 2>&1"
