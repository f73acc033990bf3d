rule train:
    """One run, backbone x task x method x seed: tune on the training images, predict the test images once."""
    input:
        settings="results/settings/{backbone}/{task}/{method}.json",
        backbone="backbones/{backbone}.safetensors",
        train="data/{task}/train.parquet",
        val="data/{task}/val.parquet",
        test="data/{task}/test.parquet",
        about="data/{task}/task.json",
        features="features/{backbone}/{task}.safetensors",
        hierarchy="hierarchy/{backbone}/{task}.safetensors",
    output:
        tuned="runs/{backbone}/{task}/{method}/{seed}/tuned.safetensors",
        log="runs/{backbone}/{task}/{method}/{seed}/log.csv",
        predictions="runs/{backbone}/{task}/{method}/{seed}/predictions.parquet",
        looks="runs/{backbone}/{task}/{method}/{seed}/looks.json",
        about="runs/{backbone}/{task}/{method}/{seed}/run.json",
    log:
        "logs/train/{backbone}/{task}/{method}/{seed}.log",
    benchmark:
        "benchmarks/runs/{backbone}/{task}/{method}/{seed}.tsv"
    # a linear probe takes seconds: it fills what longer runs, and what they wait for, leave free
    priority: lambda wildcards: int(PARAMS.methods[wildcards.method].method != "linear")
    threads: PARAMS.compute.threads
    resources:
        gpu=GPUS,
    params:
        code=code("train"),
        settings=settings("methods.{method}.method", "protocol", "compute"),
    shell:
        "ship train {wildcards.backbone:q}/{wildcards.task:q}/{wildcards.method:q}/{wildcards.seed} > {log:q} 2>&1"
