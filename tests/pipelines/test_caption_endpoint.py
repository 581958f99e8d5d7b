"""Captions from a server, in the whole job."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.chat_server import ChatRequest, ChatServer, completion
from support.recap_runs import assert_accounts, kept, rejected, run_here
from support.shards import jpeg, write_tar

from beam_recap.prompts import RECAP_PROMPT

ROWS = 12
BLUE = 5
ONLY_CAPTIONS = ("--preset=recap", "--clip_model=none", "--extra_columns=true")


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    path = tmp_path / "in.tar"
    members = [
        {"__key__": f"{i:05d}", "jpg": jpeg(100, 80, "blue" if i == BLUE else "red"), "txt": b"a picture"}
        for i in range(ROWS)
    ]
    write_tar(path, members)
    return path


def describe(request: ChatRequest) -> bytes:
    """What the picture shows; nothing of a blue one."""
    image = request.image
    assert image is not None
    is_blue = image[..., 2].mean() > 200 and image[..., 0].mean() < 50
    return completion("" if is_blue else f"A red area of {image.shape[1]} x {image.shape[0]} px.")


def test_captions_of_a_server(shard: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAPTION_KEY", "very-secret-key")
    output = tmp_path / "out"
    with ChatServer(describe) as server:
        flags = ("--caption_endpoint_model=tiny", "--caption_endpoint_key=CAPTION_KEY", *ONLY_CAPTIONS)
        where = (f"--input={shard}", f"--output={output}", f"--caption_endpoint={server.url}")
        assert run_here(*where, *flags) == 0
        asked = server.requests
    assert_accounts(output, ROWS)
    assert {request.text for request in asked} == {RECAP_PROMPT}
    assert {request.headers["authorization"] for request in asked} == {"Bearer very-secret-key"}
    table = kept(output)
    assert set(table["re_caption"].to_pylist()) == {"A red area of 100 x 80 px."}
    assert table["captioner"].to_pylist() == [f"tiny at {server.url}"] * (ROWS - 1)
    assert table["recaption_tokens"].to_pylist() == [6] * (ROWS - 1)  # 7 with the end token
    (row,) = rejected(output)
    assert (row["key"], row["stage"], row["reason"]) == (f"{BLUE:05d}", "caption", "empty_recaption")
    for path in output.rglob("*"):
        if path.is_file():
            assert b"very-secret-key" not in path.read_bytes()


def test_a_server_that_does_not_answer(shard: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "out"
    url = "http://127.0.0.1:9/v1"
    flags = (f"--caption_endpoint={url}", "--caption_endpoint_model=tiny")
    assert run_here(f"--input={shard}", f"--output={output}", *ONLY_CAPTIONS, *flags) == 2
    error = capsys.readouterr().err
    assert error.count(f"--caption_endpoint={url}") == 1 and "cannot be reached" in error
    assert not output.exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--caption_endpoint=http://x/v1",), "needs --caption_endpoint_model"),
        (("--caption_endpoint_model=m",), "needs --caption_endpoint"),
        (("--caption_endpoint_key=KEY",), "needs --caption_endpoint"),
        (("--caption_endpoint=http://x/v1", "--caption_endpoint_model=m", "--captioner=demo"), "a second captioner"),
        (("--caption_endpoint=http://x/v1", "--caption_endpoint_key=sk-123"), "is no name of an environment variable"),
        (("--caption_endpoint=ftp://x/v1", "--caption_endpoint_model=m"), "no http or https URL"),
    ],
)
def test_flags_at_odds(
    shard: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: tuple[str, ...], message: str
) -> None:
    assert run_here(f"--input={shard}", f"--output={tmp_path / 'out'}", *ONLY_CAPTIONS, *flags) == 2
    assert message in capsys.readouterr().err
