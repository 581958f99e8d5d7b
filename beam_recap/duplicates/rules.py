"""The rules that need digests only, in their order.

Each rule groups rows by a key, looks at a group as a whole, and then judges its rows one by one. A group is iterated
twice and never held: the bytes of a placeholder can be those of millions of rows.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from beam_recap.duplicates.rows import Decision, DuplicateRow, decide, describe, rank
from beam_recap.duplicates.settings import DuplicateSettings
from beam_recap.records import Reason

Verdict = Callable[[DuplicateRow], Decision | None]
Judge = Callable[[Iterable[DuplicateRow]], Verdict | None]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule.

    Attributes:
      reason: what it rejects for.
      key: what the rows of a group have in common; a row with None takes no part.
      judge: looks at a whole group, which is not empty, once. It gives what tells of each of its rows whether that
        goes; None if none does.
      counts_decided: whether rows that rules before it have decided take part (their decision stands).
    """

    reason: Reason
    key: Callable[[DuplicateRow], bytes | None]
    judge: Judge
    counts_decided: bool


def rules_of(settings: DuplicateSettings) -> tuple[Rule, ...]:
    """The rules that are on, in the order in which they apply.

    Placeholders and spam are judged on the same rows, so that neither hides the other; a row that is both is a
    placeholder. The others see what the rules before them left.
    """
    rules = []
    if settings.max_same_image is not None:
        judge = functools.partial(_judge_placeholder, settings.max_same_image)
        rules.append(Rule(Reason.PLACEHOLDER_IMAGE, _image_digest, judge, counts_decided=True))
    if settings.max_same_caption is not None:
        judge = functools.partial(_judge_spam, settings.max_same_caption)
        rules.append(Rule(Reason.SPAM_CAPTION, _caption_digest, judge, counts_decided=True))
    if settings.rows:
        judge = functools.partial(_judge_same, Reason.DUPLICATE_ROW, "the same URL and caption as")
        rules.append(Rule(Reason.DUPLICATE_ROW, _row_digest, judge, counts_decided=False))
    if settings.images:
        judge = functools.partial(_judge_same, Reason.DUPLICATE_IMAGE, "the same image bytes as")
        rules.append(Rule(Reason.DUPLICATE_IMAGE, _image_digest, judge, counts_decided=False))
    return tuple(rules)


def _image_digest(row: DuplicateRow) -> bytes | None:
    return row.image_digest


def _caption_digest(row: DuplicateRow) -> bytes | None:
    return row.caption_digest


def _row_digest(row: DuplicateRow) -> bytes | None:
    return row.row_digest


def _judge_same(reason: Reason, words: str, rows: Iterable[DuplicateRow]) -> Verdict:
    best = min(rows, key=rank)
    detail = f"{words} {describe(best)}"
    return lambda row: None if row.place == best.place else decide(row, reason, detail)


def _judge_placeholder(limit: int, rows: Iterable[DuplicateRow]) -> Verdict | None:
    detail = f"the same image bytes under more than {limit} different captions, first of all"
    return _judge_excess(Reason.PLACEHOLDER_IMAGE, detail, limit, _caption_digest, rows)


def _judge_spam(limit: int, rows: Iterable[DuplicateRow]) -> Verdict | None:
    detail = f"the same caption over more than {limit} different images, first of all"
    return _judge_excess(Reason.SPAM_CAPTION, detail, limit, _image_digest, rows)


def _judge_excess(
    reason: Reason,
    words: str,
    limit: int,
    other: Callable[[DuplicateRow], bytes | None],
    rows: Iterable[DuplicateRow],
) -> Verdict | None:
    best: tuple[tuple, DuplicateRow] | None = None
    seen: set[bytes] = set()
    for row in rows:
        key = rank(row)
        if best is None or key < best[0]:
            best = (key, row)
        if len(seen) <= limit and (digest := other(row)) is not None:  # no more are held than it takes to tell
            seen.add(digest)
    if best is None or len(seen) <= limit:
        return None
    detail = f"{words} {describe(best[1])}"
    return lambda row: decide(row, reason, detail)
