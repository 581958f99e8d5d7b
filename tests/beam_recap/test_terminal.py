"""Standard error: ours is shown, others' is kept aside, whoever writes it and however."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from beam_recap import crash_log
from beam_recap.terminal import _MOST_BYTES, TERMINAL, Terminal


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    terminal = Terminal()
    yield terminal
    terminal.give_back()


def make_noise() -> None:
    print("by Python", file=sys.stderr)
    os.write(2, b"by C\n")
    subprocess.run([sys.executable, "-S", "-c", "import os; os.write(2, b'by a child\\n')"], check=True)


def test_others_are_kept_aside(terminal: Terminal, capfd: pytest.CaptureFixture[str]) -> None:
    before = sys.stderr
    terminal.set_aside()
    terminal.set_aside()  # once is enough
    make_noise()
    terminal.say("ours\nof two lines")
    assert terminal.kept_aside() == "by Python\nby C\nby a child\n"
    terminal.give_back()
    terminal.give_back()
    assert sys.stderr is before
    assert capfd.readouterr().err == "ours\nof two lines\n"
    make_noise()
    assert capfd.readouterr().err == "by Python\nby C\nby a child\n"
    assert terminal.kept_aside() == ""


def test_it_keeps_little(terminal: Terminal) -> None:
    terminal.set_aside()
    for number in range(9):
        os.write(2, f"{number}".encode() * (_MOST_BYTES // 4))
        terminal.keep_little()
    kept = terminal.kept_aside()
    assert len(kept) <= _MOST_BYTES
    assert kept.endswith("8")
    assert "0" not in kept


SCRIPT = """
import os, sys
from beam_recap.terminal import TERMINAL
from beam_recap import ending
TERMINAL.set_aside()
os.write(2, b"noise\\n")
print("noise", file=sys.stderr)
TERMINAL.say("ours")
if sys.argv[1] == "end":
    ending.end(3, "the last sentence")
TERMINAL.give_back()
"""


@pytest.mark.parametrize(("how", "status", "said"), [("return", 0, "ours\n"), ("end", 3, "ours\nthe last sentence\n")])
def test_as_a_process(tmp_path: Path, how: str, status: int, said: str) -> None:
    """Nothing is left behind, and the last sentence comes through."""
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", SCRIPT, how], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stderr, done.stdout) == (status, said, "")
    assert list(tmp_path.iterdir()) == []


def test_a_closed_standard_error(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = f'"{sys.executable}" -c "$0" return 2>&-'
    done = subprocess.run(["sh", "-c", command, SCRIPT.replace('os.write(2, b"noise\\n")', "")], env=environment)
    assert done.returncode == 0


def test_what_is_a_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal, unless it is one that can only print."""
    leader, follower = os.openpty()
    with os.fdopen(follower, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        terminal = Terminal()
        for name, is_screen in (("xterm", True), ("dumb", False), ("", False)):
            monkeypatch.setenv("TERM", name)
            assert terminal.is_screen is is_screen
    assert not terminal.is_screen  # closed
    os.close(leader)


def test_the_crash_log(terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crash_log, "TERMINAL", terminal)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    terminal.set_aside()
    os.write(2, b"a library's last words\n")
    path = crash_log.write_crash_log("python -m pipelines.recap", ["--output=a b"], "Traceback ...\nKeyError: 'ü'\n")
    assert path is not None and Path(path).parent == tmp_path
    assert stat.S_IMODE(Path(path).stat().st_mode) == 0o600
    text = Path(path).read_text()
    assert "python -m pipelines.recap '--output=a b'" in text
    assert text.index("KeyError: 'ü'") < text.index("a library's last words")
    monkeypatch.setattr("tempfile.tempdir", "/no/such/folder")
    assert crash_log.write_crash_log("a", [], "b") is None


def test_there_is_one_for_the_process() -> None:
    assert isinstance(TERMINAL, Terminal)
