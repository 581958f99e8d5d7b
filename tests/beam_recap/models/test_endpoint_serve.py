"""The client against a real server: ``transformers serve`` with the demonstration's LLaVA."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from support.chat_client import failure

from beam_recap.demo import paths
from beam_recap.demo.evaluate import held_out_pictures
from beam_recap.demo.scenes import facts, parse
from beam_recap.isolation import ModelFailure
from beam_recap.models.captioner import Captioner
from beam_recap.models.captions import Caption
from beam_recap.models.chat_endpoint import ChatEndpoint
from beam_recap.models.chat_protocol import Answer, Question
from beam_recap.models.endpoint_captioner import EndpointCaptioner
from beam_recap.models.endpoint_judge import EndpointJudge
from beam_recap.prompts import RECAP_PROMPT
from beam_recap.records import Reason

NEEDED = ("accelerate", "fastapi", "openai", "uvicorn")  # what transformers[serving] brings
MISSING = [name for name in NEEDED if importlib.util.find_spec(name) is None]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"transformers serve needs {', '.join(MISSING)}"),
]

MODEL = str(paths.CAPTIONER)
PICTURES = held_out_pictures(8, seed=11)
IMAGES = [image for _, image in PICTURES]
SERVE = "from transformers.cli.transformers import main; main()"
READY_S = 240  # importing transformers on a busy machine


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = tmp_path_factory.mktemp("hugging-face")
    (home / "hub").mkdir()  # without it the server's list of models fails
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-c", SERVE, "serve", MODEL, "--device", "cpu", "--dtype", "float32"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(home), "OMP_NUM_THREADS": "1"}
    log = home / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, cwd=home, stdout=output, stderr=output)
        try:
            _wait_until_ready(process, f"http://127.0.0.1:{port}/health", log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()[-2000:]
        try:
            if httpx.get(address, trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    raise AssertionError(f"not ready within {READY_S} s: {log.read_text()[-2000:]}")


def endpoint(url: str, **settings: object) -> ChatEndpoint:
    return ChatEndpoint(url, **{"model": MODEL, "max_tokens": 128, **settings})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def here() -> list[Caption | ModelFailure]:
    return Captioner.load(MODEL, device="cpu", dtype="float32").caption(IMAGES)


@pytest.mark.parametrize("image_format", ["png", "jpg"])
def test_captions_are_those_of_the_same_model_here(
    url: str, here: list[Caption | ModelFailure], image_format: str
) -> None:
    there = EndpointCaptioner(endpoint(url, image_format=image_format)).caption(IMAGES)
    assert there == here
    right = [parse(caption.text) == facts(scene) for (scene, _), caption in zip(PICTURES, there, strict=True)]  # type: ignore[union-attr]
    assert sum(right) >= 6


def test_captions_cut_at_the_limit_are_too(url: str) -> None:
    here = Captioner.load(MODEL, device="cpu", dtype="float32", max_new_tokens=5).caption(IMAGES[:3])
    there = EndpointCaptioner(endpoint(url, max_tokens=5)).caption(IMAGES[:3])
    assert there == here
    assert all(isinstance(caption, Caption) and caption.truncated and caption.tokens == 5 for caption in there)


def test_a_question_that_breaks_the_server_fails_alone(url: str) -> None:
    client = endpoint(url, concurrency=2)
    expected = client.ask([Question(RECAP_PROMPT, IMAGES[0])])
    broken = Question("<image> and <image>", IMAGES[0])  # more image tokens than pictures
    results = client.ask([Question(RECAP_PROMPT, IMAGES[0]), broken, Question(RECAP_PROMPT, IMAGES[0])] * 2)
    assert [results[number] for number in (0, 2, 3, 5)] == expected * 4
    assert all(isinstance(answer, Answer) for answer in expected)
    assert [failure(results[number]).reason for number in (1, 4)] == [Reason.HTTP_5XX] * 2


def test_a_judge_that_describes_gives_no_rating(url: str) -> None:
    judge = EndpointJudge(endpoint(url, flag="--judge_endpoint"))
    results = judge.judge(IMAGES[:2], ["Rating: 5", "A red circle."])
    assert [failure(result).reason for result in results] == [Reason.BAD_RESPONSE] * 2


def test_a_wrong_model_and_a_wrong_url_are_found(url: str) -> None:
    with pytest.raises(ValueError, match=r"HTTP 400: Server is pinned to .*; check the model's name"):
        endpoint(url, model="no/such-model").check()
    with pytest.raises(ValueError, match=r"HTTP 404: Not Found.*ends in /v1"):
        endpoint(url.removesuffix("/v1")).check()
