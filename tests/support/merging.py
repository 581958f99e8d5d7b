"""Parts of a whole, added up in a random order and grouping."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

Item = TypeVar("Item")


def split(items: Sequence[Item], rng: random.Random) -> list[list[Item]]:
    """The items dealt out to some parts, in any order; parts may be empty."""
    parts: list[list[Item]] = [[] for _ in range(rng.randint(1, 6))]
    for item in rng.sample(items, len(items)):
        rng.choice(parts).append(item)
    return parts


def merge_all(parts: Sequence[Any], new: Callable[[], Any], rng: random.Random) -> Any:
    """Merges parts along a random tree, with an empty one now and then."""
    left = [*parts, new()]
    while len(left) > 1:
        into = left.pop(rng.randrange(len(left)))
        other = left.pop(rng.randrange(len(left)))
        into.merge(other)
        left.append(into)
    return left[0]
