"""Documents say what is there."""

import re

import yaml
from project import ROOT

from ship.experiment.code import Code
from ship.methods import METHODS, method_class


def test_the_six_files_have_the_lines_that_contributing_states():
    """So that a newcomer knows what a first reading takes."""
    rows = re.findall(r"^\| `([^`]+)` \| (\d+) \|", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    assert len(rows) == 6
    assert {name: int(lines) for name, lines in rows} == {
        name: len((ROOT / name).read_text().splitlines()) for name, _ in rows
    }


def test_every_option_of_every_method_is_listed():
    """With its default, in the order of its class."""
    rows = re.findall(r"^\| `(\w+)` \| (`\w+: .*`|none) \|$", (ROOT / "docs/method.md").read_text(), re.MULTILINE)
    found = {name: {} if told == "none" else yaml.safe_load("{" + told.replace("`", "") + "}") for name, told in rows}
    assert found == {name: Code().options(name) for name in METHODS}
    assert [[*options] for options in found.values()] == [[*Code().options(name)] for name in METHODS]


def test_every_method_is_described():
    """By a row that says what it computes, or, of SHIP, by a table of its own; and the README counts them."""
    rows = re.findall(r"^\| `(\w+)`[^|]*(?:\|[^|]+){2}\|.+\|$", (ROOT / "docs/method.md").read_text(), re.MULTILINE)
    assert {*rows, "ship"} == METHODS.keys()
    assert f"with {len(METHODS)} methods" in (ROOT / "README.md").read_text()


def test_what_noise_acts_on_is_told_of_every_method():
    """Of those that take it in a table, of the others in a sentence."""
    text = (ROOT / "docs/method.md").read_text()
    _, _, told = text.partition("| the noise multiplies |\n")
    table, _, rest = told.partition("The other methods (")
    named = [cell for line in table.splitlines() for cell in re.findall(r"^\| (`\w+`[^|]+)\|", line)]
    takes = {name for cell in named for name in re.findall(r"`(\w+)`", cell)}
    assert takes == {name for name in METHODS if method_class(name).takes_noise}
    assert re.findall(r"`(\w+)`", rest.partition(")")[0]) == [name for name in METHODS if name not in takes]


def test_links_between_documents_lead_somewhere():
    """To a file of the clone, and to a heading of it; those to the network are not looked up."""
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "config/README.md"]
    links = [(page, *link) for page in pages for link in re.findall(r"\]\(([^)#\s]*)#?([^)\s]*)", page.read_text())]
    inner = [
        (page, page.parent / file if file else page, heading) for page, file, heading in links if "://" not in file
    ]
    assert len(inner) > 50
    assert [f"{page.name}: {path}" for page, path, _ in inner if not path.exists()] == []
    broken = [f"{page.name}: {path.name}#{name}" for page, path, name in inner if name and name not in headings(path)]
    assert broken == []


def headings(path):
    """The names by which links call the headings of a document, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_the_readme_is_read_in_a_hurry():
    """At most 100 lines."""
    assert len((ROOT / "README.md").read_text().splitlines()) <= 100


def test_files_that_documents_name_are_there():
    """Code that has moved is named where it is."""
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    named = [
        (page, name)
        for page in pages
        for name in re.findall(
            r"\b(?:ship|tests|workflow|benchmarks|presets)/[\w/.-]+\.(?:py|smk|yaml)", page.read_text()
        )
    ]
    assert [f"{page.name}: {name}" for page, name in named if not (ROOT / name).is_file()] == []
