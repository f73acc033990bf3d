"""The benchmarks still run; what they measure is for people."""

import subprocess
import sys

import pytest
from project import ROOT


@pytest.mark.slow
def test_invented_runs_are_whole_to_every_command(tmp_path):
    """Two methods and one seed on the 19 tasks: status, table and page take them for those of an experiment."""
    call = (sys.executable, "benchmarks/scale.py", "--methods", "2", "--seeds", "1", "--folder", str(tmp_path / "made"))
    done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(f"ship {command}" in done.stdout for command in ("status", "aggregate", "table", "report"))
