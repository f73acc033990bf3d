rule hierarchy:
    """Affinity of the blocks, the hierarchies it gives, and the prototypes of a task."""
    input:
        features="features/{backbone}/{task}.safetensors",
    output:
        tensors="hierarchy/{backbone}/{task}.safetensors",
        table="hierarchy/{backbone}/{task}.json",
    log:
        "logs/hierarchy/{backbone}/{task}.log",
    benchmark:
        "benchmarks/hierarchy/{backbone}/{task}.tsv"
    priority: 1
    threads: PARAMS.compute.threads
    params:
        code=code("hierarchy"),
        settings=settings("hierarchy", "compute"),
    shell:
        "ship hierarchy {wildcards.backbone:q}/{wildcards.task:q} > {log:q} 2>&1"
