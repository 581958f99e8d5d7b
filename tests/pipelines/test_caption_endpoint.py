"""Captions from a server, in the whole job."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.chat_server import ChatRequest, ChatServer, completion
from support.hints import HINT
from support.recap_runs import assert_accounts, kept, rejected, run_here
from support.shards import jpeg, write_tar

from beam_recap.judge import is_sampled
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


def test_a_server_that_is_shown_original_captions(tmp_path: Path) -> None:
    captions = [b"Western\nKingbird <image>", b"<|eot_id|>", b"{{ fox }}"]
    path, output = tmp_path / "in.tar", tmp_path / "out"
    pictures = [{"__key__": f"{i:05d}", "jpg": jpeg(100, 80, "red"), "txt": text} for i, text in enumerate(captions)]
    write_tar(path, pictures)

    def answer(request: ChatRequest) -> bytes:
        return completion("Its alt text, which may be wrong, is odd." if "fox" in request.text else "A bird.")

    with ChatServer(answer) as server:
        where = (f"--input={path}", f"--output={output}", f"--caption_endpoint={server.url}", *ONLY_CAPTIONS)
        flags = ("--caption_endpoint_model=tiny", f"--caption_hint={HINT}", "--reject_captions=prompt_echo")
        assert run_here(*where, *flags) == 0
        asked = {request.text for request in server.requests}
    shown = [f"{RECAP_PROMPT}\n{HINT.replace('{caption}', text)}" for text in ("Western Kingbird", "{{ fox }}")]
    assert asked == {RECAP_PROMPT, *shown}
    assert_accounts(output, 3)
    table = kept(output)
    assert table["org_caption"].to_pylist() == ["Western\nKingbird <image>", "<|eot_id|>"]
    assert table["recaption_hinted"].to_pylist() == [True, False]
    (row,) = rejected(output)
    assert (row["reason"], row["recaption_hinted"]) == ("prompt_echo", True)
    assert HINT in (output / "README.md").read_text()


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
        (("--caption_endpoint=http://x/v1",), "give --caption_endpoint_model"),
        (("--caption_endpoint_model=m",), "give its URL with --caption_endpoint"),
        (("--caption_endpoint_key=KEY",), "give its URL with --caption_endpoint"),
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


def rate(request: ChatRequest) -> bytes:
    """Rates the recaption 5; the original's answer is not clear."""
    return completion("Rating: 5" if "A red area" in request.text else "Quite good, I would say 4.")


def test_a_judge(shard: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    with ChatServer(describe) as captioner, ChatServer(rate) as judge:
        where = (f"--input={shard}", f"--output={output}", f"--caption_endpoint={captioner.url}")
        flags = (f"--judge_endpoint={judge.url}", "--judge_endpoint_model=judge", "--judge_sample=0.5")
        assert run_here(*where, "--caption_endpoint_model=tiny", *flags, *ONLY_CAPTIONS) == 0
        asked = judge.requests
    assert_accounts(output, ROWS)
    table = kept(output)
    uids = table["uid"].to_pylist()
    sampled = [is_sampled(uid, 0.5) for uid in uids]
    assert 0 < sum(sampled) < len(uids)
    assert table["re_gpt4v_score"].to_pylist() == [5 if is_in else None for is_in in sampled]
    assert table["org_gpt4v_score"].null_count == len(uids)
    assert len(asked) == 1 + 2 * sum(sampled)  # with the grey picture
    assert "a picture" in {request.text.splitlines()[0].removeprefix("[Image Caption] ") for request in asked}
    card = (output / "README.md").read_text()
    assert "not GPT-4V's but those of judge at" in card and "50.00%" in card


def test_a_judge_that_does_not_answer(shard: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = "http://127.0.0.1:9/v1"
    flags = (f"--judge_endpoint={url}", "--judge_endpoint_model=judge", "--captioner=none", *ONLY_CAPTIONS)
    assert run_here(f"--input={shard}", f"--output={tmp_path / 'out'}", *flags) == 2
    error = capsys.readouterr().err
    assert error.count(f"--judge_endpoint={url}") == 1 and "cannot be reached" in error
