rule train:
    """One run, backbone x task x method x seed: tune on the training images, predict the test images once."""
    input:
        code=code(*MODELS, *FITTING, "run.py"),
        settings="results/settings/{task}/{method}.json",
        backbone=BACKBONE,
        train="data/{task}/train.parquet",
        val="data/{task}/val.parquet",
        test="data/{task}/test.parquet",
        about="data/{task}/task.json",
        features="features/{task}.safetensors",
        hierarchy="hierarchy/{task}.safetensors",
    output:
        tuned="runs/{task}/{method}/{seed}/tuned.safetensors",
        log="runs/{task}/{method}/{seed}/log.csv",
        predictions="runs/{task}/{method}/{seed}/predictions.parquet",
        about="runs/{task}/{method}/{seed}/run.json",
        result="results/runs/{task}/{method}/{seed}.json",
    log:
        "logs/train/{task}/{method}/{seed}.log",
    benchmark:
        "benchmarks/runs/{task}/{method}/{seed}.tsv"
    threads: PARAMS.compute.threads
    resources:
        gpu=GPUS,
    params:
        settings=settings("methods.{method}.method", "protocol", "compute"),
    shell:
        "ship train {wildcards.task:q} {wildcards.method:q} {wildcards.seed} > {log:q} 2>&1"
