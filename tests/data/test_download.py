"""Downloads: whole and verified, or one line with the address and the way out; never half a file under its name."""

import fcntl
import hashlib
import json
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import time
from threading import Thread

import pytest
from requests import Response
from web import Fault, serving

from ship.data.download import Patience, check_disk, fetch, write_record
from ship.data.sources.catalogue import Archive
from ship.data.transfer import LONGEST, Interrupted, _is_whole, _validator
from ship.errors import BadInput

BODY = random.Random(0).randbytes(3 * 2**20)
IMPATIENT = Patience(attempts=3, pause=0.01, stall=1.0)
ALWAYS = {"always": True}
HTML = {"Content-Type": "text/html; charset=utf-8"}


@pytest.fixture
def site():
    with serving(BODY) as site:
        yield site


def archive(site, *paths, body=BODY, **changes):
    """The archive a.bin at these paths of the site."""
    urls = tuple(site.url(path) for path in paths or ("/a.bin",))
    return Archive("a.bin", urls, len(body), hashlib.sha256(body).hexdigest())._replace(**changes)


def got(one, folder, patience=IMPATIENT):
    """What is fetched, and that nothing else lies beside it but the note of its digest."""
    path = fetch(one, folder, patience=patience)
    assert path == folder / "a.bin"
    assert sorted(file.name for file in folder.iterdir()) == [".a.bin.checked", "a.bin"]
    return path.read_bytes()


def refused(one, folder, *words, patience=IMPATIENT):
    """The line of a refusal: with the address and the way out; there is no file under the archive's name."""
    with pytest.raises(BadInput) as raised:
        fetch(one, folder, patience=patience)
    line = str(raised.value)
    assert "\n" not in line
    assert ": expected " in line
    assert ", got " in line
    for word in (*one.urls, *words):
        assert word in line
    assert line.endswith(")")
    assert not (folder / "a.bin").exists()
    return line


def test_a_good_server_is_asked_once(site, tmp_path):
    """And never again: what is whole is found, also by a process that knows nothing of the first."""
    assert got(archive(site), tmp_path) == BODY
    assert got(archive(site), tmp_path) == BODY
    (tmp_path / ".a.bin.checked").unlink()
    assert got(archive(site), tmp_path) == BODY
    assert site.asked == [("/a.bin", None)]


FAULTS = {
    "500 then good": ([Fault(status=500)], 0),
    "503 that says when": ([Fault(status=503, headers={"Retry-After": "0"})], 0),
    "429": ([Fault(status=429)], 0),
    "closed without an answer": ([Fault(drop=True)], 0),
    "reset in the middle": ([Fault(cut=2**20)], 2**20),
    "truncated": ([Fault(cut=2**20, stall=0.01)], 2**20),
    "truncated, of unknown length": ([Fault(cut=2**20, stall=0.01, length=-1)], 2**20),
    "reset twice": ([Fault(cut=2**20), Fault(cut=2**20)], 2**20),
    "stalled": ([Fault(cut=2**20, stall=3)], 2**20),
    "range refused": ([Fault(cut=2**20), Fault(ranges=False)], 2**20),
    "wrong Content-Range": ([Fault(cut=2**20), Fault(span="bytes 5-9/10")], 2**20),
    "no Content-Range": ([Fault(cut=2**20), Fault(span="nonsense")], 2**20),
    "no Content-Length": ([Fault(length=-1)], 0),
    "wrong bytes before the reset": ([Fault(cut=2**20, body=bytes(len(BODY)))], 2**20),
}


@pytest.mark.parametrize("name", FAULTS)
def test_trouble_that_passes_costs_time_alone(site, tmp_path, name):
    """The file is whole and right, and a second request asks for the rest of it."""
    faults, start = FAULTS[name]
    site.faults["/a.bin"] = list(faults)
    assert got(archive(site), tmp_path) == BODY
    if start:
        assert site.asked[1] == ("/a.bin", f"bytes={start}-")


def test_a_slow_server_is_borne(site, tmp_path):
    """A second without a byte is too long, several with few are not."""
    site.faults["/a.bin"] = [Fault(block=2**19, pause=0.4)]
    assert got(archive(site), tmp_path) == BODY
    assert len(site.asked) == 1


def test_many_resets_are_borne_while_it_gets_further(site, tmp_path):
    """More of them than attempts: only those that bring nothing count."""
    site.faults["/a.bin"] = [Fault(cut=2**19 * n) for n in (2, 3, 3, 3, 2)]
    with serving(random.Random(1).randbytes(8 * 2**20)) as large:
        large.faults["/a.bin"] = [Fault(cut=2**20)] * 7
        assert got(archive(large, body=large.body), tmp_path) == large.body
        assert len(large.asked) == 8


LASTING = {
    "another scheme": (Fault(status=302, headers={"Location": "ftp://127.0.0.1/a.bin"}, **ALWAYS), 1, "ftp"),
    "always 500": (Fault(status=500, **ALWAYS), 3, "500"),
    "always reset": (Fault(cut=2**10, **ALWAYS), None, "3 times tried"),
    "always stalled": (Fault(cut=0, stall=3, **ALWAYS), 3, "no byte for 0.2 s"),
    "404": (Fault(status=404, **ALWAYS), 1, "404"),
    "403": (Fault(status=403, **ALWAYS), 1, "403"),
    "another file": (Fault(body=b"<html>", **ALWAYS), 1, "another file, of 6 bytes in place of 3,145,728"),
    "too short a length": (Fault(length=100, **ALWAYS), 1, "another file, of 100 bytes"),
    "longer than it says": (Fault(body=BODY + b"x", length=-1, **ALWAYS), 1, "more than the 3,145,728 bytes"),
    "shorter than it says": (Fault(body=BODY[:-9], length=len(BODY), **ALWAYS), 2, "another file, of 3,145,719 bytes"),
    "a rest of another file": (Fault(cut=2**20, span="bytes 1048576-9/999", **ALWAYS), 2, "another file, of 999 bytes"),
    "a range that nobody asked for": (Fault(status=206, **ALWAYS), 3, "206"),
}


@pytest.mark.parametrize("name", LASTING)
def test_trouble_that_lasts_ends_in_one_line(site, tmp_path, name):
    """It names the address, what was wrong, and what to do; a 404 is not asked twice."""
    fault, times, word = LASTING[name]
    site.faults["/a.bin"] = [fault]
    refused(archive(site), tmp_path, word, patience=IMPATIENT._replace(stall=0.2) if fault.stall else IMPATIENT)
    if times is not None:
        assert len(site.asked) == times
    del site.faults["/a.bin"]
    assert got(archive(site), tmp_path) == BODY


@pytest.mark.parametrize(
    "page",
    [Fault(body=b"<html>", ranges=False, **ALWAYS), Fault(body=b"<html>", length=-1, headers=HTML, **ALWAYS)],
    ids=["of another size", "of unknown size"],
)
def test_a_web_page_costs_nothing_that_is_there(site, tmp_path, page):
    """The server says that all is well, and what has come is gone on from elsewhere."""
    site.faults = {"/one": [Fault(cut=2**20), page]}
    assert got(archive(site, "/one", "/two"), tmp_path) == BODY
    assert site.asked[-1] == ("/two", f"bytes={2**20}-")
    assert len(site.asked) == 3


def test_a_wrong_checksum_is_named_and_kept(site, tmp_path):
    """Under another name, and it is not downloaded again until a person has moved it."""
    wrong = bytes(len(BODY))
    site.faults["/a.bin"] = [Fault(body=wrong)]
    line = refused(archive(site), tmp_path, hashlib.sha256(wrong).hexdigest())
    (kept,) = (path for path in tmp_path.iterdir() if not path.name.startswith("."))
    assert f"(delete or move {kept}, then run this again;" in line
    assert kept.read_bytes() == wrong
    with pytest.raises(BadInput, match=f"^{kept}: expected .* .delete or move {kept}, then run this again.$"):
        fetch(archive(site), tmp_path)
    assert len(site.asked) == 1
    kept.unlink()
    assert got(archive(site), tmp_path) == BODY


def test_mirrors_are_tried_in_order(site, tmp_path):
    """The first that has the file gives it; a wrong one before it is kept apart and not used."""
    site.faults = {"/one": [Fault(status=404)], "/two": [Fault(body=bytes(len(BODY)))], "/four": [Fault(status=500)]}
    path = fetch(archive(site, "/one", "/two", "/three", "/four"), tmp_path, patience=IMPATIENT)
    assert path.read_bytes() == BODY
    assert [path for path, _ in site.asked] == ["/one", "/two", "/three"]
    assert len(list(tmp_path.glob("a.bin.wrong-*"))) == 1


def test_a_mirror_goes_on_where_another_ended(site, tmp_path):
    """The digest of the whole tells whether the pieces fit."""
    site.faults["/one"] = [Fault(cut=2**20), Fault(status=404)]
    assert got(archive(site, "/one", "/two"), tmp_path) == BODY
    assert site.asked[-1] == ("/two", f"bytes={2**20}-")


def test_a_mirror_is_not_asked_for_the_state_of_another(site, tmp_path):
    """Each has ETags of its own: what has come is not thrown away for them."""
    site.faults["/one"], told = [Fault(cut=2**20, headers={"ETag": '"other"'}), Fault(status=404)], []
    fetch(archive(site, "/one", "/two"), tmp_path, lambda done, _: told.append(done), IMPATIENT)
    assert told == sorted(told)


def test_a_disk_that_takes_less_at_once_gets_all(site, tmp_path, monkeypatch):
    """A write may be short."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[: 2**17]))
    assert got(archive(site), tmp_path) == BODY
    assert len(site.asked) == 1


def test_wrong_bytes_in_pieces_end(site, tmp_path):
    """They are fetched once more, and not for ever."""
    site.faults["/a.bin"] = [Fault(cut=2**20), Fault()] * 3
    refused(archive(site, sha256="0" * 64), tmp_path, hashlib.sha256(BODY).hexdigest())
    assert len(site.asked) == 4


def test_every_address_is_named_when_all_fail(site, tmp_path):
    """With what each said."""
    site.faults = {"/one": [Fault(status=404)], "/two": [Fault(status=403)]}
    refused(archive(site, "/one", "/two"), tmp_path, "404", "403")


def test_a_file_that_changes_on_the_server_is_begun_again(site, tmp_path):
    """If-Range tells, so that no byte of the old state is kept."""
    site.faults["/a.bin"] = [Fault(cut=2**20)]
    site.body = bytes(len(BODY))
    one = archive(site)
    with pytest.raises(BadInput):
        fetch(one, tmp_path, patience=IMPATIENT._replace(attempts=0))
    site.body, site.etag = BODY, '"two"'
    assert got(one, tmp_path) == BODY
    assert site.asked == [("/a.bin", None), ("/a.bin", f"bytes={2**20}-")]


def test_a_redirect_is_followed(site, tmp_path):
    """With the range that was asked for."""
    site.faults["/a.bin"] = [Fault(cut=2**20)]
    moved = Fault(status=302, headers={"Location": site.url()}, **ALWAYS)
    site.faults["/old"] = [moved]
    assert got(archive(site, "/old"), tmp_path) == BODY
    assert site.asked[-1] == ("/a.bin", f"bytes={2**20}-")


def test_no_server_is_named(tmp_path):
    """A refused connection is told in two words, without the insides of a library."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/a.bin"
    one = Archive("a.bin", (url,), 9, "0" * 64)
    assert "got Connection refused (3 times tried)" in refused(one, tmp_path)


@pytest.mark.parametrize("url", ["ftp://example.org/a.bin", "file:///etc/passwd", "http://[/a.bin", "nonsense"])
def test_other_addresses_are_refused(tmp_path, url):
    """Nothing but the web, and no traceback for a typing error."""
    refused(Archive("a.bin", (url,), 9, "0" * 64), tmp_path)


def test_unknown_size_is_verified_by_the_digest(site, tmp_path):
    """As for an address in params.yaml; also where the last bytes came before a kill."""
    one = archive(site, size=None)
    (tmp_path / ".a.bin.part").write_bytes(BODY)
    assert got(one, tmp_path) == BODY
    assert site.asked == [("/a.bin", f"bytes={len(BODY)}-")]


def test_a_whole_part_that_is_wrong_is_begun_again(site, tmp_path):
    """Nobody knows what a killed process put together."""
    (tmp_path / ".a.bin.part").write_bytes(bytes(len(BODY)))
    assert got(archive(site), tmp_path) == BODY
    assert site.asked == [("/a.bin", None)]


def test_a_part_that_is_too_long_is_begun_again(site, tmp_path):
    """416 is no failure."""
    (tmp_path / ".a.bin.part").write_bytes(BODY + b"x")
    assert got(archive(site, size=None), tmp_path) == BODY


def test_md5_serves_where_nothing_else_is_published(site, tmp_path):
    """And without any digest nothing is downloaded."""
    one = archive(site, sha256=None, md5=hashlib.md5(BODY).hexdigest())
    assert got(one, tmp_path) == BODY
    with pytest.raises(BadInput, match="a.bin: expected a checksum"):
        fetch(archive(site, sha256=None), tmp_path / "other")


def test_disk_is_checked_before_the_first_byte(site, tmp_path):
    """For everything together, what has arrived already left out."""
    two = [archive(site, size=10**18), archive(site, size=10**18)._replace(name="b.bin")]
    with pytest.raises(BadInput, match=r"expected 2,000,000,000.0 GB of free disk for downloads \(a.bin, b.bin\), got"):
        check_disk(two, tmp_path / "archives")
    refused_before = archive(site, size=10**18)
    with pytest.raises(BadInput, match="expected 1,000,000,000.0 GB of free disk for a.bin"):
        fetch(refused_before, tmp_path)
    assert site.asked == []
    assert list(tmp_path.iterdir()) == []


def child(one, folder, limit=resource.RLIM_INFINITY):
    """A process that fetches the archive; it may write files of `limit` bytes."""
    code = (
        "import sys, logging; from pathlib import Path; from ship.data.download import Patience, fetch\n"
        "from ship.data.sources.catalogue import Archive; from ship.errors import BadInput\n"
        f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
        "logging.basicConfig(level='INFO', format='%(message)s')\n"
        f"try: fetch({one!r}, Path({str(folder)!r}), patience=Patience(3, 0.01, 5.0))\n"
        "except BadInput as error: sys.exit(f'ship: {error}')\n"
    )

    return subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)


def test_a_full_disk_is_told_and_gone_on_from(site, tmp_path):
    """What has arrived stays."""
    with child(archive(site), tmp_path, limit=2**20) as process:
        _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    last = said.splitlines()[-1]
    assert last.startswith(f"ship: {site.url()}: expected room for a.bin in {tmp_path}, got File too large (")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".a.bin.origin.part", ".a.bin.part"]
    assert got(archive(site), tmp_path) == BODY
    assert site.asked[-1] == ("/a.bin", f"bytes={2**20}-")


def test_a_folder_that_cannot_be_written_is_named(site, tmp_path):
    """With the setting that names another."""
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="file: expected a folder to write archives to, got .*`archives` in params.yaml"):
        fetch(archive(site), tmp_path / "file")


def test_two_processes_fetch_once(site, tmp_path):
    """The second waits for the first, and then finds the file."""
    site.faults["/a.bin"] = [Fault(pause=0.02)]
    with child(archive(site), tmp_path) as first, child(archive(site), tmp_path) as second:
        said = [process.communicate(timeout=60)[1] for process in (first, second)]
        assert (first.returncode, second.returncode) == (0, 0), said
    assert sum("another process is at it; waiting" in text for text in said) == 1
    assert site.asked == [("/a.bin", None)]
    assert got(archive(site), tmp_path) == BODY


def test_waiting_takes_over_from_one_that_fails(site, tmp_path):
    """The lock goes with the process that held it."""
    held = os.open(tmp_path / ".a.bin.part", os.O_RDWR | os.O_CREAT)
    fcntl.flock(held, fcntl.LOCK_EX)
    os.write(held, BODY[: 2**20])
    thread = Thread(target=lambda: (time.sleep(0.3), os.close(held)))
    thread.start()
    assert got(archive(site), tmp_path) == BODY
    thread.join()
    assert site.asked == [("/a.bin", f"bytes={2**20}-")]


@pytest.mark.slow
def test_twenty_kills(tmp_path):
    """Each process goes on where the one before was killed; nothing half has the name, and no byte comes twice."""
    chance = random.Random(7)
    with serving(random.Random(2).randbytes(40 * 2**20)) as site:
        one = archive(site, body=site.body)
        site.faults["/a.bin"] = [Fault(pause=0.01, block=2**15, **ALWAYS)]  # 3 MB a second
        held = [0]  # bytes that the first process, and after each kill the next one, finds
        while len(held) < 21:
            sizes = len(site.asked)
            with child(one, tmp_path) as process:
                while len(site.asked) == sizes and process.poll() is None:
                    time.sleep(0.01)
                time.sleep(chance.uniform(0, 0.4))
                assert process.poll() is None, "it was done before it was killed: a larger file is needed"
                process.send_signal(signal.SIGKILL)
                process.communicate()
            draft = tmp_path / ".a.bin.part"
            held.append(draft.stat().st_size if draft.exists() else 0)
            assert not (tmp_path / "a.bin").exists()
        del site.faults["/a.bin"]
        assert got(one, tmp_path) == site.body
        starts = [0 if span is None else int(span[6:-1]) for _, span in site.asked]
        assert starts == held
        assert got(one, tmp_path) == site.body
        assert len(site.asked) == 21


def test_the_record_says_the_same_wherever_the_archive_lies(site, tmp_path):
    """So that a rule's output does not change with the folder."""
    for folder in ("here", "there/deeper"):
        path = fetch(archive(site), tmp_path / folder)
        write_record(archive(site), path, tmp_path / f"{folder[:4]}.json")
    about = {"archive": "a.bin", "bytes": len(BODY), "sha256": hashlib.sha256(BODY).hexdigest()}
    assert json.loads((tmp_path / "here.json").read_text()) == about
    assert (tmp_path / "here.json").read_bytes() == (tmp_path / "ther.json").read_bytes()


def test_a_server_does_not_make_us_wait_for_hours():
    """Whatever it asks for."""
    answer = Response()
    answer.status_code, answer.headers["Retry-After"] = 503, "86400"
    with pytest.raises(Interrupted) as raised:
        _is_whole(answer, None, None)
    assert raised.value.wait == LONGEST


def test_a_weak_etag_tells_no_state_of_a_file():
    """It may not stand in If-Range (RFC 9110)."""
    answer = Response()
    answer.headers["ETag"] = 'W/"a"'
    assert _validator(answer) is None
    answer.headers["Last-Modified"] = "then"
    assert _validator(answer) == "then"
