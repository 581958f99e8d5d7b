"""What decides besides the models: settings, gate, geometry; and which model files are loaded, and how."""

import dataclasses
import math
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from beam_recap.ocr import OCREngineError, OCRSettings, TextSpotter, engine_id, rapidocr_models
from beam_recap.ocr.gate import has_text, is_strong, is_text
from beam_recap.ocr.geometry import area_ratio, frame_for_detection, reading_order


def test_engine_id_names_what_decides() -> None:
    assert engine_id(OCRSettings()) == engine_id(OCRSettings(full_text=True))
    assert engine_id(OCRSettings(side=480)) == "rapidocr-3.10.0/PP-OCRv6-small/480/gate1"
    assert engine_id(OCRSettings(min_recognition=0.5, strong_boxes=1)).endswith(
        "/gate1+min_recognition=0.5+strong_boxes=1"
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("side", 100),
        ("side", 5000),
        ("side", 736.0),
        ("box_threshold", 0.0),
        ("box_threshold", 1.0),
        ("box_threshold", "0.3"),
        ("min_recognition", 70),
        ("min_recognition", math.nan),
        ("min_distinct", 0),
        ("strong_boxes", 0),
        ("strong_score", 0.2),  # under box_threshold
        ("strong_aspect", 0.5),
        ("strong_max_area", 50),
        ("max_boxes", 0),
        ("max_boxes", True),
        ("full_text", 1),
    ],
)
def test_settings_out_of_range_name_the_field(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"^{field} must"):
        OCRSettings(**{field: value})


def test_settings_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        OCRSettings().side = 480


def test_gate() -> None:
    settings = OCRSettings()
    assert is_text("go", 0.7, settings) and is_text("停止", 0.9, settings) and is_text("№ 42", 0.8, settings)
    assert not any(is_text(text, 0.99, settings) for text in ("", "8", "888", "- - !?", "M.M"))
    assert not is_text("go", 0.69, settings)
    assert is_strong(0.8, 2.0, 0.49, settings)
    assert not any(is_strong(*box, settings) for box in [(0.79, 3, 0.1), (0.9, 1.9, 0.1), (0.9, 3, 0.5)])
    decisions = [has_text(*counts, settings) for counts in [(0, 0), (0, 1), (0, 2), (1, 0)]]
    assert decisions == [False, False, True, True]


def test_area_counts_overlaps_once() -> None:
    square = ((0.0, 0.0), (50.0, 0.0), (50.0, 50.0), (0.0, 50.0))
    shifted = tuple((x + 25, y) for x, y in square)
    bow_tie = (square[0], square[2], square[1], square[3])
    assert area_ratio([], 100, 100) == 0
    assert area_ratio([square, square, bow_tie], 100, 100) == pytest.approx(0.25)
    assert area_ratio([square, shifted], 100, 100) == pytest.approx(0.375)
    assert area_ratio([square], 40, 40) == 1


def test_reading_order_tolerates_uneven_lines() -> None:
    def box(x: float, y: float) -> tuple[tuple[float, float], ...]:
        return ((x, y), (x + 80, y), (x + 80, y + 20), (x, y + 20))

    assert reading_order([box(200, 0), box(0, 6), box(0, 30), box(100, 3)]) == [1, 3, 0, 2]
    assert reading_order([]) == []


def test_only_thin_pictures_are_padded_and_never_grow() -> None:
    picture = np.zeros((300, 2400, 3), np.uint8)
    assert frame_for_detection(picture, 736).image is picture
    frame = frame_for_detection(np.zeros((3, 32_000, 3), np.uint8), 736)
    assert frame.image.shape == (96, 736, 3)
    assert frame.width == 32_000 and frame.top > 0
    upright = frame_for_detection(np.zeros((4000, 60, 3), np.uint8), 736)
    assert upright.image.shape == (736, 96, 3) and upright.left > 0


def test_other_models_than_the_measured_ones_are_refused(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "model.onnx"
    other.write_bytes(b"other weights")
    with pytest.raises(OCREngineError, match="has sha256"):
        rapidocr_models.verified_model(other, rapidocr_models.DETECTOR_SHA256)
    with pytest.raises(OCREngineError, match="cannot be read"):
        rapidocr_models.verified_model(tmp_path / "missing.onnx", rapidocr_models.DETECTOR_SHA256)
    monkeypatch.setattr(rapidocr_models.importlib.metadata, "version", lambda name: "3.8.0")
    with pytest.raises(OCREngineError, match=r"3\.8\.0 is here; install it with: pip install rapidocr==3\.10\.0"):
        TextSpotter()
    monkeypatch.setattr(rapidocr_models.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(OCREngineError, match="needs the package rapidocr"):
        TextSpotter()


def test_import_is_light_and_loading_is_offline_and_quiet() -> None:
    program = """
import sys
import beam_recap.ocr as ocr
heavy = {"cv2", "rapidocr", "onnxruntime", "torch", "shapely", "apache_beam"} & set(sys.modules)
assert not heavy, heavy
print(ocr.engine_id(ocr.OCRSettings()))
assert not {"cv2", "rapidocr"} & set(sys.modules)
import numpy, socket
def refuse(*args, **kwargs): raise OSError("no network")
socket.socket.connect = socket.getaddrinfo = socket.create_connection = refuse
print(ocr.TextSpotter().spot(numpy.zeros((64, 64, 3), numpy.uint8)).has_text)
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["rapidocr-3.10.0/PP-OCRv6-small/736/gate1", "False"]
