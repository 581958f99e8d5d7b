"""How rows of `Deduplicate` travel between workers. Registered with Beam when this module is imported."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import Any

import apache_beam as beam

from beam_recap.duplicates.rows import Decision, DuplicateRow, Place
from beam_recap.records import Reason


@dataclass(frozen=True, slots=True)
class JudgedRow:
    """A row, and the decision on it; None while it stays."""

    row: DuplicateRow
    decision: Decision | None = None


def _row_state(row: DuplicateRow) -> tuple[Any, ...]:
    return (
        row.place.unit,
        row.place.index,
        row.uid,
        row.image_digest,
        row.row_digest,
        row.caption_digest,
        row.similarity,
        row.aesthetic,
        row.cluster,
        row.embedding,
    )


def _row_from(state: tuple[Any, ...]) -> DuplicateRow:
    unit, index, uid, image_digest, row_digest, caption_digest, similarity, aesthetic, cluster, embedding = state
    return DuplicateRow(
        place=Place(unit, index),
        uid=uid,
        image_digest=image_digest,
        row_digest=row_digest,
        caption_digest=caption_digest,
        similarity=similarity,
        aesthetic=aesthetic,
        cluster=cluster,
        embedding=embedding,
    )


class _TupleCoder(beam.coders.Coder):
    """Encodes plain values only, so that the exact type comes back whatever another process calls its class."""

    def is_deterministic(self) -> bool:
        return False

    def encode(self, value: Any) -> bytes:
        return pickle.dumps(self.state(value), protocol=5)

    def decode(self, encoded: bytes) -> Any:
        return self.value(pickle.loads(encoded))  # noqa: S301 - written by encode, between workers of one run

    def state(self, value: Any) -> tuple[Any, ...]:
        raise NotImplementedError

    def value(self, state: tuple[Any, ...]) -> Any:
        raise NotImplementedError


class DuplicateRowCoder(_TupleCoder):
    """Encodes a `DuplicateRow`."""

    def state(self, value: DuplicateRow) -> tuple[Any, ...]:
        return _row_state(value)

    def value(self, state: tuple[Any, ...]) -> DuplicateRow:
        return _row_from(state)

    def to_type_hint(self) -> type[DuplicateRow]:
        return DuplicateRow


class DecisionCoder(_TupleCoder):
    """Encodes a `Decision`."""

    def state(self, value: Decision) -> tuple[Any, ...]:
        return (*value.place, str(value.reason), value.detail)

    def value(self, state: tuple[Any, ...]) -> Decision:
        unit, index, reason, detail = state
        return Decision(Place(unit, index), Reason(reason), detail)

    def to_type_hint(self) -> type[Decision]:
        return Decision


class JudgedRowCoder(_TupleCoder):
    """Encodes a `JudgedRow`."""

    def state(self, value: JudgedRow) -> tuple[Any, ...]:
        decision = value.decision
        return _row_state(value.row), None if decision is None else (str(decision.reason), decision.detail)

    def value(self, state: tuple[Any, ...]) -> JudgedRow:
        row, decision = _row_from(state[0]), state[1]
        return JudgedRow(row, None if decision is None else Decision(row.place, Reason(decision[0]), decision[1]))

    def to_type_hint(self) -> type[JudgedRow]:
        return JudgedRow


beam.coders.registry.register_coder(DuplicateRow, DuplicateRowCoder)
beam.coders.registry.register_coder(Decision, DecisionCoder)
beam.coders.registry.register_coder(JudgedRow, JudgedRowCoder)
