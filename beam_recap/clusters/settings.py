"""The flags of ``pipelines.cluster`` and their values."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from beam_recap.clusters.nearest import Metric
from beam_recap.flag import ConfigError, Flag
from beam_recap.flag_values import boolean, choice, integer, or_none, patterns, text
from beam_recap.flag_words import format_flags, refuse_bare_words, split_words

# The defaults are those of the text-debiased dataset: arXiv 2312.14232 and its authors' kmeans.py.
FLAGS: tuple[Flag, ...] = (
    Flag(
        "input",
        "rows",
        None,
        patterns,
        "Embeddings: the output directory of a run, a folder of .npy files (clip-retrieval's), files or globs, "
        "separated by commas, local or gs://. Rows count in the order of the files' paths.",
    ),
    Flag("output", "rows", None, text, "Directory for the model, local or gs://; a model that is there is replaced."),
    Flag(
        "max_rows",
        "rows",
        "none",
        or_none(integer(1, 10**12)),
        "Fit on this many rows, drawn from all by --seed; none: all.",
    ),
    Flag(
        "normalise",
        "PCA",
        "false",
        boolean,
        "Divide embeddings by their length first; whether the published labels were made so is not known.",
    ),
    Flag("pca_dimensions", "PCA", "256", or_none(integer(1, 65_536)), "Dimensions after the PCA; none: no PCA."),
    Flag(
        "pca_batch_rows",
        "PCA",
        "200000",
        integer(1, 10_000_000),
        "Rows that the PCA takes at a time; some six times as many are in memory, in float64.",
    ),
    Flag("clusters", "K-means", "4000", integer(1, 10_000_000), "Clusters."),
    Flag("iterations", "K-means", "300", integer(1, 100_000), "Iterations of each start."),
    Flag("redo", "K-means", "10", integer(1, 70), "Random starts; the best one counts."),
    Flag("seed", "K-means", "42", integer(0, 10**9), "Seed of everything that is drawn."),
    Flag("min_points", "K-means", "10000", integer(1, 10**9), "Refuse fewer rows per cluster."),
    Flag(
        "max_points",
        "K-means",
        "200000",
        integer(1, 10**9),
        "K-means takes at most this many rows per cluster, drawn by --seed.",
    ),
    Flag(
        "metric",
        "K-means",
        "l2",
        choice(*Metric),
        "How rows will be labelled: by the smallest distance (l2), or the greatest dot product (dot, as DataComp "
        "does). K-means itself uses l2.",
    ),
    Flag(
        "threads",
        "running",
        "none",
        or_none(integer(1, 4096)),
        "Threads of K-means, which decide its last bits: to make the same model on a machine with more or fewer cores, "
        "give the number in its manifest; none: as many as there are.",
    ),
    Flag(
        "temporary_folder",
        "running",
        "none",
        or_none(text),
        "Local folder for the features, 2 bytes a dimension and row, while K-means runs; none: the system's.",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSettings:
    """What to fit, and of what; each field is the flag of its name."""

    input: tuple[str, ...]
    output: str
    max_rows: int | None
    normalise: bool
    pca_dimensions: int | None
    pca_batch_rows: int
    clusters: int
    iterations: int
    redo: int
    seed: int
    min_points: int
    max_points: int
    metric: Metric
    threads: int | None
    temporary_folder: str | None


def parse_flags(argv: Sequence[str]) -> ClusterSettings:
    """The checked flags.

    Raises:
      ConfigError: an unknown flag, one without a value or given twice, a value that it does not take, or values that
        contradict each other.
    """
    flags = {flag.name: flag for flag in FLAGS}
    given, bare = split_words(argv, flags)
    refuse_bare_words(bare)
    values = {}
    for name, flag in flags.items():
        value = given.get(name, flag.default)
        if value is None:
            raise ConfigError(name, "", f"is required; write --{name}={'DIR' if name == 'output' else 'PATTERN'}")
        try:
            values[name] = flag.parse(value)
        except ValueError as error:
            raise ConfigError(name, value, str(error)) from None
    settings = ClusterSettings(**{**values, "metric": Metric(values["metric"])})
    _check(settings)
    return settings


def _check(settings: ClusterSettings) -> None:
    if settings.min_points > settings.max_points:
        problem = f"is more than --max_points={settings.max_points}; give a smaller one"
        raise ConfigError("min_points", settings.min_points, problem)
    if settings.pca_dimensions is not None and settings.pca_batch_rows < settings.pca_dimensions:
        problem = f"is fewer than --pca_dimensions={settings.pca_dimensions}; give at least as many"
        raise ConfigError("pca_batch_rows", settings.pca_batch_rows, problem)


def format_help(prog: str) -> str:
    """The text of ``--help``."""
    return format_flags(
        prog,
        "--input=PATTERN --output=DIR [--flag=value ...]",
        "Fits a PCA and K-means on image embeddings and saves them as plain arrays with a manifest. The defaults are "
        "those of the text-debiased dataset, for 40 million rows and more.",
        FLAGS,
        "With --verbose, everything that libraries log is shown, and the traces of failures.",
    )


assert [field.name for field in dataclasses.fields(ClusterSettings)] == [flag.name for flag in FLAGS]
