from __future__ import annotations

from pathlib import Path

import pytest
from apache_beam.io.filesystems import FileSystems

from beam_recap import files


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("parts", "path"),
    [
        (("a", "b", "c.txt"), "a/b/c.txt"),
        (("a/", "b"), "a/b"),
        (("gs://bucket/x/", "b"), "gs://bucket/x/b"),
        (("/", "b"), "/b"),
    ],
)
def test_join(parts: tuple[str, ...], path: str) -> None:
    assert files.join(*parts) == path


def test_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert files.absolute("x/../*.tar") == f"{tmp_path}/*.tar"
    assert files.absolute("gs://b/*.tar") == "gs://b/*.tar"


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "x.bin"
    with files.write_whole(str(path)) as file:
        file.write(b"half ")
        assert not path.exists()
        assert files.match(f"{path.parent}/*") == []
        file.write(b"whole")
    assert path.read_bytes() == b"half whole"
    assert names(tmp_path) == ["new/folder/x.bin"]


@pytest.mark.parametrize("error", [ValueError("broke"), KeyboardInterrupt()])
@pytest.mark.parametrize("existed", [False, True])
def test_an_error_leaves_what_was_there(tmp_path: Path, error: BaseException, existed: bool) -> None:
    path = tmp_path / "x.bin"
    if existed:
        path.write_bytes(b"old")
    with pytest.raises(type(error)), files.write_whole(str(path)) as file:
        file.write(b"new")
        raise error
    assert names(tmp_path) == (["x.bin"] if existed else [])
    assert not existed or path.read_bytes() == b"old"


def test_a_rename_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(sources: list[str], destinations: list[str]) -> None:
        raise OSError("disk is full")

    monkeypatch.setattr(FileSystems, "rename", refuse)
    with pytest.raises(OSError, match="disk is full"):
        files.write_bytes(str(tmp_path / "x.bin"), b"new")
    assert names(tmp_path) == []


def test_writing_again_replaces(tmp_path: Path) -> None:
    for data in (b"one", b"two"):
        files.write_bytes(str(tmp_path / "x"), data)
    assert files.read_bytes(str(tmp_path / "x")) == b"two"
    assert names(tmp_path) == ["x"]


def test_a_name_without_a_folder_is_in_this_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    files.write_bytes("x.bin", b"data")
    assert names(tmp_path) == ["x.bin"]


@pytest.mark.parametrize("name", ["a.gz", "a.bz2", "a.zst"])
def test_nothing_is_decompressed(tmp_path: Path, name: str) -> None:
    files.write_bytes(str(tmp_path / name), b"as it is")
    assert (tmp_path / name).read_bytes() == b"as it is"
    with files.open_read(str(tmp_path / name)) as file:
        assert file.seekable()
        file.seek(3)
        assert file.read() == b"it is"


def test_existence_and_deletion(tmp_path: Path) -> None:
    for name in ("a", "folder/b", "folder/c"):
        files.write_bytes(str(tmp_path / name), b"")
    assert files.exists(str(tmp_path / "a")) and not files.exists(str(tmp_path / "z"))
    files.delete([str(tmp_path / "a"), str(tmp_path / "z"), str(tmp_path / "folder")])
    assert list(tmp_path.iterdir()) == []


def test_deletion_takes_names_literally(tmp_path: Path) -> None:
    for name in ("run1/a", "run[1]/a", "run[1]/b"):
        files.write_bytes(str(tmp_path / name), b"")
    files.delete([str(tmp_path / "run[1]" / "a"), f"{tmp_path}/*"])
    assert names(tmp_path) == ["run1/a", "run[1]/b"]
    files.delete([f"{tmp_path}/run[1]/"])
    assert names(tmp_path) == ["run1/a"]


@pytest.mark.parametrize("name", ["run[1]", "a*b"])
def test_an_error_leaves_nothing_in_an_oddly_named_directory(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="broke"), files.write_whole(str(tmp_path / name / "x")):
        raise ValueError("broke")
    assert names(tmp_path) == []


def test_matches_are_finished_files_sorted(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", ".tmp-1-c.txt", "sub/.tmp-1-d.txt", "sub/e.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert files.match(f"{tmp_path}/*.txt") == [f"{tmp_path}/a.txt", f"{tmp_path}/b.txt"]
    assert files.match(f"{tmp_path}/.tmp*") == []
    assert files.match(f"{tmp_path}/**/*.txt") == [f"{tmp_path}/{name}" for name in ("a.txt", "b.txt", "sub/e.txt")]
    assert files.match(f"{tmp_path}/sub") == []


@pytest.mark.parametrize("name", ["plain", "run[1]", "a*b"])
def test_matching_below_a_directory_takes_its_name_literally(tmp_path: Path, name: str) -> None:
    for folder in (name, "run1", "axb"):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "x.txt").touch()
    assert files.match_in(str(tmp_path / name), "*.txt") == [f"{tmp_path}/{name}/x.txt"]


@pytest.mark.parametrize(
    ("made", "holds"), [([], False), (["a/"], False), (["a/.tmp-1-x"], False), (["a/b/x"], True), ([".hidden"], True)]
)
def test_whether_a_directory_holds_files(tmp_path: Path, made: list[str], holds: bool) -> None:
    for name in made:
        path = tmp_path / name
        (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if not name.endswith("/"):
            path.touch()
    assert files.holds_files(str(tmp_path)) is holds
    assert files.holds_files(str(tmp_path / "nowhere")) is False
