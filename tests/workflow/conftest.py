"""What several of these files read, and none changes."""

import pytest
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
