rule backbone:
    """A frozen backbone in one file: weights under timm's names, normalisation, input size."""
    output:
        weights="backbones/{backbone}.safetensors",
    log:
        "logs/backbone/{backbone}.log",
    benchmark:
        "benchmarks/backbone/{backbone}.tsv"
    params:
        code=code("backbone"),
        settings=settings("backbones.{backbone}"),
    shell:
        "ship backbone {wildcards.backbone:q} > {log:q} 2>&1"
