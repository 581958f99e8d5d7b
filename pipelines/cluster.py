"""Fits clusters on the embeddings that a run has written: ``python -m pipelines.cluster --input=RUN --output=DIR``."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Sequence

from beam_recap.clusters import fit, model_folder
from beam_recap.clusters.embedding_files import EmbeddingFiles, EmbeddingsError
from beam_recap.clusters.model import ClusterModelError
from beam_recap.clusters.settings import format_help, parse_flags
from beam_recap.flag import ConfigError
from beam_recap.google_access import check_access
from pipelines.running import run_command

_LOG = logging.getLogger("beam_recap.clusters")
PROG = "python -m pipelines.cluster"


def run(argv: Sequence[str]) -> None:
    """Checks the command line, the embeddings and the output, and fits and saves a model.

    Raises:
      ConfigError: something cannot be used; nothing was written.
    """
    settings = parse_flags(argv)
    check_access({"input": ",".join(settings.input), "output": settings.output})
    try:
        replaces = model_folder.check_replaceable(settings.output)
    except ClusterModelError as error:
        raise ConfigError("output", settings.output, f"{error}; give another directory") from None
    started = time.monotonic()
    try:
        embeddings = EmbeddingFiles.find(settings.input)
        fit.check(settings, embeddings)
        model, facts = fit.fit(settings, embeddings)
    except EmbeddingsError as error:
        remedy = "" if ";" in str(error) else "; give the embeddings of a run with --save_embeddings=true"
        raise ConfigError("input", ",".join(settings.input), f"{error}{remedy}") from None
    if replaces:
        _LOG.info("Replacing the model in %s.", settings.output)
    model_folder.save(settings.output, model, facts)
    sizes = facts["cluster_sizes"]
    _LOG.info(
        "Done: %d clusters of %d to %d rows (%d empty) in %s, after %.0f s.",
        model.clusters,
        sizes["smallest"],
        sizes["largest"],
        sizes["empty"],
        settings.output,
        time.monotonic() - started,
    )


def main(argv: Sequence[str]) -> int:
    """The command; see `run_command`."""
    return run_command(PROG, argv, _run_or_interrupt, format_help, if_interrupted="interrupted; nothing was written")


def _run_or_interrupt(argv: Sequence[str]) -> None:
    try:
        run(argv)
    except RuntimeError as error:
        if "interrupted" in str(error):  # faiss makes an error of its own of it
            raise KeyboardInterrupt from error
        raise


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
