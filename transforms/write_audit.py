"""`WriteAudit`: the audit's figures, for programs and for people."""

from __future__ import annotations

import apache_beam as beam

from beam_recap.audit.facts import AuditFacts
from beam_recap.audit.report import write_audit
from transforms.tally_rows import Tallied


class WriteAudit(beam.PTransform):
    """Writes ``audit.html`` and ``audit.json``.

    Input: `Tallied`. Output: the audit (`dict`).

    Args:
      facts: what was known when the audit started.
      examples: one list of `Example`.
      words: one `WordScores`; None where no CLIP is tested.
    """

    def __init__(self, facts: AuditFacts, examples: beam.PCollection, words: beam.PCollection | None):
        super().__init__()
        self._facts = facts
        self._examples = examples
        self._words = words

    def expand(self, tallied: Tallied) -> beam.PCollection:
        single = beam.pvalue.AsSingleton
        return tallied.total | "Write" >> beam.Map(
            lambda total, facts, clusters, count, examples, words: write_audit(
                facts, total, clusters, count, examples, words
            ),
            self._facts,
            single(tallied.clusters),
            single(tallied.cluster_count),
            single(self._examples),
            None if self._words is None else single(self._words),
        ).with_output_types(dict)
