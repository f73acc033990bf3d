"""What doctor.py says of a site's limits, without a cluster: commands of Slurm that answer as its manual says."""

import os
import re
import shutil
import sys
from pathlib import Path

import pytest
import yaml
import yte
from project import BACKBONE, ROOT, write_params

from ship.artifacts import TUNED, Run, backbone_file, task_file
from ship.data.sources.catalogue import ARCHIVES, SOURCES
from ship.experiment.params import read_params

sys.path.append(str(ROOT / "workflow"))
import disk
import doctor
import limits

SHIPPED = yaml.safe_load((ROOT / "profiles/slurm/site.yaml").read_text())
CONFIG = """Configuration data as of 2026-01-01T00:00:00
ClusterName             = big
MaxArraySize            = 1001
MaxJobCount             = 10000
SchedulerParameters     = bf_interval=30
"""


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A function that lays down what each command of Slurm answers, by the words that its arguments hold."""
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    def answer(command, *answers):
        cases = "".join(f'case "$*" in *"{words}"*) cat <<"END"\n{text}\nEND\nexit;; esac\n' for words, text in answers)
        (tmp_path / command).write_text(f"#!/bin/sh\n{cases}echo '{command}: error'; exit 1\n")
        (tmp_path / command).chmod(0o755)

    for command in ("scontrol", "sacctmgr", "sacct"):
        answer(command)
    answer("scontrol", ("show config", CONFIG))
    return answer


def said(capsys, partitions=(None,), **site):
    """The lines of the checks, and whether all hold."""
    good = all(doctor.fits({**SHIPPED, **site}, list(partitions)))
    return good, capsys.readouterr().out


def test_a_site_that_cannot_be_read_is_told(tmp_path, monkeypatch, capsys):
    """As outside a clone; no traceback."""
    monkeypatch.chdir(tmp_path)
    assert not doctor.head()
    assert (
        "site.yaml: expected the settings of a cluster, found none (change to the root of a clone"
        in capsys.readouterr().out
    )


def test_a_site_without_accounting_limits_the_cluster_alone(slurm, capsys):
    """MaxJobCount, which is far away."""
    assert said(capsys)[0]
    good, lines = said(capsys, jobs=20000)
    assert not good
    assert "FAIL  20000 jobs may be in the queue at once: expected at most 10000, MaxJobCount (put jobs: 10000" in lines


def test_the_least_limit_counts(slurm, capsys):
    """Of the account, which is the user's default one, of its quality of service, and of the partition's."""
    slurm("scontrol", ("show config", CONFIG), ("partition gpu", "PartitionName=gpu AllowQos=ALL QoS=few MaxNodes=1"))
    slurm(
        "sacctmgr",
        ("show user", "physics"),
        ("account=physics", "80|||normal"),
        ("account=art", "40|||normal"),
        ("show qos normal", "70|||"),
        ("show qos few", "|60||"),
        ("show qos high", "||50|"),
    )
    expected = ["MaxSubmitPA of qos few", "MaxSubmitPU of qos normal", "MaxSubmit of account physics", "MaxJobCount"]
    found = limits.queue(limits.config(), None, None, [None, "gpu"])
    assert found == [(60 + 10 * rank if rank < 3 else 10000, name) for rank, name in enumerate(expected)]
    assert limits.queue(limits.config(), "physics", "high", [])[0] == (50, "GrpSubmit of qos high")
    assert limits.queue(limits.config(), "art", "high", [])[0] == (40, "MaxSubmit of account art")
    good, lines = said(capsys, [None, "gpu"])
    assert not good
    assert (
        "FAIL  100 jobs may be in the queue at once: expected at most 60, MaxSubmitPA of qos few (put jobs: 60" in lines
    )
    assert said(capsys, [None, "gpu"], jobs=60)[0]


def test_a_job_is_no_longer_than_its_partition_and_quality_of_service_allow(slurm, capsys, tmp_path, monkeypatch):
    """Else it is refused, or waits in the queue forever, mostly as a third attempt; of no name, the default one."""
    monkeypatch.chdir(tmp_path)
    write_params(tmp_path, {})
    slurm(
        "scontrol",
        ("show config", CONFIG),
        ("partition gpu", "PartitionName=gpu QoS=N/A MaxTime=08:00:00"),
        ("partition --one", "PartitionName=all Default=NO MaxTime=1\nPartitionName=cpu Default=YES MaxTime=01:15:00"),
        ("partition free", "PartitionName=free MaxTime=UNLIMITED"),
    )
    slurm("sacctmgr", ("show qos long", "|||1-12:00:00"), ("show qos short", "|||00:30:00"))
    good, lines = said(capsys, [None, "gpu"])
    assert not good
    assert (
        "FAIL  jobs of 90 minutes may run on the default partition: expected at most 75, MaxTime of partition cpu "
        "(put max_minutes: 75 into profiles/slurm/site.yaml" in lines
    )
    assert "FAIL  jobs of 540 minutes may run on gpu: expected at most 480, MaxTime of partition gpu" in lines
    assert said(capsys, [None, "gpu"], max_minutes=75)[0]
    assert not said(capsys, [None, "gpu"], max_minutes=76)[0]
    assert said(capsys, ["free"], qos="long")[0]
    assert (
        "540 minutes may run on free: expected at most 30, MaxWall of qos short"
        in said(capsys, ["free"], qos="short")[1]
    )
    write_params(tmp_path, {"methods.vpt.search": {"sampler": "grid", "choices": {"train.lr": [0.01, 0.02]}}})
    assert said(capsys, ["free"], qos="long")[0]
    assert "FAIL  jobs of 2160 minutes may run on gpu" in said(capsys, ["gpu"])[1]


def test_jobs_that_may_be_preempted_want_slurm_to_send_them_again(slurm, capsys, tmp_path, monkeypatch):
    """By another quality of service, or a partition of a higher tier: else Snakemake waits for them forever."""
    monkeypatch.chdir(tmp_path)
    slurm("scontrol", ("show config", CONFIG + "PreemptType = preempt/qos\n"))
    slurm(
        "sacctmgr",
        ("show qos scavenge", "|||"),
        ("show qos gold", "|||"),
        ("show qos", "gold|scavenge,idle\nscavenge|"),
    )
    cure = (
        "FAIL  jobs that qos gold may push out are sent again: Snakemake would wait forever (put preemptible: true into"
    )
    assert cure in said(capsys, qos="scavenge")[1]
    assert said(capsys, qos="scavenge", preemptible=True)[0]
    assert said(capsys, qos="gold")[0]
    tiers = "PartitionName={} PreemptMode={} PriorityTier={}"
    low, kept, high = (tiers.format(*row) for row in (("low", "CANCEL", 1), ("kept", "OFF", 1), ("high", "OFF", 2)))
    slurm(
        "scontrol",
        ("show config", CONFIG + "PreemptType = preempt/partition_prio\n"),
        ("partition low", low),
        ("partition kept", kept),
        ("show partition", f"{low}\n{kept}\n{high}"),
    )
    assert "FAIL  jobs that partition high may push out are sent again" in said(capsys, ["low"])[1]
    assert said(capsys, ["kept"])[0]


def test_what_jobs_ask_for_is_what_the_profile_says(monkeypatch):
    """At first the memory, at last the time: where you change them there, the doctor shall look for those."""
    monkeypatch.chdir(ROOT)
    profile = yte.process_yaml((ROOT / "profiles/slurm/config.v9+.yaml").read_text())

    def asked(rule, name, attempt):
        text = profile["set-resources"].get(rule, profile["default-resources"])[name]
        return eval(text, {"attempt": attempt})  # as Snakemake does

    rules = {"table": "aggregate", "train": "train", "search": "search"}
    assert {kind: asked(rule, "runtime", 3) for kind, rule in rules.items()} == doctor.MINUTES_AT_LAST
    assert {True: asked("train", "mem_mb", 1), False: asked("aggregate", "mem_mb", 1)} == doctor.MEMORY


def test_a_job_that_does_not_start_tells_why(tmp_path, monkeypatch, capsys):
    """What was asked for, and Slurm's words; nothing of folders that it never saw."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(doctor, "run", lambda *_: (False, "srun: error: Invalid qos specification\n"))
    assert not doctor.job("cpu", "batch", {**SHIPPED, "qos": "gold"}, trains=False)
    words = "FAIL  a cpu job starts (--qos=gold --partition=batch --time=10 --mem=4000 --cpus-per-task=1): srun: error:"
    lines = capsys.readouterr().out
    assert f"{words} Invalid qos specification" in lines
    assert "shared folder" not in lines
    assert not list(tmp_path.iterdir())


def test_a_site_that_refuses_long_lines_wants_scripts(slurm, capsys):
    """Named before a job fails of it."""
    slurm("scontrol", ("show config", CONFIG.replace("=30", "=30,max_submit_line_size=4096")))
    assert "FAIL  submit lines are not too long: max_submit_line_size=4096 (put script: true" in said(capsys)[1]
    assert said(capsys, script=True)[0]


def test_a_site_without_arrays_stops_the_plugin(slurm, capsys):
    """It asks for them although none is sent."""
    slurm("scontrol", ("show config", CONFIG.replace("1001", "1")))
    assert "FAIL  the plugin starts: it refuses MaxArraySize 1" in said(capsys)[1]


def test_a_report_on_efficiency_needs_accounting(slurm, capsys):
    """Else nothing would be reported, after hours."""
    assert "FAIL  accounting answers: sacct: error (put efficiency: false" in said(capsys, efficiency=True)[1]
    slurm("sacct", ("--jobs", ""))
    assert said(capsys, efficiency=True)[0]


def test_the_disk_that_is_asked_for_follows_the_grid(tmp_path, monkeypatch, capsys):
    """Runs of full fine-tuning keep the backbone, once more in DVC's cache, and thrice while unfinished."""
    monkeypatch.chdir(tmp_path)
    small = {"grid.methods": ["linear", "vpt"], "grid.seeds": [0, 1, 2]}
    write_params(tmp_path, small)
    few = disk.wanted(read_params(), jobs=100)
    assert few["archives"] == 0
    assert few["runs"] == (disk.CACHE + disk.RESUME) * 12 * disk.RUN
    write_params(tmp_path, {**small, "grid.methods": ["linear", "full"], "methods.full": {"method": "full"}})
    many = disk.wanted(read_params(), jobs=2)
    assert many["runs"] == disk.CACHE * (12 * disk.RUN + 6 * disk.BASE) + disk.RESUME * 2 * (disk.RUN + disk.BASE)
    assert doctor.free_space(jobs=2) == (shutil.disk_usage(tmp_path).free > sum(many.values()))
    assert "GB are free, for some 10: archives 0.0, images 4.0, runs 6.3" in capsys.readouterr().out


def test_the_disk_that_is_asked_for_is_for_what_is_not_there(tmp_path, monkeypatch):
    """Of the grid's tasks alone; of a backbone that is there, tuned in part, as much as is tuned."""
    monkeypatch.chdir(tmp_path)
    last = {"method": "partial", "options": {"blocks": 2}}
    tasks = {"tasks.oxford_iiit_pet": {"source": "vtab1k"}, "tasks.cifar": {"source": "vtab1k"}}
    grid = {"grid.methods": ["linear", "last"], "grid.tasks": ["digits", "oxford_iiit_pet"]}
    write_params(tmp_path, {"methods.last": last, **tasks, **grid})
    first, second = (ARCHIVES[name] for name in SOURCES["oxford_iiit_pet"].archives)
    whole = disk.wanted(read_params(), jobs=1)
    assert whole["archives"] == first.size + second.size
    there = task_file("digits"), backbone_file(BACKBONE), Run(BACKBONE, "digits", "linear", 0).folder / TUNED
    for path, size in (*((path, 1200) for path in there), (tmp_path / "archives" / first.name, first.size)):
        path.parent.mkdir(parents=True)
        with path.open("wb") as file:
            file.truncate(size)
    left = disk.wanted(read_params(), jobs=1)
    assert left["archives"] == second.size
    assert left["images"] == whole["images"] / 2
    assert left["runs"] == disk.CACHE * (3 * disk.RUN + 2 * 200) + disk.RESUME * (disk.RUN + 200)


def test_archives_are_counted_on_their_own_disk(tmp_path, monkeypatch, capsys):
    """They may lie anywhere, also below `~`; what does not fit there fails there."""
    monkeypatch.chdir(tmp_path)
    other = next(place for place in (Path("/dev/shm"), Path("/run")) if os.access(place, os.W_OK))
    if other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("needs a second disk")
    monkeypatch.setenv("HOME", str(other))
    write_params(tmp_path, {"archives": "~/none/yet"})
    monkeypatch.setattr(doctor, "wanted", lambda *_: {"archives": 10**15, "images": 10**3, "runs": 0})
    assert not doctor.free_space(jobs=1)
    first, second = capsys.readouterr().out.splitlines()
    assert re.match(rf"FAIL  \d+ GB are free at {other}, for some 1000000: archives 1000000.0: .*`archives`", first)
    assert re.match(r"ok    \d+ GB are free, for some 0: images 0.0, runs 0.0", second)


@pytest.mark.parametrize(
    ("site", "options"),
    [
        ({}, {"gpus": "1"}),
        ({"gpu_model": "a100"}, {"gpus": "a100:1"}),
        ({"gpu_model": "a100-sxm4"}, {"gpus-per-node": "a100-sxm4:1"}),
        ({"gpu_gres": True, "gpu_model": "a100"}, {"gres": "gpu:a100:1"}),
        ({"gpu_share": "shard:1"}, {"gres": "shard:1"}),
        ({"gpu_constraint": "a100"}, {"gpus": "1", "constraint": "a100"}),
    ],
)
def test_a_gpu_is_asked_for_as_the_profile_does(site, options):
    """Else the job of the check would tell nothing about those of the workflow."""
    assert {key: value for key, value in doctor.gpu({**SHIPPED, **site}).items() if value} == options


@pytest.mark.parametrize("lacks", [None, "experiment", "free_space", "run", "fits", "partition_is_up", "job"])
def test_one_check_that_fails_is_a_failure(monkeypatch, lacks):
    """Whichever it is; the job on the partition that trains is as large as a training."""
    asked = {}
    for name in ("experiment", "free_space", "partition_is_up"):
        monkeypatch.setattr(doctor, name, lambda *_, name=name: name != lacks)
    monkeypatch.setattr(doctor, "fits", lambda *_: [lacks != "fits"])
    monkeypatch.setattr(doctor, "run", lambda *_: (lacks != "run", ""))
    monkeypatch.setattr(
        doctor, "job", lambda kind, name, _, *, trains: asked.update({kind: (name, trains)}) or lacks != "job"
    )
    monkeypatch.setattr(doctor, "read_site", lambda: {**SHIPPED, "partition": "batch", "gpu_partition": "a100"})
    monkeypatch.setattr(doctor, "wants_gpu", lambda: True)
    with pytest.raises(SystemExit) as end:
        doctor.main([])
    assert end.value.code == int(lacks is not None)
    assert asked == {"cpu": ("batch", False), "gpu": ("a100", True)} or lacks in {"run", "partition_is_up"}
