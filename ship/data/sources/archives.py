"""Archives of images, unpacked without trusting what they say. Loads no torch."""

from __future__ import annotations

import io
import lzma
import os
import posixpath
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from ship.errors import BadInput
from ship.storage import is_full, sha256

RATIO = 100  # images hardly shrink; an archive that grows more than this is a bomb
ALLOWANCE = 64 * 2**20  # bytes that even the smallest archive may grow to
HEADER = 512  # bytes that an entry counts for beside its content: a million empty files are a bomb, too
BROKEN = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError, RuntimeError)
PACKED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ")  # gzip, bzip2, xz
NOTES = ("readme", "read_me", "read me", "license", "licence", "copying", "citation", "changelog", "notice", "about")
NOTE_SUFFIXES = {".md", ".pdf", ".html", ".htm", ".url", ".webloc", ".lnk", ".doc", ".docx", ".rtf", ".bib", ".nfo"}
FILE_MANAGERS = {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "folder.jpg", "albumart.jpg"}


class Entry(NamedTuple):
    """A file in an archive: `target` is the path that a link stands for, `open` the content of any other file."""

    name: str
    target: str | None
    open: Callable[[], IO[bytes]]


class Header(tarfile.TarInfo):
    """What stands before a file in a tar. A damaged one, or none, is no end of the archive, as `tarfile` takes it."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Header:
        """Raises ReadError instead."""
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # two empty blocks: the end
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"a header that cannot be read: {error}") from None


@contextmanager
def unpacked(archive: Path, digest: str | None, shown: str) -> Iterator[Path]:
    """The folder with an archive's files; it goes when the block ends.

    Args:
        archive: its path.
        digest: refuse an archive with another sha256.
        shown: what it is called in errors.
    """
    if digest is not None and (got := sha256(archive)) != digest.lower():
        raise BadInput(f"{shown}: expected an archive with sha256 {digest}, got {got}")
    with tempfile.TemporaryDirectory(prefix="ship-") as scratch:
        folder = Path(scratch) / "unpacked"
        folder.mkdir()
        extract(archive, folder, shown)
        yield only_folder(folder)


def is_archive(path: Path) -> bool:
    """Whether the file is a zip or (compressed) tar archive, by its first and last bytes."""
    try:
        return path.is_file() and (is_zip(path) or tarfile.is_tarfile(path))
    except BROKEN:  # cut before its first file
        return False


def is_zip(archive: Path | IO[bytes]) -> bool:
    """Whether the file is a zip archive, and no tar whose last file is one: the index of a zip stands at its end."""
    if isinstance(archive, Path):
        with archive.open("rb") as file:
            return is_zip(file)
    archive.seek(0)
    head = archive.read(HEADER)
    if head.startswith(PACKED) or head[257:262] == b"ustar":  # sooner than by the end, which may have to be unpacked
        return False
    return zipfile.is_zipfile(archive) and (head.startswith(b"PK") or not _is_tar(archive))


def content_of(tape: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    """The content of a file in a tar."""
    content = tape.extractfile(member)
    return content if content is not None else io.BytesIO()


def _is_tar(file: IO[bytes]) -> bool:
    file.seek(0)
    return tarfile.is_tarfile(file)


def extract(archive: Path, folder: Path, shown: str, ratio: int = RATIO, allowance: int = ALLOWANCE) -> None:
    """Unpack into the empty `folder`; the archive is called `shown` in errors.

    Files only: links become the files that they stand for, so that nothing on the disk can ever lead out of `folder`.
    Raises BadInput for a path or link that leaves it, for devices, and for archives whose files grow without measure.
    (Of a tar's extended headers the size is not measured.)
    """
    if not is_archive(archive):
        raise BadInput(f"{shown}: expected an archive (zip, tar, tar.gz), got a file of another kind")
    left = max(ratio * archive.stat().st_size, allowance)
    links: dict[str, str] = {}
    names: set[str] = set()
    try:
        for entry in _entries(archive, shown):
            name, left = _inside(entry.name, shown), left - HEADER
            if name in names or (folder / name).exists() or any(above in names for above in _above(name)):
                raise BadInput(f"{shown}: expected a place of its own for every file, got {entry.name!r} on another's")
            names.add(name)
            if entry.target is not None:
                links[name] = _inside_link(entry, shown)
            else:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                left = _copy(entry, folder / name, left)
            if left < 0:
                raise _bomb(shown, ratio)
        _copy_links(links, folder, shown)
    except BROKEN as error:
        if is_full(error):
            raise BadInput(
                f"{shown}: expected room for its files in {folder.parent}, got {error} (name a larger folder in TMPDIR)"
            ) from None
        got = f"{type(error).__name__}: {error}"
        raise BadInput(f"{shown}: expected a whole archive, got {got} (or unpack it, and name the folder)") from None


def only_folder(folder: Path) -> Path:
    """The folder's only sub-folder where nothing but notes lies beside it, else the folder itself."""
    inside = [path for path in folder.iterdir() if not path.name.startswith((".", "__MACOSX")) and not _is_note(path)]
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else folder


def _is_note(path: Path) -> bool:
    """Whether it is a file that lies beside images to be read by people, or by a file manager."""
    name, suffix = path.stem.lower(), path.suffix.lower()
    said = name.startswith(NOTES) and suffix in {"", ".txt", ".rst"}
    return path.is_file() and (said or suffix in NOTE_SUFFIXES or path.name.lower() in FILE_MANAGERS)


def _entries(archive: Path, shown: str) -> Iterator[Entry]:
    """The files of an archive, in its order."""
    if is_zip(archive):
        with zipfile.ZipFile(archive) as bundle:
            for info in bundle.infolist():
                name = info.filename.replace("\\", "/")  # some programs of Windows write what the format forbids
                if not name.endswith("/"):
                    yield Entry(name, _zip_target(bundle, info, shown), partial(bundle.open, info))
        return
    with tarfile.open(archive, tarinfo=Header) as tape:
        for member in tape:
            if not member.isdir():
                yield Entry(
                    member.name.replace("\\", "/"), _tar_target(member, shown), partial(content_of, tape, member)
                )


def _zip_target(bundle: zipfile.ZipFile, info: zipfile.ZipInfo, shown: str) -> str | None:
    """Where a link leads, within the archive. The upper half of the attributes holds a file's kind, as in Unix."""
    mode = info.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFLNK):
        raise _strange(info.filename, shown)
    if not stat.S_ISLNK(mode):
        return None
    with bundle.open(info) as content:
        target = content.read(4096).decode("utf-8", "replace").replace("\\", "/")
    return posixpath.join(posixpath.dirname(info.filename.replace("\\", "/")), target)


def _tar_target(member: tarfile.TarInfo, shown: str) -> str | None:
    """Where a link leads, within the archive."""
    if member.issym():
        return posixpath.join(posixpath.dirname(member.name), member.linkname)
    if not (member.isreg() or member.islnk()):
        raise _strange(member.name, shown)
    return member.linkname if member.islnk() else None


def _copy(entry: Entry, file: Path, left: int) -> int:
    """Write the entry's content, of which no more than `left` bytes are wanted; what then is left of them."""
    with entry.open() as source, file.open("wb") as sink:
        while left >= 0 and (block := source.read(2**20)):
            left -= len(block)
            sink.write(block[: max(0, len(block) + min(left, 0))])
    return left


def _bomb(shown: str, ratio: int) -> BadInput:
    return BadInput(
        f"{shown}: expected an archive that grows to at most {ratio} times its size, got more "
        f"(unpack it yourself if you trust it)"
    )


def _strange(name: str, shown: str) -> BadInput:
    return BadInput(f"{shown}: expected files, folders and links, got a device or the like: {name}")


def _inside(name: str, shown: str) -> str:
    """The path of an entry in its shortest spelling."""
    drive = name[1:2] == ":" and name[:1].isalpha()
    if drive or PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
        raise BadInput(f"{shown}: expected paths inside the archive, got {name!r}")
    return posixpath.normpath(name)


def _above(name: str) -> Iterator[str]:
    """The folders that a path lies in, from the nearest, without the top."""
    yield from (str(folder) for folder in PurePosixPath(name).parents[:-1])


def _inside_link(entry: Entry, shown: str) -> str:
    """What a link stands for, in its shortest spelling; `..` is fine as long as it stays inside."""
    target = posixpath.normpath(str(entry.target))
    if target.startswith(("/", "../")) or target == "..":
        raise BadInput(f"{shown}: expected links that stay inside the archive, got {entry.name!r} -> {target!r}")
    return target


def _copy_links(links: dict[str, str], folder: Path, shown: str) -> None:
    """Give every link the content of the file that it stands for, through other links where it must."""
    for name, target in links.items():
        seen = {name}
        while target in links and target not in seen:
            seen.add(target)
            target = links[target]  # noqa: PLW2901
        if not (folder / target).is_file() or target in links:
            raise BadInput(f"{shown}: expected links to files of the archive, got {name!r} -> {links[name]!r}")
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        os.link(folder / target, folder / name)
