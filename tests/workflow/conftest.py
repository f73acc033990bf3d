"""What several of these files read, and none changes."""

import cluster
import pytest
from forking import all_but
from project import commands_in
from versioned import TINY_GRID, make_repository, run


@pytest.fixture(scope="session")
def finished(once, started):
    """The tiny experiment in a repository, whose workflow Snakemake has run to its end; to be read alone."""

    def make(folder):
        repository = make_repository(folder / "repository", {**TINY_GRID, "train.epochs": 3})
        with commands_in(started):
            run(repository, "snakemake", "--cores", "2")

    return once("finished", make) / "repository"


@pytest.fixture
def but_ship(started, tmp_path):
    """A folder of commands that start at once, but for `ship`: each is a process of its own."""
    return all_but("ship", started, tmp_path / "bin")


@pytest.fixture(scope="session")
def all_of_slurm(root):
    """The one cluster of all processes of the tests, for as long as one of them has use for it."""
    if lack := cluster.obstacle():
        pytest.skip(f"no Slurm: {lack}")
    with cluster.Cluster(root / "slurm").up() as found:
        yield found


@pytest.fixture
def slurm(all_of_slurm, request):
    """The cluster; a test marked `alone` meets no other on it."""
    with all_of_slurm.used(alone=request.node.get_closest_marker("alone") is not None):
        yield all_of_slurm
