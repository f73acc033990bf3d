"""Snakemake, whose executor for Slurm asks twice a second how its jobs are.

The executor itself asks after 2, 12, 22, 32 ... seconds, as long as no job ends: right for a cluster, but a test would
spend most of its time waiting for the next question. Nothing else is changed, and the jobs run the real Snakemake.
"""

from __future__ import annotations

from snakemake.cli import main
from snakemake_executor_plugin_slurm import Executor

SECONDS = 0.5

if __name__ == "__main__":
    Executor.next_seconds_between_status_checks = property(lambda _: SECONDS, lambda _, longer: None)
    main()
