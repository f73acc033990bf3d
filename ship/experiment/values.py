"""Values of settings, as params.yaml has them. Loads no torch, nor pandas, which `ship status` need not wait for."""

from __future__ import annotations

import json
import re


def as_yaml(value: object) -> str:
    """null, true, 0.01, 1.0e-06, [0.5, 0.5]; text as it is."""
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(as_yaml(part) for part in value)}]"
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, float):
        return re.sub(r"^(-?\d+)e", r"\1.0e", repr(value))  # YAML reads 1e-06 as text
    return str(value)
