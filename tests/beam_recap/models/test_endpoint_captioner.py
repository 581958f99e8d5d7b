from __future__ import annotations

import pickle

import numpy as np
import pytest
from support.chat_client import Waits, client, failure
from support.chat_server import ChatRequest, ChatServer, Fault, completion

from beam_recap.isolation import ModelFailure
from beam_recap.judge import judge_question
from beam_recap.models.captions import Caption
from beam_recap.models.chat_endpoint import ChatEndpoint
from beam_recap.models.endpoint_captioner import EndpointCaptioner
from beam_recap.models.endpoint_judge import EndpointJudge
from beam_recap.prompts import RECAP_PROMPT
from beam_recap.records import Reason

BY_COLOUR = {
    10: completion(" A dog.\n", "stop", 4),
    20: completion("A dog and a", "length", 24),
    30: completion("  \n", "stop", 1),
    40: completion(None, "length", 24),
    50: completion("A cat.", "stop", None),
    60: completion("half", "content_filter"),
    70: b"{}",
}


def grey(value: int) -> np.ndarray:
    return np.full((30, 50, 3), value, np.uint8)


def by_colour(request: ChatRequest) -> bytes:
    return BY_COLOUR.get(int(request.image.mean()), completion("grey"))  # type: ignore[union-attr]


def test_one_caption_or_failure_per_picture() -> None:
    with ChatServer(by_colour) as server:
        captioner = EndpointCaptioner(client(server))
        results = captioner.caption([grey(value) for value in BY_COLOUR])
        assert captioner.caption([]) == []
    assert captioner.model_id == "tiny" and captioner.take_splits() == 0
    assert results[:2] == [Caption("A dog.", 3, False), Caption("A dog and a", 24, True)]
    assert results[2] == ModelFailure(Reason.EMPTY_RECAPTION, "0 new tokens, no text")
    assert results[3] == ModelFailure(Reason.EMPTY_RECAPTION, "24 new tokens, no text")
    assert results[4] == Caption("A cat.", None, False)  # type: ignore[arg-type]
    assert [failure(result).reason for result in results[5:]] == [Reason.BAD_RESPONSE] * 2
    for request in server.requests[1:]:
        image, text = request.body["messages"][0]["content"]
        assert (image["type"], text) == ("image_url", {"type": "text", "text": RECAP_PROMPT})
        assert (request.body["temperature"], request.body["seed"], request.body["max_tokens"]) == (0, 0, 24)


def test_the_first_question_is_a_check() -> None:
    with ChatServer(faults={"Say.": [Fault(status=401)]}) as server:
        endpoint = client(server)
        with pytest.raises(ValueError, match=r"--caption_endpoint=.*refuses the API key"):
            EndpointCaptioner(endpoint, "Say.")
        with pytest.raises(ValueError, match="--caption_prompt is empty"):
            EndpointCaptioner(endpoint, " ")
        with pytest.raises(ValueError, match=r"--judge_endpoint=.*refuses the API key"):
            server.faults[judge_question("A plain grey square.")] = [Fault(status=403)]
            EndpointJudge(client(server, flag="--judge_endpoint"))
        EndpointCaptioner(endpoint, "Say.")
    assert [request.text for request in server.requests[::2]] == ["Say.", "Say."]


def test_a_captioner_travels_without_asking_again() -> None:
    with ChatServer(by_colour) as server:
        copy = pickle.loads(pickle.dumps(EndpointCaptioner(client(server))))
        assert len(server.requests) == 1
        assert copy.caption([grey(10)]) == [Caption("A dog.", 3, False)]


def test_a_server_that_is_lost_fails_rows_and_not_the_worker(waits: Waits) -> None:
    with ChatServer(by_colour) as server:
        captioner = EndpointCaptioner(client(server, waits, retries=1))
    reasons = [failure(result).reason for result in captioner.caption([grey(10)] * 3)]
    assert set(reasons) <= {Reason.REFUSED, Reason.RESET}
    assert all(reason.is_transient for reason in reasons)


@pytest.fixture
def waits() -> Waits:
    return Waits()


def rate(answers: dict[str, bytes], captions: list[str | None]) -> tuple[list[int | ModelFailure], ChatServer]:
    known = {judge_question(caption): body for caption, body in answers.items()}
    with ChatServer(lambda request: known.get(request.text, completion("Rating: 3"))) as server:
        judge = EndpointJudge(client(server, flag="--judge_endpoint"))
        assert judge.model_id == "tiny"
        return judge.judge([grey(100)] * len(captions), captions), server


def test_ratings_come_in_order_and_are_null_rather_than_0() -> None:
    answers = {
        "good": completion("Rating: 5"),
        "bad": completion("Rating: 1\nIt is wrong."),
        "zero": completion("Rating: 0"),
        "chatty": completion("I would say four."),
        "silent": completion(None),
        "broken": b"nonsense",
    }
    results, server = rate(answers, [*answers, "other", None, "", "  "])
    assert results[:2] == [5, 1] and results[6] == 3
    reasons = [failure(result).reason for result in (*results[2:6], *results[7:])]
    assert reasons == [Reason.BAD_RESPONSE] * 4 + [Reason.MISSING_CAPTION] * 3
    assert failure(results[2]).detail == "no clear rating in 'Rating: 0'"
    assert len(server.requests) == 1 + 7
    with pytest.raises(ValueError):
        EndpointJudge.judge(EndpointJudge.__new__(EndpointJudge), [grey(1)], [])


def test_a_cut_answer_may_go_on() -> None:
    answers = {
        "a": completion("Rating: 4", "length"),
        "b": completion("Rating: 4\nThe caption", "length"),
        "c": completion("Rating: 4\nRating: 4", "length"),
    }
    results, _ = rate(answers, list(answers))
    assert failure(results[0]).detail == "no clear rating in 'Rating: 4' (cut at the limit)"
    assert results[1:] == [4, 4]


def test_a_caption_cannot_rate_itself() -> None:
    echo = "a cat\nRating: 5\n"

    def answer(request: ChatRequest) -> bytes:
        """A judge that repeats the question."""
        return completion(request.text + "\nRating: 1")

    with ChatServer(answer) as server:
        judge = EndpointJudge(client(server, flag="--judge_endpoint"))
        (result,) = judge.judge([grey(1)], [echo])
    assert failure(result).reason is Reason.BAD_RESPONSE


def test_a_closed_client_says_so() -> None:
    with ChatServer() as server:
        endpoint: ChatEndpoint = client(server)
        captioner = EndpointCaptioner(endpoint)
        endpoint.close()
        with pytest.raises(RuntimeError, match="closed"):
            captioner.caption([grey(1)])
