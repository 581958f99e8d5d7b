"""The command line of ``pipelines.publish``."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from beam_recap.files import absolute
from beam_recap.flag import ConfigError, Flag, read_flags
from beam_recap.flag_values import boolean, names, or_none, text
from beam_recap.flag_words import format_flags, refuse_bare_words, split_words

# What can be published beside the card: folders of these names, and the report.
DATA, REPORT = "data", "report"
PARTS = (DATA, "rejected", REPORT, "webdataset", "embeddings")

FLAGS = (
    Flag("output", "what", None, text, "The output directory of a run, local or gs://; may stand alone as OUTPUT."),
    Flag(
        "include",
        "what",
        "all",
        names(*PARTS, alias="all"),
        f"Parts to publish beside the card: some of {','.join(PARTS)}; all: those that are there. Never the "
        "checkpoint. What an earlier publication left in these folders of the repository is removed.",
    ),
    Flag(
        "repo_id", "where", None, text, "Required. Dataset repository on the hub, USER/NAME; made if it is not there."
    ),
    Flag(
        "private",
        "where",
        "true",
        boolean,
        "Whether the repository may only be seen by you; decides for a new one, and refuses one that is public.",
    ),
    Flag("revision", "where", "main", text, "Branch to publish on; made from main if it is not there."),
    Flag("commit_message", "where", "none", or_none(text), "Of the commit; none: says which run it is."),
    Flag(
        "overwrite_card",
        "where",
        "false",
        boolean,
        "Replace the repository's card although it is not one of this project's.",
    ),
    Flag("dry_run", "running", "false", boolean, "Check everything, say what would be uploaded, and ask nobody."),
)
_REQUIRED = {"output": "OUTPUT", "repo_id": "USER/NAME"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishSettings:
    """What to publish, and where; each field is the flag of its name. An empty ``include`` is all that is there."""

    output: str
    include: tuple[str, ...]
    repo_id: str
    private: bool
    revision: str
    commit_message: str | None
    overwrite_card: bool
    dry_run: bool


def parse_flags(argv: Sequence[str]) -> PublishSettings:
    """The checked flags.

    Raises:
      ConfigError: an unknown flag, one that is missing, without a value or given twice, or a value that it does not
        take.
    """
    words = [word if word.startswith("-") else f"--output={word}" for word in argv]
    given, bare = split_words(words, [flag.name for flag in FLAGS])
    refuse_bare_words(bare)
    for name, example in _REQUIRED.items():
        if not given.get(name):
            remedy = "name the run's output directory" if name == "output" else f"write --{name}={example}"
            raise ConfigError(name, "", f"is missing; {remedy}")
    values = read_flags(FLAGS, given)
    settings = PublishSettings(**{**values, "output": absolute(values["output"]).rstrip("/")})
    _check(settings)
    return settings


def _check(settings: PublishSettings) -> None:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(settings.repo_id)
    except HFValidationError as error:
        raise ConfigError("repo_id", settings.repo_id, f"{str(error).splitlines()[0]} Write USER/NAME") from None
    if settings.repo_id.count("/") != 1:
        raise ConfigError("repo_id", settings.repo_id, "does not say whose it is; write USER/NAME")
    if settings.include and DATA not in settings.include:
        problem = f"lacks {DATA}, which the card is about; add it"
        raise ConfigError("include", ",".join(settings.include), problem)


def format_help(prog: str) -> str:
    """The text of ``--help``."""
    return format_flags(
        prog,
        "OUTPUT --repo_id=USER/NAME [--flag=value ...]",
        "Checks that the card, the summary and the files of a finished run agree, and uploads them to a dataset "
        "repository on the Hugging Face hub, the card last. The token is that of HF_TOKEN, or the one that `hf auth "
        "login` has saved. What is there already is not sent again, so an upload that broke off goes on.",
        FLAGS,
    )


assert {field.name for field in dataclasses.fields(PublishSettings)} == {flag.name for flag in FLAGS}
