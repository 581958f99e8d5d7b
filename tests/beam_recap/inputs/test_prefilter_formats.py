"""The prefilter in shards of every kind: the same rows give the same rejections."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.shards import jpeg, write_parquet, write_table, write_tar

from beam_recap import files
from beam_recap.inputs import parquet_rows, prefilter_rows
from beam_recap.inputs.parquet_rows import read_parquet_rows
from beam_recap.inputs.prefilter_rows import Prefilter
from beam_recap.inputs.tar_rows import read_tar_rows
from beam_recap.inputs.text_rows import read_text_rows
from beam_recap.inputs.units import Shard, plan_units
from beam_recap.prefilter import prefilter
from beam_recap.records import Outcome, Reason, Rejection, Stage

ROWS = {
    "uid": [f"u{n}" for n in range(12)],
    "url": [f"http://host/{n}.jpg" for n in range(12)],
    "text": [
        "A red bicycle leaning against a wall",
        "Ein rotes Fahrrad lehnt an einer Mauer",
        "two words",
        "a b c",
        None,
        " \t",
        "A black cat, asleep \"on\" the sofa",
        "Two dogs\nplaying in the snow",
        "Un vélo rouge contre un mur",
        "The view from our hotel room",
        "The view from our hotel room at night",
        " Old map of London from 1850 ",
    ],
    "original_width": [640, 640, 640, 640, 640, 640, 199, 1000, 640, None, 0, 640],
    "original_height": [480, 480, 480, 480, 480, 480, 480, 300, 480, 480, 480, 213.0],
    "similarity": [0.31, 0.3, 0.2811, 1e-7, None, float("nan"), -1.0, 0.30000000000000004, 2.0, 0.3001, 0.5, 0.4],
    "NSFW": ["UNLIKELY", "NSFW", "UNSURE", None, "", "UNLIKELY", " UNLIKELY", "x" * 99, "UNLIKELY", "a,b", "ü",
             "UNLIKELY"],
    "score": ["1", "5.0", "-3", "many", "", "1e3", " 4 ", "nan", "1_0", "0x5", "５", "7"],
    "language": ["en"] * 6 + ["de"] * 6,
}  # fmt: skip
TEXTS = ["csv", "tsv", "json", "jsonl", "csv.gz", "json.gz"]


def write(folder: Path, kind: str, rows: dict[str, list[Any]]) -> Path:
    path = folder / f"rows.{kind}"
    if kind == "parquet":
        return write_parquet(path, rows, 5)
    if kind == "tar":
        names = [name for name in rows if name != "text"]
        samples = []
        for number, values in enumerate(zip(*(rows[name] for name in names), strict=True)):
            members = {"jpg": jpeg(), "json": json.dumps(dict(zip(names, values, strict=True))).encode()}
            if rows["text"][number] is not None:
                members["txt"] = rows["text"][number].encode()
            samples.append({"__key__": f"{number:05d}", **members})
        return write_tar(path, samples)
    return write_table(path, rows)


def read(path: Path, conditions: str, unit_rows: int = 4, done: frozenset[int] = frozenset()) -> list[Outcome]:
    chosen: dict[str, Any] = {"url_column": None, "caption_column": None, "prefilter": Prefilter(prefilter(conditions))}
    outcomes: list[Outcome] = []
    for unit in plan_units(Shard(str(path), 0), unit_rows):
        if unit.format == "tar":
            outcomes += read_tar_rows(unit, max_bytes=2**20, done=done, **chosen)
        elif unit.format == "parquet":
            outcomes += read_parquet_rows(unit, done=done, **chosen)
        else:
            outcomes += read_text_rows(unit, done=done, **chosen)
    return outcomes


def told(outcomes: list[Outcome]) -> list[tuple[Any, ...]]:
    """For each row what its source says, and why it is out if it is."""
    rows = []
    for outcome in outcomes:
        is_out = isinstance(outcome, Rejection)
        sample = outcome.sample if isinstance(outcome, Rejection) else outcome
        why = (outcome.stage, outcome.reason, outcome.detail) if isinstance(outcome, Rejection) else None
        assert sample.image_bytes is None or not is_out
        rows.append((sample.uid, sample.url, sample.caption, sample.source_width, sample.nsfw, sample.source_row, why))
    return rows


@pytest.mark.parametrize(
    ("conditions", "kept"),
    [
        ("similarity>0.3", [0, 7, 8, 9, 10, 11]),
        ("similarity>=0.3", [0, 1, 7, 8, 9, 10, 11]),
        ("similarity<0.3", [2, 3, 6]),
        ("similarity<=0.3", [1, 2, 3, 6]),
        ("similarity==0.3", [1]),
        ("similarity!=0.3", [0, 2, 3, 6, 7, 8, 9, 10, 11]),
        ("NSFW==UNLIKELY", [0, 5, 6, 8, 11]),
        ("NSFW!=UNLIKELY", [1, 2, 7, 9, 10]),
        ("NSFW=='a,b'", [9]),
        ("score>0.5", [0, 1, 5, 6, 11]),
        ("score=='5.0'", [1]),
        ("caption_words>2", [0, 1, 3, 6, 7, 8, 9, 10, 11]),
        ("caption_chars>5", [0, 1, 2, 6, 7, 8, 9, 10, 11]),
        ("min_side>=200", [0, 1, 2, 3, 4, 5, 7, 8, 11]),
        ("max_side<=640", [0, 1, 2, 3, 4, 5, 6, 8, 10, 11]),
        ("aspect_ratio<=3", [0, 1, 2, 3, 4, 5, 6, 8]),
        ("language==en", [0, 2, 3, 6, 7, 9, 10, 11]),
        ("column:language==en", [0, 1, 2, 3, 4, 5]),
        ("basic", [0]),
        ("similarity>0.3,NSFW!=NSFW,caption_words>2,language==en", [0, 7, 9, 10, 11]),
        ("none", list(range(12))),
    ],
)
def test_every_format_gives_the_same_rejections(tmp_path: Path, conditions: str, kept: list[int]) -> None:
    expected = told(read(write(tmp_path, "parquet", ROWS), conditions))
    assert [row[5] for row in expected if row[-1] is None] == kept
    for uid, url, _, _, _, source_row, why in expected:
        assert (uid, url) == (f"u{source_row}", f"http://host/{source_row}.jpg")
        assert why is None or why[:2] == (Stage.READ, Reason.PREFILTERED)
    for kind in [*TEXTS, "tar"]:
        assert (kind, told(read(write(tmp_path, kind, ROWS), conditions))) == (kind, expected)


KINDS = ["parquet", *TEXTS, "tar"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_only_its_row_tells_is_missing(tmp_path: Path, kind: str) -> None:
    rows = {name: ROWS[name] for name in ("uid", "url", "text")}
    outcomes = read(write(tmp_path, kind, rows), "similarity>0.3,min_side>=200")
    assert {(row.reason, row.detail) for row in outcomes if isinstance(row, Rejection)} == {
        (Reason.PREFILTERED, "similarity is missing")
    }
    assert len(outcomes) == 12 and all(isinstance(row, Rejection) for row in outcomes)
    assert told(read(write(tmp_path, kind, rows), "min_side>=200"))[0][-1][2] == "min_side is missing"


def test_a_list_of_urls_says_nothing_but_urls(tmp_path: Path) -> None:
    path = write_table(tmp_path / "urls.txt", {"url": ["http://host/a", "http://host/b"]})
    (kept,) = [row for row in read(path, "url!=http://host/b") if not isinstance(row, Rejection)]
    assert kept.url == "http://host/a"
    assert [row[-1][2] for row in told(read(path, "caption_words>2"))] == ["caption_words is missing"] * 2


@pytest.mark.parametrize("kind", KINDS)
def test_rows_with_an_outcome_are_not_judged_again(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(prefilter_rows, "detect_language", lambda text: asked.append(text) or "de")
    path = write(tmp_path, kind, {**ROWS, "text": [f"caption {n}" for n in range(12)]})
    outcomes = read(path, "language==en", unit_rows=12, done=frozenset({0, 1, 5, 9}))
    # The indexes are those of a unit, and the Parquet file's row groups are three units.
    assert len(asked) == len(outcomes) == (3 + 3 + 0 if kind == "parquet" else 8)
    assert {row.sample.index for row in outcomes if isinstance(row, Rejection)}.isdisjoint({0, 1, 5, 9})


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_that_cannot_be_used_keeps_its_own_reason(tmp_path: Path, kind: str) -> None:
    rows = {"url": ["http://host/a", None], "text": ["a", "b"], "similarity": [0.1, 0.1]}
    outcomes = read(write(tmp_path, kind, rows), "similarity>0.3")
    expected = [Reason.PREFILTERED, Reason.PREFILTERED if kind == "tar" else Reason.MISSING_URL]
    assert [row.reason for row in outcomes if isinstance(row, Rejection)] == expected


def test_a_tars_broken_samples_keep_their_own_reason(tmp_path: Path) -> None:
    facts = json.dumps({"similarity": 0.1}).encode()
    samples = [
        {"__key__": "a", "json": facts, "jpg": jpeg()},
        {"__key__": "b", "json": facts, "txt": b"no picture"},
        {"__key__": "c", "json": b"{", "jpg": jpeg()},
        {"__key__": "d", "json": b"[1]", "jpg": jpeg()},
        {"__key__": "e", "jpg": jpeg()},
    ]
    outcomes = read(write_tar(tmp_path / "a.tar", samples), "similarity>0.3")
    assert [row.reason for row in outcomes if isinstance(row, Rejection)] == [
        *(Reason.PREFILTERED, Reason.MISSING_IMAGE, Reason.CORRUPT_SHARD, Reason.PREFILTERED, Reason.PREFILTERED)
    ]


def test_images_of_other_samples_stay_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = [
        {"__key__": f"{n:03d}", "jpg": bytes(100_000), "json": json.dumps({"similarity": n / 10}).encode()}
        for n in range(10)
    ]
    path = write_tar(tmp_path / "a.tar", samples)
    with counting(monkeypatch) as counted:
        outcomes = read(path, "similarity>0.75")
    assert [isinstance(row, Rejection) for row in outcomes] == [True] * 8 + [False] * 2
    assert 200_000 < sum(counted) < 300_000


def test_only_needed_columns_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = [f"{n:032x}" * 30 for n in range(3000)]
    columns = {"url": [f"http://host/{n}" for n in range(3000)], "unused": noise, "similarity": [0.5] * 3000}
    path = write_parquet(tmp_path / "a.parquet", columns, compression="none", use_dictionary=False)
    with counting(monkeypatch) as counted:
        assert len(read(path, "similarity>0.3", unit_rows=3000)) == 3000
    assert sum(counted) < path.stat().st_size / 10


def test_what_only_the_prefilter_needs_never_becomes_python_objects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[set[str]] = []
    made = parquet_rows.sample_from

    def sample_from(row: dict[str, Any], *rest: Any, **place: Any) -> Any:
        seen.append(set(row))
        return made(row, *rest, **place)

    monkeypatch.setattr(parquet_rows, "sample_from", sample_from)
    read(write(tmp_path, "parquet", ROWS), "similarity>0.3,column:language==en")
    assert seen == [{"uid", "url", "text", "original_width", "original_height", "NSFW"}] * 12


def test_columns_of_one_name(tmp_path: Path) -> None:
    arrays = [pa.array(["http://host/a"]), pa.array([0.1]), pa.array([0.5])]
    table = pa.Table.from_arrays(arrays, names=["url", "similarity", "similarity"])
    pq.write_table(table, tmp_path / "twice.parquet")
    assert [row[-1] for row in told(read(tmp_path / "twice.parquet", "similarity>0.3"))] == [None]  # the last counts
    (tmp_path / "twice.csv").write_bytes(b"url,similarity,similarity\nhttp://host/a,0.5,0.1\n")
    assert [row[-1] for row in told(read(tmp_path / "twice.csv", "similarity>0.3"))] == [None]  # the first counts


@contextlib.contextmanager
def counting(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many bytes each reading of a shard gave."""
    counted: list[int] = []
    opened = files.open_read

    class Counted:
        def __init__(self, file: IO[bytes]):
            self._file = file

        def read(self, *size: int) -> bytes:
            data = self._file.read(*size)
            counted.append(len(data))
            return data

        def __getattr__(self, name: str) -> Any:
            return getattr(self._file, name)

    @contextlib.contextmanager
    def open_read(path: str) -> Iterator[Any]:
        with opened(path) as file:
            yield Counted(file)

    with monkeypatch.context() as patch:
        patch.setattr(files, "open_read", open_read)
        yield counted
