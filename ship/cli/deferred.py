"""PyTorch's compiler, loaded when something of it is used: it takes longer to import than the rest of torch.

torchvision, timm and `torch.optim` import `torch._dynamo` at once, only to mark functions that it must leave alone. No
step of the workflow compiles anything. So the command puts a stand-in there, which knows these marks; whoever asks it
for more gets the real one, then and from there on.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys
from collections.abc import MutableSequence
from types import ModuleType
from typing import Any

COMPILER = "torch._dynamo"


class _Compiler(ModuleType):
    """`torch._dynamo`, as far as code goes that compiles nothing."""

    __path__: MutableSequence[str] = []  # noqa: RUF012  # a package, whose modules `_Finder` finds

    @staticmethod
    def disable(fn: Any = None, *_: Any, **__: Any) -> Any:
        """Leave the function as it is, since nothing compiles it."""
        return fn if fn is not None else lambda decorated: decorated

    @staticmethod
    def graph_break(*_: Any, **__: Any) -> None:
        """There is no graph."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # asked by whoever looks through all modules
            raise AttributeError(name)
        return getattr(_load(self.__name__), name)


class _Utils(_Compiler):
    """`torch._dynamo.utils`, likewise."""

    @staticmethod
    def is_compile_supported(device: Any) -> Any:
        """Ask the real one: this is called where something is about to be compiled."""
        return _load(f"{COMPILER}.utils").is_compile_supported(device)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the modules of the compiler, by loading the real one."""

    def find_spec(self, name: str, *_: Any) -> importlib.machinery.ModuleSpec | None:
        """A module of the compiler that is there already; None where another one is sought."""
        if not name.startswith(f"{COMPILER}."):
            return None
        return importlib.machinery.ModuleSpec(name, _There(_load(name)))


class _There(importlib.abc.Loader):
    """Gives a module that is loaded already, as it is."""

    def __init__(self, module: ModuleType) -> None:
        self.module, self.spec = module, module.__spec__

    def create_module(self, _: importlib.machinery.ModuleSpec) -> ModuleType:
        """The module itself."""
        return self.module

    def exec_module(self, module: ModuleType) -> None:
        """Only its own spec is put back."""
        module.__spec__ = self.spec


def _load(name: str) -> ModuleType:
    """The real module, after the stand-ins have gone."""
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, _Finder)]
    for key, module in list(sys.modules.items()):
        if isinstance(module, _Compiler):
            del sys.modules[key]
    return importlib.import_module(name)


def defer_compiler() -> None:
    """Put the stand-ins where the compiler would be loaded from; nothing where it is there already."""
    if COMPILER in sys.modules:
        return
    for stand_in in (_Compiler(COMPILER), _Utils(f"{COMPILER}.utils")):
        sys.modules[stand_in.__name__] = stand_in
    sys.meta_path.insert(0, _Finder())
