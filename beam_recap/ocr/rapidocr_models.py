"""Loads the detector and the recogniser that lie inside the rapidocr package; nothing is ever downloaded.

The classes behind `rapidocr.RapidOCR` are used directly: that facade keeps the options of a call on itself, which
threads would share, and takes a string for an address to download.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from beam_recap.ocr.gate import RAPIDOCR_VERSION, OCRSettings

if TYPE_CHECKING:
    from rapidocr.ch_ppocr_det import TextDetector
    from rapidocr.ch_ppocr_rec import TextRecognizer

# rapidocr 3.10.0, default_models.yaml: onnxruntime / PP-OCRv6 / small. Apache-2.0 (its MODEL_LICENSES.md).
DETECTOR_FILE = "PP-OCRv6_det_small.onnx"
DETECTOR_SHA256 = "090f04abcd9d9a7498bc4ebf677e4cb9bdce1fe4197ddb7e529f1ef44e1ff94f"
RECOGNISER_FILE = "PP-OCRv6_rec_small.onnx"
RECOGNISER_SHA256 = "6f327246b50388f3c176ae304bd95767ea6dc0c9ae92153ef8cbe210b3c14884"


class OCREngineError(RuntimeError):
    """The OCR engine is missing, is not the measured one, or gave something that is no result."""


def load_models(settings: OCRSettings) -> tuple[TextDetector, TextRecognizer]:
    """Loads both models for one CPU thread.

    Raises:
      OCREngineError: rapidocr is missing or of another version, or a model file is not the measured one.
    """
    package = package_folder()
    detector_path = verified_model(package / "models" / DETECTOR_FILE, DETECTOR_SHA256)
    recogniser_path = verified_model(package / "models" / RECOGNISER_FILE, RECOGNISER_SHA256)

    import cv2
    from rapidocr.ch_ppocr_det import TextDetector
    from rapidocr.ch_ppocr_rec import TextRecognizer
    from rapidocr.utils.parse_parameters import ParseParams

    cv2.setNumThreads(1)  # workers are processes: more threads than cores only get in each other's way
    logging.getLogger("RapidOCR").setLevel(logging.WARNING)  # else each model announces its path on standard error

    config = ParseParams.load(package / "config.yaml")
    engine = config.EngineConfig.onnxruntime
    engine.intra_op_num_threads = engine.inter_op_num_threads = 1
    config.Det.engine_cfg = config.Rec.engine_cfg = engine
    # A given path is also what keeps the engine from downloading.
    config.Det.model_path, config.Rec.model_path = str(detector_path), str(recogniser_path)
    config.Det.limit_type, config.Det.limit_side_len = "max", settings.side
    config.Det.box_thresh = settings.box_threshold
    config.Rec.rec_batch_num = 1  # a batch is padded to its widest box: six are 1.9 times slower than six times one
    config.Rec.font_path = None
    return TextDetector(config.Det), TextRecognizer(config.Rec)


def package_folder() -> Path:
    """Where the measured version of rapidocr is installed.

    Raises:
      OCREngineError: it is not installed, or another version is.
    """
    remedy = f"install it with: pip install rapidocr=={RAPIDOCR_VERSION} onnxruntime"
    spec = importlib.util.find_spec("rapidocr")
    if spec is None or spec.origin is None:
        raise OCREngineError(f"OCR needs the package rapidocr; {remedy}")
    version = importlib.metadata.version("rapidocr")
    if version != RAPIDOCR_VERSION:
        raise OCREngineError(f"OCR thresholds hold for rapidocr {RAPIDOCR_VERSION}, but {version} is here; {remedy}")
    return Path(spec.origin).parent


def verified_model(path: Path, sha256: str) -> Path:
    """Returns ``path`` if the file there has this digest.

    Raises:
      OCREngineError: the file is missing or is another one.
    """
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise OCREngineError(f"OCR model {path} cannot be read: {error}") from error
    if digest != sha256:
        raise OCREngineError(f"OCR model {path} has sha256 {digest}, expected {sha256}")
    return path
