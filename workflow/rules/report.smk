rule aggregate:
    """Every run's result in one table, with means, deviations and intervals."""
    input:
        code=code("evaluate.py", "report/tables.py", "data/tasks.py", "artifacts.py"),
        results=expand("results/runs/{task}/{method}/{seed}.json", **GRID),
        predictions=expand("runs/{task}/{method}/{seed}/predictions.parquet", **GRID),
        logs=expand("runs/{task}/{method}/{seed}/log.csv", **GRID),
        hierarchies=expand("hierarchy/{task}.json", **GRID),
    output:
        metrics="results/metrics.json",
        table="results/table.csv",
        paired="results/paired.csv",
        accuracy="results/plots/accuracy.csv",
        curves="results/plots/curves.csv",
        affinity="results/plots/affinity.csv",
    log:
        "logs/aggregate.log",
    benchmark:
        "benchmarks/aggregate.tsv"
    params:
        settings=settings("grid", "tasks"),
    shell:
        "ship aggregate > {log:q} 2>&1"


rule report:
    """One page that shows the table, the protocol, the curves, the hierarchies and the costs."""
    input:
        code=code(
            "report/*.py",
            "report/*.csv",
            "report/templates/*",
            "data/tasks.py",
            "evaluate.py",
            "methods/*.py",
        ),
        table="results/table.csv",
        paired="results/paired.csv",
        accuracy="results/plots/accuracy.csv",
        curves="results/plots/curves.csv",
        hierarchies=expand("hierarchy/{task}.json", **GRID),
        backbone=BACKBONE,
        tasks=expand("data/{task}/task.json", **GRID),
        about=expand("runs/{task}/{method}/{seed}/run.json", **GRID),
        chosen=expand("results/settings/{task}/{method}.json", **GRID),
    output:
        page="report/index.html",
    log:
        "logs/report.log",
    benchmark:
        "benchmarks/report.tsv"
    params:
        settings=settings(
            "grid", "backbone", "tasks", "methods", "train", "hierarchy", "compute"
        ),
    shell:
        "ship report > {log:q} 2>&1"
