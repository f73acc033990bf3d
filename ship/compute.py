"""Where and how numbers are computed: the device, its precision, and algorithms that give the same bits every time."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from typing import NamedTuple

import torch

from ship import config
from ship.errors import BadInput


class Compute(NamedTuple):
    """What `set_up` chose."""

    device: torch.device
    autocast: torch.autocast
    threads: int
    precision: str


def set_up(settings: config.Compute) -> Compute:
    """Make torch deterministic, as `settings` say. Raises BadInput where CUDA is asked for and absent."""
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise BadInput("compute.device: expected a CUDA device, which 'cuda' asks for, got none (use auto or cpu)")
    cuda = settings.device != "cpu" and torch.cuda.is_available()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.allow_tf32 = False  # fp32 is fp32, in convolutions too
    torch.set_num_threads(settings.threads)
    device = torch.device("cuda" if cuda else "cpu")
    autocast = torch.autocast(device.type, dtype=torch.bfloat16, enabled=settings.precision == "bf16")
    return Compute(device, autocast, settings.threads, settings.precision)


def environment(compute: Compute) -> dict[str, str]:
    """What the bits depend on beside commit and settings: versions and kind of processor. No host, no time."""
    cuda = compute.device.type == "cuda"
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        **{name: version(name) for name in ("numpy", "peft", "pillow", "pyarrow", "scikit-learn", "timm")},
        "device": torch.cuda.get_device_name() if cuda else f"cpu {torch.backends.cpu.get_cpu_capability()}",
        "cuda": str(torch.version.cuda) if cuda else "none",
    }
