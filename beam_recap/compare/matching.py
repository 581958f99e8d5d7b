"""Which row of B is a row of A: by an identity, and equal ones in order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from beam_recap.compare.database import Database, scan
from beam_recap.compare.meanings import column_of
from beam_recap.compare.run_files import Part, Run
from beam_recap.compare.settings import CompareError

_ORDERS = ("key", "source_row")  # that tell equal rows apart, where all files have them


@dataclass(frozen=True, slots=True)
class Identity:
    """What rows are matched by.

    Attributes:
      names: roles of `meanings.ROLES`, or columns' names in lower case.
      without_url: what stands for ``names`` in rows without a URL; () where nothing else is known of them.
      order: by which equal rows are put in order; None: nothing tells whether a kept or a rejected one came first, and
        kept ones count as the earlier.
    """

    names: tuple[str, ...]
    without_url: tuple[str, ...]
    order: str | None


def choose_identity(a: Run, b: Run, names: tuple[str, ...] | None) -> Identity:
    """The identity of rows that the files allow.

    Args:
      a: the run before.
      b: the run after.
      names: the user's choice; None: URL and original caption.

    Raises:
      CompareError: a column is not there.
    """
    parts = {f"{run.side}'s {place}/": part for run in (a, b) for place, part in _parts(run).items()}

    def lacks(name: str) -> str | None:
        return next((place for place, part in parts.items() if column_of(name, part.columns) is None), None)

    order = next((name for name in _ORDERS if lacks(name) is None), None)
    for name in names or ("url", "caption"):
        if (place := lacks(name)) is not None:
            common = ", ".join(name for name in _names_of(a) if lacks(name) is None)
            given = f"--key={','.join(names)}" if names else "--key=auto"
            raise CompareError(f"{given}: {place} has no column of {name}; all files have {common or 'none in common'}")
    if names is not None:
        return Identity(names, (), order)
    return Identity(("url", "caption"), ("key",) if lacks("key") is None else (), order)


def _names_of(run: Run) -> list[str]:
    roles = ("uid", "key", "url", "caption", "source_row", "source_id")
    meant = {column_of(role, run.rejected.columns) for role in roles}
    return [*roles, *(name.lower() for name in run.rejected.columns if name not in meant)]


def _parts(run: Run) -> dict[str, Part]:
    return {"data": run.kept, "rejected": run.rejected}


def match_rows(database: Database, a: Run, b: Run, identity: Identity) -> dict[str, Any]:
    """Makes the table ``matched``: one line for each row of A, of B, or of both.

    Its columns: ``lot``, a number that chooses among rows and depends on their identity only, and of each side
    ``place_a`` (null: not in A), ``kept_a``, ``stage_a`` and ``reason_a``.

    Returns:
      How it was done, as JSON values: among others how many identities are ``repeated`` and which of those are
      ``ambiguous``: more often in one run than in the other, or without a known order.
    """
    tables = {}
    for run in (a, b):
        side = run.side.lower()
        sql, paths = _rows_of(run, identity)
        database.rows(f"CREATE TABLE rows_{side} AS {sql}", paths)
        tables[side] = database.rows(f"SELECT count(*), count(*) FILTER (url_missing) FROM rows_{side}")[0]  # noqa: S608
    database.rows(_MATCHED)
    repeated = database.rows(_REPEATED if identity.order else _REPEATED_WITHOUT_ORDER)[0]
    names = ("identities", "rows_a", "rows_b", "ambiguous_identities", "ambiguous_rows_a", "ambiguous_rows_b")
    for side in ("a", "b"):
        database.rows(f"DROP TABLE rows_{side}")
    return {
        "by": list(identity.names),
        "without_url_by": list(identity.without_url),
        "rows_without_url_a": tables["a"][1],
        "rows_without_url_b": tables["b"][1],
        "order_of_equal_rows": identity.order,
        "repeated": dict(zip(names, repeated, strict=True)),
    }


def _rows_of(run: Run, identity: Identity) -> tuple[str, dict[str, list[str]]]:
    """SQL of a run's rows with identity ``id``, number ``n`` among equal ones, and outcome; and its parameters."""
    selects = []
    for place, part in _parts(run).items():
        names = {*identity.names, *identity.without_url, "url", *filter(None, [identity.order])}
        columns: dict[str, str | None] = {
            f"c{n}": column_of(name, part.columns) for n, name in enumerate(sorted(names))
        }
        named = {name: f"c{n}" for n, name in enumerate(sorted(names))}
        kept = place == "data"
        columns |= {"stage": None if kept else "stage", "reason": None if kept else "reason"}
        selects.append(
            f"SELECT {_digest(identity, named)} AS id, {named['url']} IS NULL AS url_missing, place, {kept} AS kept, "  # noqa: S608
            + ", ".join(
                f"{'NULL' if kept else f'coalesce({name}::VARCHAR, {chr(39) * 2})'}::VARCHAR AS {name}"
                for name in ("stage", "reason")
            )
            + f", {named[identity.order] if identity.order else 'NULL'}::VARCHAR AS tie"
            + f" FROM {scan(place, columns)}"
        )
    tie = {"key": "tie, ", "source_row": "TRY_CAST(tie AS BIGINT), "}.get(identity.order or "", "")
    sql = f"""
        SELECT id, url_missing, place, kept, stage, reason,
          row_number() OVER (PARTITION BY id ORDER BY {tie}kept DESC, place) AS n
        FROM ({" UNION ALL ".join(selects)})"""  # noqa: S608
    return sql, {place: list(part.paths) for place, part in _parts(run).items()}


def _digest(identity: Identity, named: Mapping[str, str]) -> str:
    def of(names: tuple[str, ...]) -> str:
        # Lengths, so that no two lists of values give the same text.
        values = (f"{named[name]}::VARCHAR" for name in names)
        return " || ".join(f"CASE WHEN {v} IS NULL THEN '-' ELSE length({v}) || ':' || {v} END" for v in values)

    text = of(identity.names)
    if identity.without_url:
        text = f"CASE WHEN {named['url']} IS NULL THEN 'without ' || {of(identity.without_url)} ELSE {text} END"
    # Whoever makes two texts with one MD5 has two of his own rows taken for equal ones.
    return f"md5_number({text})"


_MATCHED = """
    CREATE TABLE matched AS
    SELECT xor(coalesce(a.id, b.id), coalesce(a.n, b.n)::UHUGEINT) AS lot,
      a.place AS place_a, a.kept AS kept_a, a.stage AS stage_a, a.reason AS reason_a,
      b.place AS place_b, b.kept AS kept_b, b.stage AS stage_b, b.reason AS reason_b
    FROM rows_a AS a FULL OUTER JOIN rows_b AS b ON a.id = b.id AND a.n = b.n"""

_COUNTS = """
    WITH repeats AS (SELECT id FROM rows_a WHERE n = 2 UNION SELECT id FROM rows_b WHERE n = 2),
    sides AS (
      SELECT id, 1 AS a, 0 AS b, kept FROM rows_a SEMI JOIN repeats USING (id)
      UNION ALL SELECT id, 0, 1, kept FROM rows_b SEMI JOIN repeats USING (id)
    ),
    counts AS (
      SELECT sum(a) AS a, sum(b) AS b, sum(a * kept::INTEGER) AS kept_a, sum(b * kept::INTEGER) AS kept_b
      FROM sides GROUP BY id
    ),
    judged AS (SELECT a, b, {ambiguous} AS ambiguous FROM counts)
    SELECT count(*), coalesce(sum(a), 0)::BIGINT, coalesce(sum(b), 0)::BIGINT, count(*) FILTER (ambiguous),
      coalesce(sum(a) FILTER (ambiguous), 0)::BIGINT, coalesce(sum(b) FILTER (ambiguous), 0)::BIGINT
    FROM judged"""
_REPEATED = _COUNTS.format(ambiguous="a <> b AND a > 0 AND b > 0")
_REPEATED_WITHOUT_ORDER = _COUNTS.format(
    ambiguous="a > 0 AND b > 0 AND (a <> b OR (kept_a > 0 AND kept_a < a) OR (kept_b > 0 AND kept_b < b))"
)
