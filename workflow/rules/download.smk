"""Archives that tasks are made of: one job for each that a task needs, and no byte is fetched twice."""


localrules:
    download,  # where there is a network


rule download:
    """An archive: found in the folder `archives`, or downloaded to it; verified.

    What is written is a note, and temporary: once a task is prepared, nobody misses note or archive. The archive is no
    output, since Snakemake deletes those of a job that begins or fails. A task has notes of its own: else, tasks that
    share an archive would all be prepared anew when one of them is.
    """
    output:
        record=temp("downloads/{task}/{archive}.json"),
    log:
        "logs/download/{task}/{archive}.log",
    wildcard_constraints:
        archive=r"[^/]+",
    shell:
        "ship download {wildcards.archive:q} --record {output.record:q} 2>&1 | tee {log:q}"
