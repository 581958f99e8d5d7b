"""Looks at the input and the output before a run starts, so that a mistake costs a sentence and not a job."""

from __future__ import annotations

import os

from beam_recap import checkpoint
from beam_recap.columns import ColumnError, recognise_columns
from beam_recap.config import RecapConfig
from beam_recap.flags import ConfigError
from beam_recap.isolation import describe_error
from beam_recap.units import PARQUET, ShardError, detect_format, match_shards, parquet_footer

# Beyond these, a bad shard is found by the run and ends as a rejection: ten thousand footers take minutes to read.
_SHARDS_CHECKED = 256


def check_run(config: RecapConfig) -> None:
    """Raises `ConfigError` for input or output that the run could not use. Writes nothing."""
    if config.input:
        _check_input(config)
    _check_directory(config.output)
    try:
        checkpoint.check(config)
    except checkpoint.CheckpointMismatch as error:
        raise ConfigError("output", config.output, str(error)) from None
    except Exception as error:  # no such file system, no credentials, no network
        problem = f"cannot be read ({describe_error(error)}); give another directory"
        raise ConfigError("output", config.output, problem) from None


def _check_directory(output: str) -> None:
    if "://" in output:
        return
    place = os.path.abspath(output)
    while not os.path.lexists(place):
        place = os.path.dirname(place)
    if not os.path.isdir(place):
        raise ConfigError("output", output, f"cannot be a directory, because {place} is a file; give another directory")
    if not os.access(place, os.W_OK | os.X_OK):
        raise ConfigError("output", output, f"cannot be written, because {place} is read-only; give another directory")


def _check_input(config: RecapConfig) -> None:
    for pattern in config.input:
        try:
            shards = match_shards([pattern])
            for shard in shards[:_SHARDS_CHECKED]:
                if detect_format(shard.path) == PARQUET:
                    schema, _ = parquet_footer(shard.path)
                    _check_columns(config, shard.path, schema.names)
        except ShardError as error:
            raise ConfigError("input", pattern, f"{error}; give Parquet files or tars that are there") from None


def _check_columns(config: RecapConfig, path: str, names: list[str]) -> None:
    try:
        recognise_columns(names, url_column=config.url_column, caption_column=config.caption_column)
    except ColumnError as error:
        value = getattr(config, error.flag)
        raise ConfigError(error.flag, "none" if value is None else value, f"in {path} {error}") from None
