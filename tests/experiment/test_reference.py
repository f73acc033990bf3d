"""The page of all keys says what the schema says, no more and no less."""

import re

import pytest
import yaml
from project import ROOT, ship

from ship.experiment.params import Params, json_schema
from ship.experiment.reference import markdown


def table(page):
    """{section: {key: [value, default, meaning]}} of a page."""
    found = {}
    for line in page.splitlines():
        if line.startswith("## "):
            found[line.strip("# `")] = section = {}
        elif line.startswith("| `"):
            key, *cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            section[key.strip("`")] = cells
    return found


def test_the_page_in_the_repository_is_current():
    """config/README.md is what `ship schema --markdown` prints."""
    assert ship("schema", "--markdown", cwd=ROOT).stdout == (ROOT / "config/README.md").read_text(encoding="utf-8")


def test_every_key_stands_in_its_section_with_its_meaning():
    """Of the file, and of every group within it, however deep."""
    found = table(markdown(json_schema()))
    assert found["The file"].keys() == Params.model_fields.keys()
    fields = {key for group in json_schema()["$defs"].values() for key in group["properties"]}
    assert {key for section in found.values() for key in section} == fields | Params.model_fields.keys()
    inner = "methods.NAME.search", "methods.NAME.search.ranges.NAME", "methods.NAME.tasks.NAME", "tasks.NAME"
    assert found.keys() >= set(inner)
    lacking = [(name, key) for name, section in found.items() for key, cells in section.items() if not cells[2]]
    assert not lacking


def test_a_default_can_be_copied_into_the_file():
    """YAML reads it as the value that it is, 1.0e-06 for one."""
    train = table(markdown(json_schema()))["train"]
    fields = json_schema()["$defs"]["Train"]["properties"]
    assert {key: yaml.safe_load(cells[1].strip("`")) for key, cells in train.items()} == {
        key: field["default"] for key, field in fields.items()
    }


def test_a_kind_without_words_is_no_silent_gap():
    """Whoever adds one adds its words."""
    field = {"type": "date", "description": "when"}
    with pytest.raises(KeyError, match="date"):
        markdown({"description": "An experiment.", "properties": {"day": field}})
