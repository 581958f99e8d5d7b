"""Whose lines are shown."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from apache_beam.portability.api import beam_fn_api_pb2

from beam_recap import logs
from beam_recap.logs import log_plainly
from beam_recap.terminal import TERMINAL

OURS = str(Path(logs.__file__).parents[1] / "transforms" / "x.py") + ":7"
THEIRS = "/usr/lib/python3.11/site-packages/transformers/x.py:7"
Severity = beam_fn_api_pb2.LogEntry.Severity


@pytest.fixture(autouse=True)
def level(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it was, afterwards."""
    monkeypatch.setattr(logging.getLogger(), "level", logging.getLogger().level)
    # The tests' own setting for transformers is to be quiet.
    monkeypatch.setattr(logging.getLogger("transformers"), "level", logging.NOTSET)
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
    monkeypatch.setattr(logging.getLogger("transformers"), "handlers", [])


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Takes pytest's own handlers away, which it adds after the fixtures."""
    root = logging.getLogger()
    yield lambda: monkeypatch.setattr(root, "handlers", [])


def of_worker(message: str, place: str, severity: int, level: int) -> None:
    """As Beam's `BeamFnLoggingServicer` writes a line of a worker process."""
    entry = beam_fn_api_pb2.LogEntry(message=message, log_location=place, severity=severity)
    log = logging.getLogger("apache_beam.runners.portability.local_job_service")
    log.log(level, "Worker: %s", str(entry).replace("\n", " "))


def speak() -> None:
    logging.getLogger("transformers").warning("advice")
    logging.getLogger("apache_beam.x").info("news")
    logging.getLogger("beam_recap.run").warning("our warning")
    logging.getLogger("beam_recap.run").info("our news")
    of_worker('worker: "ü"\nof ours', OURS, Severity.WARN, logging.WARNING)
    of_worker("news of ours", OURS, Severity.INFO, logging.INFO)
    of_worker("worker of theirs", THEIRS, Severity.ERROR, logging.ERROR)


def test_only_ours_are_shown(root: Callable[[], None], capfd: pytest.CaptureFixture[str]) -> None:
    root()
    log_plainly()
    TERMINAL.set_aside()
    try:
        speak()
        kept = TERMINAL.kept_aside()
    finally:
        TERMINAL.give_back()
    assert capfd.readouterr().err == 'our warning\nour news\nworker: "ü"\nof ours\n'
    assert "advice" in kept and "worker of theirs" in kept
    assert "news" not in kept


def test_verbose_shows_everything(root: Callable[[], None], capfd: pytest.CaptureFixture[str]) -> None:
    root()
    log_plainly(verbose=True)
    speak()
    shown = capfd.readouterr().err
    for text in ("advice", "news", "our warning", "our news", "of ours", "news of ours", "worker of theirs"):
        assert text in shown
    log_plainly()
    logging.getLogger("apache_beam.x").info("hidden again")
    assert capfd.readouterr().err == ""


def test_other_engines_warnings_are_shown_but_for_noise(
    root: Callable[[], None], capfd: pytest.CaptureFixture[str]
) -> None:
    root()
    log_plainly()
    logging.getLogger("apache_beam.runners.dataflow").warning("the quota is low")
    logging.getLogger().warning("Resource module is not available on this platform")
    assert capfd.readouterr().err == f"WARNING apache_beam.runners.dataflow: the quota is low{os.linesep}"
