"""Cancel the jobs that a killed Snakemake left behind: those of this workflow that Slurm started in this folder.

`python workflow/cancel.py`, in the root of the clone, prints them; exit code 1 where Slurm does not answer.
"""

import re
import subprocess
import sys
from pathlib import Path

NAME = re.compile(r"ship_[0-9a-f-]{36}")  # slurm-jobname-prefix in profiles/slurm, and what the plugin puts behind


def main() -> None:
    """Ask for all jobs of this user, cancel those of this folder."""
    listed = run("squeue", "--me", "--noheader", "--format=%i %j %Z")
    found = jobs(listed, Path.cwd())
    if found:
        run("scancel", *found)
    print(f"cancelled {len(found)}: {' '.join(found)}" if found else "there was none to cancel")


def jobs(listed: str, folder: Path) -> list[str]:
    """Their numbers, of lines with a job's number, name, and folder, in which there may be spaces."""
    rows = (line.split(" ", maxsplit=2) for line in listed.splitlines())
    return [row[0] for row in rows if len(row) == 3 and NAME.fullmatch(row[1]) and row[2].rstrip() == str(folder)]


def run(*command: str) -> str:
    """What a command prints; ends with what it complains of where it fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except FileNotFoundError:
        sys.exit(f"cancel.py: expected `{command[0]}` on PATH, as on the head node of a cluster, found none")
    except subprocess.CalledProcessError as error:
        sys.exit(f"cancel.py: {command[0]}: expected an answer of Slurm, got {error.stderr.strip()}")


if __name__ == "__main__":
    main()
