"""The benchmark of near duplicates runs, and its pictures are what they are called."""

from __future__ import annotations

import re

import numpy as np
import pytest

from tests.benchmarks import duplicates


def test_it_prints_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["duplicates", "--rows=600", "--dimensions=32", "--pictures=same"])
    duplicates.main()
    printed = capsys.readouterr().out
    assert printed.startswith("same: 600 rows x 32, cosine >= 0.94: 599 gone; ")
    assert re.search(r"[\d.]+ s of processor time .* MiB beside the rows; [\d.]+ of the bare product's", printed)


@pytest.mark.parametrize(
    ("pictures", "low", "high"),
    [("web", 0.6, 0.8), ("alike", 0.8, 0.9), ("scattered", -0.1, 0.1), ("clump", 0.95, 1), ("same", 1, 1)],
)
def test_pictures_are_as_alike_as_they_are_called(pictures: str, low: float, high: float) -> None:
    rows = duplicates.make_rows(pictures, 200, 128)
    half = np.array([np.frombuffer(row.embedding, "<f2") for row in rows], np.float32)
    median = np.median((half @ half.T)[np.triu_indices(200, 1)])
    assert low - 1e-3 <= median <= high + 1e-3
