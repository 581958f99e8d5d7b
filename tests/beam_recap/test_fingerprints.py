from __future__ import annotations

from pathlib import Path

from beam_recap.fingerprints import fingerprint


def test_a_file_is_known_by_its_content(tmp_path: Path) -> None:
    first, same, other = (tmp_path / name for name in ("a.pth", "b.pth", "c.pth"))
    first.write_bytes(b"weights")
    same.write_bytes(b"weights")
    other.write_bytes(b"weights!")
    assert fingerprint(first) == fingerprint(str(same)) != fingerprint(other)


def test_a_folder_is_known_by_its_files(tmp_path: Path) -> None:
    seen = set()
    for names in (["a"], ["b"], ["a", "b"], ["a", "sub/b"]):
        folder = tmp_path / "-".join(names).replace("/", "_")
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(b"x" * 200_000)
        seen.add(fingerprint(folder))
    assert len(seen) == 4


def test_what_is_not_there_has_none(tmp_path: Path) -> None:
    assert fingerprint(tmp_path / "none") is None
    assert fingerprint("owner/model@0123") is None
