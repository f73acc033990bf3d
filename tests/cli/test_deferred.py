"""What takes long to load, PyTorch's compiler above all, is loaded by those who use it alone."""

import sys

from project import BACKBONE, command, measured, settle

TASK = "digits"
TRAIN = """
import sys
from ship.cli import main
sys.argv[1:] = ["train", "{run}"]
try:
    main()
except SystemExit as end:
    assert not end.code
slow = ("pandas", "scipy", "sklearn", "sympy", "torch._dynamo")
print(*sorted(name for name in sys.modules if name in slow or name.startswith("torch._dynamo.")))
"""
COMPILE = """
from ship.cli.deferred import defer_compiler
defer_compiler()
import torch._dynamo
assert not hasattr(torch._dynamo, "__file__")  # who looks through all modules loads nothing
import torch
assert type(torch._dynamo).__name__ == "_Compiler"
import torch._dynamo.config as config
import torch._dynamo.utils
assert torch._dynamo.config is config and config.__spec__.origin.endswith("config.py")
assert type(torch._dynamo).__name__ == type(torch._dynamo.utils).__name__ == "module"
print(torch.compile(lambda x: x + 1, backend="eager")(torch.zeros(1)).item())
"""
NAME = """
from ship.cli.deferred import defer_compiler
defer_compiler()
import torch
print(torch._dynamo.is_compiling(), torch._dynamo.utils.counters is not None)
"""


def answer(code, folder):
    """What a process says last that runs `code`."""
    done = command(sys.executable, "-W", "error", "-c", code, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def test_a_training_does_not_load_it(tmp_path, monkeypatch):
    """Only the two stand-ins are there after a run, though timm and an optimiser asked for it; and no pandas."""
    settle(measured(tmp_path, monkeypatch, TASK), TASK)
    assert answer(TRAIN.format(run=f"{BACKBONE}/{TASK}/vpt/0"), tmp_path) == "torch._dynamo torch._dynamo.utils"


def test_who_compiles_gets_it(tmp_path):
    """Its modules are the real ones, once each, and what is compiled computes."""
    assert answer(COMPILE, tmp_path) == "1.0"


def test_any_name_of_it_is_there(tmp_path):
    """A name that the stand-in lacks comes from the real one."""
    assert answer(NAME, tmp_path) == "False True"
