"""The soak, in short."""

from __future__ import annotations

import pytest

from tests.benchmarks.soak_fetch import run_soak


@pytest.mark.slow
def test_every_row_ends_once_and_as_it_should() -> None:
    report = run_soak(600)
    assert report.problems == []
    assert sum(report.endings.values()) == 600
    assert len(report.endings) > 20  # reasons
