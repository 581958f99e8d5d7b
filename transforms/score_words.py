"""`ScoreWords`: the synthetic-text score of a CLIP model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import apache_beam as beam
from apache_beam.pvalue import TaggedOutput

from beam_recap.audit.draw_words import STYLES, WordDrawer, WordProblem
from beam_recap.audit.synthetic import WordScores
from beam_recap.records import Rejection, Sample
from transforms.score_clip import ClipModel, ScoreCLIP
from transforms.shared_models import shared_model

_COUNTS = "counts"
_PICTURES = "pictures"
Counted = tuple[str, str | None, float]  # kind, name, number


class ScoreWords(beam.PTransform):
    """Draws words in four styles and asks CLIP how close each picture is to its word.

    Input: words (`str`), each once. Output: one `WordScores`.

    Args:
      clip: the model.
      font: path of a font on every worker; None: Pillow's own.
    """

    def __init__(self, clip: ClipModel, *, font: str | None = None):
        super().__init__()
        self._clip = clip
        self._font = font

    def expand(self, words: beam.PCollection) -> beam.PCollection:
        draw = beam.ParDo(_DrawFn(self._font)).with_output_types(Sample, counts=Counted)
        drawn = (
            words
            | "Spread" >> beam.Reshuffle()  # words are small, their pictures are not
            | "Draw" >> draw.with_outputs(_COUNTS, main=_PICTURES)
        )
        scored = drawn[_PICTURES] | "ScoreCLIP" >> ScoreCLIP(self._clip)
        counted = (
            drawn[_COUNTS],
            scored.kept | "Scores" >> beam.Map(_score).with_output_types(Counted),
            scored.rejected | "Failures" >> beam.Map(_failure).with_output_types(Counted),
        )
        return counted | "All" >> beam.Flatten() | "Sum" >> beam.CombineGlobally(_SumFn())


class _DrawFn(beam.DoFn):
    def __init__(self, font: str | None):
        self._font = font

    def setup(self) -> None:
        self._drawer = shared_model(("words", self._font), lambda: WordDrawer(self._font))

    def process(self, word: str) -> Iterator[Sample | TaggedOutput]:
        drawn = self._drawer.draw(word)
        if isinstance(drawn, WordProblem):
            yield TaggedOutput(_COUNTS, ("word", str(drawn), 0.0))
            return
        yield TaggedOutput(_COUNTS, ("word", None, float(drawn.shrunk)))
        for index, (picture, (style, _, _)) in enumerate(zip(drawn.pictures, STYLES, strict=True)):
            yield Sample(unit="words", index=index, uid=word, key=style, caption=word, image=picture)


def _score(sample: Sample) -> Counted:
    return "score", sample.key, sample.clip_score or 0.0


def _failure(rejection: Rejection) -> Counted:
    return "failure", str(rejection.reason), 0.0


class _SumFn(beam.CombineFn):
    def create_accumulator(self) -> WordScores:
        return WordScores()

    def add_input(self, accumulator: WordScores, counted: Counted) -> WordScores:
        kind, name, number = counted
        if kind == "word":
            accumulator.add_word(shrunk=number > 0, problem=name)
        elif kind == "score":
            accumulator.add_score(name or "", number)
        else:
            accumulator.failures[name or ""] += 1
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[WordScores]) -> WordScores:
        total = WordScores()
        for accumulator in accumulators:
            total.merge(accumulator)
        return total

    def extract_output(self, accumulator: WordScores) -> WordScores:
        return accumulator
