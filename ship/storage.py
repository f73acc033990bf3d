"""What is written and read: whole files only, text where a person looks, safetensors where a machine does."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ship.errors import BadInput

if TYPE_CHECKING:
    from torch import Tensor

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
LEFT = 600  # seconds without a byte: a process that lives writes a draft within some


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A name beside `path` to write to; it becomes `path` when the block ends well, and goes when it does not.

    Raises BadInput where the disk is full, nobody may write there, or a folder has the name.
    """
    path = Path(path)
    refuse_folder(path)
    make(path.parent)
    draft = path.with_name(f".{path.name}.{_writer(os.getpid())}")
    try:
        yield draft
        with draft.open("rb+") as file:
            os.fsync(file.fileno())
        draft.replace(path)
    except Exception as error:
        if is_full(error):
            raise BadInput(f"{path}: expected room on the disk for it, got {error}") from None
        if isinstance(error, OSError) and str(error.filename) == str(draft):
            raise BadInput(f"{path}: expected a file that can be written, got: {error.strerror}") from None
        raise
    finally:
        with suppress(OSError):  # a name that is too long, or a folder where nothing goes
            draft.unlink()


def refuse_folder(path: Path) -> None:
    """Raise BadInput where a folder has the name of a file that is to be written: early, of what takes hours."""
    if path.is_dir():
        raise BadInput(f"{path}: expected a file, got a folder")


@contextmanager
def drafted(folder: Path) -> Iterator[Path]:
    """A folder beside `folder` to write to; it becomes `folder` when the block ends well, and goes when it does not.

    Raises BadInput where `folder` is there already, or nobody may write beside it.
    """
    if folder.exists():
        raise BadInput(f"{folder}: expected a folder to be made, found one (remove it, or name another)")
    make(folder.parent)
    try:
        draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".part", dir=folder.parent))
    except OSError as error:
        raise BadInput(f"{folder}: expected a folder that can be made, got: {error.strerror}") from None
    try:
        yield draft
        draft.chmod(0o777 & ~_umask())  # mkdtemp makes it for its owner alone
        try:
            draft.rename(folder)
        except OSError as error:  # another process was faster
            raise BadInput(f"{folder}: expected a folder to be made, got: {error.strerror}") from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _umask() -> int:
    os.umask(mask := os.umask(0))
    return mask


def make(folder: Path) -> None:
    """Make a folder that may be there. Raises BadInput where nobody may, or where nothing may be written to it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        reason = None if os.access(folder, os.W_OK) else os.strerror(errno.EACCES)
    except OSError as error:
        reason = error.strerror
    if reason:
        raise BadInput(f"{folder}: expected a folder that can be written to, got: {reason}")


def is_full(error: Exception) -> bool:
    """Whether a disk or a quota has no room left; safetensors says so in words alone."""
    return getattr(error, "errno", None) in FULL or f"(os error {errno.ENOSPC})" in str(error)


def free_disk(folder: Path) -> int:
    """Bytes that may be written to a folder, whether it is there yet or not."""
    return shutil.disk_usage(standing(folder)).free


def standing(folder: Path) -> Path:
    """The folder, or the nearest above it that is there."""
    return next(place for place in (folder, *folder.absolute().parents) if place.is_dir())


def sweep(folder: Path) -> None:
    """Remove from `folder` the drafts that killed processes left; that of one that lives stays, which would fail."""
    for draft in folder.glob(".*.part"):
        with suppress(FileNotFoundError):  # its process has renamed it
            if abandoned(draft):
                draft.unlink()


def abandoned(draft: Path) -> bool:
    """Whether the process that wrote a draft is gone; of one on another machine, whether it has not written of late."""
    pid = draft.name.removesuffix(".part").rpartition("-")[2]
    if not (pid.isdecimal() and draft.name.endswith(f".{_writer(int(pid))}")):
        return time.time() - draft.stat().st_mtime > LEFT
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # somebody else's
        return False
    return False


def _writer(pid: int) -> str:
    return f"{platform.node()}-{pid}.part"


def expanded(path: str | Path) -> Path:
    """The path with `~` as the home folder that it stands for. Raises BadInput where nobody has one."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise BadInput(f"{path}: expected a folder of a user of this machine, got: {error}") from None


def below(root: str | Path, path: str | Path) -> Path:
    """The path as it is meant in the folder `root`, or as it is where it is absolute; `..` is resolved by name."""
    return Path(os.path.normpath(expanded(root) / expanded(path)))


def write_text(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8."""
    with replacing(path) as draft:
        draft.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` in the order it has, two spaces deep."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """What a JSON file holds. Raises BadInput where there is none."""
    try:
        with _reading(path):
            return json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path}: expected JSON, got {error}") from None


def write_tensors(path: str | Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any] | None = None) -> None:
    """Write tensors with their description `about` (JSON values) in the header."""
    from safetensors.torch import save  # `save_file` has a draft of its own, which a kill leaves behind

    contiguous = {name: tensors[name].detach().cpu().contiguous() for name in sorted(tensors)}
    # one key: safetensors writes several in an order that varies from process to process
    header = {"about": json.dumps(about or {}, sort_keys=True)}
    with replacing(path) as draft:
        draft.write_bytes(save(contiguous, metadata=header))


def read_tensors(path: str | Path, *names: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors, these at least, and description, as `write_tensors` wrote them. Raises BadInput where there are none."""
    from safetensors import SafetensorError, safe_open

    try:
        with _reading(path), safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {}).get("about", "{}"))
            found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError, RecursionError) as error:
        raise BadInput(f"{path}: expected a safetensors file, got {error}") from None
    if not isinstance(about, dict):
        raise BadInput(f"{path}: expected a description of keys and values, got {str(about)[:200]} (make it again)")
    if lacking := [name for name in names if name not in found]:
        raise BadInput(f"{path}: expected a file with {', '.join(lacking)}, got one without (make it again)")
    return found, about


def sha256(path: str | Path) -> str:
    """Digest of a file's content, hexadecimal. Raises BadInput where there is none."""
    with _reading(path), Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _reading(path: str | Path) -> Iterator[None]:
    """Raises BadInput where a file is absent, or cannot be read."""
    try:
        yield
    except FileNotFoundError:
        raise BadInput(f"{path}: expected what an earlier step leaves, found none (snakemake runs them all)") from None
    except OSError as error:
        raise BadInput(f"{path}: expected a file that can be read, got: {error.strerror or error}") from None
