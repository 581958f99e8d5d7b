"""How rows travel between workers. Registered with Beam when `transforms` is imported.

Beam's RowCoder would lose the type between processes (elements come back as generated tuples), and its default coder is
eight times slower.
"""

from __future__ import annotations

import dataclasses
import pickle
from typing import Any

import apache_beam as beam

from beam_recap.records import Reason, Rejection, Sample, Stage, member_or_text

_SAMPLE_FIELDS = tuple(f.name for f in dataclasses.fields(Sample))


def _sample_state(sample: Sample) -> tuple[Any, ...]:
    return tuple(getattr(sample, name) for name in _SAMPLE_FIELDS)


def _sample_from(state: tuple[Any, ...]) -> Sample:
    return Sample(**dict(zip(_SAMPLE_FIELDS, state, strict=True)))


class SampleCoder(beam.coders.Coder):
    """Encodes a `Sample` as the tuple of its fields; the exact type comes back on every worker."""

    def encode(self, value: Sample) -> bytes:
        return pickle.dumps(_sample_state(value), protocol=5)

    def decode(self, encoded: bytes) -> Sample:
        return _sample_from(pickle.loads(encoded))  # noqa: S301 - written by encode above, between workers of one run

    def is_deterministic(self) -> bool:
        return False

    def to_type_hint(self) -> type[Sample]:
        return Sample


class RejectionCoder(beam.coders.Coder):
    """Encodes a `Rejection` as the tuple of its fields, without pixels."""

    def encode(self, value: Rejection) -> bytes:
        state = (_sample_state(value.sample.without_image()), str(value.stage), str(value.reason), value.detail)
        return pickle.dumps(state, protocol=5)

    def decode(self, encoded: bytes) -> Rejection:
        sample, stage, reason, detail = pickle.loads(encoded)  # noqa: S301 - as in SampleCoder
        stage, reason = member_or_text(Stage, stage), member_or_text(Reason, reason)
        return Rejection(sample=_sample_from(sample), stage=stage, reason=reason, detail=detail)

    def is_deterministic(self) -> bool:
        return False

    def to_type_hint(self) -> type[Rejection]:
        return Rejection


beam.coders.registry.register_coder(Sample, SampleCoder)
beam.coders.registry.register_coder(Rejection, RejectionCoder)
