"""One process at a time, whatever the one before left."""

import errno
import fcntl
import logging
import os
from pathlib import Path

import pytest

from ship import locks
from ship.errors import BadInput
from ship.locks import alone, held, is_at


def test_a_folder_is_one_process_s_own(tmp_path, monkeypatch):
    """Others are refused, the third one too, and nothing stays behind."""
    monkeypatch.setattr(locks, "PATIENCE", 0)
    run = tmp_path / "run"
    message = r"run: expected no other process on it, got one \(let it finish, or end it"
    with alone(run):
        for _ in range(2):
            with pytest.raises(BadInput, match=message), alone(run):
                raise AssertionError
    with pytest.raises(RuntimeError), alone(run):
        raise RuntimeError
    assert not run.exists()
    with alone(run):
        (run / "file").touch()
    assert [path.name for path in run.iterdir()] == ["file"]


def test_who_waits_gets_its_turn(tmp_path, monkeypatch, caplog):
    """As where a file server has yet to notice that a node is gone; and then others wait for it. It is said once."""
    folder, waits = tmp_path / "run", iter("ab")
    first = alone(folder)
    first.__enter__()
    monkeypatch.setattr(locks.time, "sleep", lambda _: next(waits) == "b" and first.__exit__(None, None, None))
    with caplog.at_level(logging.INFO), alone(folder):
        monkeypatch.setattr(locks, "PATIENCE", 0)
        with pytest.raises(BadInput, match="expected no other process"), alone(folder):
            raise AssertionError
    assert caplog.text.count("run: another process is at it; waiting") == 1
    assert not folder.exists()


def test_who_leaves_takes_no_lock_of_the_next_one(tmp_path, monkeypatch):
    """Which comes as soon as the first lets go: its file keeps its name, so a third one has to wait."""
    folder, close, taken = tmp_path / "run", os.close, []

    def next_one_comes(file):
        close(file)
        if not taken:
            taken.append(held(folder / locks.LOCK, folder))

    monkeypatch.setattr(locks.os, "close", next_one_comes)
    with alone(folder):
        pass
    assert is_at(folder / locks.LOCK, taken[0])
    close(taken[0])


@pytest.mark.parametrize("umask", [0o002, 0o077])
def test_a_folder_that_goes_in_this_moment_is_made_again(tmp_path, monkeypatch, umask):
    """Who had it before has left it empty. The file is for whom the umask lets: a download becomes an archive."""
    path, make, before = tmp_path / "run" / "a", os.open, os.umask(umask)
    monkeypatch.setattr(locks, "PAUSE", 0)

    def goes(*arguments):
        monkeypatch.setattr(locks.os, "open", make)
        path.parent.rmdir()
        return make(*arguments)

    monkeypatch.setattr(locks.os, "open", goes)
    try:
        os.close(held(path, path))
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask


def test_a_lock_on_a_file_that_lost_its_name_is_none(tmp_path, monkeypatch):
    """Who held it has renamed it between opening and locking: the next file of that name is taken."""
    path, names = tmp_path / "a.part", iter([tmp_path / "a", None])
    lock = fcntl.flock

    def late(file, how):
        if name := next(names):
            path.replace(name)
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    file = held(path, path)
    assert os.path.samestat(os.fstat(file), path.stat())
    os.close(file)


def test_a_lock_that_fails_otherwise_is_an_error(tmp_path, monkeypatch):
    """It is not known whether others are at it; and no file stays open."""

    def broken(file, how):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", broken)
    before = len([*Path("/proc/self/fd").iterdir()])
    with pytest.raises(BadInput, match="run: expected a folder that can be written to, got: Input/output error"):
        alone(tmp_path / "run").__enter__()
    assert len([*Path("/proc/self/fd").iterdir()]) == before


def test_a_file_that_a_server_has_lost_is_another(tmp_path, monkeypatch):
    """Another node has removed it."""
    path, states, stat = tmp_path / "a", iter([True, False]), os.fstat

    def lost(file):
        if next(states, False):
            raise OSError(errno.ESTALE, "Stale file handle")
        return stat(file)

    monkeypatch.setattr(locks.os, "fstat", lost)
    os.close(held(path, path))


def test_a_file_system_without_locks_is_told(tmp_path, monkeypatch, caplog):
    """It is no reason to refuse the work."""

    def none(file, how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    with caplog.at_level(logging.INFO), alone(tmp_path / "run"):
        assert "run: this file system has no locks" in caplog.text
