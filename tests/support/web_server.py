"""A small web on loopback: pictures, and everything that can go wrong with them."""

from __future__ import annotations

import contextlib
import datetime
import gzip
import ipaddress
import socket
import socketserver
import ssl
import struct
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit


class WebServer:
    """Serves pictures by path, as a context manager.

    Besides the given pictures there are (PATH is that of a given picture, without its first slash):

    * ``/redirect/N/PATH``: N redirects, then the picture
    * ``/redirect-to?url=URL``: a redirect to anywhere
    * ``/status/CODE`` (``?retry_after=SECONDS``): that status, with a short body
    * ``/flaky/CODE/N/PATH`` (``?retry_after=SECONDS``): that status for the first N requests, then the picture
    * ``/slow/SECONDS/PATH``: the picture, after a while
    * ``/stall``: never answers; ``/drip``: one byte every 0.2 s, for ever
    * ``/endless``: a body without end; ``/huge``: a Content-Length of 10 GB and a few bytes
    * ``/endless-redirect``: a redirect to the first picture, with a body without end
    * ``/empty``: 200 without a body; ``/html``: a web page that calls itself image/jpeg
    * ``/reset`` and ``/reset-once/PATH``: the connection breaks in the middle of the body (the first time)
    * ``/garbage``: an answer that is no HTTP; ``/close``: none at all
    * ``/packed/PATH``: the picture with Content-Encoding gzip; ``/bomb``: 200 MB of zeros, likewise
    * ``/tagged/PATH?name=NAME&value=VALUE``: the picture with that header

    Args:
      images: pictures by path ("/cat.jpg").
      answers: other answers by path: status, body and headers.
      place: IP address and port; port 0: a free one.
      tls: serve https, with a certificate that nobody signed (see `certificate`).

    Attributes:
      requests: requests so far, by path with query.
      headers: headers of the last request, by path with query.
      most_at_once: the most requests that were being answered at one time.
      certificate: path of the certificate in PEM; None without `tls`.
    """

    def __init__(
        self,
        images: Mapping[str, bytes],
        tls: bool = False,
        answers: Mapping[str, tuple[int, bytes, dict[str, str]]] | None = None,
        place: tuple[str, int] = ("127.0.0.1", 0),
    ) -> None:
        self.place = place
        self.images = dict(images)
        self.answers = dict(answers or {})
        self.tls = tls
        self.requests: Counter[str] = Counter()
        self.headers: dict[str, Any] = {}
        self.most_at_once = 0
        self.certificate: Path | None = None
        self._at_once = 0
        self._lock = threading.Lock()
        self.stopping = threading.Event()

    def __enter__(self) -> WebServer:
        context: ssl.SSLContext | None = None
        if self.tls:
            self._folder = tempfile.TemporaryDirectory()
            self.certificate = _make_certificate(Path(self._folder.name))
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certificate, self.certificate.with_name("key.pem"))
        self._server = _Server(self, context)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
        if self.tls:
            self._folder.cleanup()

    @property
    def port(self) -> int:
        """The port on 127.0.0.1."""
        return self._server.server_address[1]

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        """The URL of a path."""
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}{path}"

    def count(self, path: str, headers: Any) -> int:
        """Counts a request; the number of requests to this path, this one included."""
        with self._lock:
            self.requests[path] += 1
            self.headers[path] = headers
            return self.requests[path]

    @contextlib.contextmanager
    def answering(self) -> Any:
        """While a request is answered."""
        with self._lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            yield
        finally:
            with self._lock:
                self._at_once -= 1


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False  # stalled connections end with their threads
    request_queue_size = 512

    def __init__(self, web: WebServer, context: ssl.SSLContext | None) -> None:
        self.web = web
        self.context = context
        super().__init__(web.place, _Handler)

    def finish_request(self, request: socket.socket, client_address: Any) -> None:
        if self.context is None:
            super().finish_request(request, client_address)
            return
        with self.context.wrap_socket(request, server_side=True) as secure:
            super().finish_request(secure, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are part of the game."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        web = self.server.web
        number = web.count(self.path, self.headers)
        with web.answering():
            self._answer(web, number)

    def _answer(self, web: WebServer, number: int) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query, encoding="latin-1").items()}
        kind, *rest = parts.path.strip("/").split("/")
        if parts.path in web.images:
            self._send(200, web.images[parts.path])
        elif parts.path in web.answers:
            status, body, headers = web.answers[parts.path]
            self._send(status, body, **headers)
        elif kind == "tagged":
            self._send(200, web.images["/" + "/".join(rest)], **{query["name"]: query["value"]})
        elif kind in ("packed", "bomb"):
            body = web.images["/" + "/".join(rest)] if rest else bytes(200_000_000)
            self._send(200, gzip.compress(body, 1), Content_Encoding="gzip")
        elif kind == "close":
            self.close_connection = True
        elif kind == "redirect":
            left, path = int(rest[0]), "/".join(rest[1:])
            self._send(301, b"", Location=f"/redirect/{left - 1}/{path}" if left > 1 else f"/{path}")
        elif kind == "redirect-to":
            self._send(302, b"", Location=query["url"])
        elif kind == "status" or (kind == "flaky" and number <= int(rest[1])):
            self._send(int(rest[0]), b"<p>sorry</p>", **_retry_after(query))
        elif kind == "slow":
            web.stopping.wait(float(rest[0]))
            self._send(200, web.images["/" + "/".join(rest[1:])])
        elif kind == "reset" or (kind == "reset-once" and number == 1):
            self._reset()
        elif kind in ("flaky", "reset-once"):
            self._send(200, web.images["/" + "/".join(rest[2 if kind == "flaky" else 0 :])])
        elif kind == "html":
            self._send(200, b"<!DOCTYPE html><html><body>Not found</body></html>")
        elif kind == "empty":
            self._send(200, b"")
        elif kind == "garbage":
            self.close_connection = True
            self.wfile.write(b"what do you want?\r\n\r\n" * 3)
        elif kind in ("stall", "drip", "endless", "endless-redirect", "huge"):
            self._go_on_and_on(kind, next(iter(web.images), "/"))
        else:
            self._send(404, b"<p>no such page</p>")

    def _send(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Type", "image/jpeg")
        if status not in (204, 304):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if status not in (204, 304):
            self.wfile.write(body)

    def _reset(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "10000")
        self.end_headers()
        self.wfile.write(b"x" * 100)
        self.wfile.flush()
        time.sleep(0.05)
        # Linger for 0 seconds: close() sends RST instead of FIN.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def _go_on_and_on(self, kind: str, picture: str) -> None:
        stopping = self.server.web.stopping
        self.close_connection = True
        if kind == "stall":
            stopping.wait()
            return
        self.send_response(302 if kind == "endless-redirect" else 200)
        if kind == "endless-redirect":
            self.send_header("Location", picture)
        if kind == "huge":
            self.send_header("Content-Length", str(10**10))
        self.send_header("Connection", "close")
        self.end_headers()
        while not stopping.wait(0.2 if kind in ("drip", "huge") else 0.0):
            self.wfile.write(b"x" if kind == "drip" else b"x" * 65536)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Quiet."""


def _retry_after(query: dict[str, str]) -> dict[str, str]:
    return {"Retry_After": query["retry_after"]} if "retry_after" in query else {}


def _make_certificate(folder: Path) -> Path:
    """A self-signed certificate for 127.0.0.1, not for localhost, good for an hour."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "beam-recap test server")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    path = folder / "certificate.pem"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return path
