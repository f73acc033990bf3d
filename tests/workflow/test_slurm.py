"""`snakemake --profile slurm` on a real Slurm: the bytes of a run on one machine, whatever happens to a job.

Commands are forked, those of jobs too, but where a job is killed by its memory, cancelled, or hangs.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
from datetime import datetime
from pathlib import Path

import cluster
import pytest
from cluster import SNAKEMAKE, describe
from project import ROOT, command, commands_in, contents, environment_of, make_project, write_params

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.usefixtures("at_once")]
SMALL = {
    "grid.tasks": ["digits"],
    "grid.methods": ["vpt"],
    "train.epochs": 160,  # some seconds, within which a job is disturbed
    "compute.device": "auto",  # asks for a GPU, and is content with none
}
SEARCH = {"sampler": "grid", "choices": {"train.lr": [0.01, 0.02]}}
PATIENT = ("snakemake", "--profile", "slurm", "--slurm-init-seconds-before-status-checks", "2")
RUN = "runs/vit_random/digits/vpt/0"
TRAINED = f"{RUN}/run.json"


@pytest.fixture(scope="session")
def reference(once, started):
    """The small experiment, computed on this machine without a cluster."""

    def make(folder):
        describe(make_project(folder, SMALL))
        with commands_in(started):
            done = command("snakemake", "--cores", "2", cwd=folder)
        assert done.returncode == 0, done.stderr

    return once("reference", make)


@pytest.fixture
def project(slurm, reference, tmp_path):
    """A copy whose runs, and what is made of them, are still to be made."""
    folder = shutil.copytree(reference, tmp_path / "project", symlinks=True)
    for name in ("runs", "logs", "report", "results/plots"):
        shutil.rmtree(folder / name)
    for path in (folder / "results").glob("*.*"):
        path.unlink()
    return folder


def start(folder, *arguments, command=SNAKEMAKE):
    """The workflow on the cluster, under way; what it says goes to a file."""
    with (folder / "said").open("wb") as said:
        return subprocess.Popen(
            [*command, *arguments], cwd=folder, env=environment_of(folder), stdout=said, stderr=said
        )


def finish(folder, process):
    """Wait for its end; what it said."""
    code, said = process.wait(600), (folder / "said").read_text()
    assert code == 0, said
    return said


def in_training(folder):
    """Wait until the run has finished an epoch."""
    cluster.wait((folder / RUN / "resume.safetensors").exists, "a first epoch", 120)


def jobs(folder, rule):
    """What Slurm remembers of the jobs of a rule in `folder`, oldest first."""
    found = []
    for line in cluster.run("scontrol", "show", "jobs", "--oneliner").splitlines():
        job = dict(re.findall(r"(\w+(?:/\w+)?)=(\S*)", line))
        if job.get("Comment", "").startswith(f"rule_{rule}") and job["WorkDir"] == str(folder):
            found.append(job)
    return sorted(found, key=lambda job: int(job["JobId"]))


def running(folder, rule):
    """The number of the one running job of a rule in `folder`."""
    [job] = [job["JobId"] for job in jobs(folder, rule) if job["JobState"] == "RUNNING"]
    return job


def training(folder):
    """The processes that train the run of `folder`, and of no other."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended, or is somebody else's
            command_line = (process / "cmdline").read_bytes()
            if b"train\0vit_random/digits/vpt/0" in command_line and (process / "cwd").readlink() == folder:
                found.append(int(process.name))
    return found


def went_on(folder):
    """Whether the last process of the run went on with what the one before had left."""
    return "going on after epoch" in (folder / "logs/train/vit_random/digits/vpt/0.log").read_text()


def same(folder, reference, *others):
    """Whether the run, and what `others` match, have the bytes of an undisturbed one."""
    return contents(folder, "runs/**/*", *others) == contents(reference, "runs/**/*", *others)


def test_the_quick_start_runs_on_a_cluster(slurm, tmp_path):
    """Its preset, smaller: every training held a GPU, and never more did so than there are GPUs."""
    folder = make_project(tmp_path / "project")
    describe(folder)
    small = [f"tasks.digits.{split}={count}" for split, count in (("train", 80), ("val", 20), ("test", 50))]
    small += ["grid.tasks=[digits]", "grid.methods=[vpt, ship]", "grid.seeds=[0, 1]", "compute.device=auto"]
    small += ["train.epochs=2"]
    done = command("ship", "init", "quickstart", *small, cwd=folder)
    assert done.returncode == 0, done.stderr
    finish(folder, start(folder))
    assert "</html>" in (folder / "report/index.html").read_text()
    trainings = jobs(folder, "train")
    assert len(trainings) == 4
    assert {job["TresPerJob"] for job in trainings} == {"gres:gpu:1"}
    assert {job["Partition"] for job in trainings} == {"gpu"}
    assert {job["Comment"] for job in trainings} >= {"rule_train_wildcards_vit_mini_digits_ship_0"}
    spans = [(time(job["StartTime"]), time(job["EndTime"])) for job in trainings]
    assert max(sum(begin <= moment < end for begin, end in spans) for moment, _ in spans) <= len(slurm.nodes["gpu"])
    assert not jobs(folder, "prepare")  # what downloads runs on the head node
    assert not jobs(folder, "backbone")
    assert "Nothing to be done" in finish(folder, start(folder))


def time(text):
    """Slurm's way to write a time."""
    return datetime.fromisoformat(text)


def test_a_cancelled_search_goes_on(project, tmp_path):
    """`scancel` in its second trial: the settings of an undisturbed search, and the first trial is not made again."""
    settings = {**SMALL, "train.epochs": 100, "methods.vpt.search": SEARCH}
    chosen = "results/settings/vit_random/digits/vpt.json"
    alone = shutil.copytree(project, tmp_path / "alone", symlinks=True)
    for folder in (project, alone):
        write_params(folder, settings)
    done = command("snakemake", "--cores", "2", "--", chosen, cwd=alone)
    assert done.returncode == 0, done.stderr
    process = start(project, chosen)
    cluster.wait((project / "searches/vit_random/digits/vpt/trials.json").exists, "a first trial", 240)
    cluster.run("scancel", running(project, "search"))
    finish(project, process)
    assert [job["JobState"] for job in jobs(project, "search")][-2:] == ["CANCELLED", "COMPLETED"]
    assert jobs(project, "search")[-1]["TresPerJob"] == "gres:gpu:1"
    assert "going on after 1 trials of it" in (project / "logs/search/vit_random/digits/vpt.log").read_text()
    assert (project / chosen).read_bytes() == (alone / chosen).read_bytes()


class TestDisturbed:
    """The workflow ends complete, with the bytes of an undisturbed run, and training goes on from its last epoch."""

    def test_a_cancelled_job(self, project, reference):
        """`scancel` of a training, where each command is a process of its own."""
        with commands_in():
            process = start(project, TRAINED)
        in_training(project)
        cluster.run("scancel", running(project, "train"))
        finish(project, process)
        assert [job["JobState"] for job in jobs(project, "train")][-2:] == ["CANCELLED", "COMPLETED"]
        assert went_on(project)
        assert same(project, reference)

    def test_a_lost_node(self, slurm, project, reference):
        """Its daemon and its jobs die at once; the training is sent to another node."""
        describe(project, gpu_partition="lost")
        process = start(project, TRAINED)
        in_training(project)
        lost = jobs(project, "train")[-1]["NodeList"]
        slurm.lose(lost)
        try:
            finish(project, process)
        finally:
            slurm.start_node(lost)
        first, second = jobs(project, "train")[-2:]
        assert (first["JobState"], second["JobState"]) == ("NODE_FAIL", "COMPLETED")
        assert second["NodeList"] != lost
        assert went_on(project)
        assert same(project, reference)

    def test_a_job_that_is_put_back_into_the_queue(self, project, reference):
        """As where jobs of higher priority may push it out: Slurm starts it again, Snakemake waits."""
        describe(project, preemptible=True)
        process = start(project, TRAINED)
        in_training(project)
        number = running(project, "train")
        cluster.run("scontrol", "requeue", number)
        said = finish(project, process)
        [job] = [job for job in jobs(project, "train") if job["JobId"] == number]
        assert (job["JobState"], job["Restarts"]) == ("COMPLETED", "1"), said
        assert went_on(project)
        assert same(project, reference)

    def test_a_job_over_its_time(self, project, reference, but_ship):
        """A training that hangs is ended at its limit of a minute; the next one has two."""
        limit = ("train:runtime=attempt", "train:mem_mb=4000", "train:slurm_partition=gpu")
        with commands_in(but_ship):
            process = start(project, "--set-resources", *limit, "--", TRAINED)
        in_training(project)
        hanging = training(project)
        assert hanging
        for pid in hanging:
            os.kill(pid, signal.SIGSTOP)
        finish(project, process)
        assert [job["JobState"] for job in jobs(project, "train")][-2:] == ["TIMEOUT", "COMPLETED"]
        assert went_on(project)
        assert same(project, reference)

    def test_a_job_over_its_memory(self, project, reference):
        """It is killed, and gets more."""
        limit = ("train:mem_mb=400 * attempt ** 3", "train:slurm_partition=gpu")
        with commands_in():  # Slurm measures its own processes, not those that another one forks
            process = start(project, "--set-resources", *limit, "--", TRAINED)
        finish(project, process)
        assert [job["JobState"] for job in jobs(project, "train")][-2:] == ["FAILED", "COMPLETED"]
        assert same(project, reference)

    @pytest.mark.alone
    def test_a_restarted_controller(self, slurm, project, reference):
        """Jobs go on without slurmctld, and Snakemake waits for it.

        It asks as seldom as for users: a question in the seconds of the restart goes to sacct, which answers nothing
        here, and the executor then forgets the job (docs/cluster.md).
        """
        process = start(project, TRAINED, command=PATIENT)
        in_training(project)
        slurm.await_saved()
        slurm.kill("slurmctld")
        slurm.start_controller()
        finish(project, process)
        assert same(project, reference)

    def test_a_killed_snakemake(self, project, reference):
        """The way back of docs/cluster.md: end its jobs, unlock, start again."""
        process = start(project, "results/metrics.json")
        in_training(project)
        process.send_signal(signal.SIGKILL)
        process.wait()
        link = project.with_name("link")  # a home folder is often one
        link.symlink_to(project)
        for line in way_back():
            around = environment_of(project) | {"PWD": str(link)}
            done = subprocess.run(["bash", "-c", line], cwd=link, env=around, check=False)
            assert done.returncode == 0, line
        finish(project, start(project, "results/metrics.json"))
        assert went_on(project)
        assert same(project, reference, "results/**/*")


def way_back():
    """The commands between the words of docs/cluster.md on a killed Snakemake and the start of the next one."""
    text = (ROOT / "docs/cluster.md").read_text()
    block = re.search(r"killed Snakemake.*?```sh\n(.*?)```", text, re.DOTALL)[1]
    return [line for line in block.splitlines() if not line.startswith("snakemake --profile slurm  ")]


def test_two_runs_share_a_gpu(project, reference):
    """Where the profile asks for a part of one, they run there at once."""
    describe(project, gpu_share="shard:1", gpu_partition="shared")
    write_params(project, {**SMALL, "grid.seeds": [0, 1, 2]})
    targets = [f"runs/vit_random/digits/vpt/{seed}/run.json" for seed in range(3)]
    finish(project, start(project, "--", *targets))
    trainings = jobs(project, "train")
    assert {job["TresPerNode"] for job in trainings} == {"gres:shard:1"}
    spans = [(time(job["StartTime"]), time(job["EndTime"])) for job in trainings]
    assert max(sum(begin <= moment < end for begin, end in spans) for moment, _ in spans) > 2
    assert contents(project, f"{RUN}/*") == contents(reference, f"{RUN}/*")


@pytest.mark.parametrize("site", [{}, {"gpu_gres": True}, {"gpu_share": "shard:1"}])
def test_short_runs_share_a_job(project, reference, site):
    """Two of them, one after another, with the memory of one, however the GPU is asked for."""
    describe(project, runs_per_job=2, **site)
    write_params(project, {**SMALL, "grid.seeds": [0, 1]})
    targets = [f"runs/vit_random/digits/vpt/{seed}/run.json" for seed in range(2)]
    said = finish(project, start(project, "--", *targets))
    assert len(re.findall(r"submitted with SLURM jobid", said)) == 1
    assert [job["MinMemoryNode"] for job in jobs(project, "runs")] == ["12000M"]
    assert contents(project, f"{RUN}/*") == contents(reference, f"{RUN}/*")


def test_no_job_asks_for_more_time_than_there_is(project):
    """A cluster refuses a job that does."""
    describe(project, max_minutes=20)
    done = command("snakemake", "--profile", "slurm", "--dry-run", cwd=project)
    assert set(re.findall(r"runtime=(\d+)", done.stdout)) == {"20"}, done.stderr


class TestDoctor:
    """Every check is a line, and the exit code tells whether all hold."""

    def doctor(self, folder, *, fails=False):
        done = command("python", "workflow/doctor.py", cwd=folder)
        assert bool(done.returncode) == fails, done.stdout + done.stderr
        return done.stdout

    def test_a_fit_cluster(self, project):
        """Without a GPU, where none is asked for."""
        write_params(project, {**SMALL, "compute.device": "cpu"})
        with commands_in():
            said = self.doctor(project)
        assert "ok    a cpu job ran and all was well" in said
        assert "FAIL" not in said
        assert not list(project.glob(".doctor-*"))

    def test_a_gpu_without_a_driver(self, project):
        """Seen in a job, on its partition."""
        said = self.doctor(project, fails=True)
        assert "ok    the head node sees what it wrote" in said
        assert "FAIL  its GPU computes what it should: gpu.py: expected a GPU that PyTorch sees, got none" in said

    def test_an_unknown_partition(self, project):
        """Named, with the file to edit."""
        describe(project, partition="cpus")
        assert "FAIL  partition cpus is up: no (`sinfo` shows the others" in self.doctor(project, fails=True)

    def test_an_experiment_that_cannot_be_read(self, project):
        """With the line that it is about; a misspelt option, too, which else each job would stumble over."""
        write_params(project, {**SMALL, "train.lr": "fast"})
        assert "FAIL  params.yaml is an experiment: params.yaml: train.lr" in self.doctor(project, fails=True)
        write_params(project, {**SMALL, "methods.vpt.options": {"promt": 1}})
        assert "is an experiment: params.yaml: methods.vpt.options.promt: expected" in self.doctor(project, fails=True)
