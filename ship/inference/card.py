"""The model card of an export: what it knows, how it was trained and tested, how to use it, and what it cannot do."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined


def card(title: str, about: dict[str, Any]) -> str:
    """README.md of an export, Markdown with the front matter that the Hugging Face Hub reads; `about` is its ship.json.

    Cells of a table hold no bar and no line break, whatever a class is called.
    """
    text = files("ship.inference").joinpath("card.md").read_text(encoding="utf-8")
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False)  # noqa: S701  # Markdown
    environment.filters["plain"] = _plain
    run = about["run"]
    return environment.from_string(text).render(title=title, about=about, run=run, result=run["result"]) + "\n"


def _plain(value: object) -> str:
    """A value on one line, with what Markdown and HTML would read as markup taken literally."""
    text = " ".join(str(value).split())
    for letter in "\\`*_[]<>|#":
        text = text.replace(letter, f"\\{letter}")
    return text
