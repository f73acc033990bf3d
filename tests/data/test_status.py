"""`ship data`: everything that is missing or wrong, at once."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from project import command, write_params
from web import serving

from ship.data.sources.catalogue import ARCHIVES, Archive
from ship.data.status import as_json, states, table

BODY = b"an archive"
DIGEST = hashlib.sha256(BODY).hexdigest()
THERE = Archive("there.bin", ("https://example.org/1",), len(BODY), DIGEST)
COMING = Archive("coming.bin", ("https://example.org/2",), len(BODY), "0" * 64)
BROKEN = Archive("broken.bin", ("https://example.org/3",), len(BODY), "1" * 64)
MANUAL = Archive("manual.bin", (), len(BODY), "2" * 64, how="ask its authors")
NEEDS = {"one": [THERE, COMING], "two": [COMING], "three": [BROKEN, MANUAL], "four": []}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "there.bin").write_bytes(BODY)
    (tmp_path / "broken.bin").write_bytes(b"cut")
    (tmp_path / ".coming.bin.part").write_bytes(b"cut")
    return tmp_path


def test_each_state_is_told(folder):
    """A row for each task and archive, the sum once, a line for each that is wrong or needs a person."""
    found = states(NEEDS, folder)
    assert {one.archive.name: one.state for one in found} == {
        "there.bin": "found",
        "coming.bin": "to download",
        "broken.bin": "wrong",
        "manual.bin": "by hand",
    }
    text = table(found, folder)
    assert text.count("coming.bin") == 2
    assert f"{folder}: 17 bytes to download, " in text
    assert f"wrong: {folder / 'broken.bin'}: expected 10 bytes, got 3 (delete or move it)" in text
    assert f"by hand: {folder / 'manual.bin'}: ask its authors (verified by 10 bytes and sha256 " in text


def test_what_one_way_brings_is_one_line(tmp_path):
    """The files of a page that a person must go to are named together, each at its place."""
    parts = [Archive(f"part.{number}", (), how="get it from the page") for number in range(3)]
    lines = [line for line in table(states({"one": parts}, tmp_path), tmp_path).splitlines() if "by hand:" in line]
    places = ", ".join(str(tmp_path / part.name) for part in parts)
    assert lines == [f"by hand: {places}: get it from the page (verified by what is in it, when it is prepared)"]


def test_a_file_of_another_name_is_shown_with_its_archive(folder):
    """Both names stand in the row."""
    (folder / "there.bin").rename(folder / "mine.bin")
    (row,) = (line for line in table(states(NEEDS, folder), folder).splitlines() if line.startswith("one    there.bin"))
    assert row.endswith(f"found: {folder / 'mine.bin'}")


def test_machines_read_the_same(folder):
    """Valid JSON, sizes in bytes, tasks with each archive."""
    said = json.loads(json.dumps(as_json(states(NEEDS, folder), folder)))
    assert said["needed"] == 17
    assert [(one["archive"], one["tasks"], one["lacking"]) for one in said["archives"]][:2] == [
        ("there.bin", ["one"], 0),
        ("coming.bin", ["one", "two"], 7),
    ]


def test_the_commands(tmp_path, image):
    """`ship data` before, `ship download`, `ship data` after; a second download asks nobody."""
    with serving(BODY) as site:
        task = {"source": "folder", "url": site.url("/pets.zip"), "sha256": DIGEST}
        write_params(
            tmp_path, {"grid.tasks": ["own", "twin"], "tasks": {"own": task, "twin": task}, "archives": "mine"}
        )
        name = f"{DIGEST[:12]}-pets.zip"
        before = command("ship", "data", cwd=tmp_path)
        assert (before.returncode, before.stdout.count("to download")) == (0, 3)
        assert "beside 1 of unknown size" in before.stdout
        for record in ([], ["--record", "downloads/x.json"]):
            done = command("ship", "download", name, *record, cwd=tmp_path)
            assert done.returncode == 0, done.stderr
        assert len(site.asked) == 1
        assert (tmp_path / "mine" / name).read_bytes() == BODY
        assert json.loads((tmp_path / "downloads/x.json").read_text())["sha256"] == DIGEST
        assert '"state": "found"' in command("ship", "data", "--json", cwd=tmp_path).stdout
        (tmp_path / "mine" / name).write_bytes(b"something else")
        after = command("ship", "data", cwd=tmp_path)
        assert after.returncode == 1
        assert f"wrong: mine/{name}: expected sha256 {DIGEST}, got" in after.stdout
        odd = command("ship", "download", name.replace("pets", "pet"), cwd=tmp_path)
        assert odd.returncode == 2
        assert f"did you mean '{name}'" in odd.stderr


def test_an_archive_that_a_person_must_get_is_no_success(tmp_path):
    """A script that goes on would fail after hours of other downloads."""
    write_params(tmp_path, {"grid.tasks": ["nabirds"], "tasks.nabirds": {"source": "fgvc"}})
    done = command("ship", "data", cwd=tmp_path)
    assert done.returncode == 1
    assert "by hand" in done.stdout


def test_prepare_downloads_what_it_lacks(tmp_path, vtab):
    """Once, also for a second task of the same archive; what is there is kept."""
    packed = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", vtab, ".")).read_bytes()
    with serving(packed) as site:
        task = {"source": "vtab", "url": site.url("/get?id=1"), "sha256": hashlib.sha256(packed).hexdigest()}
        write_params(tmp_path, {"grid.tasks": ["own", "twin"], "tasks": {"own": task, "twin": task}})
        for name in ("own", "twin"):
            done = command("ship", "prepare", name, cwd=tmp_path)
            assert done.returncode == 0, done.stderr
        assert len(site.asked) == 1
    own, twin = (tmp_path / "data" / name / "train.parquet" for name in ("own", "twin"))
    assert own.read_bytes() == twin.read_bytes()


def test_an_experiment_that_needs_none(tmp_path):
    """Says so; whoever asks for all gets all."""
    write_params(tmp_path)
    done = command("ship", "data", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout == "no task of this experiment needs an archive\n"
    told = json.loads(command("ship", "data", "--all", "--json", cwd=tmp_path).stdout)
    assert {one["archive"] for one in told["archives"]} == set(ARCHIVES)
