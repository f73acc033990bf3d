"""Semantic hierarchical prompt tuning of vision transformers, and its rivals, compared honestly.

`ship.wrap(vit, "ship", num_classes=5, images=x)` puts a method around one's own ViT; `ship.load(path)` brings back
what a run, a save or an export left.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ship import errors

if TYPE_CHECKING:
    from ship.inference.model import wrap
    from ship.inference.restore import load

__version__ = "0.1.0"
__all__ = ["__version__", "errors", "load", "wrap"]

_PLACES = {"wrap": "ship.inference.model", "load": "ship.inference.restore"}  # imported when used: they load torch


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(import_module(_PLACES[name]), name)
    raise AttributeError(f"module 'ship' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
