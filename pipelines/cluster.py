"""Fits clusters on the embeddings that a run has written: ``python -m pipelines.cluster --input=RUN --output=DIR``."""

from __future__ import annotations

import logging
import os
import sys
import time
import traceback
from collections.abc import Sequence

from beam_recap.clusters import fit, model_folder
from beam_recap.clusters.embedding_files import EmbeddingFiles, EmbeddingsError
from beam_recap.clusters.model import ClusterModelError
from beam_recap.clusters.settings import format_help, parse_flags
from beam_recap.flag import ConfigError
from beam_recap.isolation import describe_error
from beam_recap.logs import log_plainly

_LOG = logging.getLogger("beam_recap.clusters")
PROG = "python -m pipelines.cluster"


def run(argv: Sequence[str]) -> None:
    """Checks the command line, the embeddings and the output, and fits and saves a model.

    Raises:
      ConfigError: something cannot be used; nothing was written.
    """
    settings = parse_flags(argv)
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
        raise ConfigError("input", ",".join(settings.input), str(error)) from None
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
    """The command. Exit status 0: done; 1: failed; 2: cannot be used so; 130: interrupted."""
    if "--help" in argv or "-h" in argv:
        print(format_help(PROG))
        return 0
    log_plainly()
    # Threads that spin while they wait cost more than they gain where cores are shared. Read when faiss is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        run(argv)
    except ConfigError as error:
        _say(str(error))
        return 2
    except (Exception, KeyboardInterrupt) as error:
        # faiss makes an exception of its own of an interrupt.
        if isinstance(error, KeyboardInterrupt) or "interrupted" in str(error):
            _say("interrupted; nothing was written")
            return 130
        traceback.print_exc()
        _say(f"failed ({describe_error(error)})")
        return 1
    return 0


def _say(text: str) -> None:
    print(f"{PROG}: {text}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
