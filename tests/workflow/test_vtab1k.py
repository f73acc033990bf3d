"""All of VTAB-1k, from archives on a mirror to the table."""

import csv
import json
import subprocess
from functools import partial

import pytest
from forking import forking
from originals import WRITERS, tiny
from project import make_project
from web import mirror

from ship.data.sources.catalogue import SOURCES, VTAB1K
from ship.storage import sha256

pytestmark = pytest.mark.slow

CATALOGUE = """

def _tiny() -> None:
    \"\"\"The archives that the test serves, in place of the publishers'.\"\"\"
    rows, archives = {rows!r}, {archives!r}
    for name, (sizes, slices) in rows.items():
        SOURCES[name] = SOURCES[name]._replace(sizes=sizes, slices=slices)
    for name, (size, digest) in archives.items():
        ARCHIVES[name] = ARCHIVES[name]._replace(size=size, sha256=digest, md5=None)


_tiny()
"""
SETTINGS = (
    "grid.backbones=[vit_mini]",
    "backbones.vit_mini={name: vit_mini}",
    "grid.methods=[linear]",
    "grid.seeds=[0]",
    "methods.linear.train={lr: 0.01, epochs: 2, warmup_epochs: 0}",
    "compute={device: cpu, precision: fp32, threads: 1}",
)


def shrunk(project, archives):
    """Write the tiny archives; the catalogue of `project` gets their sizes and digests, and no other line changes."""
    archives.mkdir()
    rows = {}
    for task in VTAB1K:
        row = tiny(task, WRITERS[task](archives))
        rows[task] = row.sizes, row.slices
    found = {path.name: (path.stat().st_size, sha256(path)) for path in archives.iterdir()}
    with (project / "ship/data/sources/catalogue.py").open("a") as file:
        file.write(CATALOGUE.format(rows=rows, archives=found))


def test_nineteen_tasks_from_a_mirror_to_the_table(tmp_path):
    """One setting names the mirror; every archive is asked for once, and every task has its row."""
    project = make_project(tmp_path / "project")
    (project / "params.yaml").unlink()
    shrunk(project, tmp_path / "served")
    with mirror(tmp_path / "served") as site, forking(project, tmp_path / "bin") as environment:
        run = partial(subprocess.run, cwd=project, env=environment, capture_output=True, text=True, check=False)
        done = run(["ship", "init", "vtab1k", *SETTINGS, f"mirrors=[{site.address}]"])
        assert done.returncode == 0, done.stderr
        done = run(["snakemake", "--cores", "2"])
        assert done.returncode == 0, done.stdout + done.stderr
        table = run(["ship", "table"]).stdout
    assert sorted(site.asked) == sorted({name for task in VTAB1K for name in SOURCES[task].archives})
    with (project / "results/table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["task"] for row in rows if row["task"] in VTAB1K] == list(VTAB1K)
    assert len(json.loads((project / "results/metrics.json").read_text())) > 0
    assert "linear" in table
