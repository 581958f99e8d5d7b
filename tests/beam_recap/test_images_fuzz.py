"""Damaged files of all formats: each is a picture or a reason, none raises, and none takes much memory.

A longer run: ``python tests/benchmarks/fuzz_decoder.py --seconds=600 --seed=1``.
"""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from support.decoder_checks import check_decoder, settings_for
from support.mutations import make_seeds, mutate

ROOT = Path(__file__).parents[2]
COUNT = 400


@pytest.fixture(scope="module")
def seeds() -> list[bytes]:
    return make_seeds()


def test_seeds_are_pictures(seeds: list[bytes]) -> None:
    for number, data in enumerate(seeds):
        assert check_decoder(data, settings_for(number)), number


def test_mutated_files(seeds: list[bytes]) -> None:
    warnings.simplefilter("ignore")
    pictures = sum(check_decoder(mutate(seeds, 0, number), settings_for(number)) for number in range(COUNT))
    assert COUNT * 0.1 < pictures < COUNT * 0.9  # else the mutations prove little


def test_mutations_can_be_made_again(seeds: list[bytes]) -> None:
    assert [mutate(seeds, 3, number) for number in range(50)] == [mutate(seeds, 3, number) for number in range(50)]
    assert mutate(seeds, 3, 1) != mutate(seeds, 4, 1)


FUZZER = [sys.executable, str(ROOT / "tests" / "benchmarks" / "fuzz_decoder.py")]


def test_the_longer_run(tmp_path: Path) -> None:
    command = [*FUZZER, "--seconds=2", "--seed=5", f"--findings={tmp_path}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["findings"] == 0
    assert result["files"] > 50
    assert 0 < result["pictures"] < result["files"]
    assert 50 < result["peak_mb"] < 500
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", ["os.abort()", "time.sleep(99)", "bytes(bytearray(400 << 20))"])
def test_what_it_finds_is_kept(tmp_path: Path, ending: str) -> None:
    """A decoder that crashes, hangs or eats memory is found, and the file that made it is saved."""
    breaking = "import os, time, support.decoder_checks as c\nold = c.check_decoder\ndef check(data, settings):\n"
    breaking += f"    if b'GIF8' in data[:4]: {ending}\n    return old(data, settings)\nc.check_decoder = check\n"
    (tmp_path / "breaking.py").write_text(breaking)
    command = [*FUZZER, "--seconds=6", "--seed=5", f"--findings={tmp_path / 'found'}", "--stop_after=1"]
    command += ["--file_seconds=1", "--memory_mb=2500", f"--prelude={tmp_path / 'breaking.py'}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout)["findings"] >= 1
    found = list((tmp_path / "found").iterdir())
    assert found
    assert all(path.read_bytes().startswith(b"GIF8") for path in found)
