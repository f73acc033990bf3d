"""Values of settings, as params.yaml would show them. Loads no pandas, which `ship status` need not wait for."""

from __future__ import annotations


def as_yaml(value: object) -> str:
    """null, true, 0.01, [0.5, 0.5]; text as it is."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(as_yaml(part) for part in value)}]"
    return str(value)
