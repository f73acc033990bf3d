"""Jobs that a killed Snakemake left are cancelled: those of this folder, and no others."""

import os
import stat
import subprocess
import sys
import uuid

import pytest
import yaml
from project import ROOT

SQUEUE = """#!/bin/sh
[ "$*" = "--me --noheader --format=%i %j %Z" ] || exit 9
while read -r line; do printf '%s\\n' "$line"; done < "${0%/*}/jobs"
"""
SCANCEL = """#!/bin/sh
printf '%s\\n' "$@" > "${0%/*}/cancelled"
"""


@pytest.fixture
def cluster(tmp_path):
    """A folder with stand-ins for Slurm's commands, and one with a space in its name that jobs started in."""
    commands, work = tmp_path / "bin", tmp_path / "my work"
    commands.mkdir()
    work.mkdir()
    for name, text in (("squeue", SQUEUE), ("scancel", SCANCEL)):
        (commands / name).write_text(text)
        (commands / name).chmod((commands / name).stat().st_mode | stat.S_IXUSR)
    return commands, work


def cancel(commands, work):
    """The finished script, run in `work`."""
    environment = {**os.environ, "PATH": str(commands)}
    call = (sys.executable, str(ROOT / "workflow/cancel.py"))
    return subprocess.run(call, cwd=work, env=environment, capture_output=True, text=True, check=False)


def test_the_jobs_of_a_folder_with_a_space(cluster):
    """Also parts of an array; not those of other folders, of folders within, or of other names."""
    commands, work = cluster
    name = f"ship_{uuid.uuid4()}"  # as Snakemake's plugin calls all jobs of a workflow
    rows = [
        f"11 {name} {work}",
        f"12_[3-5] {name} {work}",
        f"13 {name} {work.parent}/my",
        f"14 {name} {work}/deeper",
        f"15 bash {work}",
        f"16 my ship {work}",
        f"17 ship-driver {work}",
        f"18 {name}-2 {work}",
    ]
    (commands / "jobs").write_text("\n".join(rows) + "\n")
    done = cancel(commands, work)
    assert (done.returncode, done.stdout) == (0, "cancelled 2: 11 12_[3-5]\n"), done.stderr
    assert (commands / "cancelled").read_text().split() == ["11", "12_[3-5]"]


def test_no_jobs(cluster):
    """Nothing is cancelled, which is no fault."""
    commands, work = cluster
    (commands / "jobs").write_text("")
    assert cancel(commands, work).stdout == "there was none to cancel\n"
    assert not (commands / "cancelled").exists()


def test_slurm_that_does_not_answer(cluster):
    """It is said, and is no success."""
    commands, work = cluster
    (commands / "squeue").write_text("#!/bin/sh\necho 'no controller' >&2\nexit 1\n")
    done = cancel(commands, work)
    assert (done.returncode, done.stderr) == (1, "cancel.py: squeue: expected an answer of Slurm, got no controller\n")
    done = cancel(work, work)
    assert done.returncode == 1
    assert done.stderr.startswith("cancel.py: expected `squeue` on PATH")


def test_the_names_are_those_that_the_profile_gives():
    """The script knows the workflow's jobs by them."""
    profile = yaml.safe_load((ROOT / "profiles/slurm/config.v9+.yaml").read_text(encoding="utf-8"))
    assert profile["slurm-jobname-prefix"] == "ship"
