"""Archives that people have already: found where they lie, verified, left alone."""

import hashlib
import os

import pytest

from ship.data import inventory
from ship.data.download import check_disk, fetch
from ship.data.inventory import addressed, by_hand, find, mirrored, needed, needs
from ship.data.sources.catalogue import Archive
from ship.data.status import states
from ship.errors import BadInput
from ship.experiment.params import Task

BODY = b"an archive"
URL = "https://example.org/files/some%20pets.tar.gz?download=1"
WITH_URL = Task(source="folder", url=URL, sha256="AB" * 32)
ONE = Archive("a.bin", (), len(BODY), hashlib.sha256(BODY).hexdigest(), how="ask for it at https://example.org")


def put(path, body=BODY):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)
    return path


@pytest.mark.parametrize("place", ["a.bin", "below/a.bin", "below/lower/a.bin", "other.name", "below/other.name"])
def test_found_in_place(tmp_path, place):
    """By size and digest under any name, up to two folders down; never copied."""
    path = put(tmp_path / place)
    assert find(ONE, tmp_path) == (path, ())
    assert fetch(ONE, tmp_path) == path
    assert [file for file in tmp_path.rglob("*") if file.is_file() and not file.name.startswith(".")] == [path]


def test_digests_may_be_in_capitals(tmp_path):
    """As params.yaml may have them: a file that is right is not refused."""
    path = put(tmp_path / "a.bin")
    for one in (
        ONE._replace(sha256=str(ONE.sha256).upper()),
        ONE._replace(sha256=None, md5=hashlib.md5(BODY).hexdigest().upper()),
    ):
        assert find(one, tmp_path) == (path, ())


def test_a_folder_is_looked_through_once(tmp_path, monkeypatch):
    """However many archives are asked for."""
    put(tmp_path / "below" / "a.bin")
    walk, walked = os.walk, []
    monkeypatch.setattr(inventory.os, "walk", lambda folder: walked.append(folder) or walk(folder))
    others = [ONE._replace(name=f"{number}.bin", sha256="0" * 64, urls=("https://example.org",)) for number in range(5)]
    assert [one.state for one in states({"task": [ONE, *others]}, tmp_path)] == ["found"] + 5 * ["to download"]
    check_disk([ONE, *others], tmp_path)
    assert walked == 2 * [tmp_path]


@pytest.mark.parametrize("place", ["a/b/c/a.bin", ".hidden/a.bin", ".a.bin", "a.bin.wrong-12345678"])
def test_not_looked_for(tmp_path, place):
    """Too deep, hidden, or set aside as wrong."""
    put(tmp_path / place)
    assert find(ONE, tmp_path).path is None


def test_a_link_is_followed(tmp_path):
    """People link to files that lie on another disk."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.bin").symlink_to(put(tmp_path / "elsewhere" / "a.bin"))
    assert find(ONE, tmp_path / "folder").path == tmp_path / "folder" / "a.bin"


@pytest.mark.parametrize("body", [b"an archivE", b"cut", b""])
def test_a_wrong_file_is_named_and_left(tmp_path, body):
    """Under the archive's name it takes the place of a download, so nothing goes on; it is never touched."""
    path = put(tmp_path / "a.bin", body)
    assert [fault.startswith(f"{path}: expected ") for fault in find(ONE, tmp_path).faults] == [True]
    with pytest.raises(BadInput, match=f"^{path}: expected [^\n]*, got [^\n]* .delete or move {path}, then run this"):
        fetch(ONE._replace(urls=("http://127.0.0.1:9/",)), tmp_path)
    assert path.read_bytes() == body


def test_a_right_file_serves_beside_a_wrong_one(tmp_path):
    """Both are reported."""
    right = put(tmp_path / "sub" / "a.bin")
    put(tmp_path / "a.bin", b"cut")
    found = find(ONE, tmp_path)
    assert found.path == right
    assert len(found.faults) == 1


def test_a_folder_of_others_serves(tmp_path):
    """Nothing needs to be noted in it: the file is read each time."""
    path = put(tmp_path / "a.bin")
    (tmp_path / ".a.bin.checked").mkdir()  # so that root, too, cannot write the note
    assert fetch(ONE, tmp_path) == fetch(ONE, tmp_path) == path
    assert {file.name for file in tmp_path.iterdir()} == {"a.bin", ".a.bin.checked"}


def test_without_a_digest_the_name_and_size_tell(tmp_path):
    """And without a size, the name alone."""
    named = ONE._replace(sha256=None)
    put(tmp_path / "other.name")
    assert find(named, tmp_path).path is None
    path = put(tmp_path / "sub" / "a.bin")
    assert find(named, tmp_path).path == path
    assert find(named._replace(size=None), tmp_path).path == path
    assert find(named._replace(size=3), tmp_path).path is None
    assert find(named._replace(md5=hashlib.md5(BODY).hexdigest()), tmp_path).path == tmp_path / "other.name"


def test_what_a_person_must_do(tmp_path):
    """Which file goes where, how it is had, how it is verified: in the refusal, too."""
    said = by_hand([ONE], tmp_path)
    for word in (str(tmp_path / "a.bin"), ONE.how, "10 bytes", str(ONE.sha256)):
        assert word in said
    with pytest.raises(BadInput, match=r"^a.bin: expected it in .*, found none: .*ask for it at"):
        fetch(ONE, tmp_path)


def test_tasks_that_need_an_archive():
    """Those with an address, one for all tasks of it; other tasks have none."""
    tasks = {"digits": Task(), "one": WITH_URL, "two": WITH_URL, "list": Task(source="vtab", path="somewhere")}
    assert list(needed(tasks)) == ["abababababab-some_pets.tar.gz"]
    assert [len(needs(name, task)) for name, task in tasks.items()] == [0, 1, 1, 0]


def test_mirrors_come_first():
    """Each has the archive under its name; what nothing would verify is not taken from them."""
    one = ONE._replace(name="a b.bin", urls=("https://example.org/a",))
    near = mirrored(one, ["https://near", "http://far/x/"]).urls
    assert near == ("https://near/a%20b.bin", "http://far/x/a%20b.bin", "https://example.org/a")
    assert mirrored(one, []) == one
    unverified = one._replace(sha256=None)
    assert mirrored(unverified, ["https://near"]) == unverified


@pytest.mark.parametrize(
    "url", ["https://h/", "https://h/a/..", "https://h/../../x", "https://h/%2e%2e%2fx", "https://h/-r m;"]
)
def test_a_name_is_a_plain_file_name(url):
    """Whatever the address holds."""
    name = addressed(url, "0" * 64).name
    assert name.startswith("000000000000-")
    assert not set(name) & set("/\\; \n")
