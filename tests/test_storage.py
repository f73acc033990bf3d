"""Files are whole or not there, and the same content is the same bytes."""

import errno
import os
import subprocess
import sys
import time

import pytest
import torch
from safetensors import SafetensorError

from ship import storage
from ship.errors import BadInput
from ship.storage import (
    abandoned,
    drafted,
    expanded,
    read_json,
    read_tensors,
    replacing,
    sha256,
    sweep,
    write_json,
    write_tensors,
)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    """An error inside the block keeps what was there before."""
    path = tmp_path / "deep" / "a.txt"
    with replacing(path) as draft:
        draft.write_text("old")
    with pytest.raises(RuntimeError), replacing(path) as draft:
        draft.write_text("half")
        raise RuntimeError
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]
    assert path.read_text() == "old"


def test_tensors_come_back_with_their_description(tmp_path):
    """Values, types and description survive the file."""
    tensors = {"b": torch.arange(6).reshape(2, 3).T, "a": torch.randn(3, dtype=torch.float16)}
    write_tensors(tmp_path / "t", tensors, {"mean": [0.5], "name": "x"})
    state, about = read_tensors(tmp_path / "t")
    assert about == {"mean": [0.5], "name": "x"}
    assert state.keys() == tensors.keys()
    assert all(torch.equal(state[k], v) for k, v in tensors.items())


def test_equal_tensors_are_equal_bytes_in_every_process(tmp_path):
    """The header does not depend on a process's hash seed or on the order of insertion."""
    script = (
        "import torch, sys; from ship.storage import write_tensors\n"
        "write_tensors(sys.argv[1], {k: torch.ones(3) for k in sys.argv[2]}, {k: 1 for k in sys.argv[2]})"
    )
    for name, order in (("a", "xyzuvw"), ("b", "wvuzyx")):
        subprocess.run([sys.executable, "-c", script, str(tmp_path / name), order], check=True)
    assert sha256(tmp_path / "a") == sha256(tmp_path / "b")


def test_broken_files_are_named(tmp_path):
    """What is no JSON or no safetensors, or not there, is refused with its path."""
    for read in (read_json, read_tensors):
        with pytest.raises(BadInput, match="absent: expected what an earlier step leaves, found none"):
            read(tmp_path / "absent")
        with pytest.raises(BadInput, match="expected a file that can be read, got: "):
            read(tmp_path)
    (tmp_path / "x").write_bytes(b"\x00garbage")
    with pytest.raises(BadInput, match="x: expected JSON"):
        read_json(tmp_path / "x")
    with pytest.raises(BadInput, match="x: expected a safetensors file"):
        read_tensors(tmp_path / "x")
    write_tensors(tmp_path / "x", {"pooled": torch.ones(1)})
    with pytest.raises(BadInput, match="x: expected a file with blocks, got one without"):
        read_tensors(tmp_path / "x", "pooled", "blocks")
    write_tensors(tmp_path / "x", {"pooled": torch.ones(1)}, ["no", "keys"])
    with pytest.raises(BadInput, match="x: expected a description of keys and values, got "):
        read_tensors(tmp_path / "x")


def test_a_place_that_cannot_be_written_to_is_named(tmp_path, monkeypatch):
    """Before anything is computed for it, where that can be known."""
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="file/x: expected a folder that can be written to, got: Not a directory"):
        write_json(tmp_path / "file" / "x" / "a.json", {})
    with pytest.raises(BadInput, match="file: expected a folder that can be written to, got: File exists"):
        write_json(tmp_path / "file" / "a.json", {})
    with pytest.raises(BadInput, match="x: expected a file that can be written, got: File name too long"):
        write_json(tmp_path / f"{'x' * 250}", {})
    with pytest.raises(BadInput, match="/x: expected a folder of a user of this machine, got: "):
        expanded("~nobody-of-this-name/x")
    monkeypatch.setattr(storage.os, "access", lambda *_: False)
    with pytest.raises(BadInput, match="expected a folder that can be written to, got: Permission denied"):
        write_json(tmp_path / "a.json", {})


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
    ids=["disk", "quota", "safetensors"],
)
def test_a_full_disk_is_told_of_the_file(tmp_path, error):
    """By whoever writes it; what was there stays."""
    (tmp_path / "a").write_text("old")
    with pytest.raises(BadInput, match="/a: expected room on the disk for it, got "), replacing(tmp_path / "a"):
        raise error
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a", "old")]


def test_processes_that_write_the_same_file_have_drafts_of_their_own(tmp_path, monkeypatch):
    """On two machines that share a folder, too."""
    drafts = set()
    for node, pid in (("one", 7), ("one", 8), ("other", 7)):
        monkeypatch.setattr(storage.platform, "node", lambda node=node: node)
        monkeypatch.setattr(storage.os, "getpid", lambda pid=pid: pid)
        with replacing(tmp_path / "a") as draft:
            draft.write_text(f"{node} {pid}")
            drafts.add(draft)
    assert len(drafts) == 3


def test_a_draft_is_swept_when_its_process_is_gone(tmp_path, monkeypatch):
    """Here, its number tells; elsewhere, its silence. A process of somebody else lives."""
    states = {1: None, 2: ProcessLookupError(), 3: PermissionError()}

    def kill(pid, _):
        if states[pid]:
            raise states[pid]

    monkeypatch.setattr(storage.os, "kill", kill)
    here, now = [f".a.{storage._writer(pid)}" for pid in states], time.time()
    for name, age in ((".a.elsewhere-2.part", 0), (".a.elsewhere-3.part", storage.LEFT + 60), *((n, 0) for n in here)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (now - age, now - age))
    (tmp_path / "mine.part").touch()
    gone = {here[1], ".a.elsewhere-3.part"}
    assert {path.name for path in tmp_path.glob(".*") if abandoned(path)} == gone
    left = {path.name for path in tmp_path.iterdir()} - gone
    sweep(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == left


def test_nan_never_reaches_a_result(tmp_path):
    """JSON with nan is no JSON: it is not written."""
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "x", {"accuracy": float("nan")})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_files_may_be_read_by_whom_the_umask_lets(tmp_path, umask):
    """Tensors too, which the library writes for nobody else, and whole folders."""
    before = os.umask(umask)
    try:
        write_tensors(tmp_path / "a.safetensors", {"a": torch.ones(1)})
        with drafted(tmp_path / "a"):
            pass
        write_json(tmp_path / "a.json", {})
    finally:
        os.umask(before)
    folder, *files = sorted(tmp_path.iterdir())
    assert folder.stat().st_mode & 0o777 == 0o777 & ~umask
    assert {path.stat().st_mode & 0o777 for path in files} == {0o666 & ~umask}


def test_a_folder_is_no_file(tmp_path):
    """It is said before anything is computed for it."""
    with pytest.raises(BadInput, match="expected a file, got a folder"), replacing(tmp_path):
        raise AssertionError


def test_a_drafted_folder_appears_whole(tmp_path):
    """Or not at all; and never in place of another."""
    with pytest.raises(RuntimeError), drafted(tmp_path / "new") as draft:
        raise RuntimeError
    assert not any(tmp_path.iterdir())
    with drafted(tmp_path / "new") as draft:
        (draft / "a").write_text("a")
        assert not (tmp_path / "new").exists()
    assert [path.name for path in tmp_path.rglob("*")] == ["new", "a"]
    with pytest.raises(BadInput, match="expected a folder to be made, found one"), drafted(tmp_path / "new"):
        raise AssertionError
