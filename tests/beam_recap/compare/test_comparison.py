"""Where rows went, and which row of one run is a row of the other."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.compared_runs import column, compare, moves, row, write_run

from beam_recap.compare.database import Database
from beam_recap.compare.matching import choose_identity, match_rows
from beam_recap.compare.outcomes import account, grouped, transitions
from beam_recap.compare.run_files import stage_run
from beam_recap.compare.settings import CompareError
from beam_recap.compare.wording import doubts, matching_sentences
from beam_recap.records import Outcome, Reason, Rejection

CLIP, GONE, TEXT = Reason.LOW_CLIP_SCORE, Reason.HTTP_404, Reason.HAS_TEXT


def test_every_way_of_ending(tmp_path: Path) -> None:
    a = write_run(
        tmp_path / "a", [row(0), row(1), row(2, CLIP, "0.1 is not above 0.3"), row(3, CLIP), row(4, CLIP), row(5)]
    )
    b = write_run(
        tmp_path / "b",
        [row(0), row(1, TEXT, "two boxes"), row(2), row(3, CLIP), row(4, GONE), row(6, GONE)],
        config={"min_clip_score": 0.2, "seed": 1},
    )
    found = compare(a, b)
    assert moves(found) == {
        ("kept", "kept"): 1,
        ("kept", "ocr: has_text"): 1,
        ("clip: low_clip_score", "kept"): 1,
        ("clip: low_clip_score", "clip: low_clip_score"): 1,
        ("clip: low_clip_score", "fetch: http_404"): 1,
        ("kept", "not in this run"): 1,
        ("not in this run", "fetch: http_404"): 1,
    }
    assert found["rows"] == {
        "kept_in_both": 1,
        "newly_kept": 1,
        "newly_rejected": 1,
        "rejected_alike": 1,
        "rejected_otherwise": 1,
        "only_in_a": 1,
        "only_in_b": 1,
    }
    assert found["accounting"] == {"adds_up": True, "problems": []}
    assert found["differ"]
    assert found["config"] == [
        {"name": "min_clip_score", "a": 0.3, "b": 0.2},
        {"name": "seed", "a": "not known", "b": 1},
    ]
    assert found["counts"]["kept"] == {"a": 3, "b": 2, "difference": -1}
    funnel = {stage["stage"]: stage for stage in found["funnel"]}
    assert funnel["fetch"]["reasons"] == [{"reason": "http_404", "a": 0, "b": 2, "difference": 2}]
    assert (funnel["clip"]["a"], funnel["clip"]["b"]) == (3, 1)
    examples = {one["group"]: one["rows"] for one in found["examples"]["outcomes"]}
    assert examples["newly_rejected"] == [
        {
            "key": "000000001",
            "url": "https://example.com/1.jpg",
            "caption": "caption 1",
            "detail_a": None,
            "detail_b": "two boxes",
        }
    ]
    assert examples["newly_kept"][0]["detail_a"] == "0.1 is not above 0.3"
    assert examples["only_in_b"][0]["caption"] == "caption 6"


def test_equal_runs(tmp_path: Path) -> None:
    outcomes = [row(0), row(1, CLIP), row(2)]
    a, b = (
        write_run(tmp_path / name, outcomes, schema="recap-debiased", files=number, digest=name)
        for number, name in enumerate("ab", start=1)
    )
    found = compare(a, b)
    assert not found["differ"]
    assert column(found, "config_digest")["changed"] == 2  # names what made the rows, and is no difference of theirs
    assert all(one["rows"] == 2 for one in found["columns"])
    assert found["examples"] == {"outcomes": [], "columns": []}


ENDS = [None, CLIP, GONE, TEXT]
PLACES = st.lists(st.tuples(st.integers(0, 4), st.sampled_from(ENDS), st.sampled_from(ENDS)), max_size=24)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PLACES, st.integers(1, 3), st.integers(0, 6), st.sampled_from(["recap", "text-debiased", "datacomp"]))
def test_all_rows_are_counted_once(
    tmp_path_factory: pytest.TempPathFactory,
    places: list[tuple[int, Reason | None, Reason | None]],
    file_count: int,
    left_out: int,
    schema: str,
) -> None:
    """Rows with few identities, some of which the second run lacks: the sums are those of a simple count."""
    folder = tmp_path_factory.mktemp("runs")

    def outcomes(which: int, rows: list[Any]) -> list[Outcome]:
        same = {"recaption": None, "sha256": None}
        return [
            row(number, ends[which], url=f"u{ends[0]}", caption=None if ends[0] == 4 else "c", **same)
            for number, ends in rows
        ]

    rows_a = list(enumerate(places))
    rows_b = rows_a[left_out:]
    sides = [outcomes(1, rows_a), outcomes(2, rows_b)]
    a, b = (
        write_run(folder / name, side, schema=schema, files=file_count) for name, side in zip("ab", sides, strict=True)
    )
    with Database(folder, 0.5) as database:
        run_a, run_b = stage_run("A", str(a), folder / "staged"), stage_run("B", str(b), folder / "staged")
        matching = match_rows(database, run_a, run_b, choose_identity(run_a, run_b, None))
        cells = transitions(database, 3)
    has_order = schema != "datacomp"
    assert matching["order_of_equal_rows"] == {"recap": "key", "text-debiased": "source_row"}.get(schema)
    expected: Counter[tuple[str, str]] = Counter()
    by_identity: dict[Any, list[list[str]]] = defaultdict(lambda: [[], []])
    for side, rows in enumerate(sides):
        order = rows if has_order else sorted(rows, key=lambda one: isinstance(one, Rejection))
        for one in order:
            label = f"{one.stage}: {one.reason}" if isinstance(one, Rejection) else "kept"
            sample = one.sample if isinstance(one, Rejection) else one
            by_identity[sample.url][side].append(label)
    repeated = [ends for ends in by_identity.values() if max(map(len, ends)) > 1]
    for ends in by_identity.values():
        for number in range(max(map(len, ends))):
            expected[tuple(side[number] if number < len(side) else "not in this run" for side in ends)] += 1
    assert {(cell.a.label, cell.b.label): cell.rows for cell in cells} == dict(expected)
    assert account(cells, run_a, run_b) == []
    assert sum(grouped(cells).values()) == expected.total()
    assert all(len(cell.examples) == min(3, cell.rows) for cell in cells)
    told = matching["repeated"]
    assert (told["identities"], told["rows_a"]) == (len(repeated), sum(len(ends[0]) for ends in repeated))
    unequal = [ends for ends in repeated if len(ends[0]) != len(ends[1]) and all(ends)]
    if has_order:
        assert told["ambiguous_identities"] == len(unequal)
    else:
        assert told["ambiguous_identities"] >= len(unequal)


def test_ambiguous_rows_are_told(tmp_path: Path) -> None:
    twins = {"url": "https://example.com/twin.jpg", "caption": "twin"}
    a = write_run(tmp_path / "a", [row(0, **twins), row(1, CLIP, **twins)], schema="datacomp")
    b = write_run(tmp_path / "b", [row(0, CLIP, **twins), row(1, **twins)], schema="datacomp")
    found = compare(a, b)
    assert moves(found) == {("kept", "kept"): 1, ("clip: low_clip_score", "clip: low_clip_score"): 1}
    assert any(sentence.startswith("Ambiguous: 2 rows of A and 2 of B") for sentence in doubts(found))
    assert "1 identity is there more than once" in " ".join(matching_sentences(found))
    # uid tells them apart.
    found = compare(a, b, "--key=uid")
    assert moves(found) == {("kept", "clip: low_clip_score"): 1, ("clip: low_clip_score", "kept"): 1}
    assert doubts(found) == []


def test_rows_without_url(tmp_path: Path) -> None:
    """Rows of tars are known by their key, or else by their caption."""
    tar_rows = [row(number, url=None, caption="the same") for number in range(3)]
    changed = [row(0, url=None, caption="another"), row(1, CLIP, url=None, caption="the same"), tar_rows[2]]
    found = compare(write_run(tmp_path / "a", tar_rows), write_run(tmp_path / "b", changed))
    assert moves(found) == {("kept", "kept"): 2, ("kept", "clip: low_clip_score"): 1}
    assert column(found, "org_caption")["changed"] == 1
    assert "Those without a URL (3 in A, 3 in B) are matched by key." in matching_sentences(found)

    a = write_run(tmp_path / "c", tar_rows[:1], schema="text-debiased")
    found = compare(a, write_run(tmp_path / "d", tar_rows[:1], schema="text-debiased"))
    assert found["rows"]["kept_in_both"] == 1
    assert "by the original caption alone" in " ".join(matching_sentences(found))


def test_named_keys(tmp_path: Path) -> None:
    a = write_run(tmp_path / "a", [row(0), row(1)])
    b = write_run(tmp_path / "b", [row(0, url="https://elsewhere.com"), row(1)])
    assert compare(a, b)["rows"]["only_in_a"] == 1
    assert compare(a, b, "--key=Key,sha256")["rows"]["kept_in_both"] == 2
    with pytest.raises(
        CompareError, match=r"--key=uid: A's data/ has no column of uid; all files have key, url, caption"
    ):
        compare(a, b, "--key=uid")


def test_runs_without_a_common_row_say_so(tmp_path: Path) -> None:
    found = compare(write_run(tmp_path / "a", [row(0)]), write_run(tmp_path / "b", [row(1)]))
    assert any(sentence.startswith("No row of A is in B") for sentence in doubts(found))
