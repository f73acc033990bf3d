"""Archives from the web: resumed after a kill, from the first address that has them, used only once verified."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from ship.data.digests import digest, note_digest
from ship.data.draft import Draft, amount, check_room
from ship.data.inventory import aside, by_hand, check_of, find, is_likely, lacking, sizes_in
from ship.data.sources.catalogue import Archive
from ship.data.transfer import Interrupted, Tell, Useless, receive
from ship.errors import BadInput
from ship.storage import write_json

_log = logging.getLogger(__name__)

GAIN = 2**20  # bytes by which attempts must get further, for those before to be forgotten
LONGEST = 60.0  # seconds between two attempts


class Patience(NamedTuple):
    """How much trouble of a server is borne."""

    attempts: int = 5  # at one address, one after the other without gain
    pause: float = 1.0  # seconds before the second; each next one is twice as long
    stall: float = 60.0  # seconds without a byte


PATIENT = Patience()


def quiet(done: int, total: int | None) -> None:
    """Shows nothing of how far a download is."""


def fetch(archive: Archive, folder: Path, tell: Tell = quiet, patience: Patience = PATIENT) -> Path:
    """The verified archive: as it lies in `folder`, else downloaded to `folder/<name>`.

    Raises BadInput, with the way out, where no address has it; what has arrived until then stays, and is gone on from.
    """
    if (found := usable(archive, folder)) is not None:
        return found
    if not archive.urls:
        raise BadInput(f"{archive.name}: expected it in {folder}, found none: {by_hand([archive], folder)}")
    check = check_of(archive)
    if check is None:
        raise BadInput(f"{archive.name}: expected a checksum of what is downloaded, found none in the catalogue")
    with Draft(folder / archive.name, check[0]) as draft:
        if (found := usable(archive, folder)) is not None:  # another process was faster
            return found
        if archive.size is not None:
            check_room(folder, archive.size - draft.size, archive.name)
        said = []
        for url in archive.urls:
            try:
                _whole(url, draft, archive.size, check[1], patience, tell)
            except Useless as reason:
                said.append(f"{url}: {reason}")
                _log.info("%s", said[-1])
                continue
            draft.become(draft.target, url)
            note_digest(draft.target, *check)
            return draft.target
        raise _nowhere(archive, folder, check, said, draft.size)


def usable(archive: Archive, folder: Path) -> Path | None:
    """The archive in `folder`. Raises BadInput where a wrong file takes its place."""
    found = find(archive, folder)
    if found.path is None:
        if wrong := [path for path in (folder / archive.name, *aside(archive, folder)) if path.exists()]:
            raise BadInput(f"{'; '.join(found.faults)} ({_away(wrong)}, then run this again)")
        for fault in found.faults:
            _log.info("%s, so it is not used", fault)
    return found.path


def check_disk(archives: Iterable[Archive], folder: Path) -> None:
    """Raises BadInput unless there is room for everything that is yet to be downloaded."""
    sizes = sizes_in(folder)
    coming = [archive for archive in archives if archive.urls and not is_likely(archive, folder, sizes)]
    need = sum(lacking(archive, folder) for archive in coming)
    check_room(folder, need, f"downloads ({', '.join(archive.name for archive in coming)})")


def write_record(archive: Archive, path: Path, file: Path) -> None:
    """Write to `file` which archive was found: the same bytes wherever it lies and however it came."""
    about = {"archive": archive.name, "bytes": path.stat().st_size, "sha256": digest(path, "sha256")}
    write_json(file, about)


def _whole(url: str, draft: Draft, size: int | None, wanted: str, patience: Patience, tell: Tell) -> None:
    """Complete the draft from `url`, and verify it. Raises Useless where that cannot be."""
    again = True
    _log.info("%s: %s of %s are there, the rest from %s", draft.target.name, amount(draft.size), amount(size), url)
    while True:
        _all(url, draft, size, patience, tell)
        if draft.hexdigest == wanted:
            return
        got = draft.hexdigest
        if draft.pieces < 2 or not again:
            wrong = draft.target.with_name(f"{draft.target.name}.wrong-{got[:8]}")
            draft.become(wrong, url)
            draft.begin_anew()
            raise Useless(f"a file with {draft.kind} {got}, kept as {wrong}")
        again = False  # its pieces may not belong together
        _log.info("%s: %s is %s, so once more from the beginning", url, draft.kind, got)
        draft.restart()


def _all(url: str, draft: Draft, size: int | None, patience: Patience, tell: Tell) -> None:
    """Receive until nothing is lacking, with pauses after interruptions."""
    failed, furthest = 0, draft.size
    while True:
        try:
            receive(url, draft, size, patience.stall, tell)
        except Interrupted as reason:
            failed += 1
            if draft.size >= furthest + GAIN:
                failed, furthest = 0, draft.size
            if failed >= patience.attempts:
                raise Useless(f"{reason} ({failed} times tried)") from None
            wait = max(min(patience.pause * 2 ** max(0, failed - 1), LONGEST), reason.wait)
            _log.info("%s: %s; goes on in %g s at %s", url, reason, wait, amount(draft.size))
            time.sleep(wait)
        else:
            return


def _nowhere(archive: Archive, folder: Path, check: tuple[str, str], said: list[str], size: int) -> BadInput:
    """That no address has the archive, with what each said."""
    if kept := aside(archive, folder):
        way = f"{_away(kept)}, then run this again"
    else:
        way = f"run this again, and it goes on from {amount(size)}" if size else "run this again later"
    what, got = (archive.name, "; ".join(said)) if len(said) > 1 else said[0].split(": ", 1)
    return BadInput(
        f"{what}: expected {archive.name} with {check[0]} {check[1]}, got {got} "
        f"({way}; or get the file elsewhere and put it into {folder})"
    )


def _away(wrong: list[Path]) -> str:
    return f"delete or move {' and '.join(map(str, wrong))}"
