from __future__ import annotations

import email.utils
import gzip
from typing import Any

import pytest
from support.chat_client import Waits, client, failure
from support.chat_server import ChatServer, Fault, completion

from beam_recap.isolation import ModelFailure
from beam_recap.models.chat_endpoint import MAX_ANSWER_BYTES
from beam_recap.models.chat_protocol import MAX_WAIT_S, Answer, Question, read_answer, retry_wait_s
from beam_recap.records import MAX_DETAIL_CHARS, Reason


@pytest.fixture
def waits() -> Waits:
    return Waits()


def test_waits_grow_up_to_a_limit_and_differ() -> None:
    for tries in range(1, 60):
        middle = min(0.5 * 2 ** (tries - 1), 1e9)
        several = [retry_wait_s(tries, 0.0) for _ in range(20)]
        assert all(min(middle * 0.5, MAX_WAIT_S) <= wait <= min(middle * 1.5, MAX_WAIT_S) for wait in several)
        assert len(set(several)) > 1 or middle * 0.5 >= MAX_WAIT_S
    assert retry_wait_s(1, 12.0) == 12.0
    assert retry_wait_s(1, float(10**9)) == MAX_WAIT_S


@pytest.mark.parametrize(
    ("header", "low", "high"),
    [
        ("5", 5, 5),
        (" 2.5 ", 2.5, 2.5),
        (email.utils.formatdate(1030, usegmt=True), 30, 30),
        (email.utils.formatdate(900, usegmt=True), 0.25, 0.75),  # has passed
        *((nonsense, 0.25, 0.75) for nonsense in ("", "-3", "nan", "inf", "soon", "Mon, 99 Foo 2020", "1e999")),
        ("9" * 5000, MAX_WAIT_S, MAX_WAIT_S),
    ],
)
def test_retry_after(header: str, low: float, high: float, waits: Waits) -> None:
    with ChatServer(faults={"a": [Fault(status=503, headers={"Retry-After": header})]}) as server:
        (result,) = client(server, waits, clock=lambda: 1000.0).ask([Question("a")])
    assert isinstance(result, Answer)
    assert low <= waits.seconds[0] <= high


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (400, Reason.HTTP_4XX),
        (401, Reason.MODEL_ERROR),
        (403, Reason.MODEL_ERROR),
        (404, Reason.MODEL_ERROR),
        (408, Reason.TIMEOUT),
        (413, Reason.HTTP_4XX),
        (422, Reason.HTTP_4XX),
        (500, Reason.HTTP_5XX),
        (204, Reason.BAD_RESPONSE),
        (302, Reason.BAD_RESPONSE),
    ],
)
def test_other_statuses_are_not_tried_again(status: int, reason: Reason, waits: Waits) -> None:
    fault = Fault(status=status, body=b'{"detail": "no, thanks"}', headers={"Location": "/v1/elsewhere"})
    with ChatServer(faults={"bad": [fault]}) as server:
        results = client(server, waits).ask([Question(text) for text in ("x", "bad", "y")])
        assert len(server.asked("bad")) == 1
        assert not [request for request in server.requests if request.path != "/v1/chat/completions"]
    assert [type(result) for result in results] == [Answer, ModelFailure, Answer]
    assert failure(results[1]).reason is reason
    assert failure(results[1]).detail.startswith(f"HTTP {status}")
    assert status == 204 or "no, thanks" in failure(results[1]).detail
    assert waits.seconds == []


ZEROS = gzip.compress(bytes(50_000_000), 1)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault("endless"), f"more than {MAX_ANSWER_BYTES} bytes"),
        (Fault(body=completion("x" * MAX_ANSWER_BYTES)), f"more than {MAX_ANSWER_BYTES} bytes"),
        (Fault(body=ZEROS, headers={"Content-Encoding": "gzip"}), "packed"),
        (Fault(body=b""), "no JSON"),
        (Fault(body=b"<html>hello</html>"), "no JSON"),
        (Fault(body=b"\xff\xfe{}"), "no JSON"),
        (Fault(body=b"[" * 200_000), "no JSON"),
        (Fault(body=b"1" * 9_000), "no JSON"),
        (Fault(body=b"[]"), "without choices"),
        (Fault(body=b"null"), "without choices"),
        (Fault(body=b'"text"'), "without choices"),
        (Fault(body=b"{}"), "without choices"),
        (Fault(body=b'{"choices": []}'), "without choices"),
        (Fault(body=b'{"choices": {"0": 1}}'), "without choices"),
        (Fault(body=b'{"choices": [{"text": "old style", "finish_reason": "stop"}]}'), "without choices"),
        (Fault(body=b'{"choices": [{"message": {"content": "no reason"}}]}'), "finish_reason"),
        (Fault(body=b'{"choices": [{"message": "text", "finish_reason": "stop"}]}'), "without choices"),
        (Fault(body=completion(["a", "list"])), "no text"),
        (Fault(body=completion(5)), "no text"),
        (Fault(body=completion("half", "content_filter")), "content_filter"),
        (Fault(body=completion("half", None)), "null"),
        (Fault(body=completion("half", ["stop"])), "stop"),
    ],
)  # fmt: skip
def test_answers_of_no_use(fault: Fault, words: str, waits: Waits) -> None:
    with ChatServer(faults={"bad": [fault]}) as server:
        results = client(server, waits).ask([Question("bad"), Question("good")])
        assert len(server.asked("bad")) == 1
    assert failure(results[0]).reason is Reason.BAD_RESPONSE
    assert words in failure(results[0]).detail
    assert results[1] == Answer("answer to good", "stop", 7)


@pytest.mark.parametrize("told", [None, -1, 1.5, True, "7", [], 10**40])
def test_tokens_are_unknown_rather_than_wrong(told: Any) -> None:
    assert read_answer(completion("a", tokens=told)) == Answer("a", "stop", None)
    assert read_answer(completion("a", tokens=0)) == Answer("a", "stop", 0)


def test_texts_can_be_written_to_files() -> None:
    assert read_answer(completion(None)) == Answer("", "stop", 7)
    answer = read_answer(completion("a\ud800b\0 \U0001f388"))
    assert isinstance(answer, Answer)
    assert answer.text.encode() == "a?b\0 🎈".encode()


def test_the_words_of_a_server_are_one_bounded_line() -> None:
    html = b"<p>" + b"so\x00 sorry\x1b[31m\n" * 100_000
    forms = {
        "openai": b'{"error": {"message": "told", "type": "x"}}',
        "vllm": b'{"object": "error", "message": "told", "code": 400}',
        "fastapi": b'{"detail": "told"}',
        "text": b"told",
        "deep": b'{"error": ' * 5000,
    }
    faults = {name: [Fault(status=400, body=body)] for name, body in {**forms, "html": html}.items()}
    with ChatServer(faults=faults) as server:
        results = client(server).ask([Question(name) for name in faults])
    details = dict(zip(faults, [failure(result).detail for result in results], strict=True))
    assert {details[name] for name in ("openai", "vllm", "fastapi", "text")} == {"HTTP 400: told"}
    for detail in details.values():
        assert len(detail) <= MAX_DETAIL_CHARS and detail.isprintable()
    assert details["html"].startswith("HTTP 400: <p>so? sorry?[31m so?")
