"""Reads the samples of a webdataset tar, a stream of members grouped by key.

A damaged stretch costs the samples in it, each rejected, and reading goes on at the next sound header. Nothing is
extracted to disk.
"""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Generator, Iterator, Set
from dataclasses import dataclass, field, replace
from typing import IO, Any

from beam_recap import files
from beam_recap.inputs.columns import Columns, as_text, recognise_columns, sample_from, unreadable_row
from beam_recap.inputs.prefilter_rows import Prefilter, prefiltered
from beam_recap.inputs.units import Unit
from beam_recap.isolation import describe_error
from beam_recap.records import Outcome, Reason, Sample, Stage

IMAGE_SUFFIXES = ("jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "avif")
_CAPTION_SUFFIXES = ("txt", "caption", "text")
_NO_PREFILTER = Prefilter()
_MAX_TEXT_BYTES = 1 << 20
_MAX_MEMBER_BYTES = 1 << 48  # more than any file system holds; a seek there would fail
# Names and attributes; tarfile reads them whole, and its pattern for them takes quadratic time in Python 3.11.
_MAX_EXTENDED_HEADER_BYTES = 1 << 14
_EXTENDED_HEADERS = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)


@dataclass(slots=True)
class _Group:
    """The members of one sample.

    ``gap_before`` and ``damage`` say what is wrong with the tar just before the sample and inside it.
    """

    key: str
    members: dict[str, tarfile.TarInfo] = field(default_factory=dict)
    gap_before: str = ""
    damage: str = ""

    @property
    def image_suffix(self) -> str | None:
        """The picture's suffix: a plain one (``jpg``) before one with more to it (``seg.png``)."""
        endings = [suffix for suffix in self.members if suffix.rsplit(".", 1)[-1] in IMAGE_SUFFIXES]
        return min(endings, key=lambda suffix: suffix.count("."), default=None)


def read_tar_rows(
    unit: Unit,
    *,
    url_column: str | None,
    caption_column: str | None,
    digest_column: str | None = None,
    prefilter: Prefilter = _NO_PREFILTER,
    max_bytes: int,
    done: Set[int],
) -> Generator[Outcome, None, int]:
    """The tar's samples that are not ``done``, in order.

    Args:
      unit: a tar.
      url_column: the JSON member's name for the URL, instead of the known ones.
      caption_column: likewise for the caption.
      digest_column: the JSON member's name for the picture's digest, if it is to be checked.
      prefilter: what the JSON member and the caption must fulfil; images of other samples stay unread.
      max_bytes: larger images are rejected unread.
      done: indexes to skip.

    Returns:
      As the generator's value, the number of samples in the tar, the skipped ones included.
    """
    index = 0
    chosen = {"url_column": url_column, "caption_column": caption_column, "digest_column": digest_column}
    with files.open_read(unit.path) as file, _open(file) as tar:
        for group in _groups(tar, file):
            if unit.limit is not None and index >= unit.limit:
                break
            if index not in done:
                if group.key:
                    yield _outcome(tar, group, unit, index, chosen, prefilter, max_bytes)
                else:
                    row = unreadable_row(unit, index, index)
                    yield row.reject(Stage.READ, Reason.CORRUPT_SHARD, group.damage)
            index += 1
    return index


def count_rows(path: str) -> int:
    """Samples in a tar, from its headers."""
    with files.open_read(path) as file, _open(file) as tar:
        return sum(1 for _ in _groups(tar, file))


def _open(file: IO[bytes]) -> tarfile.TarFile:
    # ignore_zeros steps over blocks that are no header, so that one damaged header does not end the tar. A name that is
    # no UTF-8 must not become lone surrogates, which can be written to no file.
    return _Tar(fileobj=file, mode="r", ignore_zeros=True, encoding="utf-8", errors="replace")


class _Member(tarfile.TarInfo):
    """A header that is checked before tarfile believes it: a negative size would have it read for ever."""

    def _proc_member(self, tar: tarfile.TarFile) -> tarfile.TarInfo:
        self._check_size(_MAX_EXTENDED_HEADER_BYTES if self.type in _EXTENDED_HEADERS else _MAX_MEMBER_BYTES)
        member: Any = super()._proc_member(tar)  # type: ignore[misc]
        member._check_size(_MAX_MEMBER_BYTES)  # an extended header may have changed it
        member.offset = self.offset  # the extended headers belong to the member
        return member

    def _check_size(self, limit: int) -> None:
        if not 0 <= self.size <= limit:
            raise tarfile.ReadError(f"a header gives a size of {self.size} bytes")


class _Tar(tarfile.TarFile):
    """Reads on after a header that cannot be used, as ``ignore_zeros`` does only after some of them."""

    tarinfo = _Member

    def next(self) -> tarfile.TarInfo | None:
        while True:
            start = self.offset
            try:
                return super().next()
            except OSError:
                raise  # the storage, not the tar
            except RecursionError:
                return None  # hundreds of extended headers in a row: nobody's data
            except Exception:  # damaged headers raise many types
                self.offset = max(start, self.offset) + tarfile.BLOCKSIZE
                file: Any = self.fileobj
                if self.offset >= file.seek(0, os.SEEK_END):
                    return None


def _groups(tar: tarfile.TarFile, file: IO[bytes]) -> Iterator[_Group]:
    """Members by sample. A group without a key stands for a damaged stretch that hid a whole sample."""
    group: _Group | None = None
    gap = ""
    end = 0  # where the next header should begin
    while True:
        try:
            member = tar.next()
        except OSError as error:
            group = group or _Group("")
            group.damage = describe_error(error)
            break
        if member is None:
            if not _is_blank(file, end, file.seek(0, os.SEEK_END)):
                yield from () if group is None else _settled(group)
                group = _Group("", damage=f"damaged bytes at offset {end}, up to the end of the file")
            break
        tar.members = []  # type: ignore[attr-defined]  # tarfile keeps every header it has seen; a million of them must not pile up
        if not _is_blank(file, end, member.offset):
            gap = gap or f"damaged bytes at offset {end}"
        end = tar.offset
        key, suffix = _split_name(member.name)
        if not member.isfile() or key.endswith("/") or not key:  # no sample: a folder, a link, a hidden file
            continue
        if group is not None and key == group.key and suffix not in group.members:
            group.damage = group.damage or gap
        else:
            if group is not None:
                if gap and group.image_suffix is None:
                    group.damage, gap = gap, ""
                yield from _settled(group)
            group = _Group(key, gap_before=gap)
        group.members[suffix] = member
        gap = ""
    if group is not None:
        yield from _settled(group)


def _settled(group: _Group) -> Iterator[_Group]:
    """Says what the damage before a complete group cost: the group's own head, or a sample before it."""
    if group.gap_before and group.image_suffix is None:
        group.damage = group.damage or group.gap_before
    elif group.gap_before:
        yield _Group("", damage=group.gap_before)
    yield group


def _is_blank(file: IO[bytes], start: int, end: int) -> bool:
    """Whether only zeros lie between two offsets."""
    if start >= end:
        return True
    file.seek(start)
    while start < end:
        block = file.read(min(1 << 20, end - start))
        if not block:
            return True
        if any(block):
            return False
        start += len(block)
    return True


def _split_name(name: str) -> tuple[str, str]:
    """webdataset's rule: the key ends at the first dot of the base name; the suffix is lower-cased."""
    directory, slash, base = name.removeprefix("./").rpartition("/")
    stem, _, suffix = base.partition(".")
    return directory + slash + stem, suffix.lower()


def _outcome(
    tar: tarfile.TarFile,
    group: _Group,
    unit: Unit,
    index: int,
    chosen: dict[str, str | None],
    prefilter: Prefilter,
    max_bytes: int,
) -> Outcome:
    row: dict[str, Any] = {}
    problem, failure, image = group.damage, None, None
    try:
        if (described := group.members.get("json")) is not None:
            loaded = json.loads(_read(tar, described, _MAX_TEXT_BYTES))
            row = loaded if isinstance(loaded, dict) else {}
        for suffix in _CAPTION_SUFFIXES:
            if suffix in group.members and as_text(row.get("caption")) is None:
                row["caption"] = _read(tar, group.members[suffix], _MAX_TEXT_BYTES)
        if group.image_suffix is not None:
            if prefilter and not problem:
                failure = prefilter.failure(row, _columns(row, chosen))
            if failure is None:
                image = _read(tar, group.members[group.image_suffix], max_bytes)
    except _TooLarge as error:
        sample = _sample(row, group, unit, index, chosen)
        return sample.reject(Stage.READ, Reason.TOO_LARGE, str(error))
    except (tarfile.TarError, OSError, EOFError, ValueError, RecursionError) as error:
        problem = problem or describe_error(error)
    sample = _sample(row, group, unit, index, chosen)
    if problem:
        return sample.reject(Stage.READ, Reason.CORRUPT_SHARD, problem)
    if failure is not None:
        return prefiltered(sample, failure)
    if image is None:
        return sample.reject(Stage.READ, Reason.MISSING_IMAGE, f"members: {', '.join(group.members)}")
    return replace(sample, image_bytes=image)


def _columns(row: dict[str, Any], chosen: dict[str, Any]) -> Columns:
    return recognise_columns(list(row), **chosen, needs_url=False)


def _sample(row: dict[str, Any], group: _Group, unit: Unit, index: int, chosen: dict[str, Any]) -> Sample:
    columns = replace(_columns(row, chosen), key=None)
    return sample_from(row, columns, unit=unit.name, index=index, source_row=index, key=group.key)


class _TooLarge(ValueError):
    """A member above its cap."""


def _read(tar: tarfile.TarFile, member: tarfile.TarInfo, max_bytes: int) -> bytes:
    if member.size > max_bytes:
        raise _TooLarge(f"{member.name} has {member.size} bytes, more than {max_bytes}")
    file = tar.extractfile(member)
    data = file.read(max_bytes + 1) if file is not None else b""
    if len(data) < member.size:
        raise EOFError(f"{member.name} ends after {len(data)} of {member.size} bytes")
    return data
