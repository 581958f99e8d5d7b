"""The benchmark of the text filter still runs, and its line says what it should."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks import ocr


def test_runs_and_prints_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    details = tmp_path / "details.json"
    ocr.main(["--images=1", "--rounds=1", f"--photos={tmp_path}", "--no-demonstration", f"--json={details}"])
    (line,) = capsys.readouterr().out.strip().splitlines()
    assert line.startswith("ocr: drawn, no text ")
    figures = json.loads(details.read_text())["figures"]
    assert set(figures) == {"drawn, no text", "drawn, text"}
    assert (figures["drawn, no text"]["ours_found"], figures["drawn, text"]["ours_found"]) == (0, 1)
    assert figures["drawn, text"]["rapidocr_per_s"] > 0


def test_photos_are_told_apart_by_their_manifest(tmp_path: Path) -> None:
    from PIL import Image

    for name in ("a", "b", "c"):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{name}.png")
    (tmp_path / "manifest.csv").write_text("file,label\na.png,text\nb.png,notext\nc.png,notext\n")
    kinds = ocr.read_photos(tmp_path, 1)
    assert {kind: len(pictures) for kind, pictures in kinds.items()} == {"photos, text": 1, "photos, no text": 1}


def test_a_ratio_is_the_median_of_the_rounds_ratios() -> None:
    seconds = {"ours": [1.0, 2.0, 3.0], "full": [2.0, 2.0, 2.0], "rapidocr": [4.0, 6.0, 30.0]}
    sides = {name: ocr.Side(lambda rgb: True) for name in seconds}

    def run(name: str) -> None:
        side = sides[name]
        numbers = iter(seconds[name])
        side.run = lambda kind, pictures: (  # type: ignore[method-assign]
            side.seconds.setdefault(kind, []).append(next(numbers)),
            side.found.update({kind: 1}),
        )

    for name in sides:
        run(name)
    figures = ocr.compare(sides, {"k": [np.zeros((2, 2, 3), np.uint8)] * 6}, 3)
    assert figures["k"]["ours_ratio"] == 4.0
    assert figures["k"]["full_ratio"] == 3.0
    assert figures["k"]["ours_per_s"] == 3.0
    assert ocr.describe(figures, {"ocr_share": 0.5, "ocr_ms": 10.0, "row_ms": 20.0}) == (
        "ocr: k 4.00x, full 3.00x (3.0/s and 3.0/s for 1.0/s; found 1, 1 of 6), "
        "demonstration: OCR 50 % of CPU time (10 of 20 ms per row)"
    )
