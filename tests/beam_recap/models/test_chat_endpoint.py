from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import threading
import time
import weakref
from typing import Any

import numpy as np
import pytest
from support.chat_client import LONG_S, Waits, client, failure
from support.chat_server import ChatRequest, ChatServer, Fault, completion

from beam_recap.isolation import ModelFailure
from beam_recap.models.chat_endpoint import ChatEndpoint
from beam_recap.models.chat_protocol import MAX_WAIT_S, Answer, Question
from beam_recap.records import Reason

IMAGE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


@pytest.fixture
def waits() -> Waits:
    return Waits()


def test_a_question_with_a_picture() -> None:
    with ChatServer(lambda request: completion("A dog.", "length", 24)) as server:
        endpoint = client(server, image_format="png")
        assert endpoint.ask([Question("What is it?", IMAGE)]) == [Answer("A dog.", "length", 24)]
        endpoint.close()
    (request,) = server.requests
    assert request.path == "/v1/chat/completions"
    assert request.headers["accept-encoding"] == "identity"
    kinds = [part["type"] for part in request.body["messages"][0]["content"]]
    assert kinds == ["image_url", "text"]
    assert request.text == "What is it?"
    assert np.array_equal(request.image, IMAGE)
    rest = {name: value for name, value in request.body.items() if name != "messages"}
    assert rest == {"model": "tiny", "max_tokens": 24, "temperature": 0, "seed": 0, "stream": False}


def test_pictures_travel_as_good_jpegs_and_text_alone_as_text() -> None:
    smooth = np.tile(np.arange(64, dtype=np.uint8)[:, None, None] * 3, (1, 64, 3))
    with ChatServer() as server:
        assert client(server).ask([Question("one", smooth), Question("two")]) == [
            Answer("answer to one", "stop", 7),
            Answer("answer to two", "stop", 7),
        ]
    (picture,), (text,) = server.asked("one"), server.asked("two")
    assert picture.body["messages"][0]["content"][0]["image_url"]["url"].startswith("data:image/jpeg;base64,/9j/")
    assert np.abs(picture.image.astype(int) - smooth).max() <= 3
    assert text.body["messages"] == [{"role": "user", "content": "two"}]
    assert "authorization" not in text.headers


def test_answers_come_in_order_and_no_more_at_once_than_allowed() -> None:
    def answer(request: ChatRequest) -> bytes:
        time.sleep(0.02 * (int(request.text) % 3))
        return completion(request.text)

    with ChatServer(answer) as server:
        endpoint = client(server, concurrency=3)
        found: dict[int, list[str]] = {}

        def ask(caller: int) -> None:
            numbers = range(caller * 10, caller * 10 + 10)
            found[caller] = [answer.text for answer in endpoint.ask([Question(str(n)) for n in numbers])]  # type: ignore[union-attr]

        threads = [threading.Thread(target=ask, args=(caller,)) for caller in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LONG_S)
        assert endpoint.ask([]) == []
    assert found == {caller: [str(caller * 10 + n) for n in range(10)] for caller in range(4)}
    assert server.most_at_once == 3
    assert server.connections <= 4  # kept alive


def test_waiting_for_a_turn_takes_nothing_from_the_time_of_a_question() -> None:
    questions = [Question(str(number)) for number in range(6)]
    with ChatServer(faults={question.text: [Fault("slow", seconds=0.4)] for question in questions}) as server:
        results = client(server, concurrency=1, timeout_s=1.8, retries=0).ask(questions)
    assert [type(result) for result in results] == [Answer] * 6


def test_a_question_that_waits_for_its_next_try_keeps_its_turn() -> None:
    async def sleep(_: float) -> None:
        await asyncio.sleep(0.2)

    with ChatServer(faults={"a": [Fault(status=503)]}) as server:
        client(server, concurrency=1, sleep=sleep).ask([Question("a"), Question("b")])
    assert [request.text for request in server.requests] == ["a", "a", "b"]  # less is asked of a busy server


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_an_overloaded_server_is_asked_again(status: int, waits: Waits) -> None:
    faults = {"a": [Fault(status=status), Fault(status=status, headers={"Retry-After": "7"})]}
    with ChatServer(faults=faults) as server:
        results = client(server, waits).ask([Question("a"), Question("b")])
    assert [result.text for result in results] == ["answer to a", "answer to b"]  # type: ignore[union-attr]
    assert (len(server.asked("a")), len(server.asked("b"))) == (3, 1)
    assert 0.25 <= waits.seconds[0] <= 0.75
    assert waits.seconds[1:] == [7.0]


def test_an_overloaded_server_is_given_up_in_the_end(waits: Waits) -> None:
    busy = Fault(status=429, body=b'{"error": {"message": "the queue is\\n full"}}', headers={"Retry-After": "9999999"})
    with ChatServer(faults={"a": [busy] * 9}) as server:
        results = client(server, waits, retries=2).ask([Question("a"), Question("b")])
    assert results[0] == ModelFailure(Reason.HTTP_429, "HTTP 429: the queue is full (3 tries)")
    assert results[1] == Answer("answer to b", "stop", 7)
    assert waits.seconds == [MAX_WAIT_S] * 2


@pytest.mark.parametrize("kind", ["drop", "reset", "cut", "garbage"])
def test_a_lost_connection_is_tried_again(kind: str, waits: Waits) -> None:
    with ChatServer(faults={"once": [Fault(kind)], "always": [Fault(kind)] * 99}) as server:
        results = client(server, waits, retries=2, concurrency=1).ask([Question("once"), Question("always")])
    assert results[0] == Answer("answer to once", "stop", 7)
    assert failure(results[1]).reason is Reason.RESET
    assert failure(results[1]).detail.endswith("(3 tries)")
    # "always" met the connection that "once" had left open, which costs one try more.
    assert len(server.asked("always")) == (3 if kind == "cut" else 4)


def test_a_connection_that_a_server_closed_is_replaced_at_once(waits: Waits) -> None:
    faults = {"b": [Fault("drop_if_reused")], "c": [Fault("close_silently")]}
    with ChatServer(faults=faults) as server:
        endpoint = client(server, waits, retries=0)
        for text in "abcd":
            assert endpoint.ask([Question(text)]) == [Answer(f"answer to {text}", "stop", 7)]
    assert waits.seconds == []
    assert [request.nth_on_connection for request in server.asked("b")] == [2, 1]


def test_a_server_that_was_started_anew(waits: Waits) -> None:
    with ChatServer() as server:
        endpoint = client(server, waits, retries=1)
        assert endpoint.ask([Question("a")]) == [Answer("answer to a", "stop", 7)]
        port = int(server.url.rpartition(":")[2].partition("/")[0])
    (gone,) = endpoint.ask([Question("b")])
    assert failure(gone).reason in (Reason.REFUSED, Reason.RESET)
    with ChatServer(port=port):
        assert endpoint.ask([Question("c")]) == [Answer("answer to c", "stop", 7)]


def test_a_server_that_is_not_there(waits: Waits) -> None:
    with ChatServer() as server:
        endpoint = client(server, waits, retries=3)
    (result,) = endpoint.ask([Question("a")])
    assert failure(result).reason is Reason.REFUSED
    assert len(waits.seconds) == 3
    unknown = ChatEndpoint("http://no-such-host.invalid/v1", "tiny", max_tokens=1, sleep=waits, retries=0)
    assert failure(unknown.ask([Question("a")])[0]).reason in (Reason.DNS, Reason.CONNECTION_ERROR)


@pytest.mark.parametrize("fault", [Fault("slow", seconds=LONG_S), Fault("drip")])
def test_a_server_that_takes_too_long(fault: Fault, waits: Waits) -> None:
    with ChatServer(faults={"a": [fault] * 9, "b": [fault]}) as server:
        start = time.monotonic()
        results = client(server, waits, timeout_s=0.5, retries=1).ask([Question("a"), Question("b"), Question("c")])
        assert time.monotonic() - start < LONG_S
    assert results[0] == ModelFailure(Reason.TIMEOUT, "no whole answer within 0.5 s (2 tries)")
    assert [result.text for result in results[1:]] == ["answer to b", "answer to c"]  # type: ignore[union-attr]


def test_a_picture_that_is_none_fails_alone(waits: Waits) -> None:
    bad = [np.zeros((4, 4)), np.zeros((4, 4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8), np.zeros((4, 4, 3))]
    with ChatServer() as server:
        results = client(server, waits).ask([*(Question("bad", image) for image in bad), Question("good", IMAGE)])
        assert len(server.requests) == 1
    assert [failure(result).reason for result in results[:-1]] == [Reason.MODEL_ERROR] * 4
    assert "uint8 [H, W, 3]" in failure(results[0]).detail
    assert results[-1] == Answer("answer to good", "stop", 7)


def _loop_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if "_run_loop" in thread.name}


def test_closing_ends_what_is_on_its_way() -> None:
    before = _loop_threads()
    with ChatServer(faults={"a": [Fault("slow", seconds=LONG_S)]}) as server:
        endpoint = client(server)
        assert endpoint.ask([Question("b")]) == [Answer("answer to b", "stop", 7)]
        (thread,) = _loop_threads() - before
        start = time.monotonic()
        threading.Timer(0.3, endpoint.close).start()
        with pytest.raises(RuntimeError, match="closed"):
            endpoint.ask([Question("a"), Question("b")])
        assert time.monotonic() - start < LONG_S - 1
    with pytest.raises(RuntimeError, match="closed"):
        endpoint.ask([Question("b")])
    endpoint.close()
    thread.join(LONG_S)
    assert not thread.is_alive()


def test_a_client_that_is_dropped_leaves_no_thread() -> None:
    before = _loop_threads()
    with ChatServer() as server:
        endpoint = client(server)
        endpoint.ask([Question("a")])
        (thread,) = _loop_threads() - before
        dead = weakref.ref(endpoint)
        del endpoint
        gc.collect()
        assert dead() is None
        thread.join(LONG_S)
        assert not thread.is_alive()


def test_an_interrupt_ends_the_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    with ChatServer(faults={"a": [Fault("slow", seconds=LONG_S)]}) as server:
        endpoint = client(server, concurrency=1)
        wait, me = concurrent.futures.Future.result, threading.current_thread()

        def interrupted(future: Any, timeout: float | None = None) -> Any:
            if threading.current_thread() is not me:
                return wait(future, timeout)
            time.sleep(0.3)
            raise KeyboardInterrupt

        monkeypatch.setattr(concurrent.futures.Future, "result", interrupted)
        with pytest.raises(KeyboardInterrupt):
            endpoint.ask([Question("a"), Question("never")])
        monkeypatch.undo()
        assert endpoint.ask([Question("b")]) == [Answer("answer to b", "stop", 7)]  # the only slot is free again
    assert not server.asked("never")
