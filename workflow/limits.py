"""What a site says about the jobs that it takes, for `doctor.py`: as Slurm's commands answer on the head node."""

import getpass
import re
import subprocess
from typing import NamedTuple


class Limit(NamedTuple):
    """So many jobs in the queue, or so many minutes of a job, by the setting of that name."""

    most: int
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
    found = [Limit(int(settings["MaxJobCount"]), "MaxJobCount")] if "MaxJobCount" in settings else []
    for whose, row in _accounting(settings, account, qos, partitions):
        found += [
            Limit(int(value), f"{name} of {whose}")
            for name, value in row.items()
            if "Submit" in name and value.isdigit()
        ]
    return sorted(found)


def time(settings: dict[str, str], account: str | None, qos: str | None, partition: str | None) -> list[Limit]:
    """Every limit on the minutes of a job on a partition, least first."""
    found = [
        Limit(minutes, f"MaxWall of {whose}")
        for whose, row in _accounting(settings, account, qos, [partition])
        if (minutes := _minutes(row["MaxWall"]))
    ]
    described = _described(partition)
    if minutes := _minutes(described.get("MaxTime", "")):
        found.append(Limit(minutes, f"MaxTime of partition {described['PartitionName']}"))
    return sorted(found)


def rivals(settings: dict[str, str], account: str | None, qos: str | None, partitions: list[str | None]) -> list[str]:
    """Whose jobs may push out those of ours: qualities of service, or partitions of a higher tier."""
    kind = settings.get("PreemptType", "")
    if kind == "preempt/qos":
        ours = {whose for whose, _ in _accounting(settings, account, qos, partitions)}
        rows = records("qos", ["Name", "Preempt"])
        return [
            f"qos {row['Name']}" for row in rows if any(f"qos {name}" in ours for name in row["Preempt"].split(","))
        ]
    if kind == "preempt/partition_prio":
        tiers = [
            int(row.get("PriorityTier", 1)) for row in map(_described, partitions) if row.get("PreemptMode") != "OFF"
        ]
        return [
            f"partition {row['PartitionName']}"
            for row in _partitions()
            if int(row.get("PriorityTier", 1)) > min(tiers, default=2**16)
        ]
    return []


def _accounting(
    settings: dict[str, str], account: str | None, qos: str | None, partitions: list[str | None]
) -> list[tuple[str, dict[str, str]]]:
    """Whose limits hold for a job, as the accounting database has them; an empty one is none."""
    user, cluster = f"user={getpass.getuser()}", f"cluster={settings.get('ClusterName', '')}"
    account = account or next((row["DefaultAccount"] for row in records("user", ["DefaultAccount"], user)), None)
    names = ["MaxSubmit", "GrpSubmit", "MaxWall", "DefaultQOS"]
    accounts = records("assoc", names, user, cluster, *([f"account={account}"] if account else []))
    named = {qos} if qos else {row["DefaultQOS"] for row in accounts}
    given = {_described(partition).get("QoS", "") for partition in partitions}
    fields = ["MaxSubmitPU", "MaxSubmitPA", "GrpSubmit", "MaxWall"]
    return [(f"account {account}", row) for row in accounts] + [
        (f"qos {name}", row)
        for name in sorted((named | given) - {"", "N/A", None})
        for row in records("qos", fields, name)
    ]


def _described(partition: str | None) -> dict[str, str]:
    """What slurmctld says of a partition, or of the default one; nothing where there is none."""
    rows = _partitions(*([partition] if partition else []))
    return next((row for row in rows if partition or row.get("Default") == "YES"), {})


def _partitions(*name: str) -> list[dict[str, str]]:
    """What it says of the one with a name, or of all."""
    good, output = run("scontrol", "show", "partition", *name, "--oneliner")
    return [dict(re.findall(r"(\S+?)=(\S*)", line)) for line in output.splitlines()] if good else []


def _minutes(text: str) -> int | None:
    """Of 1-00:00:00 or 02:00:00; None of what says no time, as UNLIMITED does."""
    found = re.fullmatch(r"(?:(\d+)-)?(\d+):(\d+):\d+", text)
    return (int(found[1] or 0) * 24 + int(found[2])) * 60 + int(found[3]) if found else None


def records(kind: str, names: list[str], *which: str) -> list[dict[str, str]]:
    """Records of the accounting database; none where there is no such database."""
    command = ("sacctmgr", "--noheader", "--parsable2", "--readonly", "show", kind, *which, f"format={','.join(names)}")
    good, output = run(*command)
    rows = [line.split("|") for line in output.splitlines()] if good else []
    return [dict(zip(names, row, strict=True)) for row in rows if len(row) == len(names)]
