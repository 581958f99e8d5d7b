"""Copies of model files that others ask for too, or that do not come through."""

from __future__ import annotations

import dataclasses
import errno
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from apache_beam.io.gcp.gcsfilesystem import GCSFileSystem
from support.gcs_server import GcsServer
from support.stored_model import MODEL, contents, entries, put, refusal

from beam_recap import model_files
from beam_recap.model_files import ModelFilesError, local_copy

ROOT = Path(__file__).parents[2]

ASK = """
import sys, threading
from pathlib import Path
from beam_recap.model_files import local_copy
from beam_recap.remote_files import list_files
list_files("gs://b/none")
print("ready", flush=True)
sys.stdin.readline()
found = []
threads = [threading.Thread(target=lambda: found.append(local_copy(sys.argv[1], "captioner"))) for _ in range(3)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert len(found) == 3
print(*sorted(map(str, set(found))), flush=True)
"""


def ask(path: str) -> subprocess.Popen[str]:
    """A process that is ready to ask for a copy, in three threads, as soon as it gets a line."""
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", ASK, path], cwd=ROOT, stdin=pipe, stdout=pipe, text=True)


def test_nobody_waits_for_ever(gcs: GcsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(gcs)
    monkeypatch.setattr(model_files, "WAIT_S", 0.5)
    monkeypatch.setattr(model_files, "_POLL_S", 0.05)
    is_copying, may_go_on = threading.Event(), threading.Event()

    def stall(name: str) -> None:
        is_copying.set()
        may_go_on.wait(30)

    gcs.before_download = stall
    copying = threading.Thread(target=local_copy, args=(path, "captioner"))
    copying.start()
    assert is_copying.wait(30)
    with pytest.raises(
        ModelFilesError, match=r"^--captioner=gs://.*: another process has been copying it for 0 minutes"
    ):
        local_copy(path, "captioner")
    may_go_on.set()
    copying.join()
    assert local_copy(path, "captioner").is_dir()


def test_processes_and_threads_that_ask_at_once_copy_once(gcs: GcsServer, tmp_path: Path) -> None:
    path = put(gcs)
    gcs.before_download = lambda name: time.sleep(0.3)  # so that others find the copy under way
    processes = [ask(path) for _ in range(4)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    told = {process.communicate(timeout=60)[0] for process in processes}
    assert [process.returncode for process in processes] == [0] * 4
    (place,) = told
    assert contents(Path(place.strip())) == MODEL
    assert {name: gcs.requests[f"download {path}/{name}"] for name, data in MODEL.items() if data} == dict.fromkeys(
        (name for name, data in MODEL.items() if data), 1
    )
    assert len(entries(tmp_path)) == 1


def test_a_killed_copy_is_taken_for_nothing(gcs: GcsServer, tmp_path: Path) -> None:
    path = put(gcs)
    begun, go_on = threading.Event(), threading.Event()

    def hold(name: str) -> None:
        if name.endswith("model.safetensors") and not go_on.is_set():
            begun.set()
            go_on.wait(30)

    gcs.before_download = hold
    process = ask(path)
    process.stdin.write("\n")
    process.stdin.flush()
    assert begun.wait(60)
    process.kill()
    process.wait(10)
    go_on.set()
    (left,) = entries(tmp_path)
    assert left.startswith(".tmp-")
    assert contents(local_copy(path, "captioner")) == MODEL
    (entry,) = entries(tmp_path)
    assert left == f".tmp-{entry}"


@pytest.mark.parametrize("damage", [lambda file: os.truncate(file, 10), Path.unlink])
def test_a_copy_that_someone_damaged_is_made_anew(gcs: GcsServer, damage: Callable[[Path], None]) -> None:
    path = put(gcs)
    copy = local_copy(path, "captioner")
    damage(copy / "model.safetensors")
    assert local_copy(path, "captioner") == copy
    assert contents(copy) == MODEL


def test_a_change_is_seen_where_there_are_no_checksums(
    gcs: GcsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(gcs)
    monkeypatch.setattr(GCSFileSystem, "checksum", lambda self, path: None)
    changed = f"{path}/model.safetensors"

    def touch(asked: str) -> None:
        gcs.before_download = lambda asked: None
        gcs.objects[changed] = dataclasses.replace(gcs.objects[changed], updated=time.time() + 10)

    gcs.before_download = touch
    assert refusal(path) == "changed while it was copied; start again when it is complete"
    assert entries(tmp_path) == []
    assert contents(local_copy(path, "captioner")) == MODEL


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
@pytest.mark.parametrize("size", [1, 100_000, 300_000])
def test_a_file_that_changes_while_it_is_copied(gcs: GcsServer, tmp_path: Path, name: str, size: int) -> None:
    path = put(gcs)

    def change(asked: str) -> None:
        gcs.before_download = lambda asked: None
        gcs.put(f"{path}/{name}", b"y" * size)

    gcs.before_download = change
    assert refusal(path) == "changed while it was copied; start again when it is complete"
    assert entries(tmp_path) == []
    assert contents(local_copy(path, "captioner")) == {**MODEL, name: b"y" * size}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda data: data[:-1], "model.safetensors ends after 99999 of 100000 bytes"),
        (lambda data: b"", "model.safetensors ends after 0 of 100000 bytes"),
        (lambda data: b"?" + data[1:], "model.safetensors did not arrive as it is there (its crc32c differs)"),
        (lambda data: data + b"?", None),  # no more is read than was listed
    ],
)
def test_a_file_that_arrives_otherwise(
    gcs: GcsServer, tmp_path: Path, spoil: Callable[[bytes], bytes], message: str | None
) -> None:
    path = put(gcs)
    gcs.spoil[f"{path}/model.safetensors"] = spoil
    if message is None:
        assert contents(local_copy(path, "captioner")) == MODEL
    else:
        assert refusal(path) == message
        assert entries(tmp_path) == []


@pytest.mark.parametrize(
    ("path", "refused", "message"),
    [
        ("gs://b/models/none", {}, "^does not exist; give"),
        ("gs://none/llava", {}, r"^does not exist \(NotFound: 404 .*bucket"),
        ("gs://b/models/llava", {"gs://b": 403}, "^this account has no permission to read it"),
        ("gs://b/models/llava", {"gs://b/models/llava/config.json": 403}, "^this account has no permission"),
        ("gs://b/models/llava", {"download gs://b/models/llava/model.safetensors": 403}, "^this account has no perm"),
        ("gs://b/models/llava", {"download gs://b/models/llava/model.safetensors": 400}, "^cannot be read .*400"),
    ],
)
def test_what_cannot_be_read(gcs: GcsServer, tmp_path: Path, path: str, refused: dict[str, int], message: str) -> None:
    put(gcs)
    gcs.refuse = refused
    assert re.search(message, refusal(path))
    assert entries(tmp_path) == []


def test_no_room(gcs: GcsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(gcs)
    usage = shutil.disk_usage(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=100_004))
        folder = tmp_path / "cache" / "models"
        assert refusal(path) == (
            f"needs 100 kB in {folder}, where 100 kB are free; make room, or set BEAM_RECAP_CACHE to a folder on a "
            "larger disk"
        )
        assert not gcs.sent
        patch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=100_007))
        local_copy(path, "captioner")


@pytest.mark.parametrize(("code", "words"), [(errno.ENOSPC, "which is full now"), (errno.EACCES, "cannot be copied")])
def test_a_disk_that_refuses_on_the_way(
    gcs: GcsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, words: str
) -> None:
    path = put(gcs)
    opened = Path.open

    class Full:
        def __init__(self, file: object) -> None:
            self._file = file

        def __enter__(self) -> Full:
            return self

        def __exit__(self, *error: object) -> None:
            self._file.close()

        def seek(self, place: int) -> None:
            pass

        def write(self, data: bytes) -> int:
            raise OSError(code, os.strerror(code))

    def open_full(self: Path, mode: str = "r", *arguments: object, **named: object) -> object:
        file = opened(self, mode, *arguments, **named)
        return Full(file) if mode == "r+b" else file

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", open_full)
        said = refusal(path)
    assert words in said and "BEAM_RECAP_CACHE" in said
    assert entries(tmp_path) == []
    assert contents(local_copy(path, "captioner")) == MODEL
