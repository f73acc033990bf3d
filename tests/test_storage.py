"""Files are whole or not there, and the same content is the same bytes."""

import os
import subprocess
import sys

import pytest
import torch

from ship.errors import BadInput
from ship.storage import drafted, read_json, read_tensors, replacing, sha256, write_json, write_tensors


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


def test_a_place_that_cannot_be_written_to_is_named(tmp_path):
    """Before anything is computed for it."""
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="file/x: expected a folder that can be written to, got: Not a directory"):
        write_json(tmp_path / "file" / "x" / "a.json", {})
    with pytest.raises(BadInput, match="file: expected a folder that can be written to, got: File exists"):
        write_json(tmp_path / "file" / "a.json", {})


def test_nan_never_reaches_a_result(tmp_path):
    """JSON with nan is no JSON: it is not written."""
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "x", {"accuracy": float("nan")})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_files_may_be_read_by_whom_the_umask_lets(tmp_path, umask):
    """Tensors too, which the library writes for nobody else."""
    before = os.umask(umask)
    try:
        write_tensors(tmp_path / "a.safetensors", {"a": torch.ones(1)})
        write_json(tmp_path / "a.json", {})
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o666 & ~umask}


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
