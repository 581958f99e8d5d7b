from __future__ import annotations

import dataclasses
from pathlib import Path

from beam_recap import curation, files
from beam_recap.curation import Curated
from beam_recap.duplicates.rows import Decision, Place
from beam_recap.records import Reason, Rejection, Sample, Stage
from beam_recap.slices import Slice

UNIT = "/in/a.parquet[0:9]"


def sample(index: int) -> Sample:
    return Sample(unit=UNIT, index=index, uid=f"u{index}", key="k", embedding=b"\x00<")


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    output = str(tmp_path)
    spam = Decision(Place(UNIT, 3), Reason.SPAM_CAPTION, "the same caption, 日本")
    near = Decision(Place(UNIT, 5), Reason.NEAR_DUPLICATE_IMAGE, "near u2")
    path = curation.write(output, "000007", UNIT, {2: 0, 5: 3999, 8: None}, [spam, near])
    assert path.startswith(f"{output}/_checkpoint/curation/000007/")
    assert curation.read(output, "000007", UNIT) == {
        2: Curated(True, 0),
        3: Curated(False, None, Reason.SPAM_CAPTION, spam.detail),
        5: Curated(True, 3999, Reason.NEAR_DUPLICATE_IMAGE, "near u2"),
        8: Curated(True),
    }
    assert curation.read(output, "000006", UNIT) == curation.read(output, "000007", "/in/b.parquet[0:9]") == {}


def test_only_kept_rows_are_labelled_or_rejected() -> None:
    found = {1: Curated(True, 17), 2: Curated(True, 4, Reason.DUPLICATE_IMAGE, "as u1"), 4: Curated(True), 5: Curated()}
    assert curation.apply(sample(1), found) == dataclasses.replace(sample(1), cluster=17)
    assert curation.apply(sample(3), found) == sample(3)
    # A model that cannot label a row takes the source's label away; without a model it stays.
    theirs = [dataclasses.replace(sample(index), cluster=9) for index in (4, 5)]
    assert [curation.apply(row, found).cluster for row in theirs] == [None, 9]  # type: ignore[union-attr]
    rejection = curation.apply(sample(2), found)
    assert isinstance(rejection, Rejection)
    assert (rejection.stage, rejection.reason, rejection.detail) == (Stage.CURATE, Reason.DUPLICATE_IMAGE, "as u1")
    assert (rejection.sample.cluster, rejection.sample.embedding) == (4, None)
    before = sample(2).reject(Stage.OCR, Reason.HAS_TEXT, "SALE")
    assert curation.apply(before, found) is before


def test_other_attempts_leave_nothing_behind(tmp_path: Path) -> None:
    output = str(tmp_path)
    part = Slice(1, 2)
    folders = [curation.folder_of(*attempt) for attempt in ((1,), (2,), (12,), (2, part), (3, part), (3, Slice(2, 2)))]
    for number, folder in enumerate(folders):
        curation.write(output, folder, UNIT, {0: number}, [])

    def left() -> list[int]:
        return [number for number, folder in enumerate(folders) if curation.read(output, folder, UNIT)]

    curation.delete_others(output, folders[4], part)
    assert left() == [0, 1, 2, 4, 5]
    curation.delete_others(output, folders[1])
    assert left() == [1]
    assert curation.read(output, folders[1], UNIT) == {0: Curated(True, 1)}
    assert len(files.match_beneath(output)) == 1
