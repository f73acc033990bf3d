"""A sealed file cannot be opened by this process any more."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from ship.data.reading import read_labels
from ship.data.sealing import seal
from ship.errors import BadInput


def test_a_sealed_file_is_closed_to_python_and_to_our_reader(tmp_path, monkeypatch):
    """By another spelling of its path, by either kind of link, from any folder; its neighbours stay open."""
    for name in ("test.parquet", "val.parquet"):
        pd.DataFrame({"key": ["a"], "image": [b"x"], "label": [0]}).to_parquet(tmp_path / name)
    (tmp_path / "link").symlink_to(tmp_path / "test.parquet")
    (tmp_path / "hard").hardlink_to(tmp_path / "test.parquet")
    monkeypatch.chdir(tmp_path)
    seal(Path("another.parquet"))
    seal(Path("test.parquet"))
    monkeypatch.chdir("/")
    other = tmp_path / ".." / tmp_path.name / "test.parquet"
    for path in (tmp_path / "test.parquet", tmp_path / "link", tmp_path / "hard", other):
        with pytest.raises(BadInput, match="a search never sees test"):
            path.read_bytes()
        with pytest.raises(BadInput, match="a search never sees test"):
            read_labels(path)
    assert read_labels(tmp_path / "val.parquet").tolist() == [0]


def test_a_seal_binds_its_own_process(tmp_path):
    """Others still read."""
    path = tmp_path / "test.parquet"
    path.write_text("still here")
    seal(path)
    done = subprocess.run([sys.executable, "-c", f"print(open({str(path)!r}).read())"], capture_output=True, check=True)
    assert done.stdout == b"still here\n"
