"""An export as a repository of the Hub: all files in one commit, or one line that says why not."""

import base64
import json
import subprocess
import sys
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from project import environment_of, ship

TOKEN = "hf_of_nobody"


class Hub(ThreadingHTTPServer):
    """The few answers that `huggingface_hub` needs; small text comes in the commit, other files before it."""

    daemon_threads = True

    def __init__(self, refusal: int | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.refusal, self.private = refusal, None
        self.blobs: dict[str, bytes] = {}
        self.files: dict[str, bytes] = {}


class Answer(BaseHTTPRequestHandler):
    server: Hub

    def do_PUT(self) -> None:
        self.server.blobs[self.path.removeprefix("/blob/")] = self._body()
        self._say({})

    def do_POST(self) -> None:
        body, kind = self._body(), self.path.split("/")[-1]
        if self.headers["Authorization"] != f"Bearer {TOKEN}":
            self._say({"error": "who are you?"}, 401)
        elif self.path == "/api/repos/create":
            asked = json.loads(body)
            self.server.private = asked.get("private") or asked.get("visibility") == "private"
            self._say({"url": f"{self.server.address}/me/flowers", "name": "me/flowers"})
        elif self.server.refusal:
            self._say({"error": "no room"}, self.server.refusal)
        elif kind == "validate-yaml":
            self._say({})
        elif "/preupload/" in self.path:
            files = [file["path"] for file in json.loads(body)["files"]]
            modes = {path: "regular" if path.endswith((".md", ".json")) else "lfs" for path in files}
            self._say({"files": [{"path": p, "uploadMode": m, "shouldIgnore": False} for p, m in modes.items()]})
        elif kind == "batch":
            oids = [one["oid"] for one in json.loads(body)["objects"]]
            places = {oid: {"upload": {"href": f"{self.server.address}/blob/{oid}"}} for oid in oids}
            objects = [{"oid": oid, "size": 1, "actions": actions} for oid, actions in places.items()]
            self._say({"transfer": "basic", "objects": objects})
        else:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    self.server.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
                elif line["key"] == "lfsFile":
                    self.server.files[line["value"]["path"]] = self.server.blobs[line["value"]["oid"]]
            self._say({"commitUrl": f"{self.server.address}/me/flowers/commit/1", "commitOid": "1"})

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers["Content-Length"]))

    def _say(self, answer: dict, status: int = 200) -> None:
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def folder(tmp_path):
    """As `ship export` leaves one: text and large files."""
    path = tmp_path / "flowers"
    path.mkdir()
    (path / "README.md").write_text("---\nlibrary_name: timm\n---\n# flowers\n")
    (path / "ship.json").write_text("{}")
    (path / "model.onnx").write_bytes(bytes(range(256)) * 40)
    return path


@pytest.fixture
def hub(request):
    with Hub(getattr(request, "param", None)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def pushed(folder, repo, address, token=TOKEN):
    """What a process says that pushes the folder to the Hub at the address."""
    code = (
        "import sys; from pathlib import Path; from ship.errors import BadInput; from ship.inference.hub import *\n"
        "try: check_push(sys.argv[2]); print(push(Path(sys.argv[1]), sys.argv[2]))\n"
        "except BadInput as error: sys.exit(str(error))"
    )
    place = {"HF_ENDPOINT": address, "HF_HOME": str(folder.parent), "HF_HUB_DISABLE_XET": "1"}
    more = {"HF_TOKEN": token, "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_OFFLINE": "0"}
    environment = {**environment_of(folder.parent), **place, **more}
    asked = [sys.executable, "-c", code, str(folder), repo]
    return subprocess.run(asked, env=environment, cwd=folder.parent, capture_output=True, text=True, check=False)


def test_every_file_arrives(folder, hub):
    """With its bytes, large or small, in a repository that is private when it is new."""
    done = pushed(folder, "me/flowers", hub.address)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"{hub.address}/me/flowers"
    assert hub.files == {path.name: path.read_bytes() for path in folder.iterdir()}
    assert [*hub.blobs] == [sha256((folder / "model.onnx").read_bytes()).hexdigest()]
    assert hub.private


@pytest.mark.parametrize("hub", [403], indirect=True)
def test_a_hub_that_refuses(folder, hub):
    """One line with its reason and how to go on; nothing has been committed."""
    done = pushed(folder, "me/flowers", hub.address)
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert "--push me/flowers: expected the Hub to take the files" in done.stderr
    assert "no room" in done.stderr
    assert f"hf upload me/flowers {folder}" in done.stderr
    assert not hub.files


@pytest.mark.parametrize(
    ("repo", "token", "message"),
    [
        ("a/b/c", TOKEN, "expected NAME or OWNER/NAME, got 'a/b/c'"),
        ("me/flowers", "", "expected a token of the Hugging Face Hub, found none"),
        ("me/flowers", TOKEN, "expected the Hub to take the files"),
    ],
)
def test_what_can_be_known_before(folder, repo, token, message):
    """A name that is none, no token; and nobody at the address."""
    done = pushed(folder, repo, "http://127.0.0.1:9", token)
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert message in done.stderr


def test_the_command_asks_before_it_computes(tmp_path):
    """A repository that cannot be is named before the run is looked for."""
    done = ship("export", "nowhere", "flowers", "--push", "a/b/c", cwd=tmp_path)
    assert done.returncode == 2
    assert "expected NAME or OWNER/NAME, got 'a/b/c'" in done.stderr
