from __future__ import annotations

import dataclasses
import io
import itertools
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from beam_recap import checkpoint
from beam_recap.records import Outcome, Reason, Rejection, Sample, Stage

UNIT = "/in/a.parquet[0:10]"


def sample(index: int = 0, unit: str = UNIT, **values: object) -> Sample:
    return Sample(unit=unit, index=index, uid=f"u{index}", key=f"{index:09d}", **values)  # type: ignore[arg-type]


def rejected(index: int = 0, reason: Reason = Reason.TIMEOUT, unit: str = UNIT, **values: object) -> Rejection:
    return sample(index, unit, **values).reject(Stage.FETCH, reason, "why")


def files_of(output: Path) -> list[Path]:
    return sorted((output / "_checkpoint" / "outcomes").rglob("*.parquet"))


FULL = sample(
    3,
    url="http://x/ä.jpg",
    caption="日本語 🎈\nline",
    source_row=2**62,
    source_id=-1,
    source_width=640,
    source_height=0,
    license="",
    nsfw="UNSURE",
    sha256="ab" * 32,
    width=1,
    height=2,
    image_format="WEBP",
    download_bytes=2**40,
    thumbnail=b"\xff\xd8\x00",
    picture="000001-0.pictures:0:2",
    clip_score=float(np.float32(0.3)),
    caption_lost=0.0,
    embedding=b"\x00<",
    expected_digest="0" * 64,
    http_status=200,
    exif="{}",
    aesthetic_score=0.0,
    ocr_has_text=True,
    ocr_text="",
    ocr_boxes=0,
    ocr_confidence=1.0,
    ocr_area=0.5,
    ocr_complete=False,
    recaption="A cat.",
    recaption_tokens=0,
    recaption_truncated=True,
    recaption_hinted=False,
    recaption_repetition=0.5,
    recaption_flags=("repetition", "truncated"),
    unseen_quotes=("sale", "50 %"),
    clip_logit_scale=99.5,
    caption_rating=3,
    recaption_rating=5,
    recaption_clip_score=-0.25,
    recaption_lost=0.125,
    more_clip_scores=(0.2, None),
    more_captions_lost=(0.0, 0.5),
    more_recaption_scores=(None, -1.0),
    more_recaptions_lost=(0.0, 0.0),
    more_logit_scales=(100.0, None),
    cluster=0,
    seconds=(0.25, None, None, 0.0, 1.5),
)


@pytest.mark.parametrize(
    "outcome",
    [
        FULL,
        sample(3),
        dataclasses.replace(FULL, thumbnail=b"").reject(Stage.OCR, Reason.HAS_TEXT, "SALE"),
        rejected(3),
        sample(3).reject(Stage.READ, Reason.CORRUPT_SHARD),
    ],
    ids=["full", "bare", "rejected late", "rejected early", "no detail"],
)
def test_an_outcome_is_read_back_as_it_was(tmp_path: Path, outcome: Outcome) -> None:
    checkpoint.write_outcomes(str(tmp_path), 1, [outcome])
    (back,) = checkpoint.read_outcomes(str(tmp_path), UNIT)
    assert back == outcome
    assert type(back) is type(outcome)


def test_the_full_outcome_of_these_tests_fills_every_field_that_is_written() -> None:
    empty = {field.name for field in dataclasses.fields(Sample) if getattr(FULL, field.name) is None}
    assert empty == {"image", "image_bytes", "image_embedding"}


def test_pixels_and_embeddings_are_not_written(tmp_path: Path) -> None:
    heavy = dataclasses.replace(FULL, image=np.zeros((2, 2, 3), np.uint8), image_embedding=np.zeros(4, np.float32))
    (path,) = checkpoint.write_outcomes(str(tmp_path), 1, [heavy])
    names = pq.read_schema(path).names
    assert not {"image", "image_bytes", "image_embedding"} & set(names)
    assert checkpoint.read_outcomes(str(tmp_path), UNIT) == [FULL]


def test_numbers_of_numpy_become_plain_ones(tmp_path: Path) -> None:
    checkpoint.write_outcomes(
        str(tmp_path), 1, [sample(clip_score=np.float32(0.5), width=np.int64(3), ocr_has_text=np.bool_(True))]
    )
    (back,) = checkpoint.read_outcomes(str(tmp_path), UNIT)
    assert back == sample(clip_score=0.5, width=3, ocr_has_text=True)


def test_each_unit_has_files_of_its_own_and_rows_come_in_order(tmp_path: Path) -> None:
    outcomes: list[Outcome] = [sample(5), rejected(2), sample(0, "other"), sample(3), sample(1, "other")]
    paths = checkpoint.write_outcomes(str(tmp_path), 1, iter(outcomes))
    assert [Path(path) for path in sorted(paths)] == files_of(tmp_path)
    assert len(paths) == 2
    assert checkpoint.read_outcomes(str(tmp_path), UNIT) == [rejected(2), sample(3), sample(5)]
    assert checkpoint.read_outcomes(str(tmp_path), "other") == [sample(0, "other"), sample(1, "other")]
    assert checkpoint.read_outcomes(str(tmp_path), "third") == []
    assert checkpoint.write_outcomes(str(tmp_path), 1, []) == []


@pytest.mark.parametrize("name", ["run[1]", "a*b", "what?", "[!x]", "ä b"])
def test_directories_with_odd_names_work_too(tmp_path: Path, name: str) -> None:
    output = tmp_path / name
    (path,) = checkpoint.write_outcomes(str(output), 1, [sample(4)])
    assert checkpoint.read_outcomes(str(output), UNIT) == [sample(4)]
    assert checkpoint.done_indexes(str(output), UNIT, "none") == {4}
    left = Path(path).with_name(f".tmp-{'0' * 32}-000001-x.parquet")
    left.touch()
    checkpoint.delete_unfinished(str(output), UNIT)
    assert files_of(output) == [Path(path)] and not left.exists()


def test_unfinished_files_are_not_read(tmp_path: Path) -> None:
    (path,) = checkpoint.write_outcomes(str(tmp_path), 1, [sample(0)])
    folder = Path(path).parent
    (folder / ".tmp-00-000002-x.parquet").write_bytes(b"PAR1 half a file")
    assert checkpoint.read_outcomes(str(tmp_path), UNIT) == [sample(0)]


# Outcomes of the same place in the order in which they win.
RANKED: list[tuple[int, Outcome]] = [
    (2, sample(caption="a")),
    (2, sample(caption="b")),
    (2, rejected(reason=Reason.HTTP_4XX)),
    (2, rejected(reason=Reason.TIMEOUT, caption="a")),
    (2, rejected(reason=Reason.TIMEOUT, caption="b")),
    (1, sample(caption="a")),
    (1, rejected(reason=Reason.DNS)),
]


@pytest.mark.parametrize("pair", itertools.combinations(range(len(RANKED)), 2), ids=str)
@pytest.mark.parametrize("names", ["ab", "ba"])
def test_of_two_outcomes_of_a_place_a_fixed_rule_takes_one(
    tmp_path: Path, pair: tuple[int, int], names: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for rank, name in zip(pair, names, strict=True):
        monkeypatch.setattr("uuid.uuid4", lambda name=name: type("Name", (), {"hex": name * 32})())
        attempt, outcome = RANKED[rank]
        checkpoint.write_outcomes(str(tmp_path), attempt, [outcome])
    assert len(files_of(tmp_path)) == 2
    assert checkpoint.read_outcomes(str(tmp_path), UNIT) == [RANKED[pair[0]][1]]


@pytest.mark.parametrize("reversed_", [False, True])
def test_the_rule_holds_within_one_file_too(tmp_path: Path, reversed_: bool) -> None:
    outcomes = [outcome for attempt, outcome in RANKED if attempt == 2]
    checkpoint.write_outcomes(str(tmp_path), 2, outcomes[::-1] if reversed_ else outcomes)
    assert checkpoint.read_outcomes(str(tmp_path), UNIT) == [RANKED[0][1]]


SOME_REASONS = (
    Reason.HTTP_4XX,
    Reason.TIMEOUT,
    Reason.HAS_TEXT,
    Reason.MODEL_ERROR,
    Reason.DNS,
    Reason.TOO_SMALL,
)


@pytest.mark.parametrize("pair", itertools.permutations(SOME_REASONS, 2), ids="+".join)
def test_what_is_done_agrees_with_what_is_read(tmp_path: Path, pair: tuple[Reason, Reason]) -> None:
    """A row whose outcome is a transient rejection is re-opened, whatever else was written about it."""
    contents = ("aesthetic", "zzz") if pair[0] > pair[1] else ("zzz", "aesthetic")
    rows = [rejected(reason=reason, caption=text) for reason, text in zip(pair, contents, strict=True)]
    checkpoint.write_outcomes(str(tmp_path), 1, rows)
    (read,) = checkpoint.read_outcomes(str(tmp_path), UNIT)
    assert isinstance(read, Rejection)
    assert checkpoint.done_indexes(str(tmp_path), UNIT, "transient") == (set() if read.reason.is_transient else {0})


@pytest.mark.parametrize("retry", ["none", "transient", "all"])
def test_retry_re_opens_rejections_by_class(tmp_path: Path, retry: str) -> None:
    outcomes: list[Outcome] = [rejected(index, reason) for index, reason in enumerate(Reason)]
    kept = len(outcomes)
    checkpoint.write_outcomes(str(tmp_path), 1, [*outcomes, sample(kept)])
    done = {
        "none": set(range(kept + 1)),
        "transient": {index for index, reason in enumerate(Reason) if not reason.is_transient} | {kept},
        "all": {kept},
    }
    assert checkpoint.done_indexes(str(tmp_path), UNIT, retry) == done[retry]


def test_the_latest_attempt_decides_what_is_done(tmp_path: Path) -> None:
    checkpoint.write_outcomes(str(tmp_path), 1, [rejected(0), rejected(1), rejected(2)])
    checkpoint.write_outcomes(str(tmp_path), 2, [sample(0), rejected(1, Reason.HTTP_4XX), rejected(2)])
    assert checkpoint.done_indexes(str(tmp_path), UNIT, "transient") == {0, 1}
    assert checkpoint.done_indexes(str(tmp_path), UNIT, "all") == {0}
    assert checkpoint.read_outcomes(str(tmp_path), UNIT) == [sample(0), rejected(1, Reason.HTTP_4XX), rejected(2)]


def test_the_tenth_attempt_comes_after_the_ninth(tmp_path: Path) -> None:
    for attempt in (9, 10, 1_000_000):
        checkpoint.write_outcomes(str(tmp_path), attempt, [sample(caption=str(attempt))])
        assert checkpoint.read_outcomes(str(tmp_path), UNIT) == [sample(caption=str(attempt))]


def test_files_are_small_columns_of_text_and_numbers(tmp_path: Path) -> None:
    (path,) = checkpoint.write_outcomes(str(tmp_path), 1, [sample(n) for n in range(500)])
    data = Path(path).read_bytes()
    assert len(data) < 60_000
    assert pq.read_metadata(io.BytesIO(data)).num_rows == 500
