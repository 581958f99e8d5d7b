"""Google Cloud Storage's JSON API over buckets in memory, as far as its Python client and Beam's ``gs://`` use it."""

from __future__ import annotations

import email
import email.policy
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from support.gcs_answers import CUT, LOST, Answer, Refused, StoredObject, hashes_of, json_answer, parse_mime


class GcsApi:
    """Buckets in memory, and answers to requests about them.

    Attributes:
      url: where it is served.
      objects: what is stored, by ``gs://`` path.
      buckets: their names; `put` adds to them.
      requests: requests so far, as "list gs://bucket/prefix", "metadata PATH", "download PATH", "upload PATH",
        "copy PATH" (of the source), "delete PATH", "bucket gs://bucket", "chunk PATH" (of an upload's content), and
        "batch" (of copies or deletions, each counted too).
      sent: bytes of content sent so far, by path.
      refuse: statuses to answer with, by path of an object, ``gs://bucket``, or a request as they are counted.
      fault: called with each request as they are counted, when it has come and nothing is done; gives the status to
        answer with, `CUT` (of a download, a chunk or a batch), `LOST` (of a chunk or a batch), or 0: no fault.
      before_download: called with the path ahead of each answer with content; may change what is stored, or wait.
      refuse_tokens: the account is no more.
      spoil: what becomes of an object's content on its way, by path; its metadata tell nothing of it.
      page: most objects in one answer to a listing.
    """

    def __init__(self) -> None:
        self.url = ""
        self.objects: dict[str, StoredObject] = {}
        self.buckets: set[str] = set()
        self.requests: Counter[str] = Counter()
        self.sent: Counter[str] = Counter()
        self.refuse: dict[str, int] = {}
        self.refuse_tokens = False
        self.spoil: dict[str, Callable[[bytes], bytes]] = {}
        self.fault: Callable[[str], int] = lambda request: 0
        self.before_download: Callable[[str], None] = lambda path: None
        self.page = 1000
        self._uploads: dict[str, tuple[str, dict[str, str], str, bytearray]] = {}  # path, query, content type, data
        self._generation = 0
        self.lock = threading.RLock()

    def put(self, path: str, data: bytes, content_type: str = "application/octet-stream") -> StoredObject:
        """Stores an object under its ``gs://bucket/name``, as another generation where there is one."""
        with self.lock:
            self._generation += 1
            self.buckets.add(path.split("/")[2])
            self.objects[path] = StoredObject(data, self._generation, content_type, time.time())
            return self.objects[path]

    def put_folder(self, folder: Path, path: str) -> None:
        """Stores a folder's files beneath a ``gs://`` path."""
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                self.put(f"{path}/{file.relative_to(folder).as_posix()}", file.read_bytes())

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Answers a request; those within a batch come here too."""
        parts = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        steps = [unquote(step) for step in parts.path.strip("/").split("/")]
        try:
            match method, steps:
                case "POST", ["token"]:
                    if self.refuse_tokens:
                        raise Refused(400, "invalid_grant")
                    return json_answer({"access_token": "a-token", "expires_in": 3600, "token_type": "Bearer"})
                case "POST", ["batch", "storage", "v1"]:
                    return self._batch(headers, body)
                case _, ["upload", "storage", "v1", "b", bucket, "o"]:
                    return self._upload(method, bucket, query, headers, body)
                case "GET", ["download", "storage", "v1", "b", bucket, "o", name]:
                    return self._download(f"gs://{bucket}/{name}", query, headers)
                case "POST", ["storage", "v1", "b"]:
                    self.buckets.add(json.loads(body)["name"])
                    return json_answer({"name": json.loads(body)["name"]})
                case "GET", ["storage", "v1", "b", bucket]:
                    self._note("bucket", f"gs://{bucket}")
                    return json_answer({"name": bucket, "projectNumber": "1"})
                case "GET", ["storage", "v1", "b", bucket, "o"]:
                    return self._list(bucket, query)
                case "GET", ["storage", "v1", "b", bucket, "o", name]:
                    if query.get("alt") == "media":
                        return self._download(f"gs://{bucket}/{name}", query, headers)
                    path = f"gs://{bucket}/{name}"
                    self._note("metadata", path)
                    return json_answer(self._metadata(path, self._stored(path, query)))
                case "POST", ["storage", "v1", "b", bucket, "o", name, verb, "b", to_bucket, "o", to_name]:
                    return self._copy(f"gs://{bucket}/{name}", f"gs://{to_bucket}/{to_name}", verb, query)
                case "DELETE", ["storage", "v1", "b", bucket, "o", name]:
                    path = f"gs://{bucket}/{name}"
                    self._note("delete", path)
                    with self.lock:
                        self._stored(path, query)
                        del self.objects[path]
                    return Answer(204)
            raise Refused(501, f"{method} {target} is not known here")
        except Refused as refused:
            return refused.answer

    def _note(self, kind: str, path: str) -> int:
        """Counts a request, and refuses it if it is to be; `CUT`, `LOST` or 0."""
        bucket = path.split("/")[2]
        fault = self._count(f"{kind} {path}")
        known = (self.refuse.get(name) for name in (f"{kind} {path}", path, f"gs://{bucket}"))
        if status := next(filter(None, known), None):
            raise Refused(status, f"test@example.org gets {status}")
        if bucket not in self.buckets:
            raise Refused(404, "The specified bucket does not exist.")
        return fault

    def _count(self, request: str) -> int:
        with self.lock:
            self.requests[request] += 1
        fault = self.fault(request)
        if fault > 0:
            raise Refused(fault, f"test@example.org gets {fault} now")
        return fault

    def _stored(self, path: str, query: Mapping[str, str]) -> StoredObject:
        with self.lock:
            stored = self.objects.get(path)
        generation = query.get("generation")
        if stored is None or (generation is not None and int(generation) != stored.generation):
            raise Refused(404, f"No such object: {path.removeprefix('gs://')}")
        self._check_generation(path, query)
        return stored

    def _check_generation(self, path: str, query: Mapping[str, str]) -> None:
        now = self.objects[path].generation if path in self.objects else 0
        if query.get("ifGenerationMatch", str(now)) != str(now):
            raise Refused(412, "At least one of the pre-conditions you specified did not hold.")

    def _metadata(self, path: str, stored: StoredObject) -> dict[str, Any]:
        _, _, bucket, name = path.split("/", 3)
        url = f"{self.url}/download/storage/v1/b/{bucket}/o/{quote(name, safe='')}"
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(stored.updated))
        moment += f".{int(stored.updated % 1 * 1000):03}Z"
        return {
            "kind": "storage#object",
            "bucket": bucket,
            "name": name,
            "size": str(len(stored.data)),
            "generation": str(stored.generation),
            "metageneration": "1",
            "contentType": stored.content_type,
            "updated": moment,
            "timeCreated": moment,
            "mediaLink": f"{url}?generation={stored.generation}&alt=media",
            "etag": str(stored.generation),
            **hashes_of(stored.data),
        }

    def _list(self, bucket: str, query: Mapping[str, str]) -> Answer:
        self._note("list", f"gs://{bucket}/{query.get('prefix', '')}")
        with self.lock:
            found = sorted(path for path in self.objects if path.startswith(f"gs://{bucket}/{query.get('prefix', '')}"))
            start = int(query.get("pageToken") or 0)
            items = [self._metadata(path, self.objects[path]) for path in found[start : start + self.page]]
        more = {"nextPageToken": str(start + self.page)} if start + self.page < len(found) else {}
        return json_answer({"kind": "storage#objects", "items": items, **more})

    def _download(self, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Answer:
        fault = self._note("download", path)
        self.before_download(path)
        stored = self._stored(path, query)
        data = self.spoil[path](stored.data) if path in self.spoil else stored.data
        hashes = ",".join(f"{name.removesuffix('Hash')}={text}" for name, text in hashes_of(stored.data).items())
        told = {"X-Goog-Hash": hashes, "X-Goog-Generation": str(stored.generation), "Content-Type": stored.content_type}
        status, first, last = 200, 0, len(data) - 1
        if spec := headers.get("Range", "").removeprefix("bytes="):
            start, _, end = spec.partition("-")
            first, last = int(start), min(int(end or last), last)
            if first > last:
                return Answer(416, b"", {"Content-Range": f"bytes */{len(data)}"})
            status, told["Content-Range"] = 206, f"bytes {first}-{last}/{len(data)}"
        with self.lock:
            self.sent[path] += last - first + 1
        return Answer(status, data[first : last + 1], told, is_cut=fault == CUT)

    def _upload(
        self, method: str, bucket: str, query: dict[str, str], headers: Mapping[str, str], body: bytes
    ) -> Answer:
        if upload := self._uploads.get(query.get("upload_id", "")):
            return self._continue(method, query["upload_id"], *upload, headers, body)
        kind = query.get("uploadType")
        if kind == "multipart":
            message = parse_mime(headers["Content-Type"], body)
            about, content = (part.get_payload(decode=True) for part in message.get_payload())
            content_type = message.get_payload()[1].get_content_type()
            # MIME ends a part with a line break that is not its content's; parsing text may change line ends.
            boundary = message.get_boundary().encode()
            content = body.split(b"--" + boundary)[2].split(b"\r\n\r\n", 1)[1].removesuffix(b"\r\n")
            return self._finish(f"gs://{bucket}/{json.loads(about)['name']}", query, content_type, content)
        about = json.loads(body or b"{}") if kind == "resumable" else {}
        path = f"gs://{bucket}/{about.get('name') or query['name']}"
        content_type = headers.get("X-Upload-Content-Type") or headers.get("Content-Type") or ""
        if kind == "media":
            return self._finish(path, query, content_type, body)
        self._note("upload", path)
        with self.lock:
            number = f"upload-{len(self._uploads)}"
            self._uploads[number] = (path, query, content_type, bytearray())
        return Answer(200, b"", {"Location": f"{self.url}/upload/storage/v1/b/{bucket}/o?upload_id={number}"})

    def _continue(
        self, method: str, number: str, path: str, query: dict[str, str], content_type: str, data: bytearray,
        headers: Mapping[str, str], body: bytes,
    ) -> Answer:  # fmt: skip
        if method == "DELETE":
            return Answer(499)
        fault = self._note("chunk", path)
        span, _, total = headers["Content-Range"].removeprefix("bytes ").partition("/")
        if span != "*":
            data[int(span.split("-")[0]) :] = body[: len(body) // 2] if fault == CUT else body
        if fault == CUT:
            return Answer(CUT)
        if total != "*" and len(data) == int(total):
            answer = self._finish(path, query, content_type, bytes(data), counted=True)
            return Answer(LOST) if fault == LOST else answer
        return Answer(308, b"", {"Range": f"bytes=0-{len(data) - 1}"} if data else {})

    def _finish(
        self, path: str, query: Mapping[str, str], content_type: str, data: bytes, counted: bool = False
    ) -> Answer:
        if not counted:
            self._note("upload", path)
        with self.lock:
            self._check_generation(path, query)
            return json_answer(self._metadata(path, self.put(path, data, content_type)))

    def _copy(self, source: str, target: str, verb: str, query: Mapping[str, str]) -> Answer:
        self._note("copy", source)
        if target.split("/")[2] not in self.buckets:
            raise Refused(404, "The specified bucket does not exist.")
        with self.lock:
            generation = {"generation": query["sourceGeneration"]} if "sourceGeneration" in query else {}
            stored = self._stored(source, generation)
            self._check_generation(target, query)
            about = self._metadata(target, self.put(target, stored.data, stored.content_type))
        size = str(len(stored.data))
        rewritten = {"done": True, "totalBytesRewritten": size, "objectSize": size, "resource": about}
        return json_answer(rewritten if verb == "rewriteTo" else about)

    def _batch(self, headers: Mapping[str, str], body: bytes) -> Answer:
        fault = self._count("batch")
        if fault == CUT:
            return Answer(CUT)
        answers = []
        for part in parse_mime(headers["Content-Type"], body).get_payload():
            head, _, content = part.get_payload().replace("\r\n", "\n").partition("\n\n")
            line, *lines = head.splitlines()
            method, target, _ = line.split(" ")
            inner = email.message_from_string("\n".join(lines), policy=email.policy.HTTP)
            answer = self.answer(method, target, inner, content.encode())
            answers.append(
                f"--batch\r\nContent-Type: application/http\r\n\r\nHTTP/1.1 {answer.status} -\r\n"
                f"Content-Type: application/json\r\n\r\n{answer.body.decode()}\r\n"
            )
        if fault == LOST:
            return Answer(LOST)
        return Answer(
            200, ("".join(answers) + "--batch--\r\n").encode(), {"Content-Type": "multipart/mixed; boundary=batch"}
        )
