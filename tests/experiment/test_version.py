"""The version of the package, as `ship --version` prints it."""

import shutil
import sys

import pytest
from project import ROOT, command

from ship import __version__


@pytest.fixture
def repository(tmp_path):
    """A clone of one commit, with the package in it; its short commit."""
    shutil.copytree(ROOT / "ship", tmp_path / "ship", ignore=shutil.ignore_patterns("__pycache__", "weights"))
    (tmp_path / ".gitignore").write_text("__pycache__/\n")
    author = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    for arguments in (("init", "--quiet"), ("add", "."), (*author, "commit", "--quiet", "--message", "All")):
        command("git", *arguments, cwd=tmp_path)
    return tmp_path, command("git", "rev-parse", "--short", "HEAD", cwd=tmp_path).stdout.strip()


def test_the_version_names_the_commit(repository):
    """And says where tracked files differ from it; a file of one's own is no difference."""
    folder, commit = repository
    ship = (sys.executable, "-m", "ship.cli", "--version")
    assert command(*ship, cwd=folder).stdout == f"ship {__version__} {commit}\n"
    (folder / "notes.txt").write_text("mine")
    assert command(*ship, cwd=folder).stdout == f"ship {__version__} {commit}\n"
    (folder / "ship/errors.py").write_text((folder / "ship/errors.py").read_text() + "# more\n")
    assert command(*ship, cwd=folder).stdout == f"ship {__version__} {commit}+changes\n"
    shutil.rmtree(folder / ".git")
    assert command(*ship, cwd=folder).stdout == f"ship {__version__}\n"
