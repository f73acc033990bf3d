import re
from urllib.parse import unquote, urlsplit

import pytest
from originals import WRITERS
from project import ROOT

from ship.data.sources.catalogue import ARCHIVES, SOURCES
from ship.data.sources.draw import cut
from ship.data.tasks import TASKS


def amount(archives):
    """Size of a task's archives, as the docs show it."""
    known = [ARCHIVES[name].size for name in archives]
    if None in known:
        return "not published"
    return f"{sum(known) / 1e9:,.1f} GB" if sum(known) >= 1e9 else f"{sum(known) / 1e6:,.0f} MB"


def row(task, source):
    """The line of a task in docs/data.md."""
    train, val, test = source.slices
    cells = [
        f"`{task}`",
        source.builder,
        source.licence,
        amount(source.archives),
        source.stored,
        source.key,
        source.label,
    ]
    cells += [f"`{train}`, {f'`{val}`' if val else 'a tenth of train'}, `{test}`", source.checked, source.traps]
    return "| " + " | ".join(cells) + " |"


def test_every_archive_is_used_and_known():
    """No task names an archive that is not there, and no archive is there for nothing."""
    used = {archive for source in SOURCES.values() for archive in source.archives}
    assert used == ARCHIVES.keys()
    assert all(name == archive.name for name, archive in ARCHIVES.items())


def test_what_is_downloaded_can_be_verified():
    """An archive with an address has a digest; one without says what a person does."""
    for archive in ARCHIVES.values():
        assert archive.sha256 or archive.md5 if archive.urls else archive.how, archive.name
        assert re.fullmatch(r"[0-9a-f]{64}", archive.sha256 or "0" * 64), archive.name


def test_every_address_ends_with_the_archives_name():
    """Of all data sets, publishers keep the names of their files; a cut one is another file, or none."""
    for archive in ARCHIVES.values():
        for url in archive.urls:
            assert unquote(urlsplit(url).path).rpartition("/")[2] == archive.name


def test_the_tasks_of_vtab_1k_are_the_published_ones():
    """Those of TASKS, with as many classes."""
    vtab1k = {task: source.classes for task, source in SOURCES.items() if source.family == "vtab1k"}
    assert vtab1k == {task: info.classes for task, info in TASKS.items() if not info.builtin}


def test_every_data_set_is_read_from_archives_of_a_test():
    """Tiny ones in its format, of which every image is compared."""
    lacking = SOURCES.keys() - WRITERS.keys()
    assert not lacking, f"tests/originals.py: WRITERS: expected one for each data set, found none for {lacking}"


@pytest.mark.parametrize("task", SOURCES)
def test_slices_are_of_official_splits(task):
    """Each names a split that the source has."""
    source = SOURCES[task]
    splits = {split: [str(number) for number in range(count)] for split, count in source.sizes.items()}
    assert all(cut(piece, splits)[1] for piece in source.slices if piece)


def test_the_docs_have_the_catalogue():
    """docs/data.md shows every row as it is."""
    text = (ROOT / "docs/data.md").read_text()
    lacking = [row(task, source) for task, source in SOURCES.items() if row(task, source) not in text]
    assert not lacking, "\n".join(lacking)


def test_the_docs_have_the_built_in_tasks():
    """In the order of TASKS, with their groups."""
    rows = re.findall(
        r"^\| `(\w+)` \| (natural|specialized|structured) \|", (ROOT / "docs/data.md").read_text(), re.MULTILINE
    )
    assert rows == [(name, info.group) for name, info in TASKS.items() if info.builtin]
