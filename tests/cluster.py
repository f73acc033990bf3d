"""A real Slurm on this machine, for tests: munge, a controller, a node without GPU and nodes with a counted one.

Debian's packages are enough (slurmctld, slurmd, slurm-client, munge); it needs root, no systemd, no cgroups. Several
nodes share the machine: each has its own name and port. Their GPUs are character devices without a driver, so jobs wait
for them and see CUDA_VISIBLE_DEVICES, but compute on the CPU. Several processes may test on it side by side: whoever
needs it first brings it up, and whoever leaves it last takes it down.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from filelock import FileLock
from project import ROOT

SNAKEMAKE = ("python", str(ROOT / "tests/impatient.py"), "--profile", "slurm")
CONF = Path("/etc/slurm/slurm.conf")  # nowhere else: Snakemake's executor hides SLURM_CONF from srun
MARK = "ClusterName=shiptest"
SAVED = 5  # seconds, at most, between what slurmctld learns and its file of it (SAVE_MAX_WAIT in its source)
DAEMONS = ("munged", "slurmctld", "slurmd", "sbatch", "srun")
PORT = 16817

SETTINGS = """{mark}
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=cred_expire=20
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
SlurmctldPort={port}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
GresTypes=gpu,shard
SlurmdParameters=config_overrides
ReturnToService=2
SlurmdTimeout=10
SlurmctldTimeout=10
MinJobAge=300
InactiveLimit=0
KillWait=2
Waittime=0
"""


def obstacle() -> str:
    """Why no Slurm can be brought up here; empty where it can."""
    if os.geteuid() != 0:
        return "needs root"
    if lacking := [name for name in DAEMONS if not shutil.which(name)]:
        return f"needs Slurm and munge, lacks {', '.join(lacking)} (tests/install_slurm)"
    if CONF.exists() and MARK not in CONF.read_text():
        return f"{CONF} belongs to another cluster"
    return ""


PARTITIONS = {  # the number of nodes; each but those of `cpu` has a GPU of two shards
    "cpu": 2,
    "gpu": 3,
    "lost": 2,  # for whoever lets a node of it die
    "shared": 2,  # for whoever counts what runs there at once
}


class Cluster:
    """A controller and nodes of 2 CPUs and `memory` MB, in the partitions above."""

    def __init__(self, folder: Path, *, memory: int = 32000) -> None:
        self.folder = folder
        self.nodes = {part: [f"{part}{n}" for n in range(count)] for part, count in PARTITIONS.items()}
        self.memory = memory

    @contextmanager
    def up(self) -> Iterator[Cluster]:
        """The cluster, until the last of the processes that are in here leaves."""
        guard = FileLock(f"{self.folder}.lock")
        with Path(f"{self.folder}.users").open("w") as users:
            try:
                with guard:
                    fcntl.flock(users, fcntl.LOCK_SH)
                    if not self._is_up():
                        self._bring_up()
                yield self
            finally:
                with guard:
                    try:
                        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    except OSError:
                        pass  # somebody is in here yet
                    else:
                        self._take_down()

    @contextmanager
    def used(self, *, alone: bool = False) -> Iterator[None]:
        """Whoever is in here `alone` meets nobody else in here."""
        with Path(f"{self.folder}.use").open("w") as use:
            fcntl.flock(use, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
            yield

    def _all_nodes(self) -> list[str]:
        return [node for nodes in self.nodes.values() for node in nodes]

    def _is_up(self) -> bool:
        """Whether somebody brought up this one; what a killed process left there is another's."""
        return CONF.exists() and f"{self.folder}/state\n" in CONF.read_text()

    def _bring_up(self) -> None:
        """Start everything and wait until jobs may be sent to all nodes."""
        nodes = self._all_nodes()
        for name in ("state", "dev", *(f"spool-{node}" for node in nodes)):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self._configure()
        self._munge()
        self.start_controller()
        for node in nodes:
            self._start(node, "slurmd", "-D", "-f", str(CONF), "-N", node)
        for node in nodes:
            self.await_node(node)

    def _take_down(self) -> None:
        """Cancel what runs and end the daemons that were started here."""
        run("scancel", "--user=root")
        wait(lambda: not run("squeue", "--noheader", "--states=running,completing"), "jobs ended", 20)
        for name in [*self._all_nodes(), "slurmctld", "munged"]:
            self.kill(name, signal.SIGTERM)
        for file in (CONF, CONF.with_name("gres.conf")):
            file.unlink(missing_ok=True)  # where it could not be brought up

    def start_controller(self) -> None:
        """Start slurmctld, which takes up what an earlier one left, and wait until it answers."""
        self._start("slurmctld", "slurmctld", "-D", "-f", str(CONF))
        wait(lambda: "UP" in run("scontrol", "ping"), "slurmctld answers")

    def await_saved(self) -> None:
        """Wait until slurmctld has written down what it knows by now; younger jobs are lost with it."""
        time.sleep(SAVED)

    def start_node(self, node: str) -> None:
        """Start a node's slurmd and wait until jobs may be sent to it."""
        self._start(node, "slurmd", "-D", "-f", str(CONF), "-N", node)
        self.await_node(node)

    def await_node(self, node: str) -> None:
        """Wait until jobs may be sent to it."""
        wait(lambda: self.state(node) in {"idle", "mixed", "allocated"}, f"{node} is ready")

    def kill(self, name: str, sign: int = signal.SIGKILL) -> None:
        """End a daemon, whichever process started it: a node by its name, slurmctld, munged."""
        mark = self.folder / f"{name}.started"
        if mark.exists():
            pid = int(mark.read_text())
            os.kill(pid, sign)
            wait(lambda: ended(pid), f"{name} ended", 30)
            mark.unlink()

    def lose(self, node: str) -> None:
        """What a power failure does: the node's daemon and all of its jobs' processes are gone at once."""
        jobs = run("squeue", "--noheader", f"--nodelist={node}", "--format=%A").split()
        self.kill(node)
        for process in Path("/proc").glob("[0-9]*"):
            try:
                environment = (process / "environ").read_bytes().split(b"\0")
                command = (process / "cmdline").read_bytes()
            except OSError:
                continue
            mine = any(f"SLURM_JOB_ID={job}".encode() in environment for job in jobs)
            if mine or any(command.startswith(f"slurmstepd: [{job}.".encode()) for job in jobs):
                os.kill(int(process.name), signal.SIGKILL)

    def state(self, node: str) -> str:
        """A node's state in one word; empty where the controller does not answer."""
        return run("sinfo", "--noheader", f"--nodes={node}", "--format=%T").split("\n")[0]

    def _configure(self) -> None:
        lines = [SETTINGS.format(mark=MARK, host=socket.gethostname(), folder=self.folder, port=PORT)]
        gpu = self.folder / "dev/gpu0"
        if not gpu.exists():
            os.mknod(gpu, 0o20666, os.makedev(1, 3))
        port, gres = PORT, ""
        for part, nodes in self.nodes.items():
            for node in nodes:
                port += 1
                place = f"NodeHostname={node} NodeAddr=127.0.0.1 Port={port} CPUs=2 RealMemory={self.memory}"
                lines.append(f"NodeName={node} {place} {'' if part == 'cpu' else 'Gres=gpu:toy:1,shard:2'}\n")
                if part != "cpu":
                    gres += f"NodeName={node} Name=gpu Type=toy File={gpu}\nNodeName={node} Name=shard Count=2\n"
            lines.append(f"PartitionName={part} Nodes={','.join(nodes)} DefMemPerCPU=500\n")
        CONF.parent.mkdir(parents=True, exist_ok=True)
        CONF.write_text("".join(lines))
        CONF.with_name("gres.conf").write_text(gres)

    def _munge(self) -> None:
        if munge_answers():
            return
        key = Path("/etc/munge/munge.key")
        if not key.exists():
            run("mungekey", "--create", f"--keyfile={key}")
        for folder in ("/run/munge", "/var/log/munge", "/var/lib/munge", "/etc/munge"):
            Path(folder).mkdir(parents=True, exist_ok=True)
            run("chown", "--recursive", "munge:munge", folder)
        Path("/run/munge").chmod(0o755)
        self._start("munged", "runuser", "-u", "munge", "--", "munged", "--foreground", "--force")
        wait(munge_answers, "munged answers")

    def _start(self, name: str, *command: str) -> None:
        """Start a daemon that does not end with this process."""
        log = self.folder / f"{name}.out"
        apart = 'setsid "$@" < /dev/null >> "$0" 2>&1 & echo $!'
        done = subprocess.run(["sh", "-c", apart, log, *command], capture_output=True, text=True, check=True)
        (self.folder / f"{name}.started").write_text(done.stdout)


def ended(pid: int) -> bool:
    """Whether a process is gone, but for an entry that its parent may not have read."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("Z")
    except FileNotFoundError:
        return True


def describe(folder: Path, **site: object) -> None:
    """Tell the profile in `folder` what this cluster is like."""
    usual = yaml.safe_load((ROOT / "profiles/slurm/site.yaml").read_text())
    told = {**usual, "partition": "cpu", "gpu_partition": "gpu", **site}
    (folder / "profiles/slurm/site.yaml").write_text(yaml.safe_dump(told))


def munge_answers() -> bool:
    """Whether a credential can be made and read."""
    done = subprocess.run("munge --no-input | unmunge", shell=True, capture_output=True, check=False)
    return done.returncode == 0


def run(*command: str) -> str:
    """What a command printed; nothing where it failed or hung."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    except subprocess.TimeoutExpired:
        return ""
    return done.stdout.strip()


def wait(true, what: str, seconds: float = 60) -> None:
    """Wait until `true()` holds; raises TimeoutError."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not after {seconds} s")
        time.sleep(0.1)
