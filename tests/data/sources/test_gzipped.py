import gzip
import io

import numpy as np
import pytest

from ship.data.sources import gzipped
from ship.data.sources.gzipped import Gzipped
from ship.data.sources.packed import Joined


@pytest.fixture
def content(monkeypatch):
    """Some content, and places to go on from that lie close together."""
    monkeypatch.setattr(gzipped, "STEP", 5000)
    monkeypatch.setattr(gzipped, "PIECE", 700)
    monkeypatch.setattr(gzipped, "BLOCK", 300)
    return np.random.default_rng(0).integers(0, 40, 60_000, dtype=np.uint8).tobytes()


@pytest.mark.parametrize("parts", [1, 3])
def test_any_order_of_reads_gives_the_content(tmp_path, content, parts):
    """Forward, back, past the end, of one gzip stream or several behind each other."""
    step = len(content) // parts
    (tmp_path / "x.gz").write_bytes(b"".join(gzip.compress(content[n * step : (n + 1) * step]) for n in range(parts)))
    with io.BufferedReader(Gzipped(tmp_path / "x.gz"), 64) as file:
        for start in np.random.default_rng(1).integers(0, 61_000, 60).tolist():
            file.seek(start)
            assert file.read(1500) == content[start : start + 1500]
        assert file.seek(0, io.SEEK_END) == len(content)
        file.seek(-10, io.SEEK_END)
        assert file.read() == content[-10:]


def test_a_cut_gzip_file_is_an_error(tmp_path, content):
    """Not a short read."""
    (tmp_path / "x.gz").write_bytes(gzip.compress(content)[:-400])
    with Gzipped(tmp_path / "x.gz") as file, pytest.raises(EOFError):
        file.seek(0, io.SEEK_END)


def test_a_file_in_parts_reads_as_a_whole(tmp_path, content):
    """Across the borders of parts, from either end."""
    for number in range(3):
        (tmp_path / f"x.{number}").write_bytes(content[20_000 * number : 20_000 * (number + 1)])
    with io.BufferedReader(Joined(sorted(tmp_path.iterdir())), 100) as file:
        assert file.read() == content
        file.seek(-40_100, io.SEEK_END)
        assert file.read(200) == content[19_900:20_100]
