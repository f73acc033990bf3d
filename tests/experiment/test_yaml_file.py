"""A YAML file says each key once, and nothing that people and YAML 1.1 read differently."""

import pytest

from ship.errors import BadInput
from ship.experiment.yaml_file import parse_yaml


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 010", r"f: expected YAML, got 010, which is 8 in YAML \(write 8, or the text in quotes\)"),
        ("a: 1:30", r"1:30, which is 90 in YAML"),
        ("a: 1:30.5", r"1:30\.5, which is 90\.5 in YAML"),
        ("a: 1\nb: 2\na: 3", r"the key 'a' twice in it, line 3"),
        ("a: {<<: {b: 1}}", r"the merge key <<"),
        ("a: 2020-13-45", "f: expected YAML, got month must be in 1..12"),
        ("a: !!int x", "f: expected YAML, got"),
        ("a: !!bool x", "f: expected YAML, got"),
        ("a: !!timestamp x", "f: expected YAML, got"),
        ("a: !x {b: 1}", "f: expected YAML, got could not determine a constructor"),
        ("a: " + 2000 * "[", "f: expected YAML, got"),
        ("- 1", "f: expected keys and values, got list"),
    ],
)
def test_what_is_refused(text, message):
    """With the file, on one line."""
    with pytest.raises(BadInput, match=message) as caught:
        parse_yaml(text, "f")
    assert "\n" not in str(caught.value)


def test_numbers_are_those_of_yaml():
    """All other ways to write them stay."""
    read = parse_yaml("{a: 0, b: -12, c: 0.5, d: 1.0e-3, e: .5, f: 1_000, g: 0.0, h: -0.25, i: .inf}", "f")
    assert list(read.values()) == [0, -12, 0.5, 1e-3, 0.5, 1000, 0.0, -0.25, float("inf")]
