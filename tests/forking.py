"""`ship`, `snakemake`, `dvc` and `python FILE`, forked from a process that has imported what they need: at once.

The commands themselves are the real ones, with the arguments, folder, environment and streams of their caller. Most of
a tiny job's time goes into importing torch, and tests that run hundreds of them have no other way to end within
minutes. Who kills such a process kills its fork, and what that has started. What only a start of its own can show
(other hash seeds, memory, a process that is stopped) is tested with one.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import torch
from project import environment_of

from ship.data.formats import formats
from ship.experiment.code import Code, digests

MODULES = (
    *("ship.cli", "ship.data.download", "ship.data.prepare", "ship.models.features", "ship.models.hierarchy"),
    *("ship.report.comparison", "ship.report.page", "ship.training.train"),
    *("cv2", "h5py", "jinja2", "pandas", "scipy.io", "sklearn.cluster"),  # imported late
)
ALL = ("ship", "snakemake", "dvc", "python")
WORKFLOW = ("snakemake.cli", "snakemake.workflow", "dvc.cli", "dvc.repo", "dvc.commands.repro")
MAINS = {"ship": "ship.cli", "snakemake": "snakemake.cli", "dvc": "dvc.cli"}
CLIENT = f"""#!{sys.executable} -IS
import json, os, socket, sys
place = os.path.join(os.path.dirname(os.path.realpath(__file__)), "socket")
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as line:
    line.connect(place)
    socket.send_fds(line, [json.dumps([sys.argv, os.getcwd(), dict(os.environ)]).encode()], [0, 1, 2])
    code = line.recv(1)
sys.exit(code[0] if code else 137)
"""


@contextmanager
def forking(folder: Path, place: Path) -> Iterator[dict[str, str]]:
    """The environment of commands in `folder` whose `ship` is forked; `place` holds what that takes."""
    server = start(folder, place, ["ship"], until=os.getpid())
    environment = environment_of(folder)
    try:
        yield {**environment, "PATH": os.pathsep.join([str(place), environment["PATH"]])}
    finally:
        os.kill(server, signal.SIGTERM)


def start(folder: Path, place: Path, names: Sequence[str], *, until: int) -> int:
    """Number of a new process that forks for the commands `names`, which lie in `place`; it ends when `until` does."""
    place.mkdir(parents=True)
    for name in names:
        client = place / name
        client.write_text(CLIENT)
        client.chmod(0o755)
    words = [sys.executable, __file__, str(until), place / "socket", *([] if {*names} <= {"ship"} else WORKFLOW)]
    return int(subprocess.run(words, env=environment_of(folder), stdout=subprocess.PIPE, check=True).stdout)


def all_but(name: str, place: Path, here: Path) -> Path:
    """A folder `here` with the commands of `place` but one, each of which is a process of its own then."""
    here.mkdir()
    for client in place.iterdir():
        if client.name not in {name, "socket"}:
            (here / client.name).symlink_to(client)
    return here


def serve(until: str, place: str, *modules: str) -> None:
    """Load what commands need; print the number of a process that forks for each that comes, while `until` lives."""
    for module in (*MODULES, *modules):
        import_module(module)
    formats()
    digests({name: (name, True) for name in Code().methods()}, "")  # half a second of each Snakemake's start
    torch.set_num_threads(1)  # a pool of threads would not survive the fork
    gc.freeze()  # else a fork that collects would copy all of it
    atexit.register(gc.unfreeze)  # else Triton's bindings would call what is left a leak
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as line:
        line.bind(place)
        line.listen(64)
        if server := os.fork():
            print(server)
        else:
            os.setsid()
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # so that the reader of the number sees its end
            _fork_for_each(line, os.pidfd_open(int(until)))


def _fork_for_each(line: socket.socket, end: int) -> None:
    """Answer callers until `end` can be read."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the children
    while end not in select.select([line, end], [], [])[0]:
        caller, _ = line.accept()
        with caller:
            if os.fork() == 0:
                line.close()
                os.close(end)
                os.setsid()
                _answer(caller)


def _answer(caller: socket.socket) -> None:
    """Run the command in this process, which ends with it, and say its exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    said, files, _, _ = socket.recv_fds(caller, 2**20, 3)
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    threading.Thread(target=_end_with, args=(caller,), daemon=True).start()
    sys.argv, folder, environment = json.loads(said)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    python = Path(sys.argv[0]).with_name("python")
    sys.executable = str(python) if python.exists() else sys.executable  # as an interpreter there would say
    sys.path += [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path not in sys.path]
    try:
        code = _run(Path(sys.argv[0]).name) or 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:  # noqa: BLE001 as the interpreter would
        code = 1
        traceback.print_exc()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    caller.send(bytes([code]))
    os._exit(code)


def _run(name: str) -> int | None:
    """What the command of that name does; its exit code where it returns one."""
    if name in MAINS:
        return import_module(MAINS[name]).main()
    sys.argv = sys.argv[1:]
    if sys.argv[0] == "-m":
        sys.argv = sys.argv[1:]
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    elif sys.argv[0] == "-c":
        exec(sys.argv[1], {"__name__": "__main__"})
    else:
        sys.path.insert(0, str(Path(sys.argv[0]).parent.resolve()))
        runpy.run_path(sys.argv[0], run_name="__main__")
    return None


def _end_with(caller: socket.socket) -> None:
    """Die as the caller has died, with all that was started: it sends nothing more, so what ends is its own end."""
    caller.recv(1)
    os.killpg(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    serve(*sys.argv[1:])
