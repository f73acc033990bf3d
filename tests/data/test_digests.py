import errno
import hashlib
import os

import pytest

from ship.data import digests
from ship.data.digests import digest
from ship.errors import BadInput


def test_a_file_is_read_once_until_it_changes(tmp_path):
    """The note beside it holds as long as size and times do."""
    path = tmp_path / "a.bin"
    path.write_bytes(b"an archive")
    right = digest(path, "sha256")
    assert right == hashlib.sha256(b"an archive").hexdigest()
    note = tmp_path / ".a.bin.checked"
    note.write_text(note.read_text().replace(right, "noted"))
    assert digest(path, "sha256") == "noted"
    path.write_bytes(b"An archive")
    assert digest(path, "sha256") == hashlib.sha256(b"An archive").hexdigest()
    note.write_text("no JSON")
    assert digest(path, "md5") == hashlib.md5(b"An archive").hexdigest()


def test_a_file_with_the_old_times_is_read_again(tmp_path):
    """As a copy has them that keeps times."""
    path = tmp_path / "a.bin"
    path.write_bytes(b"an archive")
    digest(path, "sha256")
    state = path.stat()
    path.write_bytes(b"An archive")
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert digest(path, "sha256") == hashlib.sha256(b"An archive").hexdigest()


@pytest.mark.parametrize("fault", [BadInput("others own the folder"), OSError(errno.EDQUOT, "no room")], ids=repr)
def test_without_a_note_the_file_is_read(tmp_path, monkeypatch, fault):
    """Nobody need be able to write beside it."""

    def refuse(*_):
        raise fault

    monkeypatch.setattr(digests, "write_json", refuse)
    path = tmp_path / "a.bin"
    path.write_bytes(b"theirs")
    assert digest(path, "sha256") == hashlib.sha256(b"theirs").hexdigest()
    assert [file.name for file in tmp_path.iterdir()] == ["a.bin"]


def test_a_file_that_changes_while_it_is_read_is_not_noted(tmp_path, monkeypatch):
    """Else the digest of what was before were believed for ever."""
    path = tmp_path / "a.bin"
    path.write_bytes(b"before")
    monkeypatch.setattr(digests, "_computed", lambda file, *_: file.write_bytes(b"after all") and "of before")
    digest(path, "sha256")
    monkeypatch.undo()
    assert digest(path, "sha256") == hashlib.sha256(b"after all").hexdigest()
