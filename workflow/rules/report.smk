from glob import glob


rule report:
    """One page that shows the table, the protocol, the curves, the hierarchies and the costs.

    Results that are not of these runs, as after `git checkout results`, are changed inputs: it makes them again.
    """
    input:
        texts=sorted(glob("ship/report/*.csv") + glob("ship/report/templates/*")),
        results=rules.aggregate.output,
        hierarchies=expand("hierarchy/{backbone}/{task}.json", **GRID),
        backbones=expand("backbones/{backbone}.safetensors", **GRID),
        tasks=expand("data/{task}/task.json", **GRID),
        notices=expand("data/{task}/notices.json", **GRID),
        images=expand("data/{task}/test.parquet", **GRID),
        about=expand(f"{RUNS}/run.json", **GRID),
        predictions=expand(f"{RUNS}/predictions.parquet", **GRID),
        looks=expand(f"{RUNS}/looks.json", **GRID),
        chosen=expand("results/settings/{backbone}/{task}/{method}.json", **GRID),
    output:
        page=report("report/index.html", caption="../report/page.rst", category="Page"),
    log:
        "logs/report.log",
    benchmark:
        "benchmarks/report.tsv"
    params:
        code=code("report"),
        settings=settings(
            "grid", "backbones", "tasks", "methods", "train", "hierarchy", "compute"
        ),
    shell:
        "ship report > {log:q} 2>&1"
