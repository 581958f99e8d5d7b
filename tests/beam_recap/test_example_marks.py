from __future__ import annotations

import io
import math
import random
import threading

import numpy as np
import pytest
from PIL import Image

from beam_recap.example_marks import ExampleMarks, without_pixels
from beam_recap.examples import ChosenExamples, Examples
from beam_recap.records import Outcome, Reason, Rejection, Sample, Stage

PIXELS = np.zeros((3, 4, 3), np.uint8)
REASONS = ((Stage.CLIP, Reason.LOW_CLIP_SCORE), (Stage.OCR, Reason.HAS_TEXT), (Stage.CAPTION, Reason.REFUSAL))


def rows(count: int, seed: int) -> list[Outcome]:
    rng = random.Random(seed)
    found: list[Outcome] = []
    for index in range(count):
        sample = Sample(
            unit="u",
            index=index,
            uid=rng.randbytes(6).hex(),
            key="k",
            image=PIXELS,
            clip_score=round(rng.random(), 2),
            recaption=f"caption {rng.randrange(20)}",
            recaption_truncated=rng.random() < 0.1,
        )
        found.append(sample.reject(*rng.choice(REASONS)) if rng.random() < 0.4 else sample)
    return found


def chosen(outcomes: list[Outcome]) -> ChosenExamples:
    examples = Examples()
    for outcome in outcomes:
        examples.offer(outcome)
    return examples.chosen([f"caption {number}" for number in range(6)])


@pytest.mark.parametrize(("processes", "retried"), [(1, 0), (3, 0), (5, 400)])
def test_every_row_that_is_shown_has_a_thumbnail(processes: int, retried: int) -> None:
    """Whichever process has which rows, and if some are worked on again, by this or another one."""
    outcomes = rows(1200, seed=processes)
    rng = random.Random(7)
    marks = [ExampleMarks() for _ in range(processes)]
    work = outcomes + rng.sample(outcomes, retried)
    rng.shuffle(work)
    done: dict[int, Outcome] = {}
    for outcome in work:  # the last try counts
        slim = without_pixels(outcome, rng.choice(marks))
        done[(slim.sample if isinstance(slim, Rejection) else slim).index] = slim
    found = chosen(list(done.values()))
    shown = [*found.kept, *found.lowest_similarity, *found.truncated, *found.repeated]
    assert (len(found.kept), len(found.lowest_similarity), len(found.truncated), len(found.repeated)) == (60, 12, 12, 6)
    assert len(found.rejected) == 24
    assert all(sample.thumbnail for sample in [*shown, *(rejection.sample for rejection in found.rejected)])
    assert found == chosen([without_pixels(outcome, ExampleMarks()) for outcome in outcomes])


def test_few_rows_get_one() -> None:
    marks = ExampleMarks()
    count = 10_000
    outcomes = [Sample(unit="u", index=index, uid=str(index), key="k", image=PIXELS) for index in range(count)]
    marked = sum(marks.take(outcome) for outcome in outcomes)
    assert 256 <= marked <= 1.2 * 256 * (1 + math.log(count / 256))
    assert sum(marks.take(outcome) for outcome in outcomes) == 256  # the same rows again


def test_threads_share_it() -> None:
    marks = ExampleMarks()
    outcomes = rows(1500, seed=3)
    done: list[list[Outcome]] = [[] for _ in range(8)]

    def work(number: int) -> None:
        done[number] = [without_pixels(outcome, marks) for outcome in outcomes[number::8]]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = chosen([outcome for part in done for outcome in part])
    assert found == chosen([without_pixels(outcome, ExampleMarks()) for outcome in outcomes])
    assert all(sample.thumbnail for sample in found.kept)


@pytest.mark.parametrize("size", [(640, 480), (100, 3000), (20, 10), (1, 5000)])
def test_a_thumbnail_is_a_small_jpeg(size: tuple[int, int]) -> None:
    width, height = size
    sample = Sample(unit="u", index=0, uid="x", key="k", image=np.full((height, width, 3), 90, np.uint8))
    for outcome in (sample, sample.reject(Stage.OCR, Reason.HAS_TEXT)):
        slim = without_pixels(outcome, ExampleMarks())
        found = slim.sample if isinstance(slim, Rejection) else slim
        picture = Image.open(io.BytesIO(found.thumbnail))
        assert picture.format == "JPEG" and max(picture.size) == min(224, max(size))
        assert found.image is None and found.image_embedding is None
        assert type(slim) is type(outcome)


def test_a_row_without_pixels_passes_as_it_is() -> None:
    gone = Sample(unit="u", index=0, uid="x", key="k").reject(Stage.FETCH, Reason.DNS, "no such host")
    assert without_pixels(gone, ExampleMarks()) is gone
    kept = Sample(unit="u", index=0, uid="x", key="k", image_embedding=np.ones(3), image_bytes=b"jpeg", embedding=b"e")
    slim = without_pixels(kept, ExampleMarks())
    assert (slim.image_embedding, slim.thumbnail, slim.image_bytes, slim.embedding) == (None, None, b"jpeg", b"e")
