"""An independent check: the job over the emulator that others have written, which knows nothing of this project."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from apache_beam.internal.gcp import auth
from gcp_storage_emulator.server import create_server
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
from support.gcs_job import BUCKET, OUTPUT, ROWS, flags, is_final, serve_pictures, write_input
from support.recap_runs import assert_accounts, final_bytes, run_here


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[storage.Client]:
    with contextlib.closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = create_server("127.0.0.1", port, in_memory=True, default_bucket=BUCKET.removeprefix("gs://"))
    for name, value in (
        ("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}"),
        ("HOME", str(tmp_path)),
        ("NO_GCE_CHECK", "true"),
        ("BEAM_RECAP_NO_GOOGLE_ACCOUNT", ""),
    ):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    # Without an account, which Beam would look for again and again.
    monkeypatch.setattr(auth._Credentials, "_credentials_init", True)
    monkeypatch.setattr(auth._Credentials, "_credentials", None)
    server.start()
    try:
        yield storage.Client(project="test", credentials=AnonymousCredentials())
    finally:
        server.stop()


def test_it_ends_as_on_local_files(client: storage.Client, tmp_path: Path) -> None:
    bucket = client.bucket(BUCKET.removeprefix("gs://"))
    with serve_pictures() as web:
        folder = write_input(tmp_path / "in", web)
        for path in filter(Path.is_file, folder.rglob("*")):
            bucket.blob(f"in/{path.relative_to(folder)}").upload_from_filename(str(path))
        assert run_here(*flags(folder, tmp_path / "out")) == 0
        assert run_here(*flags(f"{BUCKET}/in", OUTPUT)) == 0
        fetched = web.requests.copy()
        assert run_here(*flags(f"{BUCKET}/in", OUTPUT)) == 0
    assert_accounts(tmp_path / "out", ROWS)
    assert web.requests == fetched
    start = f"{OUTPUT.removeprefix(f'{BUCKET}/')}/"
    there = {blob.name.removeprefix(start): blob for blob in bucket.list_blobs(prefix=start)}
    assert {name: blob.download_as_bytes() for name, blob in there.items() if is_final(name)} == final_bytes(
        tmp_path / "out"
    )
    assert {"summary.json", "report.html", "_checkpoint/run.json"} <= set(there)
    assert not [name for name in there if ".tmp" in name]
