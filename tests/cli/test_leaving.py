"""A command says what it has to say, and nothing when it ends."""

import subprocess
import sys

import pytest

LEAVE = """
import sys
import torch
import triton
from ship.cli import main
sys.argv[1:] = ["--help"]
main()
"""


def test_a_command_that_has_loaded_a_compiler_ends_in_silence():
    """As `ship export` does: Triton's bindings look for what is left of their objects."""
    pytest.importorskip("triton")
    done = subprocess.run([sys.executable, "-c", LEAVE], capture_output=True, text=True, check=True)
    assert done.stderr == ""
