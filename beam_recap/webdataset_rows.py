"""What a row of ``data/`` is in the webdataset output: its key, JSON and caption beside its picture.

The JSON has img2dataset 1.47's names for what means the same, then the row's columns of ``data/``. The key, the caption
and the sizes are those of this tar, as in img2dataset's; a column of ``data/`` that has one of these names and means
something else is called as `_RENAMED` says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from beam_recap.caption_mix import NEWEST, CaptionMix
from beam_recap.download_status import error_message_of, status_of
from beam_recap.images.jpeg_header import read_jpeg
from beam_recap.records import Sample
from beam_recap.webdataset_tar import TarKeys, WebdatasetWriter

_RENAMED = {
    "key": "source_key",  # of the row, which is the tar's where it can be
    "caption": "org_caption",  # Recap-COCO-30K's
    "width": "source_width",  # as the source says it
    "height": "source_height",
}


class WebdatasetShard:
    """The tar of one output shard.

    Args:
      name: of the file in the output directory.
      number: of the output shard.
      mix: which caption a row's KEY.txt is; None: the new one, or the original one where there is none.
    """

    def __init__(self, name: str, number: int, mix: CaptionMix | None):
        self.file = WebdatasetWriter(name)
        self._keys = TarKeys(number)
        self._mix = mix or NEWEST

    def add(self, sample: Sample, row: Mapping[str, Any], picture: bytes) -> None:
        """Writes a kept row.

        Args:
          sample: the row.
          row: its columns of ``data/``.
          picture: its JPEG.
        """
        key = self._keys.next(sample.key)
        caption = self._mix.choose(sample)
        size = read_jpeg(picture, 1)
        described = {
            "key": key,
            "url": sample.url,
            "caption": caption.text,
            "caption_source": caption.source,
            "status": status_of(sample),
            "error_message": error_message_of(sample),
            "width": size.width if size else None,
            "height": size.height if size else None,
            "original_width": sample.width,
            "original_height": sample.height,
            "exif": sample.exif,
            "sha256": sample.sha256,
            "source_key": sample.key,
        }
        for name, value in row.items():
            described.setdefault(_RENAMED.get(name, name), value)
        self.file.add(key, picture, described, caption.text)
