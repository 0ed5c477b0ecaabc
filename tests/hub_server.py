"""A small hub on this machine: the endpoints by which `huggingface_hub` and `datasets` read and write repositories."""

import base64
import hashlib
import json
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

Files = dict[str, bytes]


@dataclass
class Repository:
    """A repository with all of its commits; the last is `main`."""

    private: bool = False
    gated: bool = False
    commits: dict[str, Files] = field(default_factory=dict[str, Files])
    messages: list[str] = field(default_factory=list[str])

    def commit(self, files: Files, message: str = "") -> str:
        """Adds files, and returns the commit."""
        held = (list(self.commits.values()) or [{}])[-1] | files
        listed = "".join(f"{name}{hashlib.sha256(data).hexdigest()}" for name, data in sorted(held.items()))
        name = hashlib.sha1(f"{len(self.commits)}{listed}".encode()).hexdigest()
        self.commits[name] = held
        self.messages.append(message)
        return name

    @property
    def files(self) -> Files:
        """The files of the last commit."""
        return list(self.commits.values())[-1] if self.commits else {}


@dataclass
class Hub:
    """The repositories, by "datasets/ORG/NAME" or "models/ORG/NAME", and what was asked."""

    url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict[str, Repository])
    requests: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    tokens: set[str | None] = field(default_factory=set[str | None])
    objects: Files = field(default_factory=Files)
    """Large files by their SHA-256."""
    refuses: int = 0
    """The status that every request gets; 0 for none."""
    words: str = "as the test wants it"
    """What it says then."""
    heard: Callable[[str, str], None] = lambda method, path: None
    """Is called with every request before it is answered."""

    def add(self, name: str, files: Files) -> str:
        """A new repository with one commit, whose name is returned."""
        self.repositories[name] = Repository()
        return self.repositories[name].commit(files)

    def read(self, name: str) -> list[str]:
        """The paths of requests that fetch a file of that name."""
        return [path for method, path in self.requests if method == "GET" and path.endswith(name)]


class _Refused(Exception):
    def __init__(self, status: int, code: str = "", words: str = "") -> None:
        super().__init__(words)
        self.status, self.code, self.words = status, code, words or code


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answered()

    def do_HEAD(self) -> None:
        self._answered()

    def do_POST(self) -> None:
        self._answered()

    def do_PUT(self) -> None:
        self._answered()

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _answered(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = unquote(urlsplit(self.path).path).strip("/")
        self.hub.requests.append((self.command, path))
        self.hub.tokens.add(self.headers.get("Authorization"))
        self.hub.heard(self.command, path)
        try:
            if self.hub.refuses:
                raise _Refused(self.hub.refuses, words=self.hub.words)
            self._answer(path.split("/"), body)
        except _Refused as refused:
            self._send(
                refused.status,
                json.dumps({"error": refused.words}).encode(),
                {"X-Error-Code": refused.code, "X-Error-Message": refused.words} if refused.code else {},
            )

    def _answer(self, parts: list[str], body: bytes) -> None:
        if parts[0] == "objects":
            self.hub.objects[parts[1]] = body
            self._json({})
        elif parts[:3] == ["api", "repos", "create"]:
            self._create(json.loads(body))
        elif parts[:2] == ["api", "validate-yaml"]:
            self._json({"errors": [], "warnings": []})
        elif parts[0] == "api" and parts[1] in ("datasets", "models"):
            self._api("/".join(parts[1:4]), parts[4:], body)
        elif "info" in parts and parts[-1] == "batch":
            self._batch(json.loads(body))
        elif "resolve" in parts:
            at = parts.index("resolve")
            repository = "/".join(parts[:at] if parts[0] == "datasets" else ["models", *parts[:at]])
            self._file(self._repository(repository), parts[at + 1], "/".join(parts[at + 2 :]))
        else:
            raise _Refused(404, words=f"no such path: {'/'.join(parts)}")

    def _repository(self, name: str) -> Repository:
        if name not in self.hub.repositories:
            raise _Refused(401 if self.command == "GET" else 404, "RepoNotFound", "Repository not found")
        return self.hub.repositories[name]

    def _commit(self, repository: Repository, revision: str) -> tuple[str, Files]:
        commits = repository.commits
        if revision == "main" and not commits:  # created, and nothing in it yet
            return "0" * 40, {}
        name = list(commits)[-1] if revision == "main" else revision
        if name not in commits:
            raise _Refused(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return name, commits[name]

    def _api(self, name: str, rest: list[str], body: bytes) -> None:
        repository = self._repository(name)
        what, revision, *deeper = [*rest, "main"] if len(rest) == 1 else rest or ["revision", "main"]
        if what == "preupload":
            paths = [each["path"] for each in json.loads(body)["files"]]
            held = repository.files
            self._json(
                {
                    "files": [
                        {"path": path, "uploadMode": _mode(path), "shouldIgnore": False}
                        | ({"oid": _object_id(path, held[path])} if path in held else {})
                        for path in paths
                    ]
                }
            )
            return
        if what == "commit":
            self._take(name, repository, body)
            return
        commit, files = self._commit(repository, revision)
        if what == "revision":
            self._json(
                {
                    "id": name.partition("/")[2],
                    "sha": commit,
                    "private": repository.private,
                    "gated": repository.gated and "auto",
                    "siblings": [{"rfilename": path} for path in files],
                    "tags": [],
                    "downloads": 0,
                }
            )
        elif what == "tree":
            below = "/".join(deeper)
            self._json([_entry(path, data) for path, data in files.items() if path.startswith(below)])
        elif what == "paths-info":
            asked = json.loads(body)["paths"] if body.startswith(b"{") else []
            self._json([_entry(path, files[path]) for path in asked if path in files])
        else:
            raise _Refused(404, words=f"no such path: {what}")

    def _file(self, repository: Repository, revision: str, path: str) -> None:
        if repository.gated and self.headers.get("Authorization") is None:
            raise _Refused(401, "GatedRepo", "Access to this dataset is restricted")
        commit, files = self._commit(repository, revision)
        if path not in files:
            raise _Refused(404, "EntryNotFound", "Entry not found")
        data = files[path]
        about = {"ETag": f'"{hashlib.sha1(data).hexdigest()}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        wanted = self.headers.get("Range", "")
        if wanted.startswith("bytes="):
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            end = min(int(last) + 1 if last else len(data), len(data))
            about["Content-Range"] = f"bytes {first}-{end - 1}/{len(data)}"
            self._send(206, data[int(first) : end], about)
        else:
            self._send(200, data, about)

    def _create(self, asked: dict[str, Any]) -> None:
        name = f"{asked.get('type', 'model')}s/{asked['organization']}/{asked['name']}"
        if name in self.hub.repositories:
            raise _Refused(409, words="You already created this repo")
        private = bool(asked.get("private") or asked.get("visibility") == "private")
        self.hub.repositories[name] = Repository(private=private)
        self._json({"url": f"{self.hub.url}/{name.removeprefix('models/')}", "name": name, "id": "1"})

    def _take(self, name: str, repository: Repository, body: bytes) -> None:
        lines = [json.loads(line) for line in body.splitlines() if line.strip()]
        files: Files = {}
        for line in lines:
            if line["key"] == "file":
                files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            elif line["key"] == "lfsFile":
                files[line["value"]["path"]] = self.hub.objects[line["value"]["oid"]]
        message = next(line["value"]["summary"] for line in lines if line["key"] == "header")
        commit = repository.commit(files, message)
        url = f"{self.hub.url}/{name.removeprefix('models/')}/commit/{commit}"
        self._json({"success": True, "commitUrl": url, "commitOid": commit, "hookOutput": ""})

    def _batch(self, asked: dict[str, Any]) -> None:
        objects = [
            each
            if each["oid"] in self.hub.objects
            else {**each, "actions": {"upload": {"href": f"{self.hub.url}/objects/{each['oid']}", "header": {}}}}
            for each in asked["objects"]
        ]
        self._json({"transfer": "basic", "objects": objects})

    def _json(self, value: Any) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, data: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


def _mode(path: str) -> str:
    return "lfs" if path.endswith((".safetensors", ".parquet")) else "regular"


def _object_id(path: str, data: bytes) -> str:
    """By which the hub tells whether a file has changed: git's for a small file, a SHA-256 for a large one."""
    if _mode(path) == "lfs":
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _entry(path: str, data: bytes) -> dict[str, Any]:
    return {"type": "file", "path": path, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}


@contextmanager
def hub_running() -> Generator[Hub]:
    """A hub that listens while the context lasts."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def json_lines(*rows: dict[str, Any]) -> bytes:
    """A file of JSON lines."""
    return "".join(json.dumps(row) + "\n" for row in rows).encode()
