"""Finds and reads text in pictures: PP-OCRv6 small of rapidocr, on one CPU thread, offline."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass

import numpy as np

from beam_recap.ocr.gate import OCRSettings, engine_id, has_text, is_strong, is_text
from beam_recap.ocr.geometry import Polygon, area_ratio, frame_for_detection, reading_order, side_lengths
from beam_recap.ocr.rapidocr_models import OCREngineError, load_models

_MAX_SIDE = 32_000  # px; OpenCV's warps count in 16 bits
_MIN_BOX_SIDE = 3.0  # px; the detector's own limit
# The recogniser scales a box to 48 px height, so this is 4,800 px, half a second and 350 MB; longer lines are squeezed.
_MAX_LINE_ASPECT = 100


@dataclass(frozen=True, slots=True)
class TextSpot:
    """One piece of text.

    Attributes:
      text: what it says.
      confidence: recognition score, [0, 1].
      detection_score: [0, 1].
      polygon: four corners (x, y) from the top left, clockwise, px of the picture as given.
    """

    text: str
    confidence: float
    detection_score: float
    polygon: Polygon


@dataclass(frozen=True, slots=True)
class OCRResult:
    """What is written in a picture.

    Attributes:
      has_text: the decision.
      text: the accepted texts in reading order, joined by spaces; "" if there are none.
      boxes: accepted boxes.
      candidates: boxes the detector found.
      unreadable: boxes that are surely text but could not be read.
      area: share of the picture under the accepted boxes, in [0, 1]; overlaps count once.
      confidence: highest recognition score of an accepted box, [0, 1]; None if there is none.
      complete: every candidate was read. Else (after an early exit, or with more candidates than `max_boxes`) text,
        boxes, unreadable, area and confidence are lower bounds.
      spots: the accepted boxes, in reading order.
    """

    has_text: bool
    text: str
    boxes: int
    candidates: int
    unreadable: int
    area: float
    confidence: float | None
    complete: bool
    spots: tuple[TextSpot, ...]


@dataclass(frozen=True, slots=True)
class _Candidate:
    corners: np.ndarray  # float32 [4, 2], clockwise from the top left, px of the picture
    score: float
    is_strong: bool


class TextSpotter:
    """Spots text. Threads may share one; they take turns, as it uses one core.

    Raises:
      OCREngineError: rapidocr or its models are not the measured ones.
    """

    def __init__(self, settings: OCRSettings | None = None) -> None:
        self.settings = settings or OCRSettings()
        self._detector, self._recogniser = load_models(self.settings)
        self._lock = threading.Lock()

    @property
    def engine_id(self) -> str:
        """Names model, detection size and gate; see `beam_recap.ocr.engine_id`."""
        return engine_id(self.settings)

    def spot(self, rgb: np.ndarray) -> OCRResult:
        """Reads one picture.

        Args:
          rgb: uint8 [H, W, 3], RGB, sides from 1 to 32,000 px. Give the original pixels: a thumbnail loses small text.

        Raises:
          ValueError: ``rgb`` is not such an array.
          OCREngineError: a model gave numbers that are not finite. An error never passes for a picture without text.
        """
        _check_picture(rgb)
        with self._lock:
            bgr = np.ascontiguousarray(rgb[:, :, ::-1])  # the models were trained on OpenCV's order
            return self._read(bgr, self._detect(bgr))

    def _detect(self, bgr: np.ndarray) -> list[_Candidate]:
        """Candidates by falling detection score."""
        frame = frame_for_detection(bgr, self.settings.side)
        # Not through `TextDetector.__call__`: it sorts the boxes but leaves their scores in the old order.
        probabilities = self._detector.session(self._detector.get_preprocess()(frame.image))
        if not np.isfinite(probabilities).all():
            raise OCREngineError("the text detector gave numbers that are not finite")
        boxes, scores = self._detector.postprocess_op(probabilities, (frame.height, frame.width))
        height, width = bgr.shape[:2]
        candidates = []
        for box, score in zip(boxes, scores, strict=True):
            corners = np.asarray(box, np.float32) - np.array([frame.left, frame.top], np.float32)
            corners = np.clip(corners, 0, np.array([width - 1, height - 1], np.float32))
            long, short = sorted(side_lengths(corners), reverse=True)
            if short < _MIN_BOX_SIDE:
                continue  # in the padding
            strong = is_strong(score, long / short, long * short / (width * height), self.settings)
            candidates.append(_Candidate(corners, float(score), strong))
        return sorted(candidates, key=lambda candidate: -candidate.score)

    def _read(self, bgr: np.ndarray, candidates: list[_Candidate]) -> OCRResult:
        accepted: list[TextSpot] = []
        unreadable = read = 0
        for candidate in candidates[: self.settings.max_boxes]:
            text, confidence = self._recognise(bgr, candidate.corners)
            read += 1
            if is_text(text, confidence, self.settings):
                polygon = tuple((float(x), float(y)) for x, y in candidate.corners)
                accepted.append(TextSpot(text, confidence, candidate.score, polygon))
            elif candidate.is_strong:
                unreadable += 1
            if not self.settings.full_text and has_text(len(accepted), unreadable, self.settings):
                break
        spots = tuple(accepted[i] for i in reading_order([spot.polygon for spot in accepted]))
        height, width = bgr.shape[:2]
        return OCRResult(
            has_text=has_text(len(spots), unreadable, self.settings),
            text=" ".join(spot.text for spot in spots),
            boxes=len(spots),
            candidates=len(candidates),
            unreadable=unreadable,
            area=area_ratio([spot.polygon for spot in spots], width, height),
            confidence=max((spot.confidence for spot in spots), default=None),
            complete=read == len(candidates),
            spots=spots,
        )

    def _recognise(self, bgr: np.ndarray, corners: np.ndarray) -> tuple[str, float]:
        """Text and recognition score, [0, 1], of one box; cut from the full-size picture, which reads better."""
        import cv2
        from rapidocr.ch_ppocr_rec import TextRecInput
        from rapidocr.utils.process_img import get_rotate_crop_image

        line = get_rotate_crop_image(bgr, corners)
        height, width = line.shape[:2]
        if width > _MAX_LINE_ASPECT * height:
            line = cv2.resize(line, (_MAX_LINE_ASPECT * height, height), interpolation=cv2.INTER_AREA)
        result = self._recogniser(TextRecInput(img=[line]))
        if not result.txts:
            raise OCREngineError("the text recogniser gave no result")
        confidence = float(result.scores[0])
        if not math.isfinite(confidence):
            raise OCREngineError("the text recogniser gave numbers that are not finite")
        return " ".join(result.txts[0].split()), confidence


def _check_picture(rgb: np.ndarray) -> None:
    if not isinstance(rgb, np.ndarray) or rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        found = f"{rgb.dtype} {list(rgb.shape)}" if isinstance(rgb, np.ndarray) else type(rgb).__name__
        raise ValueError(f"a picture must be a uint8 array [H, W, 3], got {found}")
    if min(rgb.shape[:2]) < 1 or max(rgb.shape[:2]) > _MAX_SIDE:
        raise ValueError(f"a picture must have sides from 1 to {_MAX_SIDE} px, got {list(rgb.shape)}")
