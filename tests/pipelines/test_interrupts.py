"""Ctrl-C, and the SIGTERM of whoever pre-empts machines: at any moment, in every mode, the command ends in seconds."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.shards import jpeg
from support.slow_command import ROWS, Command
from support.web_server import WebServer

SAYS = "python -m pipelines.recap: interrupted; the same command goes on where this run stopped"


@pytest.fixture
def web() -> Iterator[WebServer]:
    with WebServer({"/a.jpg": jpeg(60, 60, "red")}) as web:
        yield web


@pytest.mark.parametrize(
    ("mode", "workers", "number", "group"),
    [
        ("in_memory", 1, signal.SIGINT, True),
        ("multi_threading", 2, signal.SIGTERM, False),
        ("multi_processing", 2, signal.SIGINT, True),
        ("multi_processing", 2, signal.SIGTERM, False),
    ],
)
def test_while_fetching(tmp_path, web, mode, workers, number, group):
    """What was finished is kept, though the file that it would have gone to is far from full."""
    command = Command(tmp_path, web, 0.2, mode, workers, "--captioner=none", "--clip_model=none")
    command.wait_until(lambda: len(web.requests) >= 60)
    said = command.signal(number, group=group)
    assert said.splitlines()[-1] == SAYS
    assert "Traceback" not in said
    # Two fetchers of eight, and what waits to be decoded or for the other half of the process.
    assert command.outcomes() >= 60 - 2 * 8 - 10


def test_twice(tmp_path, web):
    command = Command(tmp_path, web, 0.2, "in_memory", 1, "--captioner=none", "--clip_model=none")
    command.wait_until(lambda: len(web.requests) >= 20)
    said = command.signal(signal.SIGINT, group=True, times=3)
    assert said.splitlines()[-1] == SAYS
    assert said.count("interrupted") == 1
    assert "Traceback" not in said


def test_while_models_load(tmp_path, web):
    command = Command(tmp_path, web, 0, "in_memory", 1)
    # Torch is mapped into the process as the first model is being loaded.
    maps = Path(f"/proc/{command.process.pid}/maps")
    if not maps.exists():
        pytest.skip("this system does not tell what a process has loaded")
    command.wait_until(lambda: "libtorch" in maps.read_text())
    assert command.signal(signal.SIGINT, group=False).splitlines()[-1] == SAYS
    assert not command.output.exists()


def test_while_captioning(tmp_path, web):
    command = Command(tmp_path, web, 0, "in_memory", 1)
    command.wait_until(lambda: len(web.requests) >= 60)
    assert command.signal(signal.SIGTERM, group=False).splitlines()[-1] == SAYS


@pytest.mark.parametrize(("mode", "workers"), [("in_memory", 1), ("multi_processing", 2)])
def test_while_final_files_are_written(tmp_path, web, mode, workers):
    command = Command(tmp_path, web, 0, mode, workers, "--captioner=none", "--clip_model=none")
    command.wait_until(lambda: list(command.output.glob("data/train-*")))
    assert command.signal(signal.SIGINT, group=True).splitlines()[-1] == SAYS
    assert command.outcomes() == ROWS
