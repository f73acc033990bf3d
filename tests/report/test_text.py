"""The table as text, and numbers as people read them."""

from __future__ import annotations

import pytest

from ship.report.text import (
    chance,
    difference,
    markdown_table,
    memory,
    parameters,
    percent,
    points,
    seconds,
    text_table,
)


def test_text_table_shows_percent_and_names_both_means(finished):
    """Methods as rows, tasks as columns, all columns of a kind aligned."""
    lines = text_table(finished.table).splitlines()
    assert lines[0].split("  ")[-2:] == ["mean rank", " tuned"]
    assert "group mean  task mean" in lines[0]
    assert [line.split()[0] for line in lines[1:]] == ["linear", "vpt", "ship"]
    assert len({len(line) for line in lines}) == 1
    digits = finished.table.query("task == 'digits' and method == 'ship'")["accuracy"].item()
    assert lines[3].split()[1] == f"{100 * digits:.1f}"


def test_text_table_goes_on_below_where_it_is_too_wide(finished):
    """Every part repeats the methods."""
    text = text_table(finished.table, width=40)
    assert max(map(len, text.splitlines())) <= 40
    assert text.count("ship") == len(text.strip().split("\n\n"))


def test_markdown_table_is_one(finished):
    """As many cells in every row."""
    lines = markdown_table(finished.table).splitlines()
    assert len(lines) == 5
    assert {line.count("|") for line in lines} == {9}


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0"),
        (650, "650"),
        (1930, "1.93 K"),
        (12_000, "12.0 K"),
        (123_456, "123 K"),
        (999_900, "1.00 M"),
        (85.8e6, "85.8 M"),
    ],
)
def test_parameters_have_three_digits(count, text):
    """With their unit."""
    assert parameters(count) == text


def test_percent_has_a_dash_for_nothing():
    """And one decimal."""
    assert [percent(0.8413), percent(1), percent(None), percent(float("nan"))] == ["84.1", "100.0", "-", "-"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (9.94, "9.9 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (125.2, "2 min 5 s"),
        (3599, "1 h 0 min"),
        (5030.0, "1 h 24 min"),
        (90_000, "25 h 0 min"),
        (None, "-"),
    ],
)
def test_seconds_have_the_unit_of_their_size(value, text):
    """No minute has 60 seconds, no hour 60 minutes."""
    assert seconds(value) == text


def test_points_memory_and_differences_are_short():
    """Three digits or all before the point; a dash for nothing; a sign that is as wide as a plus."""
    assert [points(value) for value in (2987.6, 99.96, 12.34, 0.92653, None)] == ["2988", "100", "12.3", "0.927", "-"]
    assert [memory(value) for value in (2**30, 955_252_736, None)] == ["1.00 GiB", "0.89 GiB", "-"]
    assert [difference(value) for value in (0.0312, -0.0312)] == ["+3.1", "\N{MINUS SIGN}3.1"]
    assert [difference(value) for value in (0.0004, -0.0004)] == ["0.0", "0.0"]


def test_chances_have_two_digits():
    """And no zero before the exponent; none is 0."""
    assert [chance(p) for p in (0.1512, 0.00171, 4.3e-9, 2e-29, 0.0)] == [
        "0.15",
        "0.0017",
        "4.3e-9",
        "2e-29",
        "< 1e-300",
    ]
