"""Whether the headers of an answer say that a picture is not to be used, in X-Robots-Tag or tdm-reservation.

X-Robots-Tag has no standard. Followed here is Google's description ("Robots meta tag, data-nosnippet, and X-Robots-Tag
specifications"): directives separated by commas; `agent:` in front of some addresses them, and those after them, to
that agent only; case does not matter; several headers add up, and the most restrictive directive counts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from beam_recap.names import OPT_OUT_DIRECTIVES

MAX_TEXT_CHARS = 200  # of a header that is quoted

_NAMES = (b"x-robots-tag", b"tdm-reservation")
_STARTS = frozenset(name[:3] for name in _NAMES)
_LONGEST_NAME = max(len(name) for name in _NAMES)

TDM_RESERVATION = "tdm-reservation"

# Directives that are followed by a colon and a value, which is how agents look, too. Those whose name begins with
# "max-" (max-snippet, max-image-preview, max-video-preview) are told by that.
_DATE_DIRECTIVE = "unavailable_after"

# No agent is called like these: "noindex: true" is a mistake whose meaning is plain.
_PLAIN_DIRECTIVES = frozenset(OPT_OUT_DIRECTIVES) | frozenset(
    {"all", "none", "index", "follow", "nofollow", "noarchive", "nocache", "nosnippet", "notranslate", "noodp"}
)

# `robots` addresses everybody in HTML's meta element, and is written in headers by mistake.
_EVERYBODY = frozenset({"*", "robots"})

_WORD = re.compile(r"[a-z0-9_.*-]+")  # separators other than commas and quotes around it all are passed over


def is_opt_out_header(line: bytes) -> bool:
    """Whether a raw header line may be one that `opts_out` wants. Cheap: it is called for every line of every answer.

    Args:
      line: as libcurl hands it over, such as `b"X-Robots-Tag: noai\\r\\n"`.
    """
    return line[:3].lower() in _STARTS and line[:_LONGEST_NAME].lower().startswith(_NAMES)


def opts_out(lines: Sequence[bytes], directives: frozenset[str], agent: str) -> str | None:
    """The first header by which an answer opts out.

    Args:
      lines: raw header lines of one answer, any bytes. Others than X-Robots-Tag and tdm-reservation are passed over.
      directives: which of `names.OPT_OUT_DIRECTIVES` count. `none` means noindex and nofollow, so it counts where
        noindex does. tdm-reservation (W3C TDM Reservation Protocol) counts with the value 1.
      agent: the name by which the fetcher may be addressed, case-insensitive.

    Returns:
      The header's text, printable and at most `MAX_TEXT_CHARS` long; None if no header opts out.
    """
    agent = agent.lower()
    words = directives - {TDM_RESERVATION}
    if "noindex" in words:
        words |= {"none"}
    for line in lines:
        text = line.decode("utf-8", "replace")
        name, _, value = text.partition(":")
        name = name.strip().lower()
        value = value.strip().lower()
        if (
            _reserves(value)
            if name == TDM_RESERVATION and TDM_RESERVATION in directives
            else name == "x-robots-tag" and _forbids(value, words, agent)
        ):
            return _printable(text)
    return None


def _reserves(value: str) -> bool:
    return any(each.partition(";")[0].strip(" \t\"'") == "1" for each in value.split(","))


def _forbids(value: str, words: frozenset[str], agent: str) -> bool:
    """Whether an X-Robots-Tag in lower case has one of the words, addressed to everybody or to the agent."""
    is_for_us = True
    is_date = False  # what begins with a digit belongs to a date, which may have commas and colons
    for part in value.split(","):
        *prefixes, rest = part.split(":")
        has_value = False
        for prefix in prefixes:
            prefix = prefix.strip(" \t\"'")
            addressee = prefix.partition("/")[0].rstrip()  # without a version
            if addressee == agent or addressee in _EVERYBODY:
                is_for_us, is_date = True, False
            elif prefix == _DATE_DIRECTIVE:
                is_date = has_value = True
            elif prefix.startswith("max-") or (is_date and prefix[:1].isdigit()):
                has_value = True
            elif prefix in _PLAIN_DIRECTIVES:
                if is_for_us and prefix in words:
                    return True
            elif prefix and not has_value:  # what comes after a valued directive is its value
                is_for_us = False
        if is_for_us and not has_value and not words.isdisjoint(_WORD.findall(rest)):
            return True
    return False


def _printable(text: str) -> str:
    text = "".join(char if char.isprintable() else "?" for char in text.strip()[: MAX_TEXT_CHARS + 1])
    return text if len(text) <= MAX_TEXT_CHARS else text[: MAX_TEXT_CHARS - 3] + "..."
