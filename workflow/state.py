"""Keep Snakemake's and DVC's idea of "up to date" the same; both believe what they are told, so each is asked first.

record  after `snakemake`, here or on a cluster: what Snakemake vouches for goes into dvc.lock
sync    after `dvc pull`, `checkout`, `repro` or `exp apply`: what dvc.lock vouches for is up to date for Snakemake
"""

import hashlib
import subprocess
import sys
from pathlib import Path

import yaml

from ship.data.asked import other_contents, read_asked, write_asked
from ship.errors import BadInput
from ship.experiment.params import Params, read_params
from ship.report.runs import strays
from ship.report.status import not_done

SNAKEMAKE = ("snakemake", "--cores", "all", "--quiet", "all")


def main(arguments: list[str]) -> None:
    """Run the step that the one argument names."""
    steps = {"record": record, "sync": sync}
    if len(arguments) != 1 or arguments[0] not in steps:
        sys.exit(f"state.py: expected one of {', '.join(steps)}, got {' '.join(arguments) or 'nothing'}")
    try:
        steps[arguments[0]]()
    except BadInput as error:
        sys.exit(f"state.py: {error}")


def record() -> None:
    """Put the finished workflow into dvc.lock and the cache, without computing."""
    jobs, params = summary(), read_params()
    cure = "snakemake --cores all; of a file that nothing needs any more, with its name behind"
    _refuse("not recorded, Snakemake would still make", pending(jobs), cure)
    _refuse_strays("not recorded", params)
    stale = [f"{run}: {reason}" for run, reason in not_done(params).items()]
    _refuse("not recorded, of other settings, images or code than there are now", stale, "ship status says what to do")
    _run("ship", "code")
    _run("dvc", "commit", "--force", "--quiet")
    if pending(summary()):  # links in the place of files; times alone do no harm
        _touch()


def sync() -> None:
    """Tell Snakemake that the files are what the workflow would make, and make the page, which nobody keeps."""
    params = read_params()
    _refuse_strays("not synced", params)  # DVC names no file of a folder
    _run("dvc", "repro", "--quiet", "code")  # digests of the code, where more than its words has changed
    if subprocess.run(["dvc", "status", "--quiet"], check=False).returncode:
        sys.exit("state.py: not synced, the files are not those of dvc.lock (dvc status; then dvc pull, or dvc repro)")
    _refuse("not synced, other images than were prepared", changed(params), "snakemake --cores all prepares them")
    _refuse("not synced, other bytes than dvc.lock says", damaged(), "delete them, here and in .dvc/cache; dvc pull")
    _touch()
    for task in params.grid.tasks:  # dvc.lock vouches for the settings, and nobody for what lies at a path elsewhere
        if not read_asked(task):
            write_asked(params, task, "")
    _run(*SNAKEMAKE, "--force", "--allowed-rules", "report", "--", "report/index.html")


def summary() -> list[dict[str, str]]:
    """A row an output file of the workflow, as Snakemake sees it."""
    command = [*SNAKEMAKE, "--detailed-summary"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(done.returncode)
    header, *rows = [line.split("\t") for line in done.stdout.splitlines()]
    return [dict(zip(header, row, strict=True)) for row in rows]


def pending(jobs: list[dict[str, str]]) -> list[str]:
    """Outputs that Snakemake would make again, or that are not there, with the reason; notes on archives are to go."""
    return [
        f"{job['output_file']} ({job['rule']}: {job['status']})"
        for job in jobs
        if job["rule"] != "download" and (job["plan"] != "no update" or not Path(job["output_file"]).exists())
    ]


def changed(params: Params) -> list[str]:
    """What is another folder or file now than the one that images were prepared of here; DVC does not look at it."""
    return [found for task in params.grid.tasks if (found := other_contents(params, task))]


def damaged() -> list[str]:
    """Outputs that do not have the digest that dvc.lock states; DVC itself trusts its cache."""
    stages = yaml.safe_load(Path("dvc.lock").read_text(encoding="utf-8"))["stages"].values()
    known = {job["output_file"] for job in summary()}
    outs = {out["path"]: out["md5"] for stage in stages for out in stage["outs"] if out["path"] in known}
    return [path for path, md5 in outs.items() if _md5(path) != md5]


def _md5(path: str) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _touch() -> None:
    # every file, not the stale alone: one without a record is never compared again
    logs = {*Path("logs").rglob("*.log")}
    _run(*SNAKEMAKE, "--touch", "--forceall")
    for log in {*Path("logs").rglob("*.log")} - logs:
        log.unlink()  # an empty one, as of a job that was killed at once


def _refuse_strays(what: str, params: Params) -> None:
    left = [str(path) for path in strays(params)]
    _refuse(f"{what}, left by another experiment", left, "move them away, or delete them")


def _refuse(what: str, files: list[str], cure: str) -> None:
    if files:
        sys.exit(f"state.py: {what} ({cure}):\n  " + "\n  ".join(files))


def _run(*command: str) -> None:
    if code := subprocess.run(command, check=False).returncode:
        sys.exit(code)


if __name__ == "__main__":
    main(sys.argv[1:])
