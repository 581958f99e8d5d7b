from __future__ import annotations

import json
import logging
import pickle
from typing import Any

import pytest
from support.chat_client import LONG_S, Waits, client
from support.chat_server import ChatServer, Fault, completion

from beam_recap.models.chat_endpoint import ChatEndpoint
from beam_recap.models.chat_protocol import Answer, Question

KEY = "sk-Very-Secret-0123456789"
VARIABLE = "CHAT_TEST_KEY"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, KEY)


@pytest.fixture
def waits() -> Waits:
    return Waits()


def test_the_key_is_never_told(caplog: pytest.LogCaptureFixture, waits: Waits) -> None:
    caplog.set_level(logging.DEBUG)
    quoting = json.dumps({"error": {"message": f"Incorrect API key: {KEY}."}}).encode()
    faults = {
        "bad": [Fault(status=400, body=quoting), Fault(status=401, body=quoting)],
        "text": [Fault(status=500, body=b"x" * 290 + KEY.encode())],  # it would be cut in two
        "busy": [Fault(status=503, body=quoting)] * 9,
    }
    with ChatServer(faults=faults) as server:
        endpoint = client(server, waits, api_key_variable=VARIABLE)
        results = endpoint.ask([Question(text) for text in ("bad", "text", "busy", "good")])
        with pytest.raises(ValueError) as error:
            endpoint.check("bad")
        assert all(request.headers["authorization"] == f"Bearer {KEY}" for request in server.requests)
    copy = pickle.dumps(endpoint)
    told = [str(results), str(error.value), repr(error.value), repr(endpoint), str(vars(endpoint)["_client"])]
    for text in [*told, caplog.text, copy.decode("latin-1"), str(endpoint.__reduce__())]:
        assert KEY not in text and KEY[:12] not in text
    assert "Incorrect API key: [API key]." in str(error.value)
    assert len(caplog.text) > 1000


def test_a_copy_reads_the_key_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    with ChatServer() as server:
        data = pickle.dumps(client(server, api_key_variable=VARIABLE))
        monkeypatch.setenv(VARIABLE, " another-key\n")
        assert pickle.loads(data).ask([Question("a")]) == [Answer("answer to a", "stop", 7)]
        assert server.requests[-1].headers["authorization"] == "Bearer another-key"
    monkeypatch.delenv(VARIABLE)
    with pytest.raises(ValueError, match=f"environment variable {VARIABLE} is not set"):
        pickle.loads(data)


@pytest.mark.parametrize("value", ["", "  ", "two words", "line\nbreak", "clé", "a\0b"])
def test_a_key_that_cannot_be_sent(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.environ", {VARIABLE: value})
    with pytest.raises(ValueError, match=f"--judge_endpoint: .*{VARIABLE}") as error:
        ChatEndpoint("http://h/v1", "m", max_tokens=1, api_key_variable=VARIABLE, flag="--judge_endpoint")
    assert not value.strip() or value not in str(error.value)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "h/v1",
        "localhost:8000/v1",
        "ftp://h/v1",
        "file:///etc/passwd",
        "http://",
        "http://h:99999/",
        "http://[::1/v1",
    ],
)
def test_no_url(url: str) -> None:
    with pytest.raises(ValueError, match=r"--caption_endpoint=.*http or https URL; give one such as"):
        ChatEndpoint(url, "m", max_tokens=1)


@pytest.mark.parametrize(
    "url",
    [
        f"http://me:{KEY}@h/v1",
        f"https://{KEY}@h/",
        f"ftp://{KEY}@h",
        f"http://h/?k={KEY}",
        f"x?{KEY}",
        f"http://h/#{KEY}",
    ],
)
def test_secrets_have_no_place_in_a_url(url: str) -> None:
    with pytest.raises(ValueError, match="--caption_endpoint") as error:
        ChatEndpoint(url, "m", max_tokens=1)
    assert KEY not in str(error.value)


@pytest.mark.parametrize("ending", ["", "/", "/chat/completions", "/chat/completions/"])
def test_the_url_may_end_in_several_ways(ending: str) -> None:
    with ChatServer() as server:
        endpoint = ChatEndpoint(server.url + ending, "m", max_tokens=1)
        assert isinstance(endpoint.ask([Question("a")])[0], Answer)


@pytest.mark.parametrize(
    "wrong", [{"concurrency": 0}, {"retries": -1}, {"max_tokens": 0}, {"timeout_s": 0}, {"model": " "}]
)
def test_settings_out_of_range(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="--caption_endpoint"):
        ChatEndpoint("http://h/v1", **{"model": "m", "max_tokens": 1, **wrong})


CHECKS = [
    (Fault(status=401, body=b"no key"), "refuses the API key (HTTP 401: no key); put one that is valid for tiny"),
    (Fault(status=403), "refuses the API key (HTTP 403)"),
    (
        Fault(status=404, body=b'{"detail": "Not Found"}'),
        "no model 'tiny' (HTTP 404: Not Found); give the model's name",
    ),
    (Fault(status=400, body=b"tiny is text-only"), "(HTTP 400: tiny is text-only); check the model's name"),
    (Fault(status=301, headers={"Location": "/v2"}), "(HTTP 301 (redirects are not followed)); give its base URL"),
    (Fault(status=405), "(HTTP 405); give its base URL"),
    (Fault(body=b"<html>"), "of no use: no JSON); give its base URL"),
    (Fault("endless"), "give its base URL"),
    (Fault(status=500, body=b"boom"), "cannot answer now (HTTP 500: boom); look at the server"),
    (Fault("slow", seconds=LONG_S), "cannot be reached (no whole answer within 1 s); start the server"),
]


@pytest.mark.parametrize(("fault", "words"), CHECKS)
def test_a_check_names_the_flag_and_the_remedy(fault: Fault, words: str, waits: Waits) -> None:
    with ChatServer(faults={"q": [fault]}) as server:
        endpoint = client(server, waits, flag="--judge_endpoint", timeout_s=1)
        with pytest.raises(ValueError) as error:
            endpoint.check("q")
        assert len(server.requests) == 1
    text = str(error.value)
    assert text.startswith(f"--judge_endpoint={server.url} ") and words in text
    assert text.endswith(".") and "\n" not in text


def test_a_check_asks_for_one_token_about_a_picture_and_waits_for_a_busy_server(waits: Waits) -> None:
    with ChatServer(lambda _: completion("", "length", 1), faults={"q": [Fault(status=503)] * 2}) as server:
        client(server, waits).check("q")
        assert [(r.body["max_tokens"], r.image.shape) for r in server.requests] == [(1, (64, 64, 3))] * 3  # type: ignore[union-attr]
    assert len(waits.seconds) == 2
    with pytest.raises(ValueError, match=r"cannot be reached \(.*ConnectError.*; start the server"):
        client(server, waits).check()


def test_a_wrong_path_is_found() -> None:
    with ChatServer() as server:
        endpoint = ChatEndpoint(server.url.removesuffix("/v1"), "tiny", max_tokens=1)
        with pytest.raises(ValueError, match="which most often ends in /v1"):
            endpoint.check()
