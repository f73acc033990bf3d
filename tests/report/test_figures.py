"""Figures: what they hold, and that their bytes are a function of the data."""

from __future__ import annotations

import itertools
import math
import re
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
import pytest

from ship.evaluation.quality import Reliability, reliability
from ship.report import figures, svg

METHODS = ["linear", "vpt", "ship"]


@pytest.fixture(scope="module")
def drawn(finished):
    """All figures, by name."""
    return draw(finished)


def draw(finished) -> dict[str, str]:
    runs = pd.read_csv(finished.root / "results/plots/accuracy.csv")
    curves = pd.read_csv(finished.root / "results/plots/curves.csv")
    return {
        "accuracy": figures.accuracy(finished.table, runs, METHODS, "vit"),
        "parameters": figures.against_parameters({"linear": (2e3, 0.5), "ship": (6e4, 0.7)}, METHODS, "vit"),
        "curves": figures.curves(curves, "digits", METHODS, "vit"),
        "affinity": figures.affinity([[1, 0.8], [0.8, 1]], "digits", [0, 1], 0.5, "vit"),
        "backbones": figures.across_backbones({"one": {"ship": 0.7}, "two": {"ship": 0.8}}, METHODS),
        "reliability": figures.reliability(reliability(np.arange(9) > 2, np.arange(1, 10) / 10), "digits"),
    }


NAMES = ("accuracy", "parameters", "curves", "affinity", "backbones", "reliability")


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_is_one_svg_element_that_loads_nothing(drawn, name):
    """Well-formed, scalable, with a label for those who do not see it."""
    root = ET.fromstring(drawn[name])
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert root.get("aria-label")
    assert root.get("viewBox")
    assert root.get("width") is None
    assert set(re.findall(r'http[^"]*', drawn[name])) <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}


def test_bytes_are_a_function_of_the_data(finished, drawn):
    """No date, no random id."""
    assert draw(finished) == drawn


def test_no_two_figures_share_an_id(drawn):
    """On one page a clip path of one would cut another."""
    for one, other in itertools.combinations(drawn.values(), 2):
        assert not set(re.findall(r' id="([^"]*)"', one)) & set(re.findall(r' id="([^"]*)"', other))


def test_colours_follow_the_page(drawn):
    """Text and series are variables with a colour to fall back on."""
    assert "fill:var(--ink, #1f2430)" in drawn["accuracy"]
    assert "stroke:var(--c2, #009e73)" in drawn["curves"]


def test_words_are_darker_than_their_lines(drawn):
    """Some colours are too pale to read."""
    words = re.findall(r'<text [^>]*style="[^"]*fill:([^;"]+)[^>]*>(\w+)</text>', drawn["curves"])
    assert {colour for colour, word in words if word in METHODS} == {
        f"color-mix(in srgb,var(--c{i}, {colour}) 55%,var(--ink, #1f2430))" for i, colour in enumerate(svg.SERIES[:3])
    }


def test_method_keeps_its_colour_where_another_is_absent(drawn):
    """SHIP is the third of the grid, with or without vpt."""
    assert "var(--c2," in drawn["parameters"]
    assert "var(--c1," not in drawn["parameters"]


def test_labels_move_apart_and_keep_their_order():
    """By the gap, up to the last tenth."""
    moved = svg.spread([0.50, 0.90, 0.51, 0.52], 0.1)
    assert moved[0] < moved[2] < moved[3] < moved[1]
    ordered = sorted(moved)
    assert all(b - a > 0.09 for a, b in itertools.pairwise(ordered))
    assert svg.spread([0.1, 0.5], 0.1) == [0.1, 0.5]


def test_labels_stay_below_the_top():
    """And still keep the gap: a figure is cut off above."""
    moved = sorted(svg.spread([0.99, 1.0, 0.98, 0.2], 0.1, top=1.0))
    assert moved[0] == 0.2
    assert moved[1:] == pytest.approx([0.8, 0.9, 1.0])


def test_methods_that_share_a_colour_differ_in_marker_and_dash():
    """There are eight colours, and more methods."""
    methods = [f"m{i}" for i in range(20)]
    markers = {(style["color"], style["marker"]) for style in map(svg.marker, range(20))}
    assert len(markers) == len(methods)
    lines = {(i % 8, svg.dash_of(i)) for i in range(20)}
    assert len(lines) == len(methods)


def test_a_legend_has_as_few_lines_as_it_can():
    """One, where all names fit beside each other; a long one alone needs more."""
    assert figures._columns(["linear", "ship", "shared_adapter"]) == 3
    assert figures._columns(["method " + 3 * str(i) for i in range(9)]) == 3
    assert figures._columns(["m" * 50] * 4) == 1


def test_every_method_is_named_however_many_there_are():
    """Also where they tune as many parameters."""
    methods = [f"method {i}" for i in range(22)]
    drawn = figures.against_parameters({name: (5e4, 0.7 + i / 1e4) for i, name in enumerate(methods)}, methods, "vit")
    assert [name for name in methods if f">{name}<" not in drawn] == []


def test_lines_of_other_numbers_of_epochs_end_together():
    """At their labels, by the share of their epochs; a single epoch is a point."""
    rows = [("long", epoch, 0.5) for epoch in range(9)] + [("short", 0, 0.9)]
    table = pd.DataFrame(rows, columns=["method", "epoch", "accuracy"]).assign(task="digits", seed=0)
    drawn = figures.curves(table, "digits", ["long", "short"], "vit")
    assert "% of its epochs" in drawn
    assert drawn.count("<use ") == 1
    same = figures.curves(table[table["method"] == "long"], "digits", ["long", "short"], "vit")
    assert ">epoch<" in same
    assert "<use " not in same


def test_markup_in_a_name_is_escaped(finished):
    """A name is text."""
    drawn = figures.affinity([[1.0]], '<script>"', [0], 0.5, "vit")
    ET.fromstring(drawn)
    assert "<script>" not in drawn


def test_a_page_of_vtab_has_room_for_its_figures():
    """Those of 19 tasks, 20 methods, 3 seeds and 100 epochs weigh less than 2.2 MB, of the 4 MB that a page may."""
    methods, random = [f"method {i}" for i in range(20)], np.random.default_rng(0)
    rows = [(m, s, e, 1 - np.exp(-e / 20) * random.random()) for m in methods for s in range(3) for e in range(100)]
    table = pd.DataFrame(rows, columns=["method", "seed", "epoch", "accuracy"]).assign(task="digits")
    affinity = random.random((12, 12)).tolist()
    trust = reliability(random.random(1000) < 0.7, random.random(1000))
    drawn = [
        figures.curves(table, "digits", methods, "vit"),
        figures.affinity(affinity, "digits", [0, 3, 6], 0.5, "vit"),
        figures.reliability(trust, "digits"),
    ]
    assert 19 * sum(map(len, drawn)) < 2_200_000, [len(one) for one in drawn]


def test_paths_are_short_and_end_where_they_did():
    """Tenths of a point, one after the other, without drift; a curve keeps its letters."""
    assert svg._path("M 1.04 2\nL 3.26 1.5\nL 3.5 1.5 \nz\n") == "M1 2l2.3-.5 .2 0z"
    assert svg._path("M 0 1.234567 \nC 0.5 1 1 0.5 1 0 \nz") == "M0 1.23C0.5 1 1 0.5 1 0z"


class TestNumbers:
    """What is drawn is what was measured."""

    @pytest.fixture(autouse=True)
    def axes_alone(self, monkeypatch):
        """Instead of their text."""
        monkeypatch.setattr(figures, "svg", lambda figure, _: figure.axes[0])

    def test_accuracy(self):
        """The interval, a tick a seed, the mean; of that task and method alone."""
        table = pd.DataFrame([("t", "m", 0.5, 0.4, 0.7)], columns=["task", "method", "accuracy", "low", "high"])
        rows = [("t", "m", 0.45), ("t", "m", 0.55), ("t", "n", 0.1), ("u", "m", 0.2)]
        axes = figures.accuracy(table, pd.DataFrame(rows, columns=["task", "method", "accuracy"]), ["m"], "vit")
        drawn = np.concatenate([np.asarray(line.get_xdata()) for line in axes.lines])
        np.testing.assert_allclose(drawn, [40, 70, 45, 55, 50])

    def test_against_parameters(self):
        """Count and percent."""
        axes = figures.against_parameters({"m": (2e3, 0.5)}, ["m"], "vit")
        assert [(*line.get_xdata(), *line.get_ydata()) for line in axes.lines] == [(2e3, 50)]

    def test_curves(self):
        """The mean over seeds; a band from the lowest to the highest."""
        rows = [("m", seed, epoch, a) for seed, a in ((0, 0.2), (1, 0.4), (2, 0.9)) for epoch in (0, 1)]
        table = pd.DataFrame(rows, columns=["method", "seed", "epoch", "accuracy"]).assign(task="t")
        axes = figures.curves(table, "t", ["m"], "vit")
        heights = axes.collections[0].get_paths()[0].vertices[:, 1]
        np.testing.assert_allclose((heights.min(), heights.max()), (20, 90))
        np.testing.assert_allclose(axes.lines[0].get_ydata(), [50, 50])

    def test_affinity(self):
        """A frame a level; the first block on top."""
        axes = figures.affinity(np.eye(3).tolist(), "t", [0, 2], 0.5, "vit")
        frames = {(p.get_x(), p.get_y(), p.get_width(), p.get_height()) for p in axes.patches}
        assert frames == {(0, 0, 2, 2), (2, 2, 1, 1)}
        assert axes.get_ylim() == (3, 0)

    @pytest.mark.parametrize("depth", [12, 24, 40])
    def test_numbers_of_blocks_stand_apart(self, depth):
        """As wide as they are drawn, with a space between."""
        axes = figures.affinity(np.eye(depth).tolist(), "t", [0], 0.5, "vit")
        axes.figure.draw_without_rendering()
        boxes = [label.get_window_extent() for label in axes.get_xticklabels()]
        assert all(one.x1 + one.height / 3 < other.x0 for one, other in itertools.pairwise(boxes))

    def test_reliability(self):
        """Accuracy over confidence, where there are images."""
        found = Reliability(np.array([0, 4]), np.array([math.nan, 0.9]), np.array([math.nan, 0.25]))
        np.testing.assert_allclose(figures.reliability(found, "t").collections[0].get_offsets(), [[90, 25]])


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_has_room_for_the_longest_names(finished, name):
    """Of tasks, methods and backbones, 100 characters each; their start and end are shown."""
    runs = pd.read_csv(finished.root / "results/plots/accuracy.csv")
    curves = pd.read_csv(finished.root / "results/plots/curves.csv")
    long = {known: f"{known}{'_' * (96 - len(known))}last" for known in ["digits", *runs["task"], *METHODS]}
    table, runs, curves = (frame.replace(long) for frame in (finished.table, runs, curves))
    methods, task, backbone = [long[method] for method in METHODS], long["digits"], "v" * 100
    trust = reliability(np.array([True]), np.array([0.9]))
    drawn = {
        "accuracy": lambda: figures.accuracy(table, runs, methods, backbone),
        "parameters": lambda: figures.against_parameters({methods[0]: (2e3, 0.5)}, methods, backbone),
        "curves": lambda: figures.curves(curves, task, methods, backbone),
        "affinity": lambda: figures.affinity([[1, 0.8], [0.8, 1]], task, [0, 1], 0.5, backbone),
        "backbones": lambda: figures.across_backbones({backbone: {methods[0]: 0.5}, "b": {methods[0]: 0.6}}, methods),
        "reliability": lambda: figures.reliability(trust, task),
    }[name]()  # a layout without room would warn
    words = ["".join(text.itertext()) for text in ET.fromstring(drawn).iter("{http://www.w3.org/2000/svg}text")]
    assert name == "reliability" or any("…" in word and word.endswith("last") for word in words)
    assert max(map(len, words)) <= max(svg.LONGEST, len("tuned parameters, head included"))


def test_no_tick_says_more_than_all():
    """Where everything is right, there is room above the marker, and no 105 %."""
    points = {method: (10.0**place, 1.0) for place, method in enumerate(METHODS, 3)}
    curves = pd.DataFrame(
        {"task": "a", "method": "vpt", "seed": 0, "epoch": range(5), "accuracy": [0.9, 0.95, 1, 1, 1]}
    )
    for figure in (
        figures.against_parameters(points, METHODS, "vit"),
        figures.across_backbones({"one": dict.fromkeys(METHODS, 0.99), "two": dict.fromkeys(METHODS, 1.0)}, METHODS),
        figures.curves(curves, "a", METHODS, "vit"),
    ):
        labels = [float(text) for text in re.findall(r">(\d+(?:\.\d+)?)</text>", figure)]
        assert max(label for label in labels if label < 1000) <= 100
