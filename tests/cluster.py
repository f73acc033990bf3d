"""A real Slurm on this machine, for tests: munge, a controller, a node without GPU and nodes with a counted one.

Debian's packages are enough (slurmctld, slurmd, slurm-client, munge); it needs root, no systemd, no cgroups. Several
nodes share the machine: each has its own name and port. Their GPUs are character devices without a driver, so jobs wait
for them and see CUDA_VISIBLE_DEVICES, but compute on the CPU.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

CONF = Path("/etc/slurm/slurm.conf")  # nowhere else: Snakemake's executor hides SLURM_CONF from srun
MARK = "ClusterName=shiptest"
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


class Cluster:
    """One controller and `nodes` nodes of 2 CPUs and `memory` MB; all but the first have `gpus` GPUs of two shards."""

    def __init__(self, folder: Path, *, nodes: int = 3, gpus: int = 1, memory: int = 32000) -> None:
        self.folder = folder
        self.nodes = [f"node{number + 1}" for number in range(nodes)]
        self.gpus = dict.fromkeys(self.nodes[1:], gpus)
        self.memory = memory
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def up(self) -> None:
        """Start everything and wait until all nodes are idle."""
        for name in ("state", "dev", *(f"spool-{node}" for node in self.nodes)):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self._configure()
        self._munge()
        self.start_controller()
        for node in self.nodes:
            self.start_node(node)

    def down(self) -> None:
        """Cancel what runs and end the daemons that were started here."""
        run("scancel", "--user=root")
        wait(lambda: not run("squeue", "--noheader", "--states=running,completing"), "jobs ended", 20)
        for name in [*self.nodes, "slurmctld", "munged"]:
            self.kill(name, signal.SIGTERM)
        CONF.unlink()
        CONF.with_name("gres.conf").unlink()

    def start_controller(self) -> None:
        """Start slurmctld, which takes up what an earlier one left, and wait until it answers."""
        self._start("slurmctld", "slurmctld", "-D", "-f", str(CONF))
        wait(lambda: "UP" in run("scontrol", "ping"), "slurmctld answers")

    def start_node(self, node: str) -> None:
        """Start a node's slurmd and wait until jobs may be sent to it."""
        self._start(node, "slurmd", "-D", "-f", str(CONF), "-N", node)
        wait(lambda: self.state(node) in {"idle", "mixed", "allocated"}, f"{node} is ready")

    def kill(self, name: str, sign: int = signal.SIGKILL) -> None:
        """End a daemon: a node by its name, slurmctld, munged."""
        if process := self.processes.pop(name, None):
            process.send_signal(sign)
            process.wait(30)

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
        for number, node in enumerate(self.nodes, start=1):
            gpus = self.gpus.get(node, 0)
            gres = f"Gres=gpu:toy:{gpus},shard:{2 * gpus}" if gpus else ""
            place = f"NodeHostname={node} NodeAddr=127.0.0.1 Port={PORT + number}"
            lines.append(f"NodeName={node} {place} CPUs=2 RealMemory={self.memory} {gres}\n")
        lines.append(f"PartitionName=cpu Nodes={','.join(self.nodes)} Default=YES DefMemPerCPU=500\n")
        lines.append(f"PartitionName=gpu Nodes={','.join(self.gpus)} DefMemPerCPU=500\n")
        CONF.parent.mkdir(parents=True, exist_ok=True)
        CONF.write_text("".join(lines))
        devices = [self.folder / "dev" / f"gpu{number}" for number in range(max(self.gpus.values()))]
        for device in devices:
            if not device.exists():
                os.mknod(device, 0o20666, os.makedev(1, 3))
        file = f"{self.folder}/dev/gpu[0-{len(devices) - 1}]"
        gres = "".join(
            f"NodeName={node} Name=gpu Type=toy File={file}\nNodeName={node} Name=shard Count={2 * gpus}\n"
            for node, gpus in self.gpus.items()
        )
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
        with (self.folder / f"{name}.out").open("ab") as log:
            silent = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
            self.processes[name] = subprocess.Popen(command, start_new_session=True, **silent)


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
