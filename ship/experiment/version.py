"""Which version of the package runs, to the commit where it lies in a clone."""

from __future__ import annotations

import subprocess
from pathlib import Path

from ship import __version__
from ship.errors import BadInput


def version() -> str:
    """As `0.1.0`, or `0.1.0 083410a` in a clone, or `0.1.0 083410a+changes` where tracked files differ from the commit.

    Raises BadInput for a clone whose commit git does not tell.
    """
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():  # of a folder around an installed package nothing is asked
        return __version__
    changes = _git(root, "status", "--porcelain", "--untracked-files=no")
    return f"{__version__} {_git(root, 'rev-parse', '--short', 'HEAD')}{'+changes' if changes else ''}"


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", "-C", root, *arguments], capture_output=True, text=True, check=True)
    except FileNotFoundError:
        raise BadInput("git: expected it on PATH, to name the commit of this clone, found none") from None
    except subprocess.CalledProcessError as error:
        raise BadInput(f"git {arguments[0]}: expected a commit of {root}, got {error.stderr.strip()}") from None
    return done.stdout.strip()
