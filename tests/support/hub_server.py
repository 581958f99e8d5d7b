"""The Hugging Face hub on loopback, as far as `huggingface_hub` uses it to publish a dataset and to read it back."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

WRITER, READER = "hf_writer", "hf_reader"  # tokens
CUT = -1  # the connection breaks
_LARGE = (".parquet", ".npy", ".tar")  # kept as large files, as the hub's own .gitattributes say
_MAX_GIT_BYTES = 10 << 20
_NO_BRANCH = {"X-Error-Code": "RevisionNotFound"}
_NO_REPOSITORY = {"X-Error-Code": "RepoNotFound"}


@dataclass
class Repository:
    """A dataset's: the files of each commit, and the commit of each branch."""

    private: bool
    branches: dict[str, str] = field(default_factory=dict)
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)

    def commit(self, branch: str, files: Mapping[str, bytes], message: str) -> str:
        oid = hashlib.sha1(f"{message}{len(self.commits)}".encode()).hexdigest()
        self.commits[oid] = dict(files)
        self.branches[branch] = oid
        self.messages.append(message)
        return oid


class _Answer(Exception):
    def __init__(self, status: int, value: Any = None, headers: Mapping[str, str] | None = None):
        super().__init__(status)
        self.status, self.headers = status, dict(headers or {})
        self.body = value if isinstance(value, bytes) else json.dumps({} if value is None else value).encode()


class HubServer:
    """Keeps repositories in memory, as a context manager.

    Attributes:
      url: where it is served.
      repositories: by ``USER/NAME``.
      large: large files by SHA-256, whether a commit has them or not.
      requests: so far, by kind: create, info, tree, validate, preupload, batch, put, commit, branch, resolve.
      put_bytes: bytes of large files that came in.
      faults: by kind, statuses to answer the next requests with (`CUT`: none), one each.
      before: called with each request's kind when it has come and nothing is done.
    """

    def __init__(self) -> None:
        self.url = ""
        self.repositories: dict[str, Repository] = {}
        self.large: dict[str, bytes] = {}
        self.requests: Counter[str] = Counter()
        self.put_bytes = 0
        self.faults: dict[str, list[int]] = {}
        self.before = lambda kind: None
        self._lock = threading.RLock()

    def __enter__(self) -> HubServer:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._server.hub = self  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def add(self, repo_id: str, files: Mapping[str, bytes] | None = None, *, private: bool = True) -> Repository:
        """A repository that is there."""
        repository = self.repositories[repo_id] = Repository(private)
        repository.commit("main", {".gitattributes": b"*.parquet filter=lfs\n", **(files or {})}, "initial commit")
        return repository

    def files(self, repo_id: str, branch: str = "main") -> dict[str, bytes]:
        """What a branch holds, by path."""
        repository = self.repositories[repo_id]
        return repository.commits[repository.branches[branch]]

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> _Answer:
        steps = [unquote(step) for step in urlsplit(target).path.strip("/").split("/")]
        try:
            with self._lock:
                match method, steps:
                    case "PUT", ["large", digest]:
                        return self._put(digest, body)
                    case "POST", ["api", "repos", "create"]:
                        return self._create(headers, json.loads(body))
                    case "POST", ["api", "validate-yaml"]:
                        return self._validate(json.loads(body)["content"])
                    case "GET", ["api", "datasets", user, name]:
                        return self._info(headers, f"{user}/{name}", "main")
                    case "GET", ["api", "datasets", user, name, "revision", revision]:
                        return self._info(headers, f"{user}/{name}", revision)
                    case "GET", ["api", "datasets", user, name, "tree", revision]:
                        return self._tree(headers, f"{user}/{name}", revision)
                    case "POST", ["api", "datasets", user, name, "preupload", revision]:
                        return self._preupload(headers, f"{user}/{name}", revision, json.loads(body))
                    case "POST", ["datasets", user, name, "info", "lfs", "objects", "batch"]:
                        return self._batch(headers, f"{user}/{name.removesuffix('.git')}", json.loads(body))
                    case "POST", ["api", "datasets", user, name, "commit", revision]:
                        return self._commit(headers, f"{user}/{name}", revision, body)
                    case "POST", ["api", "datasets", user, name, "branch", branch]:
                        return self._branch(headers, f"{user}/{name}", branch)
                    case "GET" | "HEAD", ["datasets", user, name, "resolve", revision, *path]:
                        return self._resolve(headers, f"{user}/{name}", revision, "/".join(path))
            return _Answer(501, {"error": f"{method} {target} is not known here"})
        except _Answer as answer:
            return answer

    def _note(self, kind: str) -> None:
        self.requests[kind] += 1
        self.before(kind)
        if self.faults.get(kind):
            status = self.faults[kind].pop(0)
            raise _Answer(status, {"error": f"a fault of {kind}"})

    def _access(self, kind: str, headers: Mapping[str, str], repo_id: str = "", *, writes: bool = False) -> Repository:
        self._note(kind)
        token = headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in (WRITER, READER):
            said = "Invalid credentials in Authorization header"
            raise _Answer(401, {"error": said}, {"X-Error-Message": said})
        if writes and token != WRITER:
            said = "You don't have the rights to write here"
            raise _Answer(403, {"error": said}, {"X-Error-Message": said})
        if repo_id and repo_id not in self.repositories:
            raise _Answer(404, {"error": "Repository not found"}, _NO_REPOSITORY)
        return self.repositories.get(repo_id, Repository(True))

    def _head(self, repository: Repository, revision: str) -> tuple[str, dict[str, bytes]]:
        oid = repository.branches.get(revision, revision)
        if oid not in repository.commits:
            raise _Answer(404, {"error": f"Invalid rev id: {revision}"}, _NO_BRANCH)
        return oid, repository.commits[oid]

    def _create(self, headers: Mapping[str, str], wanted: dict[str, Any]) -> _Answer:
        self._access("create", headers, writes=True)
        repo_id = f"{wanted['organization']}/{wanted['name']}"
        assert wanted["type"] == "dataset"
        if repo_id in self.repositories:
            return _Answer(409, {"error": "You already created this dataset repo", "url": self.url})
        if wanted["organization"] != "me":
            return _Answer(403, {"error": f"You don't have the rights to create a dataset under {repo_id}"})
        self.add(repo_id, private=wanted.get("visibility") == "private" or bool(wanted.get("private")))
        return _Answer(200, {"url": f"{self.url}/datasets/{repo_id}", "name": repo_id, "id": repo_id})

    def _validate(self, content: str) -> _Answer:
        self._note("validate")
        metadata = yaml.safe_load(content.split("---\n")[1])
        bad = [
            size for size in metadata.get("size_categories", []) if not re.fullmatch(r"n[<>]\d+[KMBT]|.+<n<.+", size)
        ]
        if bad or not isinstance(metadata.get("license", "other"), str):
            return _Answer(400, {"errors": [{"message": f'"size_categories" or "license" is not valid: {bad}'}]})
        return _Answer(200, {"errors": [], "warnings": []})

    def _info(self, headers: Mapping[str, str], repo_id: str, revision: str) -> _Answer:
        repository = self._access("info", headers, repo_id)
        oid, files = self._head(repository, revision)
        siblings = [{"rfilename": path} for path in files]
        return _Answer(200, {"id": repo_id, "sha": oid, "private": repository.private, "siblings": siblings})

    def _tree(self, headers: Mapping[str, str], repo_id: str, revision: str) -> _Answer:
        _, files = self._head(self._access("tree", headers, repo_id), revision)
        folders = {path.rpartition("/")[0] for path in files} - {""}
        entries = [{"type": "directory", "path": path, "oid": "0" * 40, "size": 0} for path in sorted(folders)]
        return _Answer(200, entries + [self._entry(path, data) for path, data in files.items()])

    def _entry(self, path: str, data: bytes) -> dict[str, Any]:
        entry = {"type": "file", "path": path, "size": len(data), "oid": _git_oid(data)}
        if _is_large(path, len(data)):
            entry["oid"] = "1" * 40
            entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
        return entry

    def _preupload(self, headers: Mapping[str, str], repo_id: str, revision: str, asked: dict[str, Any]) -> _Answer:
        _, files = self._head(self._access("preupload", headers, repo_id, writes=True), revision)
        told = []
        for file in asked["files"]:
            large, old = _is_large(file["path"], file["size"]), files.get(file["path"])
            oid = None if old is None else hashlib.sha256(old).hexdigest() if large else _git_oid(old)
            mode = "lfs" if large else "regular"
            told.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        return _Answer(200, {"files": told})

    def _batch(self, headers: Mapping[str, str], repo_id: str, asked: dict[str, Any]) -> _Answer:
        self._access("batch", headers, repo_id, writes=True)
        told = []
        for wanted in asked["objects"]:
            upload = {"upload": {"href": f"{self.url}/large/{wanted['oid']}"}}
            told.append(wanted if wanted["oid"] in self.large else {**wanted, "actions": upload})
        return _Answer(200, {"transfer": "basic", "objects": told})

    def _put(self, digest: str, body: bytes) -> _Answer:
        self._note("put")
        if hashlib.sha256(body).hexdigest() != digest:
            return _Answer(400, {"error": "the content is not what its digest says"})
        self.put_bytes += len(body)
        self.large[digest] = body
        return _Answer(200)

    def _commit(self, headers: Mapping[str, str], repo_id: str, revision: str, body: bytes) -> _Answer:
        repository = self._access("commit", headers, repo_id, writes=True)
        parent, files = self._head(repository, revision)
        files, message = dict(files), ""
        for line in body.splitlines():
            item = json.loads(line)
            value = item["value"]
            match item["key"]:
                case "header":
                    message = value["summary"]
                    if value.get("parentCommit", parent) != parent:
                        return _Answer(412, {"error": "A commit has happened since. Please refresh and try again."})
                case "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                case "lfsFile":
                    if value["oid"] not in self.large:
                        return _Answer(400, {"error": f"lfs object {value['oid']} is not there"})
                    files[value["path"]] = self.large[value["oid"]]
                case "deletedFile":
                    del files[value["path"]]
        oid = repository.commit(revision, files, message)
        return _Answer(200, {"commitUrl": f"{self.url}/datasets/{repo_id}/commit/{oid}", "commitOid": oid})

    def _branch(self, headers: Mapping[str, str], repo_id: str, branch: str) -> _Answer:
        repository = self._access("branch", headers, repo_id, writes=True)
        if branch in repository.branches:
            return _Answer(409, {"error": "Reference already exists"})
        repository.branches[branch] = repository.branches["main"]
        return _Answer(200)

    def _resolve(self, headers: Mapping[str, str], repo_id: str, revision: str, path: str) -> _Answer:
        oid, files = self._head(self._access("resolve", headers, repo_id), revision)
        if path not in files:
            return _Answer(404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound"})
        return _Answer(200, files[path], {"ETag": f'"{_git_oid(files[path])}"', "X-Repo-Commit": oid})


def _is_large(path: str, size: int) -> bool:
    return path.endswith(_LARGE) or size > _MAX_GIT_BYTES


def _git_oid(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = self._read_chunks()
        hub: HubServer = self.server.hub  # type: ignore[attr-defined]
        answer = hub.answer(self.command, self.path, self.headers, body)
        if answer.status == CUT:
            self.close_connection = True
            return
        self.send_response(answer.status)
        for name, value in {"Content-Type": "application/json", **answer.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def _read_chunks(self) -> bytes:
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    do_GET = do_HEAD = do_POST = do_PUT = _answer

    def log_message(self, *arguments: object) -> None:
        """Says nothing."""
