"""libcurl's multi interface on an event loop of our own: many transfers, one thread, any number of sockets.

`CurlMulti.select` would be simpler, but select(2) cannot watch descriptors above 1023 and cannot be woken up.

There are several multi handles, because each looks up names with 20 threads of its own (libcurl 8.20 and later; the
number can be changed, but not through pycurl) and needs two of them per name, for IPv4 and IPv6: with one handle, ten
names whose servers do not answer would hold up everybody.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import time
import zlib

import pycurl

# Even if nothing is due: libcurl is asked at least this often, so that a lost event costs a second and not a hang.
MAX_WAIT_S = 1.0

TRANSFERS_PER_MULTI = 10  # whose names can all be looked up at once

Ended = tuple[pycurl.Curl, int, str]  # handle, libcurl's error number (0: none) and its words


class CurlEngine:
    """Runs easy handles. All methods belong to one thread.

    Args:
      wake: readable when `turn` should return early; it is emptied here.
      concurrency: the most transfers at once. As many connections are kept open for reuse.
    """

    def __init__(self, wake: socket.socket, concurrency: int) -> None:
        self._wake = wake
        self._selector = selectors.DefaultSelector()
        self._selector.register(wake, selectors.EVENT_READ)
        count = -(-concurrency // TRANSFERS_PER_MULTI)
        self._multis = [_Multi(self._selector, TRANSFERS_PER_MULTI) for _ in range(count)]
        self._multi_of: dict[pycurl.Curl, _Multi] = {}

    def add(self, curl: pycurl.Curl, host: str) -> None:
        """Starts a transfer, if there is room where connections to its host may be open."""
        multi = self._multis[zlib.crc32(host.encode()) % len(self._multis)]
        if multi.running >= TRANSFERS_PER_MULTI:
            multi = min(self._multis, key=lambda each: each.running)
        multi.curl_multi.add_handle(curl)
        multi.running += 1
        self._multi_of[curl] = multi

    def remove(self, curl: pycurl.Curl) -> None:
        """Takes a handle out, whether its transfer has ended or not."""
        multi = self._multi_of.pop(curl)
        multi.running -= 1
        multi.curl_multi.remove_handle(curl)

    def turn(self, wait_s: float) -> list[Ended]:
        """Waits for something to happen, at most `wait_s` seconds, and does it.

        Returns:
          The transfers that have ended.
        """
        now = time.monotonic()
        wait_s = min(wait_s, MAX_WAIT_S, *(multi.timer_at - now for multi in self._multis))
        events = self._selector.select(max(0.0, wait_s))
        acted: dict[_Multi, None] = {}
        for key, mask in events:
            if key.fileobj is self._wake:
                self._empty_wake()
            else:
                key.data.on_ready(key.fd, mask)
                acted[key.data] = None
        now = time.monotonic()
        for multi in self._multis:
            if multi.on_time(now, idle=not events):
                acted[multi] = None
        return [ended for multi in acted for ended in multi.ended()]

    def close(self) -> None:
        """Drops all connections. Can take as long as a name lookup that is under way."""
        for multi in self._multis:
            with contextlib.suppress(pycurl.error):
                multi.curl_multi.close()
        self._selector.close()

    def _empty_wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._wake.recv(4096):
                pass


class _Multi:
    """One multi handle, its timer and its sockets in the selector."""

    def __init__(self, selector: selectors.BaseSelector, idle_connections: int) -> None:
        self._selector = selector
        self._watched: set[int] = set()
        self.timer_at = float("inf")  # when libcurl wants to be called, on the monotonic clock
        self.running = 0
        self.curl_multi = pycurl.CurlMulti()
        self.curl_multi.setopt(pycurl.M_MAXCONNECTS, idle_connections)
        self.curl_multi.setopt(pycurl.M_SOCKETFUNCTION, self._on_socket)
        self.curl_multi.setopt(pycurl.M_TIMERFUNCTION, self._on_timer)

    def on_ready(self, descriptor: int, mask: int) -> None:
        """A socket can be read or written."""
        bits = pycurl.CSELECT_IN if mask & selectors.EVENT_READ else 0
        bits |= pycurl.CSELECT_OUT if mask & selectors.EVENT_WRITE else 0
        self.curl_multi.socket_action(descriptor, bits)

    def on_time(self, now: float, idle: bool) -> bool:
        """Lets libcurl do what is due, and says whether anything was; when nothing else happens it is asked anyway."""
        if self.timer_at <= now:
            self.timer_at = float("inf")
        elif not (idle and self.running):
            return False
        self.curl_multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)
        return True

    def ended(self) -> list[Ended]:
        """The transfers that have ended since the last call."""
        ended: list[Ended] = []
        more = self.running
        while more:
            more, good, bad = self.curl_multi.info_read()
            ended += [(curl, 0, "") for curl in good]
            ended += bad
        return ended

    def _on_timer(self, timeout_ms: int) -> None:
        self.timer_at = float("inf") if timeout_ms < 0 else time.monotonic() + timeout_ms / 1000

    def _on_socket(self, what: int, descriptor: int, multi: pycurl.CurlMulti, data: object) -> None:
        """libcurl says what it wants to know about a socket."""
        if what == pycurl.POLL_REMOVE:
            self._forget(descriptor)
            return
        mask = selectors.EVENT_READ if what in (pycurl.POLL_IN, pycurl.POLL_INOUT) else 0
        mask |= selectors.EVENT_WRITE if what in (pycurl.POLL_OUT, pycurl.POLL_INOUT) else 0
        try:
            if descriptor in self._watched:
                self._selector.modify(descriptor, mask, self)
            else:
                self._selector.register(descriptor, mask, self)
        except (KeyError, OSError):  # a new socket under the number of an old one
            self._forget(descriptor)
            self._selector.register(descriptor, mask, self)
        self._watched.add(descriptor)

    def _forget(self, descriptor: int) -> None:
        self._watched.discard(descriptor)
        with contextlib.suppress(KeyError, ValueError, OSError):
            self._selector.unregister(descriptor)
