"""Which columns of two runs mean the same: by name, in any case, and by what the published schemas call it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# What identifies a row, and its names in lower case. The first that is there counts: beside org_caption, a column
# named caption is something else. Sources: `schemas` and `schema_columns`.
ROLES: dict[str, tuple[str, ...]] = {
    "uid": ("uid",),
    "key": ("key",),
    "url": ("url", "coco_url"),
    "caption": ("org_caption", "text", "caption"),
    "source_row": ("source_row", "__index_level_0__"),
    "source_id": ("sample_id", "image_id"),
}

# Names, in lower case, of what is the same value of a row in different schemas.
_SAME = (
    *({*names} for names in ROLES.values()),
    {"re_caption", "recaption"},
    {"org_clip_score", "similarity", "clip_score"},
    {"re_clip_score", "recaption_clip_score"},
    {"ase_scores", "aesthetic_score"},
)

# Columns that say how a run was made: all rows of a run have the same.
OF_THE_RUN = frozenset({"clip_model", "aesthetic_model", "ocr_engine", "captioner", "config_digest"})


@dataclass(frozen=True, slots=True)
class ColumnPair:
    """A column of A and the column of B that means the same."""

    a: str
    b: str

    @property
    def name(self) -> str:
        return self.a if self.a.lower() == self.b.lower() else f"{self.a} / {self.b}"

    @property
    def is_of_the_run(self) -> bool:
        return self.a.lower() in OF_THE_RUN


def column_of(role: str, columns: Sequence[str]) -> str | None:
    """The column that plays a role of `ROLES`, or that has the name itself; None where there is none."""
    by_name = {name.lower(): name for name in columns}
    return next((by_name[name] for name in ROLES.get(role, (role.lower(),)) if name in by_name), None)


def pair_columns(a: Sequence[str], b: Sequence[str]) -> tuple[list[ColumnPair], list[str], list[str]]:
    """Pairs columns by equal names, then by equal meanings.

    Args:
      a: names in A's order; none are equal in lower case.
      b: likewise.

    Returns:
      The pairs in A's order, and the names that only A and only B have.
    """
    free = {name.lower(): name for name in b}
    found = {name: free.pop(name.lower()) for name in a if name.lower() in free}
    taken = {name.lower() for name in found}
    for name in a:
        if name in found or _is_second_name(name, a):
            continue
        same = next((names for names in _SAME if name.lower() in names), set())
        if same & taken:  # A says it twice
            continue
        other = next(
            (other for other in free.values() if other.lower() in same and not _is_second_name(other, b)), None
        )
        if other is not None:
            found[name] = free.pop(other.lower())
    pairs = [ColumnPair(name, found[name]) for name in a if name in found]
    return pairs, [name for name in a if name not in found], list(free.values())


def _is_second_name(name: str, columns: Sequence[str]) -> bool:
    """Whether it would mean a role that another column plays, such as caption beside org_caption."""
    roles = [role for role, names in ROLES.items() if name.lower() in names]
    return any(column_of(role, columns) != name for role in roles)
