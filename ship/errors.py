"""The one exception for what a user can put right: the command prints it on one line and exits 2."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from difflib import get_close_matches


class BadInput(Exception):
    """Something that was handed to us is not as it must be.

    The text reads `<what>: expected <rule>, got <value>`, and says the way out where there is one.
    """


class Unfit(BadInput):
    """Settings that a method refuses together, or that give losses that are not finite: a search passes them over."""


def together(faults: Sequence[str], way_out: str = "") -> BadInput:
    """One error of all `faults` of a kind: the first 20 and their number, with the `way_out` behind."""
    more = f"; and {len(faults) - 20} more" if len(faults) > 20 else ""
    count = f" ({len(faults)} in all)" if len(faults) > 1 else ""
    text = "; ".join(faults[:20]) + more + count + (f" ({way_out})" if way_out else "")
    return BadInput(" ".join(text.encode("utf-8", "backslashreplace").decode().split()))


def unknown(what: str, name: str, known: Iterable[str]) -> BadInput:
    """An error for `name`, which is none of `known`, with the nearest name as a hint."""
    names = sorted(known)
    spelt = {known.lower(): known for known in names}
    near = get_close_matches(name.lower(), spelt, n=1)
    hint = f" (did you mean {spelt[near[0]]!r}?)" if near else ""
    shown = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
    return BadInput(f"{what}: expected {f'one of {shown}' if names else 'none'}, got {name!r}{hint}")


def difference(wanted: Collection[str], found: Collection[str]) -> str:
    """What a file with the names `found` lacks of those that are `wanted`, and has beside them; empty for the same."""
    sides = {"lacks": set(wanted) - set(found), "has beside them": set(found) - set(wanted)}
    return " and ".join(f"{side} {_some(names)}" for side, names in sides.items() if names)


def _some(names: Collection[str]) -> str:
    """The first of the names in alphabetical order, and how many more there are."""
    return min(names) + (f" (and {len(names) - 1} more)" if len(names) > 1 else "")


def not_installed(package: str) -> BadInput:
    """An error for a `package` that only the archives of VTAB-1k and FGVC need."""
    return BadInput(f"{package}: expected the package, found none (pip install 'ship-tuning[vtab]')")
