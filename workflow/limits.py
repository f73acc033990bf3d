"""What a site says about the jobs that it takes, for `doctor.py`: as Slurm's commands answer on the head node."""

import getpass
import re
import subprocess
from typing import NamedTuple


class Limit(NamedTuple):
    """So many jobs may be in the queue, by the setting of that name."""

    jobs: int
    name: str


def run(*command: str) -> tuple[bool, str]:
    """Whether a command succeeded, and all that it said."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    except FileNotFoundError:
        return False, f"there is no command `{command[0]}`"
    return done.returncode == 0, done.stdout


def config() -> dict[str, str]:
    """The settings of slurmctld, by name."""
    _, output = run("scontrol", "show", "config")
    return dict(re.findall(r"^(\w+) *= (.*?) *$", output, re.MULTILINE))


def queue(settings: dict[str, str], account: str | None, qos: str | None, partitions: list[str | None]) -> list[Limit]:
    """Every limit on the jobs that a user may have in the queue, least first; without accounting that of slurmctld."""
    user, cluster = f"user={getpass.getuser()}", f"cluster={settings.get('ClusterName', '')}"
    found = [Limit(int(settings["MaxJobCount"]), "MaxJobCount")] if "MaxJobCount" in settings else []
    account = account or next((row["DefaultAccount"] for row in records("user", ["DefaultAccount"], user)), None)
    names = ["MaxSubmit", "GrpSubmit", "DefaultQOS"]
    accounts = records("assoc", names, user, cluster, *([f"account={account}"] if account else []))
    for row in accounts:
        found += given(row, f"of account {account}")
    named = {qos} if qos else {row["DefaultQOS"] for row in accounts}
    for name in sorted((named | {partition_qos(partition) for partition in partitions if partition}) - {"", None}):
        for row in records("qos", ["MaxSubmitPU", "MaxSubmitPA", "GrpSubmit"], name):
            found += given(row, f"of qos {name}")
    return sorted(found)


def given(row: dict[str, str], whose: str) -> list[Limit]:
    """The limits in a record; an empty one is none."""
    return [Limit(int(value), f"{name} {whose}") for name, value in row.items() if "Submit" in name and value.isdigit()]


def partition_qos(partition: str) -> str:
    """The quality of service whose limits hold for all jobs of a partition; empty where it has none."""
    _, output = run("scontrol", "show", "partition", partition, "--oneliner")
    name = re.search(r"\bQoS=(\S+)", output)
    return name[1] if name and name[1] != "N/A" else ""


def records(kind: str, names: list[str], *which: str) -> list[dict[str, str]]:
    """Records of the accounting database; none where there is no such database."""
    command = ("sacctmgr", "--noheader", "--parsable2", "--readonly", "show", kind, *which, f"format={','.join(names)}")
    good, output = run(*command)
    rows = [line.split("|") for line in output.splitlines()] if good else []
    return [dict(zip(names, row, strict=True)) for row in rows if len(row) == len(names)]
