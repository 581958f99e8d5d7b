"""The whole job with input and output at ``gs://``: it ends as on local files, through faults and kills alike."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from apache_beam.io.filesystems import FileSystems
from support.gcs_faults import AtOnce, NowAndThen
from support.gcs_job import (
    BUCKET,
    NO_MODELS,
    OUTPUT,
    ROWS,
    files_beneath,
    final_files,
    flags,
    serve_pictures,
    unfinished,
    write_input,
)
from support.gcs_server import GcsServer
from support.recap_runs import ROOT, assert_accounts, final_bytes, run_here
from support.web_server import WebServer

PLACE = f"{BUCKET}/in put/x"
OUTCOMES = f"{OUTPUT}/_checkpoint/outcomes/"


class Job(NamedTuple):
    """Input on disk, the web of its URLs, and the final files of a quiet run over it."""

    folder: Path
    web: WebServer
    expected: dict[str, bytes]


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Job]:
    folder = tmp_path_factory.mktemp("job")
    with serve_pictures() as web:
        write_input(folder / "in", web)
        assert run_here(*flags(folder / "in", folder / "out")) == 0
        assert_accounts(folder / "out", ROWS)
        expected = final_bytes(folder / "out")
        assert len(expected) == 6
        yield Job(folder / "in", web, expected)


@pytest.fixture
def stored(gcs: GcsServer, job: Job) -> GcsServer:
    """The job's input in a bucket."""
    gcs.put_folder(job.folder, PLACE)
    job.web.requests.clear()
    return gcs


def run_there(*more: str) -> int:
    return run_here(*flags(PLACE, OUTPUT), *more)


@contextlib.contextmanager
def running_there(*more: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "pipelines.recap", "--runner=DirectRunner", *flags(PLACE, OUTPUT), *more]
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", **environment}
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            yield process
        finally:
            process.kill()


def counted(gcs: GcsServer, start: str) -> int:
    """Requests so far that begin so."""
    return sum(count for request, count in gcs.requests.items() if request.startswith(start))


def assert_ended_well(gcs: GcsServer, job: Job) -> None:
    assert final_files(gcs) == job.expected
    assert not unfinished(gcs)


def test_it_ends_as_on_local_files_and_does_nothing_twice(
    stored: GcsServer, job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    before = dict(stored.objects)
    assert run_there() == 0
    assert_ended_well(stored, job)
    assert {"summary.json", "report.html", "README.md", "_checkpoint/run.json"} <= set(files_beneath(stored, OUTPUT))
    assert {path: stored.objects[path] for path in before} == before
    assert all(path.startswith((f"{PLACE}/", f"{OUTPUT}/")) for path in stored.objects)

    fetched, uploads = job.web.requests.copy(), counted(stored, f"upload {OUTCOMES}")
    assert fetched.total() == 24 and uploads > 0
    assert run_there() == 0
    assert job.web.requests == fetched
    assert counted(stored, f"upload {OUTCOMES}") == uploads
    assert_ended_well(stored, job)

    before = dict(stored.objects)
    capsys.readouterr()
    assert run_there("--image_size=512") == 2
    assert_one_sentence(capsys, f"--output={OUTPUT}", "--image_size was 1536, now 512")
    assert stored.objects == before


@pytest.mark.slow
def test_worker_processes_without_an_account(stored: GcsServer, job: Job, tmp_path: Path) -> None:
    """Neither the command nor its workers look for an account that is not there, again and again, with tracebacks."""
    stored.refuse_tokens = True
    alone = {"GOOGLE_APPLICATION_CREDENTIALS": "", "HOME": str(tmp_path), "NO_GCE_CHECK": "true"}
    with running_there("--direct_num_workers=2", "--direct_running_mode=multi_processing", **alone) as process:
        _, said = process.communicate(timeout=200)
    assert process.returncode == 0, said
    assert "Traceback" not in said and "credentials" not in said
    assert_ended_well(stored, job)


@pytest.mark.parametrize(("place", "number"), [("_checkpoint/outcomes/", 4), ("data/", 1)])
def test_a_run_that_is_killed_between_copy_and_deletion(stored: GcsServer, job: Job, place: str, number: int) -> None:
    with running_there() as process:
        stored.fault = moment = AtOnce(f"delete {OUTPUT}/{place}", "/.tmp-", process.kill, number)
        _, said = process.communicate(timeout=100)
    assert moment.done and process.returncode == -signal.SIGKILL, said
    stored.fault = lambda request: 0
    assert unfinished(stored)
    (listed,) = FileSystems.match([f"{OUTPUT}/data/*"])  # as others look
    assert all("/train-" in metadata.path for metadata in listed.metadata_list)
    fetched = job.web.requests.copy()
    assert run_there() == 0
    assert_ended_well(stored, job)
    # What had its name is done, though nobody was told so: four units, or all of them.
    again = {row for row, count in job.web.requests.items() if count > 1}
    assert again < set(fetched) if place != "data/" else not again


@pytest.mark.parametrize("name", ["rejected/part-00000", "summary.json"])
def test_an_error_between_copy_and_deletion(stored: GcsServer, job: Job, name: str) -> None:
    folder, _, start = name.rpartition("/")
    place = f"delete {OUTPUT}/{folder}/.tmp/".replace("//.tmp", "/.tmp")
    stored.fault = lambda request: 403 if request.startswith(place) and f"-{start}" in request else 0
    assert run_there() == 1
    assert unfinished(stored)
    stored.fault = lambda request: 0
    assert run_there() == 0
    assert_ended_well(stored, job)


@pytest.mark.usefixtures("quick_retries")
def test_faults_now_and_then(stored: GcsServer, job: Job) -> None:
    """503, 429, connections that break in the middle, and answers that do not arrive, of every kind of request."""
    stored.fault = faults = NowAndThen(share=0.1)
    assert run_there() == 0
    assert not faults.missing("list metadata download upload chunk batch copy delete")
    assert faults.met.total() > 30
    stored.fault = lambda request: 0
    assert_ended_well(stored, job)
    assert set(job.web.requests.values()) == {1}


def test_a_bucket_that_is_closed_to_writers(stored: GcsServer, capsys: pytest.CaptureFixture[str]) -> None:
    stored.fault = lambda request: 403 if request.startswith("upload") else 0
    assert run_there() == 2
    assert_one_sentence(capsys, f"--output={OUTPUT}", "403")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"input": "gs://no-such-bucket/in/*.tar"}, ["--input=gs://no-such-bucket/in/*.tar", "does not exist"]),
        ({"input": f"{BUCKET}/nothing/*.tar"}, [f"--input={BUCKET}/nothing/*.tar", "matches no file"]),
        ({"input": "gs://closed-bucket/in.tar"}, ["--input=gs://closed-bucket/in.tar", "403"]),
        ({"output": "gs://no-such-bucket/out"}, ["--output=gs://no-such-bucket/out", "does not exist"]),
        ({"output": "gs://closed-bucket/out"}, ["--output=gs://closed-bucket/out", "no permission"]),
    ],
)
def test_buckets_that_cannot_be_used(
    stored: GcsServer, capsys: pytest.CaptureFixture[str], given: dict[str, str], words: list[str]
) -> None:
    stored.put("gs://closed-bucket/in.tar", b"a tar")
    stored.refuse["gs://closed-bucket"] = 403
    before = dict(stored.objects)
    places = {"input": f"{PLACE}/urls-*.parquet", "output": OUTPUT, **given}
    started = time.monotonic()
    assert run_here(*(f"--{name}={place}" for name, place in places.items()), *NO_MODELS) == 2
    assert time.monotonic() - started < 20
    assert_one_sentence(capsys, *words)
    assert stored.objects == before


def test_no_account_at_all(tmp_path: Path) -> None:
    alone = {"HOME": str(tmp_path), "NO_GCE_CHECK": "true", "PATH": os.environ["PATH"]}
    command = [sys.executable, "-m", "pipelines.recap", "--runner=DirectRunner", f"--output={OUTPUT}"]
    done = subprocess.run(command, cwd=ROOT, env=alone, capture_output=True, text=True, timeout=100)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr and "Retry" not in done.stderr
    (sentence,) = done.stderr.strip().splitlines()
    assert f"--output={OUTPUT}: needs a Google account" in sentence and "gcloud auth application-default" in sentence


def assert_one_sentence(capsys: pytest.CaptureFixture[str], *words: str) -> None:
    said = capsys.readouterr().err
    assert "Traceback" not in said
    (sentence,) = [line for line in said.splitlines() if line.startswith("python -m pipelines.recap: ")]
    for word in words:
        assert word in sentence
