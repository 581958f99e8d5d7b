"""A web server that is much faster than its clients: a process of its own, and many hosts on loopback.

All of 127.0.0.0/8 leads to this machine (on Linux), so every picture can lie on a host of its own, as on the web.
Pictures are served as ``/NAME``; ``/fault/KIND/...`` goes wrong in one of the ways of `load_faults`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import socket
import ssl
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

_FIRST_HOST = ipaddress.IPv4Address("127.1.0.1")
_BACKLOG = 4096
_MAX_REQUEST_BYTES = 65536
_TLS_HANDSHAKE = b"\x16\x03"  # https spoken to a server of http
_SO_BINDTODEVICE = 25  # socket.SO_BINDTODEVICE, which Python 3.11 does not name everywhere


def host_address(number: int) -> str:
    """The address of host number 0, 1, 2, ..."""
    return str(_FIRST_HOST + number)


@dataclass(frozen=True)
class LoadSettings:
    """What the server does.

    Attributes:
      folder: the pictures; read into memory.
      certificates: folder with ``key.pem`` and ``ADDRESS.pem`` per host; None for plain HTTP.
      latency_s: seconds before each answer.
      keep_alive: leave connections open after an answer.
    """

    folder: str
    certificates: str | None = None
    latency_s: float = 0.0
    keep_alive: bool = False


class LoadServer:
    """Runs the server in a process of its own, as a context manager.

    Attributes:
      port: its TCP port, the same on every host.
    """

    def __init__(self, settings: LoadSettings) -> None:
        self._settings = settings
        self.port = 0

    def __enter__(self) -> LoadServer:
        command = [sys.executable, __file__, json.dumps(asdict(self._settings))]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the server ended with status {self._process.wait()}")
        self.port = int(line)
        return self

    def __exit__(self, *error: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()  # it ends with its input, even when we are killed
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def url(self, path: str, host: int = 0) -> str:
        """The URL of a path ("/cat.jpeg") on a host."""
        scheme = "https" if self._settings.certificates else "http"
        return f"{scheme}://{host_address(host)}:{self.port}{path}"


class Connection(asyncio.Protocol):
    """One connection: answers one request after another."""

    def __init__(self, pictures: dict[str, bytes], settings: LoadSettings) -> None:
        self._pictures = pictures
        self._settings = settings
        self._received = b""
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.set_write_buffer_limits(high=1 << 20)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._received.startswith(_TLS_HANDSHAKE):
            self.transport.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            self.transport.close()
            return
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            if len(self._received) > _MAX_REQUEST_BYTES:
                self.transport.abort()
            return
        request, self._received = self._received[:end], self._received[end + 4 :]
        path = request.split(b" ", 2)[1].decode("latin-1")
        if self._settings.latency_s:
            asyncio.get_running_loop().call_later(self._settings.latency_s, self._answer, path)
        else:
            self._answer(path)

    def _answer(self, path: str) -> None:
        if self.transport.is_closing():
            return
        if path.startswith("/fault/"):
            import load_faults  # next to this file

            load_faults.answer(self.transport, path, self._pictures)
            return
        picture = self._pictures.get(path.partition("?")[0])
        status = "200 OK" if picture is not None else "404 Not Found"
        body = picture or b""
        connection = "keep-alive" if self._settings.keep_alive else "close"
        kind = path.rpartition(".")[2].partition("?")[0]
        lines = [
            f"HTTP/1.1 {status}",
            f"Content-Type: image/{kind}",
            f"Content-Length: {len(body)}",
            f"Connection: {connection}",
        ]
        self.transport.write("\r\n".join([*lines, "", ""]).encode() + body)
        if not self._settings.keep_alive:
            self.transport.close()


async def _accept(
    listener: socket.socket, settings: LoadSettings, pictures: dict[str, bytes], contexts: dict[str, ssl.SSLContext]
) -> None:
    loop = asyncio.get_running_loop()
    any_context = next(iter(contexts.values()), None)
    waiting: set[asyncio.Task[object]] = set()
    while True:
        connection, _ = await loop.sock_accept(listener)
        address = connection.getsockname()[0]
        if not address.startswith("127."):  # the port is open to the network where it could not be bound to loopback
            connection.close()
            continue
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A host without a certificate of its own shows somebody else's.
        context = contexts.get(address, any_context)
        task = loop.create_task(_greet(connection, settings, pictures, context))
        waiting.add(task)  # the loop itself does not keep tasks
        task.add_done_callback(waiting.discard)


async def _greet(
    connection: socket.socket, settings: LoadSettings, pictures: dict[str, bytes], context: ssl.SSLContext | None
) -> None:
    loop = asyncio.get_running_loop()
    with contextlib.suppress(OSError, ssl.SSLError, TimeoutError):  # clients that hang up are part of the game
        await loop.connect_accepted_socket(lambda: Connection(pictures, settings), connection, ssl=context)


def _read_contexts(folder: Path) -> dict[str, ssl.SSLContext]:
    contexts = {}
    for path in sorted(folder.glob("127.*.pem")):
        contexts[path.stem] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        contexts[path.stem].load_cert_chain(path, folder / "key.pem")
    return contexts


async def _serve(settings: LoadSettings) -> None:
    pictures = {f"/{path.name}": path.read_bytes() for path in Path(settings.folder).iterdir() if path.is_file()}
    contexts = _read_contexts(Path(settings.certificates)) if settings.certificates else {}
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    with contextlib.suppress(OSError):  # needs no privilege since Linux 5.7
        listener.setsockopt(socket.SOL_SOCKET, _SO_BINDTODEVICE, b"lo\0")
    listener.bind(("", 0))
    listener.listen(_BACKLOG)
    listener.setblocking(False)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda *_: None)
    ended = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), ended.set)
    task = loop.create_task(_accept(listener, settings, pictures, contexts))
    print(listener.getsockname()[1], flush=True)
    await ended.wait()
    task.cancel()


if __name__ == "__main__":
    asyncio.run(_serve(LoadSettings(**json.loads(sys.argv[1]))))
