"""From a stranger's bytes to upright RGB pixels of a useful size, or to the reason why not; and back to bytes.

One module per idea:

* `settings` and `results`: what goes in beside the bytes, and what comes out.
* `sniff`, `headers`, `jpeg_header`, `avif_header`: what bytes are and how large they will be, before a decoder sees
  them.
* `decode`: the order of all checks, and the one place that catches what decoders raise.
* `jpeg`: the quick way of JPEGs, decoded at a fraction of their size. `pillow`: the way of everything else.
* `pixel_modes`, `geometry`, `resize`, `exif`: to RGB, to size, upright, and what the camera wrote.
* `encode`: files for outputs and reports.
"""

from beam_recap.images.decode import decode_image
from beam_recap.images.encode import encode_image, encode_thumbnail
from beam_recap.images.headers import MAX_JPEG_SCANS
from beam_recap.images.results import DecodedImage, DecodeFailure
from beam_recap.images.settings import DecodeSettings

__all__ = [
    "MAX_JPEG_SCANS",
    "DecodeFailure",
    "DecodeSettings",
    "DecodedImage",
    "decode_image",
    "encode_image",
    "encode_thumbnail",
]
