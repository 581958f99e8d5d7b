"""`ObserveRows` and `ReadRunFiles`: what the audit keeps of rows, from pictures or from a run's files."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import apache_beam as beam
from apache_beam.pvalue import TaggedOutput

from beam_recap.audit.examples import BestSoFar, Example, example_of
from beam_recap.audit.observation import Observation, observe_rejection, observe_sample
from beam_recap.audit.run_output import RunFile, read_observations
from beam_recap.images import encode_thumbnail
from beam_recap.records import Rejection, Sample

EXAMPLES = "examples"
ROWS = "rows"


class ObservedRows(NamedTuple):
    """`Observation` of each row, and an `Example` of each that may be among those that are shown."""

    rows: beam.PCollection
    examples: beam.PCollection


class ObserveRows(beam.PTransform):
    """Leaves of each row what the audit counts; pixels end here.

    Input: `Sample` after OCR. Output: `ObservedRows`.

    Args:
      fuzzy_threshold: of the fuzzy text rate.
    """

    def __init__(self, fuzzy_threshold: float):
        super().__init__()
        self._fn = _ObserveFn(fuzzy_threshold)

    def expand(self, samples: beam.PCollection) -> ObservedRows:
        return _observed(samples, self._fn)


class ObserveRejections(beam.PTransform):
    """Rows that could not be judged, with the reason. Input: `Rejection`. Output: `Observation`."""

    def expand(self, rejections: beam.PCollection) -> beam.PCollection:
        return rejections | beam.Map(observe_rejection).with_input_types(Rejection).with_output_types(Observation)


class ReadRunFiles(beam.PTransform):
    """Reads what a run has found.

    Input: the pipeline's root. Output: `ObservedRows`; examples have no thumbnail.

    Args:
      files: of the run.
      fuzzy_threshold: of the fuzzy text rate.
    """

    def __init__(self, files: Iterable[RunFile], fuzzy_threshold: float):
        super().__init__()
        self._files = tuple(files)
        self._fn = _ReadFn(fuzzy_threshold)

    def expand(self, root: beam.pvalue.PBegin) -> ObservedRows:
        files = root | "Files" >> beam.Create(self._files) | "Spread" >> beam.Reshuffle()
        return _observed(files, self._fn)


def _observed(rows: beam.PCollection, fn: beam.DoFn) -> ObservedRows:
    observe = beam.ParDo(fn).with_output_types(Observation, examples=Example)
    parted = rows | "Observe" >> observe.with_outputs(EXAMPLES, main=ROWS)
    return ObservedRows(parted[ROWS], parted[EXAMPLES])


class _ExamplesFn(beam.DoFn):
    """Yields observations, and beside them the best examples of its bundle, as they come."""

    def __init__(self, fuzzy_threshold: float):
        self._fuzzy_threshold = fuzzy_threshold

    def start_bundle(self) -> None:
        self._best = BestSoFar()

    def _example(self, row: Observation) -> Example | None:
        example = example_of(row)
        return example if example is not None and self._best.takes(example.rank) else None


class _ObserveFn(_ExamplesFn):
    def process(self, sample: Sample) -> Iterator[Observation | TaggedOutput]:
        row = observe_sample(sample, self._fuzzy_threshold)
        yield row
        example = self._example(row)
        if example is not None:
            thumbnail = None if sample.image is None else encode_thumbnail(sample.image)
            yield TaggedOutput(EXAMPLES, dataclasses.replace(example, thumbnail=thumbnail))


class _ReadFn(_ExamplesFn):
    def process(self, file: RunFile) -> Iterator[Observation | TaggedOutput]:
        for row in read_observations(file, self._fuzzy_threshold):
            yield row
            example = self._example(row)
            if example is not None:
                yield TaggedOutput(EXAMPLES, example)
