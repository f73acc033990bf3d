"""`ship`, `snakemake`, `dvc` and `python FILE`, forked from a process that has imported what they need: at once.

The commands themselves are the real ones, with the arguments, folder, environment and streams of their caller. Most of
a tiny job's time goes into importing torch, and tests that run hundreds of them have no other way to end within
minutes. Who kills such a process kills its fork. What only a start of its own can show (other hash seeds, memory, jobs
of a cluster) is tested with one.
"""

from __future__ import annotations

import atexit
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import torch
from project import environment_of

from ship.data import decoding

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
place = os.path.join(os.path.dirname(os.path.abspath(__file__)), "socket")
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as line:
    line.connect(place)
    socket.send_fds(line, [json.dumps([sys.argv, os.getcwd(), dict(os.environ)]).encode()], [0, 1, 2])
    code = line.recv(1)
sys.exit(code[0] if code else 137)
"""


@contextmanager
def forking(folder: Path, place: Path, *names: str) -> Iterator[dict[str, str]]:
    """The environment of commands in `folder` whose `names` (`ship`) are forked; `place` holds what that takes."""
    place.mkdir()
    for name in names or ("ship",):
        client = place / name
        client.write_text(CLIENT)
        client.chmod(0o755)
    environment = environment_of(folder)
    words = [sys.executable, __file__, place / "socket", *([] if {*names} <= {"ship"} else WORKFLOW)]
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout.readline() == b"ready\n"
            yield {**environment, "PATH": os.pathsep.join([str(place), environment["PATH"]])}
        finally:
            server.terminate()


def serve(place: str, *modules: str) -> None:
    """Fork for each command that comes."""
    for module in (*MODULES, *modules):
        import_module(module)
    decoding.formats()
    torch.set_num_threads(1)  # a pool of threads would not survive the fork
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the children
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as line:
        line.bind(place)
        line.listen(64)
        print("ready", flush=True)
        while True:
            caller, _ = line.accept()
            with caller:
                if os.fork() == 0:
                    line.close()
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
    sys.path.insert(0, str(Path(sys.argv[0]).parent.resolve()))
    runpy.run_path(sys.argv[0], run_name="__main__")
    return None


def _end_with(caller: socket.socket) -> None:
    """Die as the caller has died: it sends nothing more, so the end of what it sends is its own."""
    caller.recv(1)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    serve(*sys.argv[1:])
