from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
from support.gcs_server import GcsServer
from support.stored_model import MODEL, contents, entries, put, refusal

from beam_recap import model_files, remote_transfer
from beam_recap.fingerprints import fingerprint
from beam_recap.model_files import ModelFilesError, cache_folder, local_copy, pinned, unpinned


def test_a_local_path_is_given_back() -> None:
    assert local_copy("some/folder", "captioner") == Path("some/folder")


def test_a_folder_is_copied_once(gcs: GcsServer) -> None:
    path = put(gcs)
    copy = local_copy(path, "captioner")
    assert copy.name == "llava" and contents(copy) == MODEL
    assert local_copy(f"{path}/", "captioner") == copy
    assert {name: gcs.sent[f"{path}/{name}"] for name in MODEL} == {name: len(data) for name, data in MODEL.items()}


def test_a_file_is_copied_by_itself(gcs: GcsServer, tmp_path: Path) -> None:
    put(gcs)
    copy = local_copy("gs://b/models/llava/model.safetensors", "aesthetic_weights")
    assert copy.name == "model.safetensors" and copy.read_bytes() == MODEL["model.safetensors"]
    assert contents(copy.parent).keys() == {"model.safetensors"}
    # Asked for by name, a kind that is left out of folders is not.
    gcs.put("gs://b/head.pth", b"weights")
    assert local_copy("gs://b/head.pth", "aesthetic_weights").read_bytes() == b"weights"
    with pytest.raises(
        ModelFilesError, match=r"--aesthetic_weights=gs://b/head.pth: is 7 bytes large, more than the 6"
    ):
        local_copy("gs://b/head.pth", "aesthetic_weights", max_bytes=6)


def test_large_files_come_in_parts(gcs: GcsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_transfer, "_PART_BYTES", 32 << 20)
    data = os.urandom(1 << 20) * 70 + b"the end"
    gcs.put("gs://b/m/model.safetensors", data)
    assert contents(local_copy("gs://b/m", "captioner")) == {"model.safetensors": data}
    assert gcs.requests["download gs://b/m/model.safetensors"] >= 3
    # Beam's reader asks for a byte more than it is asked for.
    assert gcs.sent["gs://b/m/model.safetensors"] - len(data) < 100


def test_other_weights_are_another_copy(gcs: GcsServer, tmp_path: Path) -> None:
    first = local_copy(put(gcs), "captioner")
    other = {**MODEL, "model.safetensors": MODEL["model.safetensors"][::-1]}
    second = local_copy(put(gcs, other), "captioner")
    assert contents(first) == MODEL and contents(second) == other
    third = local_copy(put(gcs, folder="gs://b/elsewhere"), "captioner")
    assert len({first, second, third}) == 3 == len(entries(tmp_path))


def test_what_no_loader_reads_is_left_out_and_named(gcs: GcsServer, caplog: pytest.LogCaptureFixture) -> None:
    unread = ["pytorch_model.bin", "original/consolidated.00.pth", "consolidated.safetensors", "ckpt/model.safetensors"]
    path = put(gcs, {**MODEL, **dict.fromkeys(unread, b"x"), "README.md": b"", "tokenizer.model": b""})
    with caplog.at_level(logging.INFO, "beam_recap"):
        copy = local_copy(path, "captioner")
    assert contents(copy).keys() == {*MODEL, "README.md", "tokenizer.model"}
    assert "4 files, 4 bytes (ckpt/model.safetensors, consolidated.safetensors, original/cons" in caplog.text
    assert not any(gcs.requests[f"download {path}/{name}"] for name in unread)


def test_the_weights_that_a_loader_prefers(gcs: GcsServer) -> None:
    names = ["open_clip_model.safetensors", "model.safetensors", "open_clip_config.json"]
    path = put(gcs, dict.fromkeys(names, b"x"))
    order = ("absent.safetensors", *names[:2])
    assert contents(local_copy(path, "clip_model", first_of=order)).keys() == {names[0], names[2]}
    assert contents(local_copy(path, "clip_model", first_of=order[:1])).keys() == {*names}


def test_only_pickled_weights(gcs: GcsServer) -> None:
    assert refusal(put(gcs, {"pytorch_model.bin": b"x"})).startswith("holds only weights in forms that are not read")


def test_a_pinned_path_means_the_files_of_its_time(gcs: GcsServer) -> None:
    path = put(gcs)
    now = pinned(path, fingerprint(path))
    assert unpinned(now) == path and local_copy(now, "captioner") == local_copy(path, "captioner")
    gcs.put(f"{path}/config.json", b"{ }")
    with pytest.raises(ModelFilesError) as caught:
        local_copy(now, "captioner")
    assert str(caught.value) == f"--captioner={path}: has changed since the run began; start the run again"
    assert pinned("/a/b", "0123") == "/a/b" == unpinned("/a/b")


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "a//b", "a\\b", "./a"])
def test_names_that_lead_out_of_the_copy(gcs: GcsServer, tmp_path: Path, name: str) -> None:
    path = put(gcs, {**MODEL, name: b"x"})
    assert refusal(path).startswith("holds a name that cannot be a local file's (")
    assert not list(tmp_path.rglob("*evil*")) and entries(tmp_path) == []


def test_copies_go_where_they_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(model_files.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("BEAM_RECAP_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
    monkeypatch.setenv("BEAM_RECAP_CACHE", str(tmp_path / "file" / "x"))
    with pytest.raises(
        OSError, match=r"^cannot be copied to .*/file/x \(Not a directory\); set BEAM_RECAP_CACHE to an"
    ):
        cache_folder()
    monkeypatch.delenv("BEAM_RECAP_CACHE")
    assert cache_folder() == tmp_path / "home" / ".cache" / "beam-recap"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "beam-recap"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file" / "x"))
    fallback = tmp_path / f"beam-recap-{os.getuid()}"
    assert cache_folder() == fallback and fallback.stat().st_mode & 0o777 == 0o700
    fallback.chmod(0o777)
    with pytest.raises(OSError, match="others can write there"):
        cache_folder()
    fallback.rename(tmp_path / "moved")
    fallback.symlink_to(tmp_path / "moved")
    with pytest.raises(OSError, match="another user's"):
        cache_folder()
