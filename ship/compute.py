"""Where and how numbers are computed: the device, its precision, and algorithms that give the same bits every time."""

from __future__ import annotations

import ctypes
import logging
import os
import platform
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ship.errors import BadInput
from ship.experiment import params

_log = logging.getLogger(__name__)

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of glibc's malloc.h
LIBRARIES = ("numpy", "pillow", "pyarrow", "scikit-learn", "timm", "torchvision")  # that decide bits


class Runtime(NamedTuple):
    """What `set_up` chose."""

    device: torch.device
    autocast: torch.autocast
    threads: int
    precision: str
    """fp32 or bf16"""


def set_up(settings: params.Compute) -> Runtime:
    """Make torch deterministic, as `settings` say. Raises BadInput where CUDA is asked for and absent."""
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise BadInput("compute.device: expected a CUDA device, which 'cuda' asks for, got none (use auto or cpu)")
    cuda = settings.device != "cpu" and torch.cuda.is_available()
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    torch.set_deterministic_debug_mode("error")  # use_deterministic_algorithms also imports the compiler, for seconds
    # it costs time, and helps only code that reads memory before it is written
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # a property of a module
    torch.backends.cudnn.allow_tf32 = False  # fp32 is fp32, in convolutions too
    torch.set_float32_matmul_precision("highest")  # whatever the environment says
    torch.set_num_threads(settings.threads)
    keep_memory()
    if cuda:
        torch.cuda.set_device(_free_gpu()[0])
    device = torch.device("cuda" if cuda else "cpu")
    lacks = "" if settings.precision == "fp32" else _lacks_bf16(cuda)
    precision = ("fp32" if lacks else "bf16") if settings.precision == "auto" else settings.precision
    if precision == "bf16" and lacks:
        _log.warning(
            "compute.precision: expected fp32, since this %s has no instructions for bf16, got bf16, "
            "which may take ten times as long here (set compute.precision=auto or fp32)",
            lacks,
        )
    autocast = torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")
    return Runtime(device, autocast, settings.threads, precision)


def keep_memory() -> None:
    """Let memory that a step frees stay with the process, for the next step.

    glibc gives it back to the system, and gets it again page by page: a tenth of a step in bf16.
    """
    if sys.platform != "linux" or not hasattr(libc := ctypes.CDLL(None), "mallopt"):
        return
    libc.mallopt(M_MMAP_MAX, 0)  # no pages for one tensor alone, which would go with it
    libc.mallopt(M_TRIM_THRESHOLD, -1)


def _lacks_bf16(cuda: bool) -> str:
    """The processor, where it computes bf16 by detours or cannot be asked; empty where it has bf16."""
    if cuda:
        return "" if torch.cuda.get_device_capability() >= (8, 0) else f"GPU ({torch.cuda.get_device_name()})"
    if platform.machine().lower() in {"x86_64", "amd64"}:
        cpu = torch.cpu
        able = cpu._is_avx512_bf16_supported() or cpu._is_amx_tile_supported()
        return "" if able else f"CPU ({torch.backends.cpu.get_cpu_capability()})"
    flags = Path("/proc/cpuinfo")
    told = flags.read_text().lower() if flags.is_file() else ""
    return "" if "bf16" in told else "CPU"


@cache  # the lock is held as long as the process lives, and goes with it
def _free_gpu() -> tuple[int, int | None]:
    """The first visible GPU that no other run of this user computes on, and its lock; any one where all are taken."""
    import fcntl  # not on Windows

    for number in range(torch.cuda.device_count()):
        gpu = torch.cuda.get_device_properties(number).uuid  # jobs of a cluster number what they see from 0
        path = Path(tempfile.gettempdir()) / f"ship-{os.getuid()}-{gpu}.lock"
        try:
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except OSError:  # another user's file, or a link
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
        else:
            return number, lock
    return os.getpid() % torch.cuda.device_count(), None


class Recording:
    """A function of tensors on a GPU, recorded as a CUDA graph and replayed: the same bits, random numbers included.

    A step of a small ViT is a thousand kernels of some microseconds each: launched one by one they take ten times as
    long. The first call is launched so, since libraries set themselves up in it; the second is recorded. Shapes must
    stay the same, and whatever else the function reads or writes must stay where it is.
    """

    def __init__(self, function: Callable[..., Tensor]) -> None:
        self.function = function
        self.calls = 0

    def __call__(self, *parts: Tensor) -> Tensor:
        """What the function gives, of tensors that it may keep no hold of."""
        self.calls += 1
        if self.calls == 1:
            return self._aside(parts)
        if self.calls == 2:
            self._record(parts)
        for place, part in zip(self.parts, parts, strict=True):
            if place.shape != part.shape:  # which `copy_` would stretch
                raise ValueError(f"recording: expected a tensor of shape {(*place.shape,)}, got {(*part.shape,)}")
            place.copy_(part)
        self.graph.replay()
        return self.found.clone()

    def _aside(self, parts: tuple[Tensor, ...]) -> Tensor:
        """The first call, on a stream of its own, as PyTorch wants it before a recording."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            found = self.function(*parts)
        torch.cuda.current_stream().wait_stream(stream)
        return found

    def _record(self, parts: tuple[Tensor, ...]) -> None:
        """The function as a graph that reads `parts` and writes `found`; nothing is computed yet."""
        self.parts, self.graph = tuple(part.clone() for part in parts), torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.found = self.function(*self.parts)


def environment(runtime: Runtime) -> dict[str, str]:
    """What the bits depend on beside commit and settings: versions and kind of processor. No host, no time."""
    cuda = runtime.device.type == "cuda"
    tiles = " AMX" if torch.cpu._is_amx_tile_supported() else ""  # bf16 products are others there
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        **{name: version(name) for name in LIBRARIES},
        "device": torch.cuda.get_device_name() if cuda else f"cpu {torch.backends.cpu.get_cpu_capability()}{tiles}",
        "precision": runtime.precision,
        "cuda": str(torch.version.cuda) if cuda else "none",
    }
