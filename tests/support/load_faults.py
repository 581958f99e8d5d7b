"""The ways in which an answer of `load_server` can go wrong."""

from __future__ import annotations

import asyncio
import socket
import struct

_DRIP_S = 0.1  # seconds between two bytes
_CHUNK = bytes(65536)

# How often each path was asked for, by those that answer differently the second time.
_asked: dict[str, int] = {}


def answer(transport: asyncio.Transport, path: str, pictures: dict[str, bytes]) -> None:
    """Answers ``/fault/KIND/NUMBER/PICTURE`` (``?AFTER`` seconds in Retry-After)."""
    plain, _, after = path.partition("?")
    _, _, kind, number, picture = plain.split("/", 4)
    body = pictures.get(f"/{picture}", b"")
    if kind.isdigit():
        _send(transport, int(kind), b"<p>sorry</p>", *([f"Retry-After: {after}"] if after else []))
    elif kind.startswith("once-"):  # "once-429": that status the first time
        _asked[path] = _asked.get(path, 0) + 1
        if _asked[path] == 1:
            _send(transport, int(kind[5:]), b"", *([f"Retry-After: {after}"] if after else []))
        else:
            del _asked[path]
            _send(transport, 200, body)
    elif kind == "noai":
        _send(transport, 200, body, "X-Robots-Tag: noai")
    elif kind == "loop":
        _send(transport, 302, b"", f"Location: /fault/loop/{number}/{'b' if picture == 'a' else 'a'}")
    elif kind == "away":  # a redirect to a picture
        _send(transport, 301, b"", f"Location: /{picture}")
    elif kind == "private":
        _send(transport, 302, b"", "Location: http://169.254.169.254/latest/meta-data/")
    elif kind == "html":
        _send(transport, 200, b"<!DOCTYPE html><html><body>Gone</body></html>")
    elif kind == "corrupt":
        _send(transport, 200, body[: len(body) // 2])
    elif kind == "empty":
        _send(transport, 200, b"")
    elif kind == "garbage":
        transport.write(b"what do you want?\r\n\r\n" * 3)
        transport.close()
    elif kind == "announced":  # larger than anybody wants, by its header
        transport.write(_head(200, 10**10) + _CHUNK)
    elif kind == "endless":
        transport.write(_head(200, None))
        _go_on(transport, _CHUNK, 0.0)
    elif kind == "drip":
        transport.write(_head(200, None))
        _go_on(transport, b"x", _DRIP_S)
    elif kind == "truncated":
        transport.write(_head(200, len(body) + 1) + body)
        transport.close()
    elif kind == "reset":
        transport.write(_head(200, 10**6) + body[:100])
        asyncio.get_running_loop().call_later(0.02, _reset, transport)
    elif kind != "hang":
        _send(transport, 404, b"")


def _head(status: int, length: int | None, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} as asked", "Content-Type: image/jpeg", "Connection: close", *headers]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    return "\r\n".join([*lines, "", ""]).encode()


def _send(transport: asyncio.Transport, status: int, body: bytes, *headers: str) -> None:
    transport.write(_head(status, len(body), *headers) + body)
    transport.close()


def _go_on(transport: asyncio.Transport, data: bytes, gap_s: float) -> None:
    """Writes for ever, no faster than the client reads."""
    if transport.is_closing():
        return
    is_full = transport.get_write_buffer_size() > len(_CHUNK)
    if not is_full:
        transport.write(data)
    asyncio.get_running_loop().call_later(0.005 if is_full else gap_s, _go_on, transport, data, gap_s)


def _reset(transport: asyncio.Transport) -> None:
    # Linger for 0 seconds: closing sends RST instead of FIN.
    connection = transport.get_extra_info("socket")
    if connection is not None and not transport.is_closing():
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
