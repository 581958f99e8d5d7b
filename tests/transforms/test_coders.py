"""Rows keep type and content on their way between workers."""

from __future__ import annotations

import dataclasses
import pickle

import apache_beam as beam
import pytest
from support.full_row import FULL, assert_same

from beam_recap.records import Reason, Rejection, Sample, Stage
from transforms.coders import RejectionCoder, SampleCoder


@pytest.mark.parametrize("sample", [FULL, Sample(unit="u", index=0, uid="x", key="k")], ids=["full", "bare"])
def test_a_sample_survives_its_registered_coder(sample: Sample) -> None:
    coder = beam.coders.registry.get_coder(Sample)
    assert isinstance(coder, SampleCoder)
    back = coder.decode(coder.encode(sample))
    assert type(back) is Sample
    assert_same(back, sample)


@pytest.mark.parametrize("reason", Reason)
def test_a_rejection_survives_its_registered_coder(reason: Reason) -> None:
    coder = beam.coders.registry.get_coder(Rejection)
    assert isinstance(coder, RejectionCoder)
    back = coder.decode(coder.encode(FULL.reject(Stage.FETCH, reason, "why")))
    assert type(back) is Rejection and type(back.reason) is Reason and type(back.stage) is Stage
    assert (back.stage, back.reason, back.detail) == (Stage.FETCH, reason, "why")
    assert_same(back.sample, dataclasses.replace(FULL.without_image(), embedding=None))


def test_coders_do_not_depend_on_the_class_being_pickled() -> None:
    """Another process may know the class under another name (``__main__``): only plain values travel."""
    for encoded in (SampleCoder().encode(FULL), RejectionCoder().encode(FULL.reject(Stage.READ, Reason.TIMEOUT))):
        assert b"beam_recap" not in encoded
        assert isinstance(pickle.loads(encoded), tuple)


@pytest.mark.parametrize("coder", [SampleCoder(), RejectionCoder()])
def test_coders_are_no_keys(coder: beam.coders.Coder) -> None:
    assert not coder.is_deterministic()
