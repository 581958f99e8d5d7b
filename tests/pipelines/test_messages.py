"""What people see of a run: on a terminal, through a pipe, of strangers, and when it crashes."""

from __future__ import annotations

import fcntl
import logging
import os
import pty
import re
import signal
import struct
import sys
import termios
import time
import warnings
from pathlib import Path

import pytest
from support.recap_runs import ROOT, run_here, summary
from support.said import strangers
from support.shards import jpeg, write_parquet
from support.signals import heed_interrupts
from support.web_server import WebServer

from beam_recap import checkpoint

LIGHT = ("--captioner=none", "--clip_model=none", "--allow_local_files=true")
ROWS = 40


@pytest.fixture
def flags(tmp_path: Path) -> list[str]:
    (tmp_path / "a.jpg").write_bytes(jpeg(40, 40, "red"))
    urls = [str(tmp_path / ("a.jpg" if row % 4 else "none.jpg")) for row in range(ROWS)]
    write_parquet(tmp_path / "in.parquet", {"url": urls, "text": ["a"] * ROWS})
    return [f"--input={tmp_path}/in.parquet", f"--output={tmp_path}/out", *LIGHT]


@pytest.fixture
def noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """What libraries do on standard error, while outcomes are written."""
    write = checkpoint.write_outcomes
    # The tests' own setting for transformers is to be quiet.
    monkeypatch.setattr(logging.getLogger("transformers"), "level", logging.NOTSET)
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
    monkeypatch.setattr(logging.getLogger("transformers"), "handlers", [])

    def noisy(*arguments: object) -> list[str]:
        warnings.warn("stranger by a warning", UserWarning, stacklevel=1)
        logging.getLogger("transformers").warning("stranger by a log")
        logging.getLogger("apache_beam.runners").info("stranger by Beam")
        print("stranger: 7%|###   | 7/96", file=sys.stderr)
        os.write(2, b"stranger by C++\n")
        os.system("echo stranger by a process >&2")
        return write(*arguments)

    monkeypatch.setattr(checkpoint, "write_outcomes", noisy)


def test_a_run_through_a_pipe(flags, noise, tmp_path, capfd):
    """Nobody's line but ours; the numbers are the summary's. A run that goes on says what was done before."""
    assert run_here(*flags) == 0
    said = capfd.readouterr().err
    assert strangers(said) == []
    lines = said.splitlines()
    assert f"{ROWS} of {ROWS} rows done (100 %), 30 kept, 10 rejected (missing_image 10)" in said
    assert [line for line in lines if line.startswith("Phase: ")][-1] == "Phase: finishing (writing the report)."
    counts = summary(tmp_path / "out")["counts"]
    assert f"Done: {counts['rows']} rows, {counts['kept']} kept (75 %), {counts['rejected']} rejected." in lines
    assert f"  {tmp_path}/out/report.html" in lines
    assert run_here(*flags) == 0
    said = capfd.readouterr().err
    assert strangers(said) == []
    assert f"{ROWS} of {ROWS} rows done (100 %), resumed: {ROWS} were done, 0 kept" in said
    assert "it was attempt 2" in said


def test_verbose(flags, noise, monkeypatch, capfd):
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # pytest's; it also records warnings
    assert run_here(*flags, "--verbose") == 0
    said = capfd.readouterr().err
    for kind in ("a log", "Beam", "C++", "a process"):
        assert f"stranger by {kind}" in said
    assert "Done: " in said
    assert run_here("--min_clip_score=30", "--verbose=true") == 2
    assert run_here("--verbose=loud") == 2
    assert "--verbose=loud: is neither true nor false" in capfd.readouterr().err


@pytest.mark.parametrize("is_verbose", [False, True])
def test_a_crash_is_a_paragraph_and_a_log(flags, tmp_path, monkeypatch, capfd, is_verbose):
    def fails(*_: object) -> list[str]:
        os.write(2, b"a library's last words\n")
        raise RuntimeError("nobody thought of this")

    monkeypatch.setattr(checkpoint, "write_outcomes", fails)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert run_here(*flags, f"--verbose={str(is_verbose).lower()}") == 1
    said = capfd.readouterr().err
    (log,) = tmp_path.glob("beam-recap-*.log")
    paragraph = (
        "python -m pipelines.recap: failed (RuntimeError: nobody thought of this) in the stage Checkpoint; finished "
        "rows are kept, and the same command goes on from there. The part of the input that was begun last is "
        f"{tmp_path}/in.parquet["
    )
    assert paragraph in said
    assert f"The trace and what libraries said are in {log}\n" in said
    assert "Traceback (most recent call last)" in log.read_text()
    if is_verbose:
        assert said.index(paragraph) < said.rindex("Traceback (most recent call last)")
    else:
        assert said.splitlines()[-1].startswith(paragraph)
        assert strangers(said) == []
        assert "a library's last words" in log.read_text()


WIDTH = 60


def test_a_terminal(tmp_path):
    """Drawn while it runs, no wider than it is; Ctrl-C leaves it as it was, with one sentence."""
    with WebServer({"/a.jpg": jpeg(60, 60, "red")}) as web:
        write_parquet(tmp_path / "in.parquet", {"url": [web.url("/slow/0.1/a.jpg")] * 4000, "text": ["a"] * 4000})
        command = [sys.executable, "-m", "pipelines.recap", "--runner=DirectRunner", "--allow_private_hosts=true"]
        command += [f"--input={tmp_path}/in.parquet", f"--output={tmp_path}/out", "--fetch_concurrency=4", *LIGHT]
        process, terminal = pty.fork()
        if process == 0:
            os.chdir(ROOT)
            heed_interrupts()
            os.execvpe(command[0], command, {**os.environ, "TERM": "xterm-256color", "NO_COLOR": "1"})
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, WIDTH, 0, 0))
        said = b""
        deadline = time.monotonic() + 150
        interrupted = False
        while time.monotonic() < deadline:
            try:
                said += os.read(terminal, 65_536)
            except OSError:  # its end
                break
            if not interrupted and b"ETA" in said:
                os.write(terminal, b"\x03")
                interrupted = True
        _, status = os.waitpid(process, 0)
    assert interrupted, said
    assert os.waitstatus_to_exitcode(status) == 128 + signal.SIGINT
    text = said.decode()
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")  # the cursor is there
    drawn = re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "\n", text).replace("\r", "\n").splitlines()
    assert [line for line in drawn if line.strip()][-1] == (
        "python -m pipelines.recap: interrupted; the same command goes on where this run stopped"
    )
    assert any(re.search(r"\d+ of 4,000 rows  \d+ %  ETA [\d:]+", line) for line in drawn)
    assert any(re.search(r"[\d.]+ k?B downloaded, [\d.]+ k?B/s", line) for line in drawn)
    assert any(re.match(r"fetch +[\d.]+ +[\d.]+", line) for line in drawn)
    ours = re.compile("Writing |python -m ")
    assert max(len(line.rstrip()) for line in drawn if not ours.match(line)) <= WIDTH
    assert not re.search(r"\x1b\[[\d;]*3[0-7]m", text)
