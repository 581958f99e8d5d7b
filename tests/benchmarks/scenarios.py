"""What is compared, how it is run, and that both sides did all of the work."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

import pyarrow.parquet as pq

from tests.benchmarks.measure import Cost, run_measured
from tests.benchmarks.ours import OurWork
from tests.benchmarks.peer import peer_command

ROOT = Path(__file__).parents[2]
_TIMEOUT_S = 1200  # for one run; far more than any takes
_MAX_SIZE_DIFFERENCE = 1  # px: 335.5 may be rounded either way


class NotAllDone(RuntimeError):
    """A side did not do all of the work, or not the same work."""


@dataclass(frozen=True)
class Scenario:
    """One comparison.

    Attributes:
      name: for people.
      kind: of pictures, "web" or "large".
      tls: over HTTPS.
      latency_s: seconds before the server answers.
      processes: on each side.
      repeat: how often each picture is fetched.
      by_directory: img2dataset finds authorities in a directory, not in a bundle.
      with_pixels: also measure our side without encoding and writing.
    """

    name: str
    kind: str
    tls: bool = False
    latency_s: float = 0.0
    processes: int = 1
    repeat: int = 1
    by_directory: bool = False
    with_pixels: bool = True


@dataclass
class Side:
    """One side of a comparison, round by round.

    Attributes:
      run: fetches URLs once.
      startup: costs of runs with one picture per process.
      full: costs of runs with all pictures.
    """

    run: Callable[[list[str]], Cost]
    startup: list[Cost] = field(default_factory=list)
    full: list[Cost] = field(default_factory=list)

    def figures(self, count: int) -> list[tuple[str, float]]:
        """Medians over the rounds so far, for `count` pictures more than in the start-up runs.

        Per picture beyond start-up: CPU milliseconds, and pictures per second of wall time. Start-up: CPU seconds.
        Peak memory in MB (10^6 bytes): of the largest process, and of all of them.
        """
        startup_s, startup_wall_s = _middle(self.startup, "cpu_s"), _middle(self.startup, "wall_s")
        return [
            ("cpu_ms", 1000 * (_middle(self.full, "cpu_s") - startup_s) / count),
            ("per_s", count / max(1e-9, _middle(self.full, "wall_s") - startup_wall_s)),
            ("startup_s", startup_s),
            ("process_mb", _middle(self.full, "process_bytes") / 1e6),
            ("total_mb", _middle(self.full, "total_bytes") / 1e6),
        ]

    def rounds(self, count: int) -> list[tuple[float, float]]:
        """CPU milliseconds and wall milliseconds per picture beyond start-up, round by round."""
        startup_s, startup_wall_s = _middle(self.startup, "cpu_s"), _middle(self.startup, "wall_s")
        return [
            (1000 * (cost.cpu_s - startup_s) / count, 1000 * (cost.wall_s - startup_wall_s) / count)
            for cost in self.full
        ]


def compare_sides(ours: Side, peer: Side, count: int) -> tuple[float, float]:
    """How many times less CPU and wall time per picture ours takes: medians of each round's ratio.

    Of each round's, because what else the machine does changes from minute to minute, and touches both of a round.
    """
    pairs = list(zip(ours.rounds(count), peer.rounds(count), strict=True))
    cpu, wall = (median(other[i] / max(1e-9, own[i]) for own, other in pairs) for i in (0, 1))
    return cpu, wall


def _middle(costs: Sequence[Cost], name: str) -> float:
    return float(median(getattr(cost, name) for cost in costs))


@dataclass(frozen=True)
class Bench:
    """Where and with what runs happen.

    Attributes:
      folder: for inputs and outputs.
      environment: of our side.
      peer_environment: of img2dataset's.
      program: img2dataset's; None to leave it out.
      threads: of img2dataset, per process.
    """

    folder: Path
    environment: dict[str, str]
    peer_environment: dict[str, str]
    program: Path | None
    threads: int

    def run_ours(self, scenario: Scenario, port: int, urls: list[str], encode: bool) -> Cost:
        """Runs our side once and checks what came out."""
        folder = self._empty("ours")
        commands, outputs = [], []
        for number in range(scenario.processes):
            share = urls[number :: scenario.processes]
            if not share:
                continue
            (folder / f"{number}.txt").write_text("\n".join(share))
            outputs.append(folder / f"{number}.parquet")
            work = OurWork(str(folder / f"{number}.txt"), str(outputs[-1]), port, encode)
            commands.append([sys.executable, "-m", "tests.benchmarks.ours", json.dumps(asdict(work))])
        environment = {**self.environment, "PYTHONPATH": str(ROOT)}
        cost = run_measured(commands, environment, _TIMEOUT_S)
        if encode:
            self._check(outputs, urls, "ours")
        return cost

    def run_peer(self, scenario: Scenario, urls: list[str]) -> Cost:
        """Runs img2dataset once and checks what came out."""
        assert self.program is not None
        folder = self._empty("peer")
        (folder / "urls.txt").write_text("\n".join(urls))
        command = peer_command(
            self.program, folder / "urls.txt", len(urls), folder / "output", scenario.processes, self.threads
        )
        cost = run_measured([command], self.peer_environment, _TIMEOUT_S)
        self._check(sorted((folder / "output").glob("*.parquet")), urls, "img2dataset")
        return cost

    def compare_outputs(self) -> None:
        """Checks that the last runs of both sides made pictures of the same sizes from the same bytes.

        Raises:
          NotAllDone: they did not.
        """
        ours = _read_rows(sorted((self.folder / "ours").glob("*.parquet")))
        peers = _read_rows(sorted((self.folder / "peer" / "output").glob("*.parquet")))
        for url, row in ours.items():
            other = peers.get(url)
            if other is None or other["sha256"] != row["sha256"]:
                raise NotAllDone(f"{url}: the sides did not read the same bytes")
            if max(abs(row[name] - other[name]) for name in ("width", "height")) > _MAX_SIZE_DIFFERENCE:
                raise NotAllDone(f"{url}: {row['width']} x {row['height']}, {other['width']} x {other['height']} px")

    def _check(self, outputs: Sequence[Path], urls: list[str], side: str) -> None:
        rows = _read_rows(outputs)
        bad = [f"{url}: {row['status']}, {row['error_message']}" for url, row in rows.items() if not row["has_jpg"]]
        missing = set(urls) - set(rows)
        if bad or missing:
            raise NotAllDone(f"{side}: {len(bad)} rows failed and {len(missing)} are missing, such as {bad[:3]}")

    def _empty(self, name: str) -> Path:
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder


def _read_rows(paths: Sequence[Path]) -> dict[str, dict[str, object]]:
    columns = ["url", "status", "error_message", "width", "height", "sha256", "jpg"]
    rows: dict[str, dict[str, object]] = {}
    for path in paths:
        for row in pq.read_table(path, columns=columns).to_pylist():
            row["has_jpg"] = row["status"] == "success" and bool(row.pop("jpg"))
            rows[row["url"]] = row
    return rows


def plain_environment() -> dict[str, str]:
    """Ours, without what would lead requests or certificates elsewhere."""
    dropped = {"http_proxy", "https_proxy", "all_proxy", "no_proxy", "ssl_cert_file", "ssl_cert_dir", "pythonpath"}
    return {name: value for name, value in os.environ.items() if name.lower() not in dropped}
