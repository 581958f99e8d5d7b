"""The command that publishes, as a user calls it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.hub_server import WRITER, HubServer
from support.recap_runs import ROOT, kept
from support.small_outputs import run_output

from pipelines.publish import main


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_output(tmp_path_factory.mktemp("run"))


def _command(hub: HubServer, home: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, for which the server is the hub."""
    ours = {"HF_ENDPOINT": hub.url, "HF_TOKEN": WRITER, "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(home)}
    environment = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"} | ours
    command = [sys.executable, "-m", "pipelines.publish", *argv]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)


def test_what_is_published_loads_as_what_was_written(output: Path, tmp_path: Path) -> None:
    from datasets import load_dataset

    with HubServer() as hub:
        done = _command(hub, tmp_path / "home", str(output), "--repo_id=me/birds")
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"{hub.url}/datasets/me/birds\n"
        assert "card, summary and files agree" in done.stderr
        assert "Traceback" not in done.stderr
        for path, data in hub.files("me/birds").items():
            (tmp_path / "copy" / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "copy" / path).write_bytes(data)
    rows = load_dataset(
        str(tmp_path / "copy"), split="train", cache_dir=str(tmp_path / "cache"), verification_mode="all_checks"
    )
    assert rows.to_list() == kept(output).to_pylist()
    assert rows.features.arrow_schema.equals(kept(output).schema)


def test_a_dry_run_says_what_would_be_uploaded(output: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main([str(output), "--repo_id=me/birds", "--dry_run=true", "--include=data"]) == 0
    first, *files, last = capfd.readouterr().out.splitlines()
    assert first == "To me/birds (private if it is made anew), branch main:"
    sizes = {path.name: path.stat().st_size for path in [*(output / "data").iterdir(), output / "README.md"]}
    told = [line.split() for line in files]
    assert {name.split("/")[-1]: int(size.replace(",", "")) for size, _, name in told} == sizes
    assert last == f"5 files, {sum(sizes.values()):,} bytes, 20 rows. Nothing was uploaded (--dry_run=true)."


def test_what_is_wrong_ends_with_one_sentence(
    output: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(output, tmp_path / "out")
    (tmp_path / "out/data/mine.parquet").touch()
    monkeypatch.setenv("HF_TOKEN", WRITER)
    for argv, status, sentence in (
        (
            [str(tmp_path / "out")],
            2,
            "data/mine.parquet is not among the files that summary.json tells of; move it out",
        ),
        (
            ["/no/such/place"],
            2,
            "--output=/no/such/place: summary.json is not there, so no run has ended here; run the",
        ),
        ([str(output), "--privat=1"], 2, "--privat=1: no such flag; did you mean --private?"),
        ([str(output)], 1, "HF_HUB_OFFLINE is set, so the hub is not asked; unset it"),
    ):
        assert main([*argv, "--repo_id=me/birds"]) == status
        said = capfd.readouterr().err.splitlines()
        assert said[-1].startswith("python -m pipelines.publish: ") and sentence in said[-1]
        assert not [line for line in said if "Traceback" in line]


def test_help(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert capfd.readouterr().out.startswith("usage: python -m pipelines.publish OUTPUT --repo_id=USER/NAME")
