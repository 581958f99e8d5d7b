"""What the hub's client raises, as one sentence with a remedy."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus

from beam_recap.isolation import describe_error

_MORE = "then run the same command again: what has arrived is not sent again"
_MAX_SAID_CHARS = 200


class HubError(Exception):
    """The hub did not do what it was asked: one sentence that says what to do."""


def describe_hub_error(error: BaseException, repo_id: str, endpoint: str) -> str:
    """One sentence on what went wrong, and the remedy.

    Args:
      error: what `huggingface_hub` raised, or what it was raised from.
      repo_id: the repository that was asked for.
      endpoint: the hub's address.
    """
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError, OfflineModeIsEnabled

    for cause in _causes(error):
        if isinstance(cause, HfHubHTTPError):
            said = " ".join((cause.server_message or "").split())[:_MAX_SAID_CHARS].rstrip(".")
            return _of_status(cause.response.status_code, said, repo_id, endpoint)
        if isinstance(cause, OfflineModeIsEnabled):
            return "HF_HUB_OFFLINE is set, so the hub is not asked; unset it"
        if isinstance(cause, LocalTokenNotFoundError):
            return f"there is no token for {endpoint}; {token_remedy(endpoint)}"
        # The client's own HTTP library is its own business; its errors of transport are all called so.
        if any(kind.__name__ == "TransportError" for kind in type(cause).__mro__):
            return f"{endpoint} cannot be reached ({describe_error(cause)}); wait until it can be, {_MORE}"
    return f"the upload to {repo_id} failed ({describe_error(error)}); put that right, {_MORE}"


def token_remedy(endpoint: str) -> str:
    return f"make one that may write at {endpoint}/settings/tokens, and set HF_TOKEN to it or run `hf auth login`"


def _of_status(status: int, said: str, repo_id: str, endpoint: str) -> str:
    names = {known.value: known.phrase for known in HTTPStatus}
    answer = ", ".join(filter(None, (f"{status} {names.get(status, '')}".strip(), said)))
    if status == 401:
        return f"the hub does not accept the token ({answer}); {token_remedy(endpoint)}"
    if status == 403:
        return f"the token may not write to {repo_id} ({answer}); give one that may, or another --repo_id"
    if status == 404:
        remedy = "correct --repo_id or --revision, or give a token that may see it"
        return f"the hub does not know {repo_id}, or not to this token ({answer}); {remedy}"
    if status in (409, 412):
        return f"{repo_id} has changed meanwhile ({answer}); see who else writes to it, {_MORE}"
    if status == 429:
        return f"the hub takes no more requests for now ({answer}); wait an hour, {_MORE}"
    if status >= 500:
        return f"the hub fails ({answer}); wait some minutes, {_MORE}"
    return f"the hub refuses this ({answer}); put that right, {_MORE}"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, and those that it was raised from, outermost first."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
