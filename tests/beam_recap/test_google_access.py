from __future__ import annotations

import logging
import os

import google.auth
import pytest
from apache_beam.internal.gcp import auth
from google.auth.exceptions import DefaultCredentialsError
from support.gcs_server import GcsServer

from beam_recap import files
from beam_recap.flag import ConfigError
from beam_recap.google_access import check_access, set_up

HERE = "/some/folder"
NO_ACCOUNT = "BEAM_RECAP_NO_GOOGLE_ACCOUNT"


@pytest.fixture
def buckets(gcs: GcsServer, monkeypatch: pytest.MonkeyPatch) -> GcsServer:
    monkeypatch.setenv(NO_ACCOUNT, "as it was")
    for name in ("open", "closed", "unknown"):
        gcs.put(f"gs://{name}/in/1.tar", b"a tar")
    gcs.refuse = {"gs://closed": 403, "gs://unknown": 401}
    return gcs


@pytest.fixture
def no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    def find() -> None:
        raise DefaultCredentialsError("Your default credentials were not found.")

    monkeypatch.setattr(google.auth, "default", find)
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)


def problem_of(**given: str) -> str:
    with pytest.raises(ConfigError) as raised:
        check_access(given)
    return str(raised.value)


def test_paths_on_disk_need_no_account(no_account: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(google.auth, "default", None)
    check_access({"input": HERE, "output": HERE, "caption_prompt": "What is gs://here?"})


def test_buckets_that_answer(buckets: GcsServer) -> None:
    check_access({"input": "/here, gs://open/in/*.tar,gs://open/in/1.tar", "output": "gs://open/out"})
    assert buckets.requests == {"list gs://open/in": 2}  # of a pattern and of a plain path; once of each bucket
    assert NO_ACCOUNT not in os.environ


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"input": "gs://none/in/*.tar"}, "--input=gs://none/in/*.tar: the bucket none does not exist"),
        ({"clip_model": "gs://none/clip"}, "--clip_model=gs://none/clip: the bucket none does not exist"),
        ({"input": "gs://open/in/*,gs://closed/in/*.tar"}, "--input=gs://closed/in/*.tar: no permission to list it"),
        ({"output": "gs://closed/out"}, "--output=gs://closed/out: no permission to list it (Forbidden: 403 test@"),
        ({"output": "gs://unknown/out"}, "--output=gs://unknown/out: no permission to list it (Unauthorized: 401"),
        ({"output": "gs://"}, "--output=gs://: names no bucket"),
        ({"output": "gs:///x"}, "--output=gs:///x: names no bucket"),
        ({"output": "gs://-x/y"}, "--output=gs://-x/y: cannot be read"),
    ],
)
def test_buckets_that_do_not(buckets: GcsServer, given: dict[str, str], words: str) -> None:
    told = problem_of(**given)
    assert told.startswith(words)
    assert "http://" not in told and "\n" not in told


def test_a_plain_path_may_be_read_where_nothing_may_be_listed(buckets: GcsServer) -> None:
    buckets.refuse = {"list gs://open/in": 403}
    check_access({"input": "gs://open/in/1.tar"})
    assert "no permission" in problem_of(input="gs://open/in/1.tar,gs://open/in/*.tar")


def test_a_fault_now_and_then_refuses_nothing(buckets: GcsServer) -> None:
    faults = [429, 503]
    buckets.fault = lambda request: faults.pop() if faults else 0
    check_access({"input": "gs://open/in/*.tar"})
    assert not faults


@pytest.mark.parametrize("url", [None, "http://127.0.0.1:1"], ids=["503", "nobody"])
def test_a_service_that_does_not_answer(buckets: GcsServer, url: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("beam_recap.google_access._PATIENCE_SECONDS", 1.0)
    if url is None:
        buckets.fault = lambda request: 503
    else:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)
    told = problem_of(input="gs://open/in/*.tar")
    assert "Google Cloud Storage does not answer (" in told
    assert "503" in told or "refused" in told


def test_an_account_that_is_no_more(buckets: GcsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/no/such/key.json")
    told = problem_of(input="gs://open/in/*.tar")
    assert "account that is set up cannot be used" in told and "/no/such/key.json" in told


def test_an_account_that_google_refuses(buckets: GcsServer) -> None:
    buckets.refuse_tokens = True
    told = problem_of(input="gs://open/in/*.tar")
    assert "account that is set up cannot be used (" in told and "gcloud auth application-default login" in told


def test_without_an_account_nothing_is_written(
    buckets: GcsServer, no_account: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STORAGE_EMULATOR_HOST")
    told = problem_of(input="gs://open/in/*.tar", output="gs://open/out")
    assert told.startswith("--output=gs://open/out: needs a Google account that may write there")
    assert "gcloud auth application-default login" in told and "GOOGLE_APPLICATION_CREDENTIALS" in told
    assert not buckets.requests


def test_without_an_account_public_buckets_are_read(
    buckets: GcsServer, no_account: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    looked_up: list[str] = []
    monkeypatch.setattr(auth._Credentials, "_get_credentials_with_retrys", lambda options: looked_up.append("again"))
    with caplog.at_level(logging.INFO):
        check_access({"input": "gs://open/in/*.tar", "output": "gs://open/out"})  # an emulator takes it
    assert files.match("gs://open/in/*.tar") == ["gs://open/in/1.tar"]
    assert not looked_up and not caplog.records
    assert os.environ[NO_ACCOUNT] == ""


@pytest.mark.parametrize(("told", "follows"), [("", True), ("/another/key.json", False), (None, False)])
def test_children_do_as_their_parent(
    buckets: GcsServer, no_account: None, monkeypatch: pytest.MonkeyPatch, told: str | None, follows: bool
) -> None:
    monkeypatch.delenv(NO_ACCOUNT)
    if told is not None:
        monkeypatch.setenv(NO_ACCOUNT, told)
    set_up()
    assert auth._Credentials._credentials_init == follows
