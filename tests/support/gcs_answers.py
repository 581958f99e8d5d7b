"""What Google Cloud Storage stores and answers, in memory, and how its bodies are written and read."""

from __future__ import annotations

import base64
import email
import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import google_crc32c

CUT = -1  # the connection breaks in the middle of what is sent or taken
LOST = -2  # what was asked for is done, and the connection breaks before the answer


@dataclass(frozen=True, slots=True)
class StoredObject:
    data: bytes
    generation: int
    content_type: str
    updated: float  # seconds since 1970


@dataclass(frozen=True, slots=True)
class Answer:
    status: int  # or CUT, or LOST: the connection breaks without an answer
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    is_cut: bool = False  # breaks in the middle of the body


class Refused(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.answer = json_answer({"error": {"code": status, "message": message}}, status)


def json_answer(value: Any, status: int = 200) -> Answer:
    return Answer(status, json.dumps(value).encode(), {"Content-Type": "application/json"})


def parse_mime(content_type: str, body: bytes) -> Any:
    return email.message_from_bytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)


@functools.lru_cache(maxsize=256)
def hashes_of(data: bytes) -> dict[str, str]:
    crc = google_crc32c.value(data).to_bytes(4, "big")
    md5 = hashlib.md5(data, usedforsecurity=False).digest()
    return {"crc32c": base64.b64encode(crc).decode(), "md5Hash": base64.b64encode(md5).decode()}
