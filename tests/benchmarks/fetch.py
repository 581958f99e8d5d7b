"""Fetching pictures, compared with img2dataset: ``python -m tests.benchmarks.fetch``. Linux only.

Both fetch the same drawn pictures from a server on this machine, hash and decode them, shrink them to 336 px keeping
the ratio, encode JPEGs of quality 95, and write parquet. Every picture lies on a host of its own and the server closes
each connection, as on the web; hosts are addresses of loopback, so no name is looked up.

* Cost is CPU time, user and system, of all processes of a side (the server's does not count), per picture beyond
  start-up: what a run over all pictures takes more than one over one picture. The sides take turns; a ratio is the
  median of the rounds' ratios.
* All our limits are at their defaults. The check of addresses runs in full; loopback alone passes as public.
* img2dataset runs in one process with 64 threads (its default of 256 makes little difference), with
  `--resize_only_if_bigger`, without which it also enlarges small pictures, at its cost.
* HTTPS: both verify certificates against the system's bundle of authorities with ours added, given as SSL_CERT_FILE.
  img2dataset builds a TLS context per request and so reads the whole bundle each time. That is what its users pay
  where OpenSSL's default is a bundle in one file (Debian 12, and images built on it). Where OpenSSL only has a
  directory of certificates they pay much less: ``https_web_directory`` is that case, the best for img2dataset.
* ``latency``: pictures per second of wall time beyond start-up, two processes a side, when the server answers after
  150 ms. Meaningful only on a machine that does nothing else.
* ``memory``: the largest process of ours against the largest of img2dataset's. It has more than one, so all of them
  are compared as well.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import certifi

from tests.benchmarks.corpus import prepare_corpus
from tests.benchmarks.measure import CommandFailed
from tests.benchmarks.peer import peer_environment, prepare_peer
from tests.benchmarks.scenarios import Bench, NotAllDone, Scenario, Side, compare_sides, plain_environment
from tests.support.load_certificates import CertificateAuthority
from tests.support.load_server import LoadServer, LoadSettings, host_address

_LATENCY_S = 0.15
_CHEAP_REPEAT = 3  # start-up varies by half a second of CPU time, which must be little beside the pictures' own
_LATENCY_REPEAT = 3  # so that a run lasts some seconds beyond its start

SCENARIOS = (
    Scenario("http_web", "web", repeat=_CHEAP_REPEAT),
    Scenario("https_web", "web", tls=True),
    Scenario("https_web_directory", "web", tls=True, by_directory=True, with_pixels=False),
    Scenario("http_large", "large", repeat=_CHEAP_REPEAT),
    Scenario("latency", "web", latency_s=_LATENCY_S, processes=2, repeat=_LATENCY_REPEAT, with_pixels=False),
)

# What is aimed at: times less than img2dataset takes; of `memory`, the share of its.
GOALS = {"http_web": 1.6, "https_web": 7.0, "http_large": 2.0, "memory": 0.6, "latency": 1.5}

_MEMORY_OF = ("http_web", "http_large")  # what memory is reported of; the others are alike

_SYSTEM_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")


@dataclass(frozen=True)
class Options:
    """What the command line says."""

    rounds: int
    counts: dict[str, int]
    seed: int
    only: tuple[str, ...]
    threads: int
    with_peer: bool
    cache: Path


def read_options(arguments: list[str] | None = None) -> tuple[Options, Path | None]:
    """Reads the command line; also where to write the details."""
    parser = argparse.ArgumentParser(prog="tests.benchmarks.fetch", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="runs of each side per comparison")
    parser.add_argument("--web", type=int, default=1000, help="small pictures")
    parser.add_argument("--large", type=int, default=400, help="large pictures")
    parser.add_argument("--seed", type=int, default=0, help="of the pictures")
    parser.add_argument("--quick", action="store_true", help="one round over few pictures: a look, not a measurement")
    parser.add_argument("--only", default="", help=f"of {', '.join(each.name for each in SCENARIOS)}; comma-separated")
    parser.add_argument("--threads", type=int, default=64, help="of img2dataset")
    parser.add_argument("--without_peer", action="store_true", help="only ours: nothing is installed or compared")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "beam-recap-benchmarks")
    parser.add_argument("--json", type=Path, help="file for the details")
    values = parser.parse_args(arguments)
    names = tuple(values.only.split(",")) if values.only else tuple(each.name for each in SCENARIOS)
    if unknown := set(names) - {each.name for each in SCENARIOS}:
        parser.error(f"--only has the unknown {', '.join(sorted(unknown))}")
    if min(values.rounds, values.web - 1, values.large - 1, values.threads) < 1:
        parser.error("--rounds and --threads must be at least 1, --web and --large at least 2")
    counts = {"web": min(values.web, 200), "large": min(values.large, 60)} if values.quick else vars(values)
    rounds = 1 if values.quick else values.rounds
    counts = {kind: counts[kind] for kind in ("web", "large")}
    options = Options(rounds, counts, values.seed, names, values.threads, not values.without_peer, values.cache)
    return options, values.json


def run_benchmark(options: Options) -> dict[str, dict[str, float]]:
    """Runs the comparisons.

    Returns:
      Figures by comparison, as `describe` reads them.

    Raises:
      NotAllDone: a side lost rows; nothing can be said of its speed.
      CommandFailed: a side did not run at all.
    """
    results: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        program = prepare_peer(options.cache) if options.with_peer else None
        certificates: _Certificates | None = None
        for scenario in SCENARIOS:
            if scenario.name not in options.only or (scenario.by_directory and program is None):
                continue
            _log(f"{scenario.name}: pictures")
            pictures = prepare_corpus(options.cache, scenario.kind, options.counts[scenario.kind], options.seed)
            environment = plain_environment()
            bench = Bench(folder, environment, peer_environment(environment), program, options.threads)
            if scenario.tls:
                certificates = certificates or _Certificates(folder, options.counts["web"])
                bench.environment.update(certificates.in_bundle)
                bench.peer_environment.update(
                    certificates.in_directory() if scenario.by_directory else certificates.in_bundle
                )
            shown = str(certificates.servers) if scenario.tls and certificates else None
            with LoadServer(LoadSettings(str(pictures), shown, scenario.latency_s)) as server:
                results[scenario.name] = _compare(bench, scenario, server, pictures, options.rounds)
    return results


def _compare(bench: Bench, scenario: Scenario, server: LoadServer, pictures: Path, rounds: int) -> dict[str, float]:
    names = sorted(path.name for path in pictures.iterdir())
    urls = [server.url(f"/{name}?{turn}", host) for turn in range(scenario.repeat) for host, name in enumerate(names)]
    few = urls[: scenario.processes]
    count = len(urls) - len(few)
    sides = {"ours": Side(partial(bench.run_ours, scenario, server.port, encode=True))}
    if scenario.with_pixels:
        sides["pixels"] = Side(partial(bench.run_ours, scenario, server.port, encode=False))
    if bench.program is not None:
        sides["img2dataset"] = Side(partial(bench.run_peer, scenario))
    figures: dict[str, float] = {}
    for side in sides.values() if rounds > 1 else ():
        side.run(few)  # not counted: what was never started on this machine starts slowly
    for number in range(rounds):
        # Whoever runs first after a pause has it easier, or harder: they take turns.
        turns = list(sides.values()) if number % 2 == 0 else list(reversed(sides.values()))
        for side in turns:
            side.startup.append(side.run(few))
        for side in turns:
            side.full.append(side.run(urls))
        if bench.program is not None:
            bench.compare_outputs()
        figures = {f"{name}_{what}": value for name, side in sides.items() for what, value in side.figures(count)}
        if bench.program is not None:
            for name in sides.keys() - {"img2dataset"}:
                cpu, wall = compare_sides(sides[name], sides["img2dataset"], count)
                figures |= {f"{name}_cpu_ratio": cpu, f"{name}_wall_ratio": wall}
        _log(f"{scenario.name}: round {number + 1} of {rounds}: {json.dumps(figures)}")
    return figures


class _Certificates:
    """An authority, certificates of all hosts, and what makes a process trust them."""

    def __init__(self, folder: Path, hosts: int) -> None:
        self._authority = CertificateAuthority(folder)
        self.servers = self._authority.issue(host_address(number) for number in range(hosts))
        self._bundle = self._authority.write_bundle(
            _SYSTEM_BUNDLE if _SYSTEM_BUNDLE.exists() else Path(certifi.where())
        )
        self.in_bundle = {"SSL_CERT_FILE": str(self._bundle)}

    def in_directory(self) -> dict[str, str]:
        """As a directory by hash, from which OpenSSL reads only what it needs. Needs the program openssl."""
        folder = self._authority.folder / "authorities"
        folder.mkdir(exist_ok=True)
        for number, text in enumerate(self._bundle.read_text().split("-----BEGIN CERTIFICATE-----")[1:]):
            (folder / f"{number}.pem").write_text(f"-----BEGIN CERTIFICATE-----{text}")
        subprocess.run(["openssl", "rehash", str(folder)], check=True, stdout=sys.stderr, stderr=subprocess.DEVNULL)
        return {"SSL_CERT_FILE": str(folder / "none.pem"), "SSL_CERT_DIR": str(folder)}


def describe(results: dict[str, dict[str, float]]) -> str:
    """One line: the ratios, with their goals."""
    words = []
    for name, figures in results.items():
        what, unit, kind = ("per_s", "/s", "wall") if name == "latency" else ("cpu_ms", " ms", "cpu")
        for side, label in (("ours", name), ("pixels", f"{name}_pixels")):
            if f"{side}_{what}" not in figures:
                continue
            ours = f"{figures[f'{side}_{what}']:.3g}{unit}"
            if f"{side}_{kind}_ratio" in figures:
                peer = f"{figures[f'img2dataset_{what}']:.3g}{unit}"
                goal = f", goal {GOALS[label]:g}" if label in GOALS else ""
                words.append(f"{label} {figures[f'{side}_{kind}_ratio']:.2f}x ({ours} for {peer}{goal})")
            else:
                words.append(f"{label} {ours}")
        if "img2dataset_total_mb" in figures and name in _MEMORY_OF:
            largest = figures["ours_process_mb"] / figures["img2dataset_process_mb"]
            total = figures["ours_total_mb"] / figures["img2dataset_total_mb"]
            words.append(f"memory_{name} {largest:.2f}x (goal {GOALS['memory']:g}; all processes {total:.2f}x)")
    return "fetch: " + ", ".join(words)


def _log(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Runs the benchmark; the exit status."""
    options, details = read_options(arguments)
    try:
        results = run_benchmark(options)
    except (NotAllDone, CommandFailed) as error:
        _log(f"failed: {error}")
        return 1
    if details is not None:
        details.write_text(json.dumps({"figures": results, "goals": GOALS}, indent=2))
    print(describe(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
