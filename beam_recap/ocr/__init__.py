"""OCR: whether a picture has visible text, which, and how much of it the caption repeats.

Importing this package loads no model and none of rapidocr, onnxruntime and OpenCV: `TextSpotter` does when it is built.
"""

from beam_recap.ocr.gate import OCRSettings, engine_id
from beam_recap.ocr.rapidocr_models import OCREngineError
from beam_recap.ocr.text_rate import TextRates, text_rates
from beam_recap.ocr.text_spotter import OCRResult, TextSpot, TextSpotter

__all__ = [
    "OCREngineError",
    "OCRResult",
    "OCRSettings",
    "TextRates",
    "TextSpot",
    "TextSpotter",
    "engine_id",
    "text_rates",
]
