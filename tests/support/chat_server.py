"""An OpenAI-compatible server on loopback that answers what it is told, or fails as it is told."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import socket
import socketserver
import struct
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class ChatRequest:
    """What came in."""

    path: str
    headers: dict[str, str]  # names in lower case
    body: dict[str, Any]
    connection: int  # its number
    nth_on_connection: int  # from 1
    at: float  # monotonic, seconds

    @property
    def text(self) -> str:
        """The question."""
        content = self.body["messages"][0]["content"]
        return content if isinstance(content, str) else content[-1]["text"]

    @property
    def image(self) -> np.ndarray | None:
        """The picture, uint8 ``[H, W, 3]``."""
        content = self.body["messages"][0]["content"]
        if isinstance(content, str):
            return None
        data = content[0]["image_url"]["url"].partition(",")[2]
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


@dataclass(frozen=True)
class Fault:
    """One scripted answer. Kinds:

    * "status": that status, headers and body
    * "drop": the connection ends without an answer; "drop_if_reused": likewise, if it was used before
    * "reset": the connection breaks in the middle of the headers; "cut": in the middle of the body
    * "slow": the usual answer after ``seconds``
    * "drip": headers, then a byte every 0.1 s, for ever; "endless": a body without end
    * "garbage": no HTTP
    * "close_silently": the usual answer, after which the connection ends without having said so
    """

    kind: str = "status"
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0


def completion(text: Any, finish_reason: Any = "stop", tokens: Any = 7) -> bytes:
    """The body of a whole answer; without usage if tokens is None."""
    told: dict[str, Any] = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish_reason}],
    }
    if tokens is not None:
        told["usage"] = {"prompt_tokens": 3, "completion_tokens": tokens}
    return json.dumps(told).encode()


class ChatServer:
    """Answers ``/v1/chat/completions``, as a context manager.

    Args:
      answer: the usual answer's body, of a request.
      faults: by question: what its first tries get instead, in order.
      port: 0 for a free one.

    Attributes:
      requests: all that came, in order.
      most_at_once: the most requests that were being answered at one time.
    """

    def __init__(
        self,
        answer: Callable[[ChatRequest], bytes] = lambda request: completion("answer to " + request.text),
        faults: dict[str, list[Fault]] | None = None,
        port: int = 0,
    ) -> None:
        self.answer = answer
        self.faults = defaultdict(list, {text: list(some) for text, some in (faults or {}).items()})
        self.requests: list[ChatRequest] = []
        self.most_at_once = 0
        self.at_once = 0
        self.connections = 0
        self.open_connections: set[socket.socket] = set()
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self._port = port

    def __enter__(self) -> ChatServer:
        self._server = _Server(("127.0.0.1", self._port), self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
        with self.lock:
            open_connections = list(self.open_connections)
        for connection in open_connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def asked(self, text: str) -> list[ChatRequest]:
        """The requests with this question."""
        return [request for request in self.requests if request.text == text]


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, place: tuple[str, int], chat: ChatServer) -> None:
        self.chat = chat
        super().__init__(place, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are part of the game."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def setup(self) -> None:
        super().setup()
        chat = self.server.chat
        with chat.lock:
            chat.connections += 1
            self.connection_number, self.nth = chat.connections, 0
            chat.open_connections.add(self.connection)

    def finish(self) -> None:
        with self.server.chat.lock:
            self.server.chat.open_connections.discard(self.connection)
        super().finish()

    def do_POST(self) -> None:
        chat = self.server.chat
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.nth += 1
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = ChatRequest(self.path, headers, body, self.connection_number, self.nth, time.monotonic())
        with chat.lock:
            chat.requests.append(request)
            chat.at_once += 1
            chat.most_at_once = max(chat.most_at_once, chat.at_once)
            faults = chat.faults[request.text]
            fault = faults.pop(0) if faults else Fault("usual")
        try:
            self._do(chat, request, fault)
        finally:
            with chat.lock:
                chat.at_once -= 1

    def _do(self, chat: ChatServer, request: ChatRequest, fault: Fault) -> None:
        if request.path != "/v1/chat/completions":
            self._send(404, b'{"detail":"Not Found"}')
        elif fault.kind == "status":
            self._send(fault.status, fault.body, fault.headers)
        elif fault.kind == "drop" or (fault.kind == "drop_if_reused" and request.nth_on_connection > 1):
            self.close_connection = True
        elif fault.kind == "garbage":
            self.wfile.write(b"what do you want?\r\n\r\n")
            self.close_connection = True
        elif fault.kind in ("reset", "cut"):
            end = b"" if fault.kind == "reset" else b"Content-Length: 10000\r\n\r\nsome"
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + end)
            self.wfile.flush()
            time.sleep(0.05)
            # Linger for 0 seconds: close() sends RST instead of FIN.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()
        elif fault.kind in ("drip", "endless"):
            self.close_connection = True
            self.send_response(200)
            self.send_header("Connection", "close")
            self.end_headers()
            while not chat.stopping.wait(0.1 if fault.kind == "drip" else 0.0):
                self.wfile.write(b" " if fault.kind == "drip" else b" " * 65536)
        else:
            chat.stopping.wait(fault.seconds)
            self._send(200, chat.answer(request))
            self.close_connection = self.close_connection or fault.kind == "close_silently"

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Quiet."""
