"""`Deduplicate`: which rows of the whole dataset say again what another says."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.pvalue import TaggedOutput

from beam_recap.duplicates.near import near_duplicates
from beam_recap.duplicates.rows import Decision, DuplicateRow
from beam_recap.duplicates.rules import Rule, rules_of
from beam_recap.duplicates.settings import DuplicateSettings
from beam_recap.records import Reason
from transforms.duplicate_coders import JudgedRow

NAMESPACE = "Deduplicate"
_OUT_OF_IT = "out_of_it"


class Deduplicate(beam.PTransform):
    """Judges rows by the rules that are on, one after the other, each on what those before it left.

    The order: placeholders and spam (on the same rows), the same URL and caption, the same image bytes, near
    duplicates inside a cluster. It gives what `engine.find_duplicates` gives, for any number of rows: a group of equal
    digests is never held, however large; of near duplicates one cluster at a time is. Embeddings are shuffled once.

    Input: `DuplicateRow`; a row may come more than once. Output: (unit, `Decision`), once for each row that goes, in
    the order of their indexes within a unit.

    Args:
      settings: the rules. A rule that is off adds no step.

    Metrics: ``rows``, ``placeholder_images``, ``spam_captions``, ``duplicate_rows``, ``duplicate_images``,
    ``near_duplicate_images``; distribution ``cluster_rows``.

    Raises (in the run): ValueError for embeddings of different sizes in a cluster, or not of unit length.
    """

    def __init__(self, settings: DuplicateSettings):
        super().__init__()
        self._settings = settings

    def expand(self, rows: beam.PCollection) -> beam.PCollection:
        judged = rows | "Slim" >> beam.ParDo(_SlimFn()).with_output_types(JudgedRow)
        rules = rules_of(self._settings)
        for rule in rules:
            judged = judged | _label(rule.reason) >> _Judge(rule)
        found = judged | "Found" >> beam.FlatMap(_decision_by_unit).with_output_types(tuple[str, Decision])
        if self._settings.similarity is not None:
            near = rows | "WithEmbedding" >> beam.FlatMap(_by_cluster).with_output_types(tuple[str, JudgedRow])
            if rules:
                gone = judged | "Gone" >> beam.FlatMap(_gone_by_cluster).with_output_types(tuple[str, JudgedRow])
                near = (near, gone) | "WithoutGone" >> beam.Flatten()
            found_near = (
                near
                | "GroupCluster" >> beam.GroupByKey()
                | "NearDuplicateImage"
                >> beam.ParDo(_NearFn(self._settings.similarity)).with_output_types(tuple[str, Decision])
            )
            found = (found, found_near) | "FoundAll" >> beam.Flatten()
        return (
            found
            | "GroupUnit" >> beam.GroupByKey()
            | "OncePerRow" >> beam.ParDo(_OncePerRowFn()).with_output_types(tuple[str, Decision])
        )


class _Judge(beam.PTransform):
    """Applies one rule. Input and output: `JudgedRow`."""

    def __init__(self, rule: Rule):
        super().__init__()
        self._rule = rule

    def expand(self, rows: beam.PCollection) -> beam.PCollection:
        key = beam.ParDo(_KeyFn(self._rule)).with_output_types(tuple[bytes, JudgedRow], out_of_it=JudgedRow)
        keyed = rows | "Key" >> key.with_outputs(_OUT_OF_IT, main="keyed")
        judged = (
            keyed.keyed
            | "Group" >> beam.GroupByKey()
            | "Judge" >> beam.ParDo(_JudgeFn(self._rule)).with_output_types(JudgedRow)
        )
        return (judged, keyed[_OUT_OF_IT]) | "All" >> beam.Flatten()


class _SlimFn(beam.DoFn):
    """Leaves out the embedding, which is most of a row, where only digests are compared."""

    def __init__(self) -> None:
        self._rows = Metrics.counter(NAMESPACE, "rows")

    def process(self, row: DuplicateRow) -> Iterator[JudgedRow]:
        self._rows.inc()
        yield JudgedRow(dataclasses.replace(row, embedding=None))


class _KeyFn(beam.DoFn):
    def __init__(self, rule: Rule):
        self._rule = rule

    def process(self, judged: JudgedRow) -> Iterator[tuple[bytes, JudgedRow] | TaggedOutput]:
        key = self._rule.key(judged.row)
        if key is None or (judged.decision is not None and not self._rule.counts_decided):
            yield TaggedOutput(_OUT_OF_IT, judged)
        else:
            yield key, judged


class _JudgeFn(beam.DoFn):
    """Iterates a group twice, which a runner may read from disk each time, and holds none of it."""

    def __init__(self, rule: Rule):
        self._rule = rule

    def process(self, group: tuple[bytes, Iterable[JudgedRow]]) -> Iterator[JudgedRow]:
        _, members = group
        verdict = self._rule.judge(judged.row for judged in members)
        for judged in members:
            if verdict is None or judged.decision is not None:
                yield judged
            else:
                yield JudgedRow(judged.row, verdict(judged.row))


class _NearFn(beam.DoFn):
    def __init__(self, threshold: float):
        self._threshold = threshold
        self._cluster_rows = Metrics.distribution(NAMESPACE, "cluster_rows")

    def process(self, group: tuple[str, Iterable[JudgedRow]]) -> Iterator[tuple[str, Decision]]:
        _, members = group
        gone = {judged.row.place for judged in members if judged.decision is not None}
        # In the second round: who is gone may come after the row itself.
        left = {judged.row.place: judged.row for judged in members if judged.row.place not in gone}
        self._cluster_rows.update(len(left))
        for decision in near_duplicates(left.values(), self._threshold):
            yield decision.place.unit, decision


class _OncePerRowFn(beam.DoFn):
    def process(self, group: tuple[str, Iterable[Decision]]) -> Iterator[tuple[str, Decision]]:
        unit, decisions = group
        first = {decision.place.index: decision for decision in sorted(decisions, key=_total_order, reverse=True)}
        for _, decision in sorted(first.items()):
            Metrics.counter(NAMESPACE, f"{decision.reason}s").inc()
            yield unit, decision


def _total_order(decision: Decision) -> tuple[str, str]:
    return str(decision.reason), decision.detail


def _decision_by_unit(judged: JudgedRow) -> Iterator[tuple[str, Decision]]:
    if judged.decision is not None:
        yield judged.row.place.unit, judged.decision


def _by_cluster(row: DuplicateRow) -> Iterator[tuple[str, JudgedRow]]:
    if row.embedding is not None:
        yield str(row.cluster), JudgedRow(row)


def _gone_by_cluster(judged: JudgedRow) -> Iterator[tuple[str, JudgedRow]]:
    if judged.decision is not None:
        yield str(judged.row.cluster), judged


def _label(reason: Reason) -> str:
    return "".join(word.capitalize() for word in reason.split("_"))
