"""`collect`: stages run on a few rows, in a notebook, and what became of each row."""

from __future__ import annotations

import contextlib
import dataclasses
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam

from beam_recap.records import Outcome, Rejection, Sample
from pipelines.local_runner import LocalRunner
from transforms import coders as coders  # registers how rows travel

# What a table does not show: pixels, and numbers by the hundred.
_NOT_SHOWN = ("image", "image_bytes", "image_embedding", "embedding", "thumbnail", "picture", "seconds")

# Outcomes of the pipelines that run in this process now.
_FOUND: dict[str, list[Outcome]] = {}


@dataclass(frozen=True)
class Collected:
    """What became of some rows.

    Attributes:
      kept: rows that passed every stage, in the input's order, with their pictures (``sample.image``).
      rejected: those that did not, in the input's order.
      counters: what the stages counted, by ``Stage.counter``, as in ``ScoreCLIP.rows_kept``.
    """

    kept: list[Sample]
    rejected: list[Rejection]
    counters: dict[str, int]

    def rows(self) -> list[dict[str, Any]]:
        """All rows in the input's order, without pixels, for ``pandas.DataFrame``.

        ``stage``, ``reason`` and ``detail`` are None for kept rows.
        """
        return [_row_of(outcome) for outcome in sorted([*self.kept, *self.rejected], key=_place)]


def collect(source: beam.PTransform | Iterable[Sample], *stages: beam.PTransform) -> Collected:
    """Runs stages in this process, one after the other, and gives back every row.

    For as many rows as fit into memory with their pictures: some hundreds. What an earlier call kept can be the next
    one's source, so that pictures are fetched once and thresholds tried many times.

    Args:
      source: what reads rows, such as ``ReadShards([...], max_rows=100)``, or rows.
      *stages: what they go through, such as ``FetchImage()``.

    Raises:
      Exception: whatever a stage raises; what only concerns one row is a rejection instead.
    """
    first = source if isinstance(source, beam.PTransform) else beam.Create(list(source)).with_output_types(Sample)
    name = uuid.uuid4().hex
    _FOUND[name] = []
    try:
        pipeline = beam.Pipeline(runner=LocalRunner())
        with _plain_labels():
            rows: Any = pipeline
            for number, stage in enumerate((first, *stages), start=1):
                outputs = rows | f"{number} {type(stage).__name__}" >> stage
                rows = getattr(outputs, "kept", outputs)
                if hasattr(outputs, "rejected"):
                    outputs.rejected | f"{number} rejected" >> beam.Map(_keep, name)
            rows | "Kept" >> beam.Map(_keep, name)
        result = pipeline.run()
        result.wait_until_finish()
        found = sorted(_FOUND[name], key=_place)
    finally:
        del _FOUND[name]
    counters: Counter[str] = Counter()
    for counted in result.metrics().query()["counters"]:  # by step; a stage may be there twice
        counters[f"{counted.key.metric.namespace}.{counted.key.metric.name}"] += counted.committed
    kept = [outcome for outcome in found if isinstance(outcome, Sample)]
    return Collected(kept, [outcome for outcome in found if isinstance(outcome, Rejection)], dict(counters))


@contextlib.contextmanager
def _plain_labels() -> Iterator[None]:
    """While the block runs, steps have no number of the notebook's cell in their names.

    Beam 2.77 would import its interactive runner for that, and it cannot be imported beside pandas 3.
    """
    before = beam.pipeline.alter_label_if_ipython
    beam.pipeline.alter_label_if_ipython = lambda transform, rows: None
    try:
        yield
    finally:
        beam.pipeline.alter_label_if_ipython = before


def _keep(outcome: Outcome, name: str) -> None:
    # Found by its module's name, not pickled with the graph: the list is the one that `collect` reads.
    _FOUND[name].append(outcome)


def _place(outcome: Outcome) -> tuple[str, int]:
    sample = outcome.sample if isinstance(outcome, Rejection) else outcome
    shard = sample.unit.rpartition("[")[0]
    return shard, sample.index if sample.source_row is None else sample.source_row


def _row_of(outcome: Outcome) -> dict[str, Any]:
    sample = outcome.sample if isinstance(outcome, Rejection) else outcome
    row = {
        field.name: getattr(sample, field.name) for field in dataclasses.fields(sample) if field.name not in _NOT_SHOWN
    }
    why = (str(outcome.stage), str(outcome.reason), outcome.detail) if isinstance(outcome, Rejection) else (None,) * 3
    return row | dict(zip(("stage", "reason", "detail"), why, strict=True))
