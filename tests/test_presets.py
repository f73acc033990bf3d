"""Presets: whole experiments, with some keys set, comments kept."""

import pytest
import yaml

from ship import presets
from ship.errors import BadInput

TEXT = """# A first line.
grid: {tasks: [digits], methods: [linear], seeds: [0]}
backbone:
  name: vit_mini   # a remark
tasks:
  digits: {source: builtin}
methods:
  linear: {method: linear}
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    """A folder of presets with one in it."""
    (tmp_path / "presets").mkdir()
    (tmp_path / "presets/small.yaml").write_text(TEXT)
    (tmp_path / "presets/pretrain_x.yaml").write_text("steps: 3")
    monkeypatch.chdir(tmp_path)


def test_without_settings_the_text_is_kept():
    """To the byte."""
    assert presets.fill("small", []) == TEXT


def test_settings_are_read_as_yaml_and_comments_stay():
    """Numbers, lists and groups that were not there before."""
    text = presets.fill("small", ["grid.seeds=[1, 2]", "train.lr=0.5", "backbone.weights=random"])
    read = yaml.safe_load(text)
    assert (read["grid"]["seeds"], read["train"]["lr"], read["backbone"]["weights"]) == ([1, 2], 0.5, "random")
    assert "# a remark" in text


@pytest.mark.parametrize(
    ("preset", "setting", "message"),
    [
        ("large", "a=1", "preset: expected one of small, got 'large'"),
        ("small", "train.lr", "setting: expected KEY=VALUE, got 'train.lr'"),
        ("small", "grid.seeds.x=1", "setting grid.seeds.x: expected a group of keys at seeds"),
        ("small", "train.lrr=1", "preset small: train.lrr: expected one of"),
        ("small", "train.lr=[", "setting train.lr: expected YAML"),
    ],
)
def test_what_is_refused(preset, setting, message):
    """Unknown presets, no assignments, keys of no group, experiments that are none."""
    with pytest.raises(BadInput, match=message.replace("[", r"\[")):
        presets.fill(preset, [setting])


def test_the_overview_has_a_line_a_preset():
    """Name and first comment."""
    assert presets.overview().split(maxsplit=1) == ["small", "A first line."]
