import errno
import gzip
import hashlib
import io
import stat
import tarfile
import zipfile

import pytest

from ship.data.sources import archives
from ship.data.sources.archives import extract, is_archive, only_folder, unpacked
from ship.data.sources.packed import members
from ship.errors import BadInput


def tar(path, *members, mode="w:gz"):
    """Members are (name, kind, content or target)."""
    with tarfile.open(path, mode) as tape:
        for name, kind, content in members:
            info = tarfile.TarInfo(name)
            info.type = kind
            data = b""
            if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
                info.linkname = content
            elif kind == tarfile.REGTYPE:
                data = content
            info.size = len(data)
            tape.addfile(info, io.BytesIO(data))
    return path


def zipped(path, *members):
    """Members are (name, kind, content); the kind is that of `stat`."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, kind, content in members:
            info = zipfile.ZipInfo(name)
            info.external_attr = (kind | 0o644) << 16
            bundle.writestr(info, content, zipfile.ZIP_DEFLATED)
    return path


def target(tmp_path):
    folder = tmp_path / "inside" / "folder"
    folder.mkdir(parents=True)
    return folder


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tgz"])
def test_every_kind_is_unpacked(tmp_path, kind):
    """Zip and tar archives hold the same files afterwards, whatever they are called."""
    content = (("a/x y.png", b"one"), ("b/z.png", b"two"))
    archive = tmp_path / f"photos.{kind}"
    if kind == "zip":
        zipped(archive, *((name, stat.S_IFREG, data) for name, data in content))
    else:
        tar(archive, *((name, tarfile.REGTYPE, data) for name, data in content), mode="w" if kind == "tar" else "w:gz")
    assert is_archive(archive)
    with unpacked(archive, hashlib.sha256(archive.read_bytes()).hexdigest(), kind) as folder:
        assert files(folder) == dict(content)
    assert not folder.exists()


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_tar_that_ends_with_a_zip_is_a_tar(tmp_path, mode):
    """The index of a zip archive stands at its end, and so at that of the tar."""
    inner = zipped(tmp_path / "more.zip", ("u/1.png", stat.S_IFREG, b"other")).read_bytes()
    content = {"a/1.png": b"one", "b/1.png": b"two", "more.zip": inner}
    archive = tar(tmp_path / "x.tar", *((name, tarfile.REGTYPE, data) for name, data in content.items()), mode=mode)
    with unpacked(archive, None, "x.tar") as folder:
        assert files(folder) == content
    assert [member.name for member in members(archive, "x.tar")] == [*content]


def test_only_folder(tmp_path):
    """A single folder at the top is entered, beside what macOS adds; two folders are classes."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "__MACOSX").mkdir()
    assert only_folder(tmp_path) == tmp_path / "photos"
    (tmp_path / "more").mkdir()
    assert only_folder(tmp_path) == tmp_path


REG, SYM, HARD = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE


@pytest.mark.parametrize(
    "members",
    [
        [("../evil.png", REG, b"x")],
        [("a/../../evil.png", REG, b"x")],
        [("/evil.png", REG, b"x")],
        [("a/link.png", SYM, "../../evil.png")],
        [("a/link.png", SYM, "/etc/passwd")],
        [("a/link.png", HARD, "../evil.png")],
        [("a/link.png", HARD, "/etc/passwd")],
        [("link", SYM, ".."), ("link/evil.png", REG, b"x")],
        [("a/link", SYM, ".."), ("up", SYM, "a/link/.."), ("up/evil.png", REG, b"x")],
        [("loop", SYM, "pool"), ("pool", SYM, "loop")],
        [("dangling", SYM, "nothing.png")],
        [("pipe", tarfile.FIFOTYPE, b"")],
        [("device", tarfile.CHRTYPE, b"")],
        [("a", REG, b"x"), ("a/b", REG, b"x")],
        [("a/b", REG, b"x"), ("a", REG, b"x")],
        [("a", REG, b"x"), ("./a", REG, b"y")],
        [("b", REG, b"x"), ("a", SYM, "b"), ("a", SYM, "b")],
        [(".", REG, b"x")],
    ],
)
def test_tar_stays_inside(tmp_path, members):
    """Nothing is written or linked outside the folder, and what tries is refused on one line."""
    archive = tar(tmp_path / "evil.tar.gz", *members)
    folder = target(tmp_path)
    with pytest.raises(BadInput, match=r"^evil: expected [^\n]+, got [^\n]+$"):
        extract(archive, folder, "evil")
    assert {path.name for path in tmp_path.iterdir()} == {"evil.tar.gz", "inside"}
    assert list((tmp_path / "inside").iterdir()) == [folder]
    assert not any(path.is_symlink() for path in folder.rglob("*"))


@pytest.mark.parametrize(
    "member",
    [
        ("../evil.png", stat.S_IFREG, b"x"),
        ("/evil.png", stat.S_IFREG, b"x"),
        ("a/link.png", stat.S_IFLNK, b"../../evil.png"),
        ("a/link.png", stat.S_IFLNK, b"/etc/passwd"),
        ("pipe", stat.S_IFIFO, b""),
    ],
)
def test_zip_stays_inside(tmp_path, member):
    """As in tar."""
    archive = zipped(tmp_path / "evil.zip", member)
    with pytest.raises(BadInput, match=r"^evil: expected [^\n]+, got [^\n]+$"):
        extract(archive, target(tmp_path), "evil")
    assert {path.name for path in tmp_path.iterdir()} == {"evil.zip", "inside"}


def test_links_inside_become_files(tmp_path):
    """A link, even through another link, has the content of its file; no link is left."""
    members = [
        ("cat/1.png", SYM, "../all/1.png"),
        ("cat/2.png", SYM, "1.png"),
        ("all/1.png", REG, b"meow"),
        ("dog.png", HARD, "all/1.png"),
    ]
    folder = target(tmp_path)
    extract(tar(tmp_path / "a.tar", *members, mode="w"), folder, "a.tar")
    assert files(folder) == dict.fromkeys(["cat/1.png", "cat/2.png", "all/1.png", "dog.png"], b"meow")
    assert not any(path.is_symlink() for path in folder.rglob("*"))


def test_zip_link_inside_becomes_a_file(tmp_path):
    """As in tar."""
    members = [("a.png", stat.S_IFREG, b"meow"), ("b/c.png", stat.S_IFLNK, b"../a.png")]
    folder = target(tmp_path)
    extract(zipped(tmp_path / "a.zip", *members), folder, "a.zip")
    assert files(folder) == {"a.png": b"meow", "b/c.png": b"meow"}


@pytest.mark.parametrize("members", [[("zeros", 10**6)], [(f"{n}", 0) for n in range(1000)]])
def test_bomb_is_refused(tmp_path, members):
    """An archive that grows without measure is stopped on the way, be it by one file or by many."""
    archive = tar(tmp_path / "bomb.tar.gz", *((name, REG, bytes(size)) for name, size in members))
    folder = target(tmp_path)
    with pytest.raises(BadInput, match="bomb: expected an archive that grows to at most 10 times its size, got more"):
        extract(archive, folder, "bomb", ratio=10, allowance=0)
    assert sum(len(data) for data in files(folder).values()) < 10 * archive.stat().st_size


@pytest.mark.parametrize("share", [0.005, 0.3, 0.9])
@pytest.mark.parametrize("kind", ["zip", "tar.gz", "tar"])
def test_cut_archive_is_refused(tmp_path, kind, share):
    """A download that was stopped is an error."""
    noise = b"".join(hashlib.sha256(bytes([n])).digest() for n in range(250)) * 4
    archive = tmp_path / f"a.{kind}"
    if kind == "zip":
        zipped(archive, ("a.png", stat.S_IFREG, noise))
    else:
        tar(archive, ("a.png", REG, noise), mode="w:gz" if kind == "tar.gz" else "w")
    size = 512 + len(noise) if kind == "tar" else archive.stat().st_size
    archive.write_bytes(archive.read_bytes()[: int(share * size)])
    with pytest.raises(BadInput, match=r"^a: expected (a whole archive|an archive)"):
        extract(archive, target(tmp_path), "a")


@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize("harm", ["damaged", "cut", "cut inside"])
def test_a_tar_does_not_end_at_a_header_that_cannot_be_read(tmp_path, mode, harm):
    """`tarfile` takes it for the end: images would be lacking without a word."""
    archive = tar(tmp_path / "a.tar", *((f"{n}.png", REG, b"x" * 512) for n in range(4)), mode="w")
    data = archive.read_bytes()
    at = 2 * 1024  # of the third header
    data = {"damaged": data[:at] + b"?" + data[at + 1 :], "cut": data[:at], "cut inside": data[: at + 100]}[harm]
    archive.write_bytes(gzip.compress(data) if mode == "w:gz" else data)
    with pytest.raises(BadInput, match="a: expected a whole archive"):
        extract(archive, target(tmp_path), "a")
    with pytest.raises(BadInput, match="expected a whole archive"):
        [*members(archive, "a")]


def test_wrong_checksum_of_a_file(tmp_path):
    """An archive with another sha256 is not opened."""
    archive = zipped(tmp_path / "a.zip", ("a.png", stat.S_IFREG, b"x"))
    message = rf"a.zip: expected an archive with sha256 {'0' * 64}, got [0-9a-f]{{64}}"
    with pytest.raises(BadInput, match=message), unpacked(archive, "0" * 64, "a.zip"):
        pass


def test_text_is_no_archive(tmp_path):
    """A page that says `not found` is not unpacked."""
    (tmp_path / "a.zip").write_text("<html>")
    with pytest.raises(BadInput, match=r"^a.zip: expected an archive \(zip, tar, tar.gz\), got a file of another kind"):
        extract(tmp_path / "a.zip", target(tmp_path), "a.zip")


def test_a_full_disk_is_not_blamed_on_the_archive(tmp_path, monkeypatch):
    """It names the folder, and how to have another."""

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "out").mkdir()
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as bundle:
        bundle.writestr("a.png", "a")
    monkeypatch.setattr(archives, "_copy", full)
    with pytest.raises(
        BadInput, match=r"a.zip: expected room for its files in .*, got \[Errno 28\] No space left .*TMPDIR"
    ):
        extract(tmp_path / "a.zip", tmp_path / "out", "a.zip")


def test_backslashes_part_folders(tmp_path):
    """As programs of Windows write them, against the format; what leads out is refused all the same."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as bundle:
        bundle.writestr("pets\\cat\\", "")
        bundle.writestr("pets\\cat\\1.png", "cat")
        bundle.writestr("pets\\dog\\1.png", "dog")
    with unpacked(tmp_path / "a.zip", None, "a.zip") as folder:
        assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png")) == [
            "cat/1.png",
            "dog/1.png",
        ]
    for name in ("..\\1.png", "C:\\1.png", "\\1.png"):
        with zipfile.ZipFile(tmp_path / "b.zip", "w") as bundle:
            bundle.writestr(name, "x")
        with (
            pytest.raises(BadInput, match="expected paths inside the archive"),
            unpacked(tmp_path / "b.zip", None, "b.zip"),
        ):
            pass


@pytest.mark.parametrize(
    "note", ["README", "readme.txt", "Thumbs.db", "desktop.ini", "LICENSE", "notes.md", ".DS_Store"]
)
def test_notes_beside_the_one_folder_are_passed_over(tmp_path, note):
    """It is entered; beside a list it is not."""
    for other, inside in ((note, "pets"), ("list.csv", "unpacked"), ("train800.txt", "unpacked")):
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as bundle:
            bundle.writestr("pets/cat/1.png", "cat")
            bundle.writestr(other, "x")
        with unpacked(tmp_path / "a.zip", None, "a.zip") as folder:
            assert folder.name == inside
