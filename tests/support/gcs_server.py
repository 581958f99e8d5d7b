"""Google Cloud Storage on loopback: `running_gcs` points this process's ``gs://`` paths, and its children's, at it."""

from __future__ import annotations

import functools
import json
import socket
import socketserver
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from support.gcs_answers import CUT, LOST
from support.gcs_api import GcsApi


class GcsServer(GcsApi):
    """Serves buckets in memory (see `GcsApi`), as a context manager."""

    def __enter__(self) -> GcsServer:
        self._folder = tempfile.TemporaryDirectory()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.gcs = self
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._folder.cleanup()

    @functools.cached_property
    def environment(self) -> dict[str, str]:
        """Variables with which any process's clients come here, with an account of their own."""
        token, account = Path(self._folder.name) / "token", Path(self._folder.name) / "account.json"
        token.write_text("a-token")
        # The one kind of account whose every request goes where its file says.
        told = {
            "type": "external_account",
            "audience": "none",
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": f"{self.url}/token",
            "credential_source": {"file": str(token)},
        }
        account.write_text(json.dumps(told))
        return {
            "STORAGE_EMULATOR_HOST": self.url,
            "GOOGLE_APPLICATION_CREDENTIALS": str(account),
            "GOOGLE_CLOUD_PROJECT": "test",
        }


@contextmanager
def running_gcs() -> Iterator[GcsServer]:
    """A server that this process's (and its children's) ``gs://`` paths lead to."""
    from apache_beam.internal.gcp import auth

    with GcsServer() as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        # Beam keeps the first credentials that it finds.
        patch.setattr(auth._Credentials, "_credentials_init", False)
        patch.setattr(auth._Credentials, "_credentials", None)
        yield server


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    gcs: GcsServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that are killed hang up."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # one packet for the head
    server: _Server

    def _do(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        answer = self.server.gcs.answer(self.command, self.path, self.headers, body)
        if answer.status in (CUT, LOST):
            self._break_off()
            return
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.status != 204:
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body[: len(answer.body) // 2] if answer.is_cut else answer.body)
        self.wfile.flush()
        if answer.is_cut:
            self._break_off()

    def _break_off(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    do_GET = do_POST = do_PUT = do_DELETE = _do

    def log_message(self, format: str, *arguments: Any) -> None:
        """Quiet."""
