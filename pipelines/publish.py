"""Uploads a finished run to the Hugging Face hub: ``python -m pipelines.publish OUTPUT --repo_id=USER/NAME``."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

from beam_recap.flag import ConfigError
from beam_recap.google_access import check_access
from beam_recap.publish.card_checks import check_card
from beam_recap.publish.hub import publish
from beam_recap.publish.hub_errors import HubError
from beam_recap.publish.run_files import PublishError, Run, read_run
from beam_recap.publish.settings import PublishSettings, format_help, parse_flags
from pipelines.running import run_command

_LOG = logging.getLogger("beam_recap.publish")
PROG = "python -m pipelines.publish"


def run(argv: Sequence[str]) -> None:
    """Checks the command line and the run, and uploads it.

    Raises:
      ConfigError: something cannot be used or is not as it should be; nothing was uploaded.
      HubError: the hub failed.
    """
    settings = parse_flags(argv)
    check_access({"output": settings.output}, writes=())
    try:
        found = read_run(settings.output, settings.include)
        check_card(found.card, found.tables, [file.name for file in found.files])
    except PublishError as error:
        raise ConfigError("output", settings.output, str(error)) from None
    if settings.dry_run:
        print(_dry_run_text(found, settings))
        return
    _LOG.info("Checked %d files (%s bytes): card, summary and files agree.", len(found.files), f"{found.size:,}")
    published = publish(found, settings)
    print(published.url)


def _dry_run_text(found: Run, settings: PublishSettings) -> str:
    kept = f"{found.summary['counts']['kept']:,}"
    seen = "private" if settings.private else "public"
    lines = [f"To {settings.repo_id} ({seen} if it is made anew), branch {settings.revision}:"]
    lines += [f"  {file.size:>15,} bytes  {file.name}" for file in found.files]
    lines.append(f"{len(found.files)} files, {found.size:,} bytes, {kept} rows. Nothing was uploaded (--dry_run=true).")
    return "\n".join(lines)


def main(argv: Sequence[str]) -> int:
    """The command; see `run_command`. What the hub refuses is 1."""
    refused: list[HubError] = []

    def attempt(words: Sequence[str]) -> None:
        try:
            run(words)
        except HubError as error:  # a sentence for people; the trace behind it tells them nothing
            refused.append(error)

    status = run_command(
        PROG,
        argv,
        attempt,
        format_help,
        if_interrupted="interrupted; run the same command again: what has arrived is not sent again",
    )
    for error in refused:
        print(f"{PROG}: {error}", file=sys.stderr)
    return 1 if refused else status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
