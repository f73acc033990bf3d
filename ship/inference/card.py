"""The model card of an export: what it knows, how it was trained and tested, how to use it, and what it cannot do."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined

from ship.experiment.values import as_yaml
from ship.inference.formats import ONNX

RULES = {
    "orientation": "Turn photos upright, as their EXIF says.",
    "alpha": "Put transparent images on {}.",
    "bits": "Of images of 16 bits a channel, {} are used: divide their values by {}, and cut off above 255.",
    "frames": "Of several frames or pages, take the {} one.",
    "pixels": "Images of more than {} pixels are shrunk while they are decoded.",
}
REFUSED = {("frames", "refuse"): "Images of several frames or pages are none.", ("alpha", "drop"): "Drop alpha."}

MOST = 20  # classes of the table, and names in a sentence


def rules(reading: dict[str, Any]) -> list[str]:
    """What the task says of reading image files, in sentences; empty where it reads them plainly."""
    more = {"bits": 2 ** (reading.get("bits", 16) - 8)}
    return [REFUSED.get((key, value), RULES[key].format(value, more.get(key))) for key, value in reading.items()]


def card(title: str, about: dict[str, Any]) -> str:
    """README.md of an export, Markdown with the front matter that the Hugging Face Hub reads; `about` is its ship.json.

    Cells of a table hold no bar and no line break, whatever a class is called.
    """
    text = files("ship.inference").joinpath("card.md").read_text(encoding="utf-8")
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False)  # noqa: S701  # Markdown
    environment.filters |= {"plain": _plain, "percent": _percent}
    run, classes = about["run"], about["evaluation"]["classes"]
    untested = [row["class"] for row in classes if not row["test_images"]]
    told = {"result": run["result"], "rules": rules(about["reading"]), "rows": worst(classes), "untested": untested}
    told["onnx"] = any(check["file"] == ONNX for check in about["checks"])
    return environment.from_string(text).render(title=title, about=about, run=run, most=MOST, **told) + "\n"


def worst(classes: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """All rows of few classes, in their order; of more than MOST those with the lowest recall, the lowest first."""
    if len(classes) <= MOST:
        return list(classes)
    return sorted((row for row in classes if row["test_images"]), key=lambda row: float(row["recall"]))[:MOST]


def _percent(share: float | None) -> str:
    """0.8413 as 84.1; a dash where there is none."""
    return "-" if share is None else f"{100 * share:.1f}"


def _plain(value: object) -> str:
    """A value on one line, with what Markdown and HTML would read as markup taken literally."""
    text = " ".join(as_yaml(value).split())
    for letter in "\\`*_[]<>|#":
        text = text.replace(letter, f"\\{letter}")
    return text
