"""Uploads a checked run to a dataset repository: what is not there yet, and the card with the last commit."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from beam_recap import files
from beam_recap.flag import ConfigError
from beam_recap.publish.card_checks import is_ours
from beam_recap.publish.hub_errors import HubError, describe_hub_error, token_remedy
from beam_recap.publish.local_copies import at_hand
from beam_recap.publish.run_files import CARD, FOLDERS, PAGE, SUMMARY, Run, RunFile
from beam_recap.publish.settings import PublishSettings

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

_LOG = logging.getLogger("beam_recap.publish")
_TYPE = "dataset"
_MAIN = "main"
# One commit takes so many files: the hub's own uploader takes 20 to 1,000. Fewer files are one commit, so that nobody
# ever sees an old card with new files.
_COMMIT_FILES = 500
_COMMIT_BYTES = 8 << 30  # also what copies of remote files take on this machine's disk at a time
_MAX_CARD_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class _Found:
    """A repository's branch as it is."""

    commit: str | None
    files: dict[str, RepoFile]  # by path


@dataclass(frozen=True, slots=True)
class Published:
    """What became of a run."""

    url: str
    sent: int  # files
    sent_bytes: int
    unchanged: int  # files that were there already
    removed: int


def publish(run: Run, settings: PublishSettings) -> Published:
    """Uploads a run that was checked.

    Raises:
      ConfigError: there is no token, or the repository is another's or public; nothing was uploaded.
      HubError: the hub cannot be reached or does not do what it is asked. The card is not there then, or the old one.
    """
    from huggingface_hub import HfApi, get_token
    from huggingface_hub.utils import disable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()
    api = HfApi()
    with _told(settings.repo_id, api.endpoint):
        if get_token() is None:
            problem = f"needs a token, and there is none; {token_remedy(api.endpoint)}"
            raise ConfigError("repo_id", settings.repo_id, problem)
        found = None
        if _check_visibility(api, settings):
            found = _find(api, settings.repo_id, settings.revision)
            _check_card(api, run, settings, found or _find(api, settings.repo_id, _MAIN))
        else:
            api.create_repo(settings.repo_id, repo_type=_TYPE, private=settings.private)
        if settings.revision != _MAIN and found is None:
            api.create_branch(settings.repo_id, branch=settings.revision, repo_type=_TYPE, exist_ok=True)
        found = found or _find(api, settings.repo_id, settings.revision) or _Found(None, {})
        return _upload(api, run, settings, found)


@contextlib.contextmanager
def _told(repo_id: str, endpoint: str) -> Iterator[None]:
    """Whatever goes wrong at the hub is one sentence."""
    try:
        yield
    except (ConfigError, HubError):
        raise
    except Exception as error:  # of the hub, of HTTP, of sockets, of Xet
        raise HubError(describe_hub_error(error, repo_id, endpoint)) from error


def _check_visibility(api: HfApi, settings: PublishSettings) -> bool:
    """Whether the repository is there; one that is must not be more public than was asked."""
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        info = api.repo_info(settings.repo_id, repo_type=_TYPE)
    except RepositoryNotFoundError as error:
        if error.response.status_code == 401:
            raise
        return False
    if settings.private and not info.private:
        problem = f"{settings.repo_id} is there and public; give --private=false, or another --repo_id"
        raise ConfigError("private", "true", problem)
    if not settings.private and info.private:
        _LOG.info("%s is there and private, and stays so; the hub's page changes that.", settings.repo_id)
    return True


def _find(api: HfApi, repo_id: str, revision: str) -> _Found | None:
    """What is on a branch; None if there is no such branch."""
    from huggingface_hub.errors import RevisionNotFoundError
    from huggingface_hub.hf_api import RepoFile

    try:
        commit = api.repo_info(repo_id, repo_type=_TYPE, revision=revision).sha
    except RevisionNotFoundError:
        return None
    tree = api.list_repo_tree(repo_id, recursive=True, revision=commit, repo_type=_TYPE)
    return _Found(commit, {entry.path: entry for entry in tree if isinstance(entry, RepoFile)})


def _check_card(api: HfApi, run: Run, settings: PublishSettings, found: _Found | None) -> None:
    """Nothing of others' is replaced or removed unasked."""
    if found is None:
        return
    card = found.files.get(CARD)
    if card is not None and (_is_there(run.files[-1], card) or _is_our_card(api, settings.repo_id, found.commit, card)):
        return
    if card is not None and not settings.overwrite_card:
        problem = (
            f"the {CARD} of {settings.repo_id} is not one that this project wrote; give --overwrite_card=true to "
            "replace it, or another --repo_id"
        )
        raise ConfigError("overwrite_card", "false", problem)
    if others := _left_over(run, found):
        problem = f"holds {others[0]}, which is not of this run; remove it there, or give another --repo_id"
        raise ConfigError("repo_id", settings.repo_id, problem)


def _is_our_card(api: HfApi, repo_id: str, commit: str | None, card: RepoFile) -> bool:
    if card.size > _MAX_CARD_BYTES:
        return False
    with TemporaryDirectory() as folder:
        path = api.hf_hub_download(repo_id, CARD, repo_type=_TYPE, revision=commit, local_dir=folder)
        return is_ours(Path(path).read_bytes().decode(errors="replace"))


def _left_over(run: Run, found: _Found) -> list[str]:
    """What lies where this project publishes, and is not of this run."""
    ours = {file.name for file in run.files}
    places = tuple(f"{folder}/" for folder in FOLDERS)
    return sorted(
        path for path in found.files if path not in ours and (path.startswith(places) or path in (PAGE, SUMMARY))
    )


def _upload(api: HfApi, run: Run, settings: PublishSettings, found: _Found) -> Published:
    from huggingface_hub import CommitOperationDelete

    missing = [file for file in run.files if not _is_there(file, found.files.get(file.name))]
    left_over = _left_over(run, found)
    place = f"{api.endpoint}/datasets/{settings.repo_id}"
    place += "" if settings.revision == _MAIN else f"/tree/{settings.revision}"
    sent_bytes = sum(file.size for file in missing)
    published = Published(place, len(missing), sent_bytes, len(run.files) - len(missing), len(left_over))
    _LOG.info(
        "Uploading %d files (%s bytes); %d are there already; %d of an earlier publication are removed.",
        published.sent,
        f"{sent_bytes:,}",
        published.unchanged,
        published.removed,
    )
    commit, groups = found.commit, _groups(missing)
    for number, group in enumerate(groups):
        is_last = number + 1 == len(groups)
        message = settings.commit_message or _message(run)
        operations: list[Any] = []
        if is_last:
            operations = [CommitOperationDelete(path, is_folder=False) for path in left_over]
        if len(groups) > 1:
            message += f" ({number + 1} of {len(groups)})"
        commit = _commit(api, settings, group, operations, message, commit)
    return published


def _groups(missing: Sequence[RunFile]) -> list[list[RunFile]]:
    """Files by commit, in order; one without files where nothing is missing, for what is to be removed."""
    groups: list[list[RunFile]] = [[]]
    size = 0
    for file in missing:
        if groups[-1] and (len(groups[-1]) >= _COMMIT_FILES or size + file.size > _COMMIT_BYTES):
            groups.append([])
            size = 0
        groups[-1].append(file)
        size += file.size
    return groups


def _commit(
    api: HfApi, settings: PublishSettings, group: Sequence[RunFile], others: list[Any], message: str, parent: str | None
) -> str | None:
    """Uploads files and commits them on top of a commit; gives the new one."""
    from huggingface_hub import CommitOperationAdd

    if not group and not others:
        return parent
    with at_hand([file.path for file in group]) as places:
        additions = [CommitOperationAdd(file.name, place) for file, place in zip(group, places, strict=True)]
        api.preupload_lfs_files(
            settings.repo_id, additions, repo_type=_TYPE, revision=settings.revision, free_memory=False
        )
        for file, addition in zip(group, additions, strict=True):
            if addition.upload_info.sha256.hex() != file.sha256:
                problem = "was changed while it was being uploaded; run the same command again when no run writes there"
                raise HubError(f"{file.name} {problem}")
        made = api.create_commit(
            settings.repo_id,
            [*additions, *others],
            commit_message=message,
            repo_type=_TYPE,
            revision=settings.revision,
            parent_commit=parent,
        )
    return made.oid


def _is_there(file: RunFile, found: RepoFile | None) -> bool:
    """Whether the repository has the same bytes under this name."""
    if found is None or found.size != file.size:
        return False
    if found.lfs is not None:
        return found.lfs.sha256 == file.sha256
    # A small one, which git itself keeps.
    data = files.read_bytes(file.path)
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest() == found.blob_id


def _message(run: Run) -> str:
    return f"Publish {run.summary['counts']['kept']:,} rows of beam-recap {run.summary['beam_recap_version']}"
