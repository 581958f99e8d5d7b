"""Set before anything is imported: no hub, no chatter, and no threads that fight over a few cores."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture
def gcs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A `GcsServer` that ``gs://`` paths lead to; copies of model files go to ``tmp_path/cache``."""
    from support.gcs_server import running_gcs

    monkeypatch.setenv("BEAM_RECAP_CACHE", str(tmp_path / "cache"))
    with running_gcs() as server:
        yield server


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Google's client asks again after milliseconds, not after a second."""
    from apache_beam.io.gcp.gcsio_retry import DEFAULT_RETRY_WITH_THROTTLING_COUNTER

    monkeypatch.setattr(DEFAULT_RETRY_WITH_THROTTLING_COUNTER, "_initial", 0.01)
