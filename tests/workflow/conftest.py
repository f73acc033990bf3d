"""What several of these files read, and none changes."""

import pytest
from versioned import TINY_GRID, make_repository, run


@pytest.fixture(scope="session")
def finished(once):
    """The tiny experiment in a repository, whose workflow Snakemake has run to its end; to be read alone."""

    def make(folder):
        repository = make_repository(folder / "repository", {**TINY_GRID, "train.epochs": 3})
        run(repository, "snakemake", "--cores", "2")

    return once("finished", make) / "repository"
