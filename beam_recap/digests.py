"""Whether bytes are those that a source promised."""

from __future__ import annotations

import hashlib

_ALGORITHMS = {32: "md5", 64: "sha256", 128: "sha512"}  # by number of hexadecimal digits


def digest_problem(data: bytes, expected: str, *, sha256: str) -> str | None:
    """What is wrong with an image file's digest; None if it is as expected.

    Args:
      data: the file's bytes.
      expected: md5, sha256 or sha512 in hexadecimal, told apart by length, in any case.
      sha256: of the bytes, which the caller has anyway.
    """
    expected = expected.strip().lower()
    algorithm = _ALGORITHMS.get(len(expected))
    if algorithm is None or not set(expected) <= set("0123456789abcdef"):
        return f"the expected digest is no md5, sha256 or sha512: {expected[:140]!r}"
    found = sha256 if algorithm == "sha256" else hashlib.new(algorithm, data, usedforsecurity=False).hexdigest()
    return None if found == expected else f"{algorithm} is {found}, not {expected}"
