"""`SpreadRows`: rows with their pictures cross from one pool of workers to another."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

import apache_beam as beam
from apache_beam.metrics import Metrics

from beam_recap.images import encode_image
from beam_recap.images.resize import shrink
from beam_recap.records import Sample

NAMESPACE = "SpreadRows"
# Twice the 336 px that LLaVA-1.5 and CLIP's larger models read, so that they still shrink what they get.
MAX_SIDE = 672
QUALITY = 95


class SpreadRows(beam.PTransform):
    """Shrinks pictures to small JPEGs, deals the rows out anew, and decodes them again.

    Its Reshuffle is the one place where pictures are written down between workers; in a batch job nothing comes out of
    it before everything has gone in.

    Input: `Sample` with an image. Output: `Sample` with an image whose long side is at most `MAX_SIDE` px.

    Args:
      hints: resource hints of the step that decodes, which belongs to the next pool.
      keep_pictures: rows come with ``image_bytes`` (`EncodePicture`); these are what crosses, of whatever size, and
        they stay with the row.

    Metrics: ``rows``, ``jpeg_bytes``.
    """

    def __init__(self, hints: Mapping[str, str] | None = None, *, keep_pictures: bool = False):
        super().__init__()
        self._hints = dict(hints or {})
        self._keep_pictures = keep_pictures

    def expand(self, samples: beam.PCollection) -> beam.PCollection:
        shrink_rows = beam.ParDo(_ShrinkFn(self._keep_pictures)).with_output_types(Sample)
        decode: beam.PTransform = beam.ParDo(_DecodeFn(self._keep_pictures)).with_output_types(Sample)
        return (
            samples
            | "Shrink" >> shrink_rows
            | "Spread" >> beam.Reshuffle()
            | "Decode" >> decode.with_resource_hints(**self._hints)
        )


class _ShrinkFn(beam.DoFn):
    def __init__(self, keep_pictures: bool):
        self._keep_pictures = keep_pictures
        self._rows = Metrics.counter(NAMESPACE, "rows")
        self._bytes = Metrics.counter(NAMESPACE, "jpeg_bytes")

    def process(self, sample: Sample) -> Iterator[Sample]:
        if self._keep_pictures:
            data = sample.image_bytes
        else:
            data = encode_image(shrink(sample.image, MAX_SIDE), quality=QUALITY)
        self._rows.inc()
        self._bytes.inc(len(data))
        yield dataclasses.replace(sample, image=None, image_bytes=data)


class _DecodeFn(beam.DoFn):
    def __init__(self, keep_pictures: bool):
        self._keep_pictures = keep_pictures

    def process(self, sample: Sample) -> Iterator[Sample]:
        import simplejpeg

        pixels = simplejpeg.decode_jpeg(sample.image_bytes, "RGB")
        if self._keep_pictures:
            yield dataclasses.replace(sample, image=shrink(pixels, MAX_SIDE))
        else:
            yield dataclasses.replace(sample, image=pixels, image_bytes=None)
