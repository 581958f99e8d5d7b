"""The benchmark's own side still runs, and counts what it should."""

from __future__ import annotations

import io
import json
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from beam_recap.fetch import addresses
from tests.benchmarks import fetch
from tests.benchmarks.measure import Cost
from tests.benchmarks.ours import loopback_is_public
from tests.benchmarks.scenarios import Bench, NotAllDone, Scenario, Side, compare_sides, plain_environment
from tests.support.load_server import LoadServer, LoadSettings, host_address
from tests.support.web_corpus import make_corpus


def test_runs_over_https_and_prints_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    details = tmp_path / "details.json"
    arguments = ["--quick", "--web=20", "--without_peer", "--only=https_web", f"--cache={tmp_path}"]
    assert fetch.main([*arguments, f"--json={details}"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("fetch: https_web ")
    assert "https_web_pixels" in line
    figures = json.loads(details.read_text())["figures"]
    assert set(figures) == {"https_web"}
    assert figures["https_web"]["ours_process_mb"] > 10
    assert figures["https_web"]["ours_startup_s"] > 0


def test_output_is_every_picture_made_small_and_a_lost_one_is_noticed(tmp_path: Path) -> None:
    pictures = {picture.name: picture for picture in make_corpus("web", 6)}
    (tmp_path / "pictures").mkdir()
    for picture in pictures.values():
        (tmp_path / "pictures" / picture.name).write_bytes(picture.data)
    bench = Bench(tmp_path, plain_environment(), {}, None, 64)
    with LoadServer(LoadSettings(str(tmp_path / "pictures"))) as server:
        urls = [server.url(f"/{name}", host) for host, name in enumerate(pictures)]
        with pytest.raises(NotAllDone, match="1 rows failed"):
            bench.run_ours(Scenario("any", "web"), server.port, [*urls, server.url("/missing.png")], encode=True)
    rows = pq.read_table(tmp_path / "ours" / "0.parquet").to_pylist()
    assert Counter(row["status"] for row in rows) == {"success": 6, "http_404": 1}
    for row in (row for row in rows if row["jpg"]):
        picture = pictures[row["url"].rpartition("/")[2]]
        assert (row["original_width"], row["original_height"]) == (picture.width, picture.height)
        image = Image.open(io.BytesIO(row["jpg"]))
        assert image.format == "JPEG"
        assert image.size == (row["width"], row["height"])
        assert max(image.size) == min(336, max(picture.width, picture.height))


def test_only_loopback_passes_as_public_and_only_for_a_while() -> None:
    with loopback_is_public():
        assert addresses.is_public_address(host_address(0))
        assert not addresses.is_public_address("10.0.0.1")
        assert not addresses.is_public_address("169.254.169.254")
    assert not addresses.is_public_address(host_address(0))


def test_ratio_is_the_median_of_the_rounds_ratios() -> None:
    """One slow minute touches both sides of its round."""
    ours = Side(lambda urls: None)  # type: ignore[arg-type, return-value]
    peer = Side(lambda urls: None)  # type: ignore[arg-type, return-value]
    for slowness in (1.0, 1.0, 3.0):
        ours.startup.append(Cost(0.5, 0.5, 0, 0))
        peer.startup.append(Cost(4.0, 4.0, 0, 0))
        ours.full.append(Cost(0.5 + 2 * slowness, 0.5 + 2 * slowness, 0, 0))
        peer.full.append(Cost(4.0 + 4 * slowness, 4.0 + 6 * slowness, 0, 0))
    assert compare_sides(ours, peer, 1000) == pytest.approx((2.0, 3.0))


def test_one_line_names_ratios_and_goals() -> None:
    figures = {
        "ours_cpu_ms": 2.0,
        "ours_per_s": 500.0,
        "ours_process_mb": 100.0,
        "ours_total_mb": 100.0,
        "ours_cpu_ratio": 2.4,
        "ours_wall_ratio": 2.0,
        "img2dataset_cpu_ms": 5.0,
        "img2dataset_per_s": 250.0,
        "img2dataset_process_mb": 400.0,
        "img2dataset_total_mb": 1000.0,
    }
    assert fetch.describe({"http_web": figures}) == (
        "fetch: http_web 2.40x (2 ms for 5 ms, goal 1.6), memory_http_web 0.25x (goal 0.6; all processes 0.10x)"
    )
    assert fetch.describe({"latency": figures}) == "fetch: latency 2.00x (500/s for 250/s, goal 1.5)"
