"""DuckDB as it is used here: bounded memory, its own folder, nothing downloaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from beam_recap.compare.run_files import Part
from beam_recap.compare.settings import CompareError

# A row's place in a part: the file's number and the row's number in it.
_PLACE = "(file_index::BIGINT * 1099511627776 + file_row_number::BIGINT)"
_SMALL_INTEGERS = frozenset(
    ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")
)
_NUMBERS = _SMALL_INTEGERS | {"HUGEINT", "UHUGEINT", "FLOAT", "DOUBLE"}


class Database:
    """A connection, as a context manager.

    Args:
      folder: local, for tables and for what does not fit into memory.
      memory_gb: what DuckDB may take.

    Raises:
      CompareError: DuckDB is not installed.
    """

    def __init__(self, folder: Path, memory_gb: float):
        try:
            import duckdb
        except ImportError:
            raise CompareError(
                "needs DuckDB, which is not installed; install it with: pip install 'beam-recap[compare]' "
                "(or pip install 'duckdb>=1.4,<2')"
            ) from None
        self._memory_gb = memory_gb
        self._connection = duckdb.connect(
            str(folder / "compare.duckdb"),
            config={
                "memory_limit": f"{int(memory_gb * 1000)}MB",
                "temp_directory": str(folder / "spilled"),
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
                "preserve_insertion_order": "false",
            },
        )
        self._connection.execute("SET enable_progress_bar = false")
        self._connection.execute("SET lock_configuration = true")
        self._errors = duckdb

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *error: object) -> None:
        self._connection.close()

    def rows(self, sql: str, parameters: Sequence[Any] | dict[str, Any] = ()) -> list[tuple[Any, ...]]:
        """Runs one statement.

        Raises:
          CompareError: the memory does not suffice, or a file cannot be read.
        """
        try:
            return self._connection.execute(sql, parameters).fetchall()
        except self._errors.OutOfMemoryException:
            raise CompareError(f"--memory_gb={self._memory_gb:g}: is not enough for these runs; give more") from None
        except (self._errors.InvalidInputException, self._errors.ConversionException) as error:
            first = str(error).strip().splitlines()[0]
            raise CompareError(f"a Parquet file cannot be read ({first[:300]}); run that job again") from None

    def types(self, part: Part) -> dict[str, str]:
        """DuckDB's types of a part's columns, by name."""
        found = self.rows("DESCRIBE SELECT * FROM read_parquet($paths, hive_partitioning = false)", _paths(part))
        types = {row[0]: row[1] for row in found}
        return {name: types[name] for name in part.columns}


def scan(part: str, columns: dict[str, str | None]) -> str:
    """SQL of a part's rows with their ``place``.

    Args:
      part: the name of the parameter that holds the paths.
      columns: the part's columns by the names that they get; None: null.
    """
    chosen = "".join(f", {quoted(name) if name is not None else 'NULL'} AS {new}" for new, name in columns.items())
    return f"(SELECT {_PLACE} AS place{chosen} FROM read_parquet(${part}, hive_partitioning = false))"  # noqa: S608


def _paths(part: Part) -> dict[str, Any]:
    return {"paths": list(part.paths)}


def quoted(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def kind_of(type_name: str) -> str:
    """What is told of a column: of a ``number``, ``text``, ``boolean`` or something ``other``."""
    if type_name in _NUMBERS or type_name.startswith("DECIMAL"):
        return "number"
    return {"VARCHAR": "text", "BOOLEAN": "boolean"}.get(type_name, "other")


def is_small_integer(type_name: str) -> bool:
    """Whether differences of two such numbers are exact in 128 bits."""
    return type_name in _SMALL_INTEGERS
