"""Whether a dataset card says of the files what is true."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence
from typing import Any

from beam_recap.isolation import describe_error
from beam_recap.publish.run_files import CARD, PublishError, Table
from beam_recap.publish.settings import DATA
from beam_recap.report.card import TAG, card_features

_DEFAULT = "default"
# A reader may or may not make a bitmap of which values are null: one bit beside a value of 64.
_ARROW_TOLERANCE = 0.02


def front_matter(card: str) -> dict[str, Any]:
    """A card's metadata, as the hub's own library reads them.

    Raises:
      PublishError: they cannot be read.
    """
    from huggingface_hub import DatasetCard

    try:
        return DatasetCard(card).data.to_dict()
    except Exception as error:  # of YAML, and of whatever a value is not
        problem = f"{CARD} has no front matter that can be read ({describe_error(error)})"
        raise PublishError(f"{problem}; {_REMEDY}") from None


def is_ours(card: str) -> bool:
    """Whether a card, which may be a stranger's, is one that this project wrote."""
    try:
        tags = front_matter(card).get("tags")
    except PublishError:
        return False
    return isinstance(tags, list) and TAG in tags


def check_card(card: str, tables: Sequence[Table], published: Iterable[str]) -> None:
    """Compares a card's metadata with the files in ``data/`` and their footers.

    Args:
      card: the card's text.
      tables: the files in ``data/``.
      published: names of all files that are published.

    Raises:
      PublishError: the files have different schemas, or the card says something else of them than is true.
    """
    _check_schemas(tables)
    metadata = front_matter(card)
    published = set(published)
    splits = _split_files(metadata, published)
    info = _default_info(metadata)
    _compare("features", info.get("features"), _features(tables[0]))
    by_name = {table.name: table for table in tables}
    found = {name: [by_name[file] for file in names] for name, names in splits.items()}
    told = {split.get("name"): split for split in info.get("splits") or () if isinstance(split, dict)}
    _compare("names of splits", sorted(told), sorted(found))
    for name, split in found.items():
        _compare(f"num_examples of {name}", told[name].get("num_examples"), sum(table.rows for table in split))
        _check_arrow_bytes(name, told[name].get("num_bytes"), sum(table.arrow_bytes for table in split))
    _compare("download_size", info.get("download_size"), sum(table.file_bytes for table in tables))
    _compare("dataset_size", info.get("dataset_size"), sum(split["num_bytes"] for split in told.values()))


def _features(table: Table) -> list[dict[str, Any]]:
    try:
        return card_features(table.schema)
    except ValueError as error:
        raise PublishError(f"{table.name}: {error}; {_REMEDY}") from None


def _check_schemas(tables: Sequence[Table]) -> None:
    first = tables[0]
    for table in tables[1:]:
        if not table.schema.equals(first.schema):
            raise PublishError(
                f"{table.name} has other columns than {first.name}: {_first_difference(table, first)}; "
                "run the command of the run again, in a new directory"
            )


def _first_difference(table: Table, other: Table) -> str:
    ours, theirs = ([f"{field.name}: {field.type}" for field in one.schema] for one in (table, other))
    length = max(len(ours), len(theirs))
    pairs = zip(ours + ["none"] * (length - len(ours)), theirs + ["none"] * (length - len(theirs)), strict=True)
    return next((f"{mine}, not {its}" for mine, its in pairs if mine != its), "their metadata")


def _split_files(metadata: dict[str, Any], published: set[str]) -> dict[str, list[str]]:
    """The files of each split of the default config, which are all of ``data/``; every other config has some."""
    configs = metadata.get("configs")
    if not isinstance(configs, list) or not all(isinstance(config, dict) for config in configs):
        raise PublishError(f"{CARD} has no list of configs, so it names no files; {_REMEDY}")
    splits: dict[str, list[str]] = {}
    for config in configs:
        name = config.get("config_name")
        matched = {
            split: sorted(file for file in published if any(_matches(file, pattern) for pattern in patterns))
            for split, patterns in _patterns(config).items()
        }
        if empty := [split for split, names in matched.items() if not names]:
            raise PublishError(
                f"{CARD}: the files of split {empty[0]} of config {name} ({', '.join(_patterns(config)[empty[0]])}) "
                "are not among those to be published; add their folder to --include, or take the config out of the card"
            )
        if name == _DEFAULT:
            splits = matched
    matching = sorted(file for names in splits.values() for file in names)
    expected = sorted(file for file in published if file.startswith(f"{DATA}/"))
    if matching != expected:
        odd = sorted(set(matching) ^ set(expected)) or matching
        verb = "does not name" if odd[0] in expected and odd[0] not in matching else "names"
        raise PublishError(f"{CARD}: the default config's data_files {verb} {odd[0]}; {_REMEDY}")
    return splits


def _patterns(config: dict[str, Any]) -> dict[str, list[str]]:
    """Patterns by split."""
    given = config.get("data_files")
    parts = given if isinstance(given, list) else [given]
    patterns: dict[str, list[str]] = {}
    for part in parts:
        split, path = (part.get("split"), part.get("path")) if isinstance(part, dict) else ("train", part)
        paths = path if isinstance(path, list) else [path]
        if not isinstance(split, str) or not all(isinstance(one, str) for one in paths):
            raise PublishError(f"{CARD} has a config whose data_files cannot be read: {part!r}; {_REMEDY}")
        patterns.setdefault(split, []).extend(paths)
    return patterns


def _matches(name: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(name, pattern) and name.count("/") == pattern.count("/")


def _default_info(metadata: dict[str, Any]) -> dict[str, Any]:
    info = metadata.get("dataset_info")
    if isinstance(info, list):
        entries = [entry for entry in info if isinstance(entry, dict)]
        info = next((entry for entry in entries if entry.get("config_name", _DEFAULT) == _DEFAULT), None)
    if not isinstance(info, dict):
        raise PublishError(f"{CARD} has no dataset_info; {_REMEDY}")
    return info


def _compare(what: str, told: Any, found: Any) -> None:
    if told == found:
        return
    if isinstance(told, list) and isinstance(found, list):
        at = next((n for n, (one, other) in enumerate(zip(told, found, strict=False)) if one != other), None)
        at = min(len(told), len(found)) if at is None else at
        told, found = (part[at] if at < len(part) else "nothing" for part in (told, found))
        what = f"number {at + 1} of the {what}"
    raise PublishError(f"{CARD} says {told} for {what}, but the files have {found}; {_REMEDY}")


def _check_arrow_bytes(split: str, told: Any, found: int) -> None:
    if not isinstance(told, int) or abs(told - found) > _ARROW_TOLERANCE * found:
        raise PublishError(f"{CARD} says {told} for num_bytes of {split}, but the files have {found}; {_REMEDY}")


_REMEDY = "correct it, or run the command of the run again, which writes the card anew"
