"""``compare.json`` and ``compare.html``, and where they may be written."""

from __future__ import annotations

import json
from typing import Any

from beam_recap import files
from beam_recap.compare.page import compare_page
from beam_recap.compare.settings import CompareError, CompareSettings
from beam_recap.flag import ConfigError
from beam_recap.google_access import check_access

JSON_NAME = "compare.json"
PAGE_NAME = "compare.html"


def check(settings: CompareSettings) -> None:
    """Looks whether the runs' buckets can be read and the output written; writes nothing.

    Raises:
      ConfigError: not so, or the output is a run's own directory, whose files are a dataset.
    """
    for side, directory in (("A", settings.a), ("B", settings.b)):
        try:
            check_access({side: directory})
        except ConfigError as error:
            raise CompareError(str(error).removeprefix("--")) from None
    if settings.output is None:
        return
    check_access({"output": settings.output})
    if files.exists(files.join(settings.output, "summary.json")):
        raise ConfigError("output", settings.output, "is a run's own directory; give another")


def write(directory: str | None, comparison: dict[str, Any]) -> list[str]:
    """Writes both files.

    Args:
      directory: local or ``gs://``; None: nothing is written.
      comparison: from `compare_runs`.

    Returns:
      Their paths.
    """
    if directory is None:
        return []
    # Nothing in it is NaN: who reads strict JSON can read this.
    text = json.dumps(comparison, indent=2, ensure_ascii=False, allow_nan=False)
    contents = {
        JSON_NAME: text.encode("utf-8", "backslashreplace"),
        PAGE_NAME: compare_page(comparison).encode("utf-8"),
    }
    paths = [files.join(directory, name) for name in contents]
    for path, data in zip(paths, contents.values(), strict=True):
        files.write_alone(path, data)
    return paths
