"""What a user says about a chat server (its URL, a model, where the API key is), and the remedy when it is wrong."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

import httpx

from beam_recap.models.chat_protocol import NoAnswer
from beam_recap.records import Reason

_PATH = "/chat/completions"


def chat_address(url: str, flag: str) -> str:
    """The address of the chat completions below a base URL, which may also be that address itself.

    Raises:
      ValueError: no http or https URL, or one with a user name, a query or a fragment, where secrets would be logged.
    """
    base, *rest = url.replace("#", "?").split("?")
    if "@" in base.partition("//")[2].partition("/")[0]:
        raise ValueError(
            f"{flag} holds a user name or a password; put an API key into an environment variable instead."
        )
    if rest:
        raise ValueError(f"{flag} ends in a query or a fragment; give the base URL, such as http://localhost:8000/v1.")
    try:
        parts = urlsplit(base)
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        httpx.URL(base)
    except (ValueError, httpx.InvalidURL):
        is_usable = False
    if not is_usable:
        raise ValueError(f"{flag}={base[:200]} is no http or https URL; give one such as http://localhost:8000/v1.")
    return base.rstrip("/").removesuffix(_PATH).rstrip("/") + _PATH


def read_key(variable: str | None, flag: str) -> str:
    """The API key in an environment variable; empty if none is wanted.

    Raises:
      ValueError: the variable is not set, or holds what cannot stand in a header.
    """
    if variable is None:
        return ""
    key = os.environ.get(variable, "").strip()
    if not key:
        raise ValueError(f"{flag}: the environment variable {variable} is not set; put the API key into it.")
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise ValueError(
            f"{flag}: the environment variable {variable} holds no API key; it must be one printable word."
        )
    return key


def remedy(result: NoAnswer, flag: str, url: str, model: str, key_variable: str | None) -> str:
    """One sentence about a first question without an answer: the flag, the URL, what the server says, what to do."""
    place, told = f"{flag}={url}", result.failure.detail
    if result.status in (401, 403):
        target = f"the environment variable {key_variable}" if key_variable else "an environment variable and name it"
        return f"{place} refuses the API key ({told}); put one that is valid for {model} into {target}."
    if result.status == 404:
        return (
            f"{place} knows no such page, or no model {model!r} ({told}); give the model's name as the server spells "
            "it, and the server's base URL, which most often ends in /v1."
        )
    if result.status in (400, 413, 422):
        return (
            f"{place} does not take a picture and a question to {model!r} ({told}); check the model's name, and that "
            "it reads pictures."
        )
    if result.failure.reason in (Reason.BAD_RESPONSE, Reason.HTTP_4XX):
        return (
            f"{place} does not answer as an OpenAI-compatible server does ({told}); give its base URL, which most "
            "often ends in /v1."
        )
    if result.status:
        return f"{place} cannot answer now ({told}); look at the server, and try again when it is ready."
    return f"{place} cannot be reached ({told}); start the server, or correct the URL."
