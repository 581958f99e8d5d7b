"""A soak of the fetcher: ``python -m tests.benchmarks.soak_fetch``. Linux only.

20,000 URLs, 30 % of which go wrong in more than thirty ways, through a `FetchWindow` and the decoder. Every row must
end exactly once and as its fault demands; memory must not grow, and no descriptor or thread may stay behind.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import certifi

from beam_recap.fetch import Fetcher, FetchResult, FetchSettings
from beam_recap.fetch.window import FetchWindow
from beam_recap.images import DecodedImage, DecodeSettings, decode_image
from beam_recap.records import Reason
from tests.benchmarks.faults import Row, Web, certified_hosts, make_rows, write_pictures
from tests.benchmarks.ours import loopback_is_public
from tests.support.load_certificates import CertificateAuthority
from tests.support.load_server import LoadServer, LoadSettings

_MIN_ROWS_FOR_MEMORY = 5000  # of fewer rows, the first quarter is still warming up

# What resident memory may grow by between a quarter of the rows and their end: allocators keep a little more with
# every peak. One body or one picture leaked per hundred rows would be ten times that.
_MAX_GROWTH_BYTES = 32 * 2**20

_STALL_S = 45.0  # no row may take so long: its deadline is a few seconds
_SETTLE_S = 20.0  # lookups that are under way may outlive the fetcher by as much as a resolver waits


@dataclass(frozen=True)
class SoakReport:
    """What happened.

    Attributes:
      rows: how many URLs.
      endings: rows by reason; "success" for pictures.
      seconds: wall time.
      quarter_bytes: resident memory when a quarter of the rows had ended.
      end_bytes: resident memory when all had.
      problems: what should not have happened; empty if all is well.
    """

    rows: int
    endings: Counter[str]
    seconds: float
    quarter_bytes: int
    end_bytes: int
    problems: list[str]

    def __str__(self) -> str:
        memory = f"{self.quarter_bytes / 2**20:.0f} MiB at a quarter, {self.end_bytes / 2**20:.0f} MiB at the end"
        rate = self.rows / self.seconds
        ok, kinds = self.endings["success"], len(self.endings) - 1
        verdict = "ok" if not self.problems else f"{len(self.problems)} PROBLEMS"
        return f"soak: {verdict}, {self.rows} rows at {rate:.0f}/s, {ok} pictures, {kinds} reasons; memory {memory}"


def run_soak(count: int, seed: int = 0) -> SoakReport:
    """Runs `count` rows against servers on loopback."""
    with _small_web() as web, loopback_is_public():
        rows = make_rows(web, count, seed)
        ports = (*FetchSettings.ports, web.plain.port, web.trusted.port, web.untrusted.port, web.closed_port)
        settings = FetchSettings(
            concurrency=256, timeout_s=12.0, connect_timeout_s=10.0, max_bytes=2**20, ahead_rows=1024, ports=ports
        )
        _warm_up(web, settings)
        before = _count_handles()
        start = time.monotonic()
        soak = _Soak(rows)
        fetcher = Fetcher(settings)
        window: FetchWindow[int] = FetchWindow(fetcher)
        with _watchdog(soak, fetcher), contextlib.suppress(_Stalled):
            for number, row in enumerate(rows):
                soak.put(window, number, row)
                soak.take(window.ready())
            soak.take(window.drain())
        seconds = time.monotonic() - start
        end_bytes = _resident_bytes()
        window.close()
        fetcher.close()
        problems = [*soak.find_problems(), *_find_leaks(before)]
        growth = end_bytes - soak.quarter_bytes
        if count >= _MIN_ROWS_FOR_MEMORY and growth > _MAX_GROWTH_BYTES:
            problems.append(f"memory grew by {growth / 2**20:.0f} MiB")
    return SoakReport(count, soak.endings, seconds, soak.quarter_bytes, end_bytes, problems)


class _Stalled(Exception):
    """Nothing has ended for a long time."""


class _Soak:
    """Keeps count of what comes out."""

    def __init__(self, rows: list[Row]) -> None:
        self._rows = rows
        self._decode = DecodeSettings(image_size=336)
        self._times: Counter[int] = Counter()
        self._wrong: list[str] = []
        self.endings: Counter[str] = Counter()
        self.quarter_bytes = 0
        self.stalled = False

    def put(self, window: FetchWindow[int], number: int, row: Row) -> None:
        if self.stalled:
            raise _Stalled
        window.put(number, row.url)

    def take(self, arrived: Iterator[tuple[int, FetchResult]]) -> None:
        for number, result in arrived:
            row = self._rows[number]
            reason, detail = self._end(result)
            self._times[number] += 1
            self.endings[reason or "success"] += 1
            if reason not in row.endings:
                self._wrong.append(f"{row.kind}, {row.url}: ended as {reason} ({detail})")
            if len(self._times) == len(self._rows) // 4 and not self.quarter_bytes:
                self.quarter_bytes = _resident_bytes()

    def _end(self, result: FetchResult) -> tuple[Reason | None, str]:
        if result.body is None:
            return result.reason, result.detail
        decoded = decode_image(result.body, self._decode)
        if isinstance(decoded, DecodedImage):
            return None, ""
        return decoded.reason, decoded.detail

    def find_problems(self) -> list[str]:
        """Rows that ended otherwise than they should, or not exactly once."""
        not_once = [number for number in range(len(self._rows)) if self._times[number] != 1]
        stalled = ["nothing ended for a long time, and the fetcher was closed"] if self.stalled else []
        return (
            stalled
            + self._wrong
            + [f"{self._rows[number].url}: ended {self._times[number]} times" for number in not_once]
        )


@contextlib.contextmanager
def _watchdog(soak: _Soak, fetcher: Fetcher) -> Iterator[None]:
    """Closes the fetcher when nothing ends any more, which ends all that waits; else a soak that hangs says nothing."""
    finished = threading.Event()

    def watch() -> None:
        ended, since = -1, time.monotonic()
        while not finished.wait(0.5):
            if sum(soak.endings.values()) != ended:
                ended, since = sum(soak.endings.values()), time.monotonic()
            elif time.monotonic() - since > _STALL_S:
                soak.stalled = True
                fetcher.close()
                return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        finished.set()
        thread.join()


@contextlib.contextmanager
def _small_web() -> Iterator[Web]:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for name in ("pictures", "known", "unknown"):
            (folder / name).mkdir()
        pictures = write_pictures(folder / "pictures")
        known = CertificateAuthority(folder / "known")
        unknown = CertificateAuthority(folder / "unknown", "somebody else")
        stack.enter_context(_environment("SSL_CERT_FILE", str(known.write_bundle(Path(certifi.where())))))

        def serve(certificates: Path | None) -> LoadServer:
            shown = str(certificates) if certificates else None
            return stack.enter_context(LoadServer(LoadSettings(str(folder / "pictures"), shown)))

        closed = stack.enter_context(socket.socket())
        closed.bind(("", 0))  # and not listening: nobody else gets this port, and connections are refused
        yield Web(
            plain=serve(None),
            trusted=serve(known.issue(certified_hosts())),
            untrusted=serve(unknown.issue(certified_hosts())),
            closed_port=closed.getsockname()[1],
            pictures=pictures,
        )


@contextlib.contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _warm_up(web: Web, settings: FetchSettings) -> None:
    """Loads what is loaded once per process, so that it does not count as left behind."""
    fetcher = Fetcher(settings)
    for server in (web.plain, web.trusted):
        for name in web.pictures[:20]:
            body = fetcher.fetch(server.url(f"/{name}")).body
            assert body is not None
            decode_image(body, DecodeSettings(image_size=336))
    fetcher.fetch("http://warm-up.invalid/")
    fetcher.close()
    time.sleep(0.5)


def _count_handles() -> dict[str, int]:
    return {name: len(list(Path(f"/proc/self/{folder}").iterdir())) for name, folder in _HANDLES.items()}


_HANDLES = {"descriptors": "fd", "threads": "task"}


def _find_leaks(before: dict[str, int]) -> list[str]:
    """Descriptors and threads that are still there after a while."""
    until = time.monotonic() + _SETTLE_S
    while True:
        after = _count_handles()
        leaks = [f"{after[name] - before[name]} {name} left" for name in before if after[name] > before[name]]
        if not leaks or time.monotonic() > until:
            return leaks
        time.sleep(0.2)


def _resident_bytes() -> int:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def main(arguments: list[str] | None = None) -> int:
    """Runs the soak; the exit status."""
    parser = argparse.ArgumentParser(prog="tests.benchmarks.soak_fetch", description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    values = parser.parse_args(arguments)
    report = run_soak(values.rows, values.seed)
    for problem in report.problems[:50]:
        print(problem, file=sys.stderr)
    print(", ".join(f"{reason} {number}" for reason, number in sorted(report.endings.items())), file=sys.stderr)
    print(report)
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main())
