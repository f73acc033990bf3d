"""Whether a cluster is fit for the workflow: looks around on the head node, then in a job on each partition.

`python workflow/doctor.py` prints a line for every check; exit code 1 where one fails.
"""

import os
import re
import sys
import uuid
from pathlib import Path
from typing import Any

from disk import wanted
from limits import config, queue, rivals, run, time
from slurm_site import SITE, known, read_site, wants_gpu

from ship.errors import BadInput
from ship.experiment.params import read_params
from ship.storage import expanded, free_disk, standing

MINUTES = 10  # that a job may wait, and run
MEMORY = {False: 4000, True: 12000}  # MB that a job asks for at first, by whether it trains: as the profile has it
MINUTES_AT_LAST = {"table": 90, "train": 540, "search": 2160}  # of its third attempt, the same
LINE = 20_000  # characters of a submit line: a command with its inputs and resources, and room
HEAD, NODE = "from the head node", "from a node"
ON = "on node "


def main(arguments: list[str]) -> None:
    """Check the head node, or, called by its job, the node that this runs on."""
    if arguments and (len(arguments) != 3 or arguments[0] != "node"):
        sys.exit(f"doctor.py: expected no argument, got {' '.join(arguments)}")
    good = node(Path(arguments[1]), arguments[2]) if arguments else head()
    sys.exit(0 if good else 1)


def head() -> bool:
    """The checks of the head node, then those of a job on each partition."""
    try:
        site = read_site()
    except BadInput as error:
        return said("the settings of the cluster can be read", False, str(error), "put it right")
    good = experiment() and free_space(site["jobs"])
    answers, output = run("sinfo", "--noheader", "--format=%P")
    if not said("Slurm answers", answers, output, "this must be the head node of a cluster"):
        return False
    partitions = {"cpu": site["partition"]}
    if wants_gpu():
        partitions["gpu"] = site["gpu_partition"] or site["partition"]
    good = all([good, *fits(site, list(partitions.values()))])
    for kind, name in partitions.items():
        good = partition_is_up(name) and job(kind, name, site, trains=kind == list(partitions)[-1]) and good
    return good


def fits(site: dict[str, Any], partitions: list[str | None]) -> list[bool]:
    """Whether site.yaml asks for no more than the site allows, of partitions whose last one trains.

    What the site refuses fails, and burns its retries; or it waits in the queue forever.
    """
    settings = config()
    checks = []
    for limit in queue(settings, site["account"], site["qos"], partitions)[:1]:
        what = f"{site['jobs']} jobs may be in the queue at once"
        cure = f"put jobs: {limit.most} into {SITE}, less where you send others beside"
        checks.append(said(what, site["jobs"] <= limit.most, f"expected at most {limit.most}, {limit.name}", cure))
    for number, partition in enumerate(partitions, start=1):
        kind = "table" if number < len(partitions) else "search" if searches() else "train"
        minutes = min(MINUTES_AT_LAST[kind], site["max_minutes"] or MINUTES_AT_LAST[kind])
        what = f"jobs of {minutes} minutes may run on {partition or 'the default partition'}"
        for limit in time(settings, site["account"], site["qos"], partition)[:1]:
            cure = f"put max_minutes: {limit.most} into {SITE}: longer jobs are refused, or wait forever"
            checks.append(said(what, minutes <= limit.most, f"expected at most {limit.most}, {limit.name}", cure))
    if others := rivals(settings, site["account"], site["qos"], partitions):
        what = f"jobs that {', '.join(others)} may push out are sent again"
        checks.append(
            said(what, site["preemptible"], "Snakemake would wait forever", f"put preemptible: true into {SITE}")
        )
    size = int(settings.get("MaxArraySize", 1001))
    cure = "ask for MaxArraySize of 3 in slurm.conf"
    checks.append(
        said("the plugin starts", size > 2, f"it refuses MaxArraySize {size}, though nobody sends arrays", cure)
    )
    line = re.search(r"max_submit_line_size=(\d+)", settings.get("SchedulerParameters", ""))
    long = not line or int(line[1]) >= LINE or site["script"]
    checks.append(said("submit lines are not too long", long, line[0] if line else "", f"put script: true into {SITE}"))
    if site["efficiency"]:
        checks.append(
            said("accounting answers", *run("sacct", "--noheader", "--jobs=1"), f"put efficiency: false into {SITE}")
        )
    return checks


def experiment() -> bool:
    """Whether params.yaml can be read, and every method takes the options of its row on every task."""
    from ship.methods.options import check_grid  # noqa: PLC0415  # loads torch, which a node may lack

    try:
        check_grid(read_params())
    except BadInput as error:
        return said("params.yaml is an experiment", False, str(error), "`ship init list` shows some")
    return said("params.yaml is an experiment", True)


def searches() -> bool:
    """Whether one of its rows has a search."""
    params = known()
    return params is None or any(params.methods[name].search for name in params.grid.methods)


def free_space(jobs: int) -> bool:
    """Whether the disks of the clone and of `archives` have room for what the experiment has yet to write to each."""
    try:
        params = read_params()
        parts, archives = wanted(params, jobs), standing(expanded(params.archives))
    except BadInput:
        return True  # `experiment` says so
    elsewhere = {"archives": archives} if archives.stat().st_dev != Path().stat().st_dev else {}
    disks: dict[Path, dict[str, int]] = {}
    for name, size in parts.items():
        disks.setdefault(elsewhere.get(name, Path()), {})[name] = size
    checks = [has_room(place, sizes) for place, sizes in disks.items()]
    return all(checks)


def has_room(place: Path, sizes: dict[str, int]) -> bool:
    """Whether the disk of `place` has as many bytes free, by what they are of."""
    need, free = sum(sizes.values()) / 1e9, free_disk(place) / 1e9
    of = ", ".join(f"{name} {size / 1e9:.1f}" for name, size in sizes.items())
    where = "" if place == Path() else f" at {place}"
    cure = "`archives` in params.yaml names another folder" if where else "move the clone, or `dvc gc --workspace`"
    return said(f"{free:.0f} GB are free{where}, for some {need:.0f}: {of}", free >= need, f"expected {need:.0f}", cure)


def partition_is_up(name: str | None) -> bool:
    """Whether a partition takes jobs; the cluster's default one is taken on trust."""
    if not name:
        return True
    _, states = run("sinfo", "--noheader", f"--partition={name}", "--format=%a")
    good = "up" in states.split()
    return said(f"partition {name} is up", good, states, f"`sinfo` shows the others; put one into {SITE}")


def job(kind: str, partition: str | None, site: dict[str, Any], *, trains: bool) -> bool:
    """Run the checks of a node in a job as large as those of the workflow; whether all hold, and are seen here."""
    options = {name: site[name] for name in ("account", "qos", "reservation")} | {"partition": partition}
    params = known()
    options |= {"time": MINUTES, "mem": MEMORY[trains], "cpus-per-task": params.compute.threads if params else 1}
    options |= gpu(site) if kind == "gpu" else {}
    asked = [f"--{key}={value}" for key, value in options.items() if value]
    mark = Path(f".doctor-{uuid.uuid4().hex}").resolve()
    mark.write_text(HEAD, encoding="utf-8")
    call = [sys.executable, str(Path(__file__).resolve()), "node", str(mark), kind]
    try:
        done, output = run("srun", "--ntasks=1", f"--immediate={60 * MINUTES}", *asked, *call)
        back = mark.read_text(encoding="utf-8") == NODE
    finally:
        mark.unlink()
    print("".join(f"      {line}\n" for line in output.splitlines()), end="")
    if not re.search(rf"^{ON}", output, re.MULTILINE):
        return said(f"a {kind} job starts ({' '.join(asked)})", False, output, f"put it right in {SITE}")
    seen = said("the head node sees what it wrote", back, "", "the clone must lie on a shared folder")
    return said(f"a {kind} job ran and all was well", done, "see the lines before", "put it right") and seen


def gpu(site: dict[str, Any]) -> dict[str, Any]:
    """Options of srun that ask for a GPU, as the profile asks for one."""
    one = f"{site['gpu_model']}:1" if site["gpu_model"] else "1"
    whole = (
        {"gres": f"gpu:{one}"}
        if site["gpu_gres"]
        else {"gpus" if re.fullmatch(r"[A-Za-z0-9_.:]+", one) else "gpus-per-node": one}
    )
    return {**({"gres": site["gpu_share"]} if site["gpu_share"] else whole), "constraint": site["gpu_constraint"]}


def node(mark: Path, kind: str) -> bool:
    """The checks of a node, whose answer goes into the file that the head node wrote."""
    print(f"{ON}{os.environ.get('SLURMD_NODENAME', 'this node')}")
    seen = mark.exists() and mark.read_text(encoding="utf-8") == HEAD
    if seen:
        mark.write_text(NODE, encoding="utf-8")
    good = [said("it sees what the head node wrote", seen, str(mark), "the clone must lie on a shared folder")]
    done, output = run(sys.executable, "-c", "import ship, torch; print(ship.__version__, torch.__version__)")
    good.append(said("it has the environment", done, output, f"{sys.prefix} must lie on a shared folder"))
    if kind == "gpu" and done:
        done, output = run(sys.executable, str(Path(__file__).with_name("gpu.py")))
        print(output, end="")
        good.append(said("its GPU computes what it should", done, output, "its driver, or PyTorch's build"))
    return all(good)


def said(what: str, good: bool, details: str = "", cure: str = "") -> bool:
    """Print a check and how it went; whether it holds."""
    last = details.strip().splitlines()[-1] if details.strip() else "no"
    print(f"ok    {what}" if good else f"FAIL  {what}: {last} ({cure})", flush=True)
    return good


if __name__ == "__main__":
    main(sys.argv[1:])
