"""One answer of a web server, added to a draft: what it claims is checked before its bytes are taken."""

from __future__ import annotations

import re
from collections.abc import Callable

import requests
import urllib3

from ship.data.draft import BLOCK, Draft, amount, check_room

CONNECT = 30.0  # seconds until a server must have taken the connection
BUSY = (408, 425, 429)  # beside whatever is from 500 on
LONGEST = 120.0  # seconds that a server may make us wait

Tell = Callable[[int, int | None], None]  # bytes that are there, bytes of the whole


class Useless(Exception):
    """This address has not what is wanted, and will not have it in a minute."""


class Interrupted(Exception):
    """It may go better next time, after `wait` seconds where the server said so."""

    def __init__(self, said: str, wait: float = 0.0) -> None:
        super().__init__(said)
        self.wait = wait


def receive(url: str, draft: Draft, size: int | None, stall: float, tell: Tell) -> None:
    """Add what `draft` lacks of the file at `url`, of which `size` bytes are expected.

    Raises Useless or Interrupted; `stall` is how many seconds the server may be silent.
    """
    if size is not None and draft.size == size:
        return
    if not url.startswith(("http://", "https://")):
        raise Useless("no address that starts with https:// or http://")
    try:
        with requests.get(url, headers=_asked(url, draft), stream=True, timeout=(CONNECT, stall)) as answer:
            if _is_whole(answer, draft, size):
                return
            total = _total(answer, draft, size, url)
            if size is None and total is not None:
                check_room(draft.target.parent, total - draft.size, draft.target.name)
            draft.came_from(url, _validator(answer))
            _copy(answer, draft, url, total, tell)
    except requests.exceptions.SSLError as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise Useless("a certificate that is not valid") from None
        raise Interrupted(_said(error, stall)) from None
    except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, requests.TooManyRedirects) as error:
        raise Useless(_said(error, stall)) from None
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise Interrupted(_said(error, stall)) from None


def _asked(url: str, draft: Draft) -> dict[str, str]:
    """Headers: no compression, which would count other bytes; only what is lacking, if the file is still the same."""
    headers = {"Accept-Encoding": "identity", "User-Agent": "ship"}
    if draft.size:
        headers["Range"] = f"bytes={draft.size}-"
        if validator := draft.validator(url):
            headers["If-Range"] = validator
    return headers


def _is_whole(answer: requests.Response, draft: Draft, size: int | None) -> bool:
    """Whether the server says that nothing is lacking. Raises for whatever is no file."""
    if answer.status_code == 416:
        match = re.fullmatch(r"bytes \*/(\d+)", answer.headers.get("Content-Range", ""))
        total = None if match is None else int(match[1])
        _check_size(total, size)
        if total == draft.size:
            return True
        draft.restart()
        raise Interrupted("416: it has fewer bytes than are there, so from the beginning")
    if answer.status_code in BUSY or answer.status_code >= 500:
        wait = answer.headers.get("Retry-After", "")
        raise Interrupted(_status(answer), min(float(wait), LONGEST) if wait.isdigit() else 0.0)
    if answer.status_code not in (200, 206):
        raise Useless(_status(answer))
    return False


def _total(answer: requests.Response, draft: Draft, size: int | None, url: str) -> int | None:
    """The bytes of the whole file, as the server says; where it sends them from the start, so does the draft begin."""
    if answer.status_code == 206:
        span = answer.headers.get("Content-Range", "")
        match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", span)
        if not draft.size or match is None or int(match[1]) != draft.size or _has_changed(answer, draft, url):
            draft.restart()
            raise Interrupted(f"206: other bytes than were asked for ({span or 'no Content-Range'})")
        total = size if match[3] == "*" else int(match[3])
        _check_size(total, size)
    else:
        length = answer.headers.get("Content-Length", "")
        total = int(length) if length.isdigit() else size
        _check_size(total, size)
        html = answer.headers.get("Content-Type", "").startswith("text/html")
        if html and (not length or (size is None and draft.size)):
            raise Useless("a web page")  # for which nothing that is there is given up
        if draft.size:
            draft.restart()  # it does not resume, or its file has changed
    return total


def _check_size(total: int | None, size: int | None) -> None:
    if None not in (total, size) and total != size:
        raise Useless(f"another file, of {total:,} bytes in place of {size:,}")


def _has_changed(answer: requests.Response, draft: Draft, url: str) -> bool:
    """Whether the rest belongs to another state of the file than what is there."""
    before, now = draft.validator(url), _validator(answer)
    return None not in (before, now) and before != now


def _copy(answer: requests.Response, draft: Draft, url: str, total: int | None, tell: Tell) -> None:
    """Add the answer's bytes as they come, neither more nor fewer than it promised."""
    tell(draft.size, total)
    while block := answer.raw.read1(BLOCK, decode_content=False):
        if total is not None and draft.size + len(block) > total:
            draft.restart()
            raise Useless(f"more than the {total:,} bytes that were expected")
        draft.add(block, url)
        tell(draft.size, total)
    if total is not None and draft.size < total:
        raise Interrupted(f"the end after {amount(draft.size)} of {amount(total)}")


def _validator(answer: requests.Response) -> str | None:
    """What tells this state of the file from another, and may stand in If-Range."""
    etag = answer.headers.get("ETag", "")
    return etag if etag.startswith('"') else answer.headers.get("Last-Modified")


def _status(answer: requests.Response) -> str:
    return f"{answer.status_code} {answer.reason or ''}".strip()


def _said(error: BaseException, stall: float) -> str:
    """The cause of a failure in few words."""
    if isinstance(error, requests.ConnectTimeout):
        return f"no connection within {CONNECT:g} s"
    seen: list[BaseException] = []
    cause: object = error
    while isinstance(cause, BaseException) and cause not in seen:
        seen.append(cause)
        inner = (getattr(cause, "reason", None), *cause.args, cause.__cause__)
        cause = next((part for part in inner if isinstance(part, BaseException)), None)
    if any(isinstance(one, (requests.ReadTimeout, urllib3.exceptions.ReadTimeoutError, TimeoutError)) for one in seen):
        return f"no byte for {stall:g} s"
    last = seen[-1]
    text = last.strerror if isinstance(last, OSError) and last.strerror else str(last)
    return " ".join(f"{text or type(last).__name__}".split())
