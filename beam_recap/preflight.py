"""Looks at the input and the output before a run starts, so that a mistake costs a sentence and not a job."""

from __future__ import annotations

import os

from beam_recap import files, run_directory
from beam_recap.config import RecapConfig
from beam_recap.flag import ConfigError
from beam_recap.inputs import manifest
from beam_recap.inputs.columns import ColumnError, Columns, listed, recognise_columns
from beam_recap.inputs.formats import GZIP, PARQUET, TAR, TXT, ShardError, detect_format
from beam_recap.inputs.prefilter_batches import schema_problem
from beam_recap.inputs.prefilter_rows import Prefilter
from beam_recap.inputs.raw_rows import DELIMITERS
from beam_recap.inputs.text_head import text_columns
from beam_recap.inputs.units import Shard, match_shards, parquet_footer
from beam_recap.isolation import describe_error
from beam_recap.language import LanguageModelError

# Beyond these, a bad shard is found by the run and ends as a rejection: ten thousand footers take minutes to read.
_SHARDS_CHECKED = 256


def check_run(config: RecapConfig) -> dict[str, str] | None:
    """Raises `ConfigError` for input or output that the run could not use. Writes nothing.

    Returns:
      The input's files, as `manifest.describe` gives them; None for the demonstration.
    """
    shards = check_input(config)
    check_directory(config.output)
    config.identity()  # looks at the models' files, whose problems are not the output's
    try:
        described = manifest.describe(shards) if shards else None
    except OSError as error:
        problem = f"cannot be read ({describe_error(error)}); give files that can"
        raise ConfigError("input", ",".join(config.input), problem) from None
    try:
        run_directory.check(config, described)
    except ConfigError:
        raise
    except Exception as error:  # no such file system, no credentials, no network
        problem = f"cannot be read ({describe_error(error)}); give another directory"
        raise ConfigError("output", config.output, problem) from None
    return described


def check_directory(output: str) -> None:
    """Raises `ConfigError` for an output directory that can neither be made nor written."""
    if "://" in output:
        return
    place = files.nearest_existing(output)
    if not os.path.isdir(place):
        raise ConfigError("output", output, f"cannot be a directory, because {place} is a file; give another directory")
    if not os.access(place, os.W_OK | os.X_OK):
        raise ConfigError("output", output, f"cannot be written, because {place} is read-only; give another directory")


def check_input(config: RecapConfig) -> list[Shard]:
    """The input's shards. Raises `ConfigError` for shards, columns or a prefilter that cannot be used."""
    try:
        Prefilter(config.prefilter).load()
    except LanguageModelError as error:
        raise ConfigError("prefilter", ",".join(config.prefilter), str(error)) from None
    shards: dict[str, Shard] = {}
    for pattern in config.input:
        try:
            found = match_shards([pattern])
            for shard in found[:_SHARDS_CHECKED]:
                _check_shard(config, shard.path)
            shards.update((shard.path, shard) for shard in found)
        except ShardError as error:
            raise ConfigError("input", pattern, f"{error}; {error.remedy}") from None
        output = config.output if "://" in config.output else os.path.abspath(config.output)
        if os.path.isdir(pattern) and f"{output}/".startswith(f"{pattern.rstrip('/')}/"):
            problem = f"lies in the input folder {pattern}, so that its files would be read; give another directory"
            raise ConfigError("output", config.output, problem)
    return list(shards.values())


def _check_shard(config: RecapConfig, path: str) -> None:
    shard_format = detect_format(path)
    if shard_format == TAR:
        return
    prefilter = Prefilter(config.prefilter)
    if shard_format == PARQUET:
        schema, _ = parquet_footer(path)
        columns = _check_columns(config, path, schema.names)
        problem = prefilter.missing_column(schema.names, columns) or schema_problem(prefilter, schema)
        _check_prefilter(config, path, schema.names, problem)
        return
    kind = shard_format.removesuffix(GZIP)
    names = text_columns(path, shard_format, may_be_local=config.allow_local_files)
    columns = _check_columns(config, path, names, has_one_column=kind == TXT)
    if kind == TXT or kind in DELIMITERS:  # objects may differ, so what one of them lacks ends as its rejection
        _check_prefilter(config, path, names, prefilter.missing_column(names, columns))


def _check_columns(config: RecapConfig, path: str, names: list[str], *, has_one_column: bool = False) -> Columns:
    url_column = None if has_one_column else config.url_column
    try:
        return recognise_columns(
            names, url_column=url_column, caption_column=config.caption_column, digest_column=config.verify_hash
        )
    except ColumnError as error:
        value = getattr(config, error.flag)
        raise ConfigError(error.flag, "none" if value is None else value, f"in {path} {error}") from None


def _check_prefilter(config: RecapConfig, path: str, names: list[str], problem: str | None) -> None:
    if problem is not None:
        sentence = f"in {path} {problem}; give conditions on some of {listed(names)}"
        raise ConfigError("prefilter", ",".join(config.prefilter), sentence)
