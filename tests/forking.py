"""The command `ship` in processes forked from one that has imported what it needs: a job then starts at once.

The command itself is the real one. Most of a tiny job's time goes into importing torch and timm, and tests that run a
hundred of them have no other way to end within minutes. Who kills such a process kills its fork.
"""

from __future__ import annotations

import json
import os
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
CLIENT = f"""#!{sys.executable} -IS
import json, os, socket, sys
place = os.path.join(os.path.dirname(os.path.abspath(__file__)), "socket")
with socket.socket(socket.AF_UNIX) as line:
    line.connect(place)
    socket.send_fds(line, [json.dumps([sys.argv, os.getcwd()]).encode()], [0, 1, 2])
    code = line.recv(1)
sys.exit(code[0] if code else 137)
"""


@contextmanager
def forking(folder: Path, place: Path) -> Iterator[dict[str, str]]:
    """The environment of commands in `folder` whose `ship` is forked; `place` holds what that takes, for a while."""
    place.mkdir()
    client = place / "ship"
    client.write_text(CLIENT)
    client.chmod(0o755)
    environment = environment_of(folder)
    with subprocess.Popen(
        [sys.executable, __file__, place / "socket"], env=environment, stdout=subprocess.PIPE
    ) as server:
        try:
            assert server.stdout.readline() == b"ready\n"
            yield {**environment, "PATH": os.pathsep.join([str(place), environment["PATH"]])}
        finally:
            server.terminate()


def serve(place: str) -> None:
    """Fork for each command that comes."""
    for module in MODULES:
        import_module(module)
    decoding.formats()
    torch.set_num_threads(1)  # a pool of threads would not survive the fork
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the children
    with socket.socket(socket.AF_UNIX) as line:
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
    from ship import cli

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    said, files, _, _ = socket.recv_fds(caller, 2**16, 3)
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    threading.Thread(target=_end_with, args=(caller,), daemon=True).start()
    sys.argv, folder = json.loads(said)
    os.chdir(folder)
    code = 1
    try:
        cli.main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        if sys.exc_info()[0] is not None:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        caller.send(bytes([code]))
        os._exit(code)


def _end_with(caller: socket.socket) -> None:
    """Die as the caller has died: it sends nothing more, so the end of what it sends is its own."""
    caller.recv(1)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    serve(sys.argv[1])
