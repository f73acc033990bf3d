rule hierarchy:
    """Affinity of the blocks, the hierarchies it gives, and the prototypes of a task."""
    input:
        code=code(
            "models/statistics.py",
            "models/vit.py",
            "measure.py",
            "compute.py",
            "artifacts.py",
        ),
        features="features/{task}.safetensors",
    output:
        tensors="hierarchy/{task}.safetensors",
        table="hierarchy/{task}.json",
    log:
        "logs/hierarchy/{task}.log",
    benchmark:
        "benchmarks/hierarchy/{task}.tsv"
    threads: PARAMS.compute.threads
    params:
        settings=settings("hierarchy", "compute"),
    shell:
        "ship hierarchy {wildcards.task:q} > {log:q} 2>&1"
