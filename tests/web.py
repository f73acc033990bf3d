"""Web servers of the test's own on loopback: of one file with the faults that are asked for, and of a folder."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread


@dataclass
class Fault:
    """How an answer differs from a good one; counts are bytes of the body."""

    status: int | None = None  # an error's
    cut: int | None = None  # the connection is reset after so many
    pause: float = 0.0  # seconds before each block
    block: int = 2**16
    stall: float = 0.0  # seconds of silence after `cut`, in place of a reset
    length: int | None = None  # what Content-Length says; -1 for none
    ranges: bool = True  # honours them
    span: str | None = None  # Content-Range, in place of the right one
    body: bytes | None = None  # another file
    headers: dict[str, str] = field(default_factory=dict)
    drop: bool = False  # the connection is closed without an answer
    always: bool = False  # every answer from now on


class Site(ThreadingHTTPServer):
    """`body` at every path; the first answers have the `faults`, in turn; `asked` are the Range headers, or None."""

    daemon_threads = True

    def __init__(self, body: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.body, self.etag = body, '"one"'
        self.faults: dict[str, list[Fault]] = {}
        self.asked: list[tuple[str, str | None]] = []

    def url(self, path: str = "/a.bin") -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"

    def handle_error(self, request: object, client: object) -> None:
        """A client that was killed is no trouble of ours."""


class Answer(BaseHTTPRequestHandler):
    server: Site
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.close_connection = True
        waiting = self.server.faults.get(self.path, [])
        fault = waiting[0] if waiting else Fault()
        if waiting and not fault.always:
            waiting.pop(0)
        self.server.asked.append((self.path, self.headers.get("Range")))
        if fault.drop:
            return
        if fault.status is not None:
            self._head(fault.status, {"Content-Length": "0", **fault.headers})
            return
        whole = self.server.body if fault.body is None else fault.body
        start = self._start(fault, whole)
        body = whole[start:]
        headers = {"ETag": self.server.etag, "Content-Length": str(len(body) if fault.length is None else fault.length)}
        if fault.length == -1:
            del headers["Content-Length"]
        if start:
            headers["Content-Range"] = fault.span or f"bytes {start}-{len(whole) - 1}/{len(whole)}"
        if start and start >= len(whole):
            self._head(416, {"Content-Range": f"bytes */{len(whole)}", "Content-Length": "0"})
            return
        self._head(206 if start else 200, {**headers, **fault.headers})
        self._send(body, fault)

    def _start(self, fault: Fault, whole: bytes) -> int:
        asked = self.headers.get("Range")
        same = self.headers.get("If-Range") in (None, self.server.etag)
        return int(asked.removeprefix("bytes=").rstrip("-")) if asked and fault.ranges and same else 0

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()

    def _send(self, body: bytes, fault: Fault) -> None:
        end = len(body) if fault.cut is None else fault.cut
        for at in range(0, end, fault.block):
            time.sleep(fault.pause)
            self.wfile.write(body[at : min(at + fault.block, end)])
            self.wfile.flush()
        if fault.stall:
            time.sleep(fault.stall)
        elif fault.cut is not None:
            time.sleep(0.05)  # else what was sent is lost with the reset
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(body: bytes) -> Iterator[Site]:
    """A site that serves `body` until the block ends."""
    with Site(body) as site, _running(site):
        yield site


class Mirror(ThreadingHTTPServer):
    """The files of a folder, under their names; `asked` are those that were asked for."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), partial(File, directory=str(folder)))
        self.asked: list[str] = []
        self.address = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: object, client: object) -> None:
        """A client that was killed is no trouble of ours."""


class File(SimpleHTTPRequestHandler):
    server: Mirror

    def log_message(self, *_: object) -> None:
        self.server.asked.append(self.path.removeprefix("/"))


@contextmanager
def mirror(folder: Path) -> Iterator[Mirror]:
    """A site that serves a folder until the block ends."""
    with Mirror(folder) as site, _running(site):
        yield site


@contextmanager
def _running(site: ThreadingHTTPServer) -> Iterator[None]:
    thread = Thread(target=site.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield
    finally:
        site.shutdown()
        thread.join()
