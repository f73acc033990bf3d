import gzip
import io
import tarfile
import zipfile

import pytest

from ship.data.sources.packed import BLOCK, members, read
from ship.errors import BadInput

SIZES = (0, 1, 511, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK)
CONTENT = {f"{size}.jpg": (b"\x07image" * (size // 6 + 1))[:size] for size in SIZES}


def taped(*infos):
    """A tar archive of mere headers, with a file behind them."""
    last = tarfile.TarInfo("last.jpg")
    last.size = 3
    headers = [info.tobuf(tarfile.GNU_FORMAT) for info in (*infos, last)]
    return gzip.compress(b"".join([*headers, b"abc".ljust(512, b"\0"), bytes(1024)]))


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "zip"])
def test_members_of_any_size_are_read_whole_or_passed_over(tmp_path, kind):
    """All of them, and every second one."""
    place = tmp_path / f"x.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(place, "w") as bundle:
            for name, data in CONTENT.items():
                bundle.writestr(name, data)
    else:
        with tarfile.open(place, f"w:{kind[4:]}") as tape:
            for name, data in CONTENT.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tape.addfile(info, io.BytesIO(data))
    assert {member.name: read(member, "x") for member in members(place, "x")} == CONTENT
    some = [(member.name, read(member, "x")) for row, member in enumerate(members(place, "x")) if row % 2]
    assert some == [*CONTENT.items()][1::2]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
@pytest.mark.parametrize("size", [-(2**40), -1024, -512, 2**29, 2**40, 2**62])
def test_a_header_that_leads_back_or_beyond_the_end_is_refused(tmp_path, kind, size):
    """In one line; it is neither followed for ever nor believed in the memory that it asks for."""
    odd = tarfile.TarInfo("odd")
    odd.type, odd.size = kind, size
    place = tmp_path / "x.tar.gz"
    place.write_bytes(taped(odd))
    with pytest.raises(BadInput, match=r"x: (odd: )?expected a whole archive, got: .* \(remove it"):
        assert [read(member, "x") for member in members(place, "x")] == []
