"""Digests that a source promised."""

from __future__ import annotations

import hashlib

import pytest

from beam_recap.digests import digest_problem

DATA = b"a picture"
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.mark.parametrize("algorithm", ["md5", "sha256", "sha512"])
def test_algorithm_is_told_by_length(algorithm: str) -> None:
    digest = hashlib.new(algorithm, DATA).hexdigest()
    assert digest_problem(DATA, digest, sha256=SHA256) is None
    assert digest_problem(DATA, f" {digest.upper()}\n", sha256=SHA256) is None
    wrong = hashlib.new(algorithm, b"another").hexdigest()
    problem = digest_problem(DATA, wrong, sha256=SHA256)
    assert problem is not None and problem.startswith(f"{algorithm} is {digest}")


@pytest.mark.parametrize("expected", ["", "abc", "g" * 64, "0" * 40, "é" * 32])
def test_what_is_no_digest_matches_nothing(expected: str) -> None:
    assert "no md5" in str(digest_problem(DATA, expected, sha256=SHA256))
