"""What is said when the hub does not take what is sent."""

from __future__ import annotations

from pathlib import Path

import huggingface_hub
import pytest
from support.hub_server import CUT, READER, WRITER, HubServer

from beam_recap.flag import ConfigError
from beam_recap.publish.hub import publish
from beam_recap.publish.hub_errors import HubError
from beam_recap.publish.run_files import read_run
from beam_recap.publish.settings import parse_flags

REPO = "me/birds"


def _publish(output: Path) -> None:
    settings = parse_flags([str(output), f"--repo_id={REPO}"])
    publish(read_run(settings.output, settings.include), settings)


@pytest.mark.parametrize(
    ("kind", "statuses", "sentence"),
    [
        (
            "info",
            [401] * 9,
            r"does not accept the token \(401 Unauthorized, a fault of info\); make one that may write at",
        ),
        (
            "create",
            [403],
            r"^the token may not write to me/birds \(403 Forbidden, a fault of create\); give one that may, or",
        ),
        ("create", [409], r"^me/birds has changed meanwhile \(409 Conflict, a fault of create\); see who else writes"),
        (
            "create",
            [402],
            r"^the hub refuses this \(402 Payment Required, a fault of create\); put that right, then run",
        ),
        (
            "tree",
            [404],
            r"^the hub does not know me/birds, or not to this token \(404 Not Found, a fault of tree\); corr",
        ),
        (
            "preupload",
            [503] * 9,
            r"^the hub fails \(503 Service Unavailable, a fault of preupload\); wait some minutes, then",
        ),
        (
            "batch",
            [429] * 9,
            r"^the hub takes no more requests for now \(429 Too Many Requests, a fault of batch\); wait",
        ),
        (
            "put",
            [500] * 99,
            r"^the hub fails \(500 Internal Server Error, a fault of put\); wait some minutes, then run",
        ),
        ("put", [403] * 99, r"^the token may not write to me/birds \(403 Forbidden, a fault of put\)"),
        (
            "commit",
            [413],
            r"^the hub refuses this \(413 .*, a fault of commit\); put that right, then run the same command",
        ),
        (
            "put",
            [CUT] * 99,
            r"^http://127.0.0.1:\d+ cannot be reached \(RemoteProtocolError: .*\); wait until it can be",
        ),
        ("commit", [CUT], r"^http://127.0.0.1:\d+ cannot be reached \(RemoteProtocolError: .*\); wait until it can be"),
    ],
)
def test_what_the_hub_refuses_is_one_sentence(
    output: Path, hub: HubServer, kind: str, statuses: list[int], sentence: str
) -> None:
    hub.faults[kind] = statuses
    with pytest.raises(HubError, match=sentence) as refused:
        _publish(output)
    said = str(refused.value)
    assert "\n" not in said and len(said) < 500 and WRITER not in said
    assert REPO not in hub.repositories or "README.md" not in hub.files(REPO)


def test_a_card_that_the_hub_does_not_take(output: Path, hub: HubServer) -> None:
    card = (output / "README.md").read_text().replace("- n<1K", "- a few")
    (output / "README.md").write_text(card)
    with pytest.raises(
        HubError, match=r"^the hub refuses this \(400 Bad Request.*|^the upload to me/birds failed .*README"
    ):
        _publish(output)


@pytest.mark.parametrize(
    ("token", "sentence"),
    [
        (
            "hf_wrong",
            r"^the hub does not accept the token \(401 Unauthorized, Invalid credentials in Auth.*HF_TOKEN to it",
        ),
        (READER, r"^the token may not write to me/birds \(403 Forbidden, You don't have the rights to write here\)"),
    ],
)
def test_tokens_that_may_not(
    output: Path, hub: HubServer, monkeypatch: pytest.MonkeyPatch, token: str, sentence: str
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(HubError, match=sentence):
        _publish(output)


def test_no_token(output: Path, hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(ConfigError, match=r"^--repo_id=me/birds: needs a token, and there is none; make one that may"):
        _publish(output)
    assert not hub.requests


def test_no_hub_and_no_network(output: Path, hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(
        HubError, match=r"^http://127.0.0.1:9 cannot be reached \(ConnectError: .*\); wait until it can be"
    ):
        _publish(output)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match=r"^HF_HUB_OFFLINE is set, so the hub is not asked; unset it$"):
        _publish(output)
