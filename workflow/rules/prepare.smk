rule prepare:
    """A task's images, wherever they come from, checked: one parquet file per split, the original bytes."""
    input:
        archives=records,
    output:
        train="data/{task}/train.parquet",
        val="data/{task}/val.parquet",
        test="data/{task}/test.parquet",
        notices="data/{task}/notices.json",
        about="data/{task}/task.json",
    log:
        "logs/prepare/{task}.log",
    benchmark:
        "benchmarks/prepare/{task}.tsv"
    priority: 1
    threads: lambda wildcards: 1 if PARAMS.tasks[wildcards.task].source == "builtin" else 2  # one draws, two decode
    params:
        code=code("prepare"),
        contents=lambda wildcards: contents(PARAMS, wildcards.task),
        settings=settings("tasks.{task}", "data_root", but="group"),  # which decides no byte here
    shell:
        "ship prepare {wildcards.task:q} > {log:q} 2>&1"
