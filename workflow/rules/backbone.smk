rule backbone:
    """The frozen backbone in one file: weights under timm's names, normalisation, input size."""
    input:
        code=code(
            "models/backbones.py",
            "models/vit.py",
            "models/weights/*.safetensors",
            "artifacts.py",
        ),
    output:
        weights=BACKBONE,
    log:
        "logs/backbone.log",
    benchmark:
        "benchmarks/backbone.tsv"
    params:
        settings=settings("backbone"),
    shell:
        "ship backbone > {log:q} 2>&1"


rule features:
    """Class token after every block, (L, n, D), for the training images of a task."""
    input:
        code=code(*MODELS, "measure.py"),
        backbone=BACKBONE,
        train="data/{task}/train.parquet",
        val="data/{task}/val.parquet",
    output:
        features="features/{task}.safetensors",
    log:
        "logs/features/{task}.log",
    benchmark:
        "benchmarks/features/{task}.tsv"
    threads: PARAMS.compute.threads
    resources:
        gpu=GPUS,
    params:
        settings=settings("compute"),
    shell:
        "ship features {wildcards.task:q} > {log:q} 2>&1"
