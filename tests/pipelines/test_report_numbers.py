"""The numbers of ``summary.json`` are those of the rows in the files, however these are cut; so are the examples."""

from __future__ import annotations

import contextlib
import re
import weakref
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from support.recap_runs import kept, rejected, run_here, summary
from support.shards import jpeg, write_tar

from beam_recap.examples import ChosenExamples
from beam_recap.models.captions import Caption
from beam_recap.report import run_report
from beam_recap.tally.captions import STOP_WORDS
from tests.benchmarks.light_models import LightCaptioner, light_models
from transforms import shared_models

ROWS, TARS = 90, 6
FLAGS = (
    "--preset=recap",
    "--clip_model=demo",
    "--captioner=demo",
    "--min_clip_score=0.1",
    "--extra_columns=true",
    "--image_size=512",
)
NUMBERS = ("distributions", "words", "repeated_captions", "flags")


class Captioner(LightCaptioner):
    """Says how wide the picture is: the same in every run, and of several pictures."""

    def caption(self, images: Sequence[np.ndarray], hints: Sequence[str | None] | None = None) -> list[Caption]:
        widths = [image.shape[1] for image in images]
        return [
            Caption(f"A picture that's {width // 20 * 20} wide" + " and green" * (width // 40), 9, width % 10 == 0)
            for width in widths
        ]


@dataclass(frozen=True)
class Done:
    output: Path
    summary: dict[str, Any]
    examples: ChosenExamples  # of the last report


@contextlib.contextmanager
def stand_ins(shown: list[ChosenExamples]) -> Iterator[None]:
    """Models and a page that take no time; notes the examples that are given to the page."""

    def page(facts: Any, told: dict[str, Any], examples: ChosenExamples) -> str:
        shown.append(examples)
        return "<p>"

    with (
        light_models(),
        # Real ones may be there, held by a fixture of another module.
        mock.patch.object(shared_models, "_MODELS", weakref.WeakValueDictionary()),
        mock.patch("beam_recap.models.load_captioner.load_captioner", lambda *_, **__: Captioner()),
        mock.patch.object(run_report, "report_page", page),
    ):
        yield


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Done]:
    """The same input in one file, in several, and in two slices that are joined."""
    folder = tmp_path_factory.mktemp("numbers")
    for tar in range(TARS):
        rows: list[dict[str, Any]] = []
        for row in range(tar * ROWS // TARS, (tar + 1) * ROWS // TARS):
            data = b"no picture" if row % 9 == 0 else jpeg(100 + 3 * row, 90, (row, 200 - row, 50))
            caption = f"The {'red' if row % 3 else 'blue'} house number {row % 40}, it's Nina’s"
            rows.append({"__key__": f"{row:03d}", "jpg": data, "txt": caption.encode()})
        write_tar(folder / f"{tar}.tar", rows)
    done: dict[str, Done] = {}
    for name, commands in {
        "whole": [["--rows_per_file=1000"]],
        "parts": [["--rows_per_file=20"]],
        "slices": [["--rows_per_file=20", "--slice=2/2"], ["--slice=1/2", "--rows_per_file=20"]],
    }.items():
        shown: list[ChosenExamples] = []
        output = folder / name
        with stand_ins(shown):
            for flags in commands:
                assert run_here(f"--input={folder}/*.tar", f"--output={output}", *FLAGS, *flags) == 0
        done[name] = Done(output, summary(output), shown[-1])
    return done


def test_the_rows_can_tell_something(runs: dict[str, Done]) -> None:
    counts = runs["whole"].summary["counts"]
    assert counts["rows"] == ROWS and counts["kept"] > 20
    assert set(counts["by_reason"]) == {"not_an_image", "low_clip_score"}
    assert len(list((runs["parts"].output / "data").iterdir())) >= 3
    assert len(list((runs["slices"].output / "data").iterdir())) >= 3


def _column(rows: list[dict[str, Any]], name: str) -> list[Any]:
    return [row.get(name) for row in rows]


def _words(captions: list[str | None]) -> list[int | None]:
    return [None if caption is None else len(caption.split()) for caption in captions]


def test_distributions_are_those_of_the_files(runs: dict[str, Done]) -> None:
    output = runs["whole"].output
    sides = {"kept": kept(output).to_pylist(), "rejected": rejected(output)}
    names = {"kept": ("org_caption", "re_caption"), "rejected": ("caption", "recaption")}
    for name, told in runs["whole"].summary["distributions"].items():
        for side, rows in sides.items():
            original, new = names[side]
            values = {
                "similarity": _column(rows, "clip_score"),
                "recaption_similarity": _column(rows, "recaption_clip_score"),
                "aesthetic": _column(rows, "aesthetic_score"),
                "caption_words": _words(_column(rows, original)),
                "recaption_words": _words(_column(rows, new)),
                "ocr_boxes": _column(rows, "ocr_boxes"),
            }[name]
            known = [value for value in values if value is not None]
            edges, bins = told["edges"], len(told["edges"]) - 1
            counts = Counter(min(max(bisect_right(edges, value) - 1, 0), bins - 1) for value in known)
            assert told[side]["counts"] == [counts[place] for place in range(bins)], (name, side)
            assert (told[side]["rows"], told[side]["missing"]) == (len(known), len(rows) - len(known))
            mean = pytest.approx(sum(known) / len(known), abs=2e-6) if known else None
            assert told[side]["mean"] == mean


def test_words_and_captions_are_those_of_the_files(runs: dict[str, Done]) -> None:
    told = runs["whole"].summary
    rows = kept(runs["whole"].output).to_pylist()
    for which, column in (("original", "org_caption"), ("new", "re_caption")):
        captions = _column(rows, column)
        words: Counter[str] = Counter()
        for caption in captions:
            found = set(re.findall(r"[^\W_]+(?:'[^\W_]+)*", caption.lower().replace("’", "'")))
            words.update({word for word in found if len(word) > 1} - STOP_WORDS)
        most = sorted(words.items(), key=lambda item: (-item[1], item[0]))[:50]
        assert [(word["word"], word["captions"]) for word in told["words"][which]] == most
        assert told["words"]["undercount"][which] == told["repeated_captions"]["undercount"][which] == 0
        repeated = [item for item in Counter(captions).items() if item[1] > 1]
        most = sorted(repeated, key=lambda item: (-item[1], item[0]))[:20]
        assert [(each["caption"], each["rows"]) for each in told["repeated_captions"][which]] == most
    assert told["repeated_captions"]["new"]
    assert told["flags"]["truncated"] == sum(_column(rows, "recaption_truncated")) > 0
    assert told["flags"]["repetition"] == sum(_column(rows, "recaption_repetitive"))


def test_stages_have_rates(runs: dict[str, Done]) -> None:
    stages = runs["whole"].summary["counts"]["by_stage"]
    ran = [stage for stage in stages if stage["seconds"]]
    assert "fetch" in {stage["stage"] for stage in ran}
    for stage in ran:
        assert stage["rows_per_s"] == pytest.approx(stage["rows_in"] / stage["seconds"], abs=1e-3)
    assert sum(stage["share_of_seconds"] for stage in ran) == pytest.approx(1, abs=1e-4)
    assert all(stage["rows_per_s"] is stage["share_of_seconds"] is None for stage in stages if not stage["seconds"])


@pytest.mark.parametrize("other", ["parts", "slices"])
def test_numbers_and_examples_do_not_depend_on_how_the_rows_are_cut(runs: dict[str, Done], other: str) -> None:
    whole, cut = runs["whole"], runs[other]
    assert {name: cut.summary[name] for name in NUMBERS} == {name: whole.summary[name] for name in NUMBERS}
    assert cut.examples == whole.examples


def test_all_that_is_shown_has_its_thumbnail(runs: dict[str, Done]) -> None:
    shown = runs["slices"].examples
    counts = runs["slices"].summary["counts"]
    assert len(shown.kept) == min(60, counts["kept"]) and len(shown.lowest_similarity) == 12
    assert shown.truncated and shown.repeated and len(shown.rejected) == 16
    assert all(sample.thumbnail for sample in (*shown.kept, *shown.lowest_similarity, *shown.truncated))
    assert all(bool(row.sample.thumbnail) == (row.reason == "low_clip_score") for row in shown.rejected)
    lowest = [sample.clip_score for sample in shown.lowest_similarity]
    assert lowest == sorted(_column(kept(runs["slices"].output).to_pylist(), "clip_score"))[:12]
