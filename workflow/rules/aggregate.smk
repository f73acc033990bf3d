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
