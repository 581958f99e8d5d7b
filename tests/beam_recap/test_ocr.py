"""The OCR engine with its real models, on pictures drawn here."""

import pathlib
import random
import threading
import weakref
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from beam_recap.demo.draw import draw_scene, random_aspect
from beam_recap.demo.scenes import SLOGANS, random_scene
from beam_recap.isolation import ModelFailure, run_isolated
from beam_recap.ocr import OCREngineError, OCRSettings, TextSpotter, engine_id
from beam_recap.records import Reason

PHOTOS = pathlib.Path(__file__).parents[2] / ".." / "shared" / "data" / "photos"


@pytest.fixture(scope="module")
def spotter() -> TextSpotter:
    return TextSpotter()


@pytest.fixture(scope="module")
def reader() -> TextSpotter:
    """Reads everything."""
    return TextSpotter(OCRSettings(full_text=True))


def plain(width: int, height: int, color: str = "white") -> Image.Image:
    return Image.new("RGB", (width, height), color)


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(100, 256, (height, width, 3), dtype=np.uint8))


def gradient(width: int, height: int) -> Image.Image:
    across = np.linspace(120, 255, width)[None, :, None] * np.linspace(0.7, 1.0, height)[:, None, None]
    return Image.fromarray((across * np.array([1.0, 0.8, 0.5])).astype(np.uint8))


def write(
    image: Image.Image, text: str, size: int, *, at: tuple[int, int] = (20, 20), ink: str = "black"
) -> tuple[int, int, int, int]:
    """Writes a line and returns its box: left, top, right, bottom, px."""
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(size)
    draw.text(at, text, font=font, fill=ink)
    return tuple(map(round, draw.textbbox(at, text, font=font)))


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image)


@pytest.mark.parametrize("ground", [plain, noise, gradient])
def test_text_is_read_and_its_ground_alone_is_clean(
    reader: TextSpotter, ground: Callable[[int, int], Image.Image]
) -> None:
    image = ground(480, 320)
    empty = reader.spot(pixels(image))
    assert (empty.has_text, empty.text, empty.boxes, empty.spots) == (False, "", 0, ())
    assert (empty.area, empty.confidence, empty.complete) == (0.0, None, True)

    left, top, right, bottom = write(image, "Fresh bread daily", 36, at=(60, 130))
    found = reader.spot(pixels(image))
    assert found.has_text and found.complete
    assert found.text == "Fresh bread daily"
    assert found.boxes == len(found.spots) == 1 <= found.candidates
    assert found.confidence is not None and 0.9 < found.confidence <= 1
    # The box lies where the text was drawn, and the area is the box's.
    xs, ys = zip(*found.spots[0].polygon, strict=True)
    assert max(abs(min(xs) - left), abs(max(xs) - right), abs(min(ys) - top), abs(max(ys) - bottom)) < 20
    assert found.area == pytest.approx((right - left) * (bottom - top) / (480 * 320), rel=0.6)


@pytest.mark.parametrize(("ground", "ink"), [("black", "white"), ("navy", "yellow"), ("white", "gray")])
def test_light_on_dark_and_low_contrast(reader: TextSpotter, ground: str, ink: str) -> None:
    image = plain(400, 300, ground)
    write(image, "Open until midnight", 32, at=(30, 120), ink=ink)
    assert reader.spot(pixels(image)).text == "Open until midnight"


def test_lines_come_in_reading_order(reader: TextSpotter) -> None:
    image = plain(640, 480)
    for text, at in [("third", (60, 200)), ("second", (400, 64)), ("fifth", (200, 340)), ("first", (60, 60))]:
        write(image, text, 40, at=at)
    write(image, "fourth", 40, at=(400, 194))
    result = reader.spot(pixels(image))
    assert result.text == "first second third fourth fifth"
    assert [spot.text for spot in result.spots] == result.text.split()


def test_small_text_is_read_from_the_original_pixels(reader: TextSpotter) -> None:
    image = plain(2200, 1400)
    write(image, "Photograph by Maria Santos", 40, at=(1500, 1300))  # 13 px high where the detector looks
    result = reader.spot(pixels(image))
    assert result.text == "Photograph by Maria Santos"
    assert 0 < result.area < 0.05


@pytest.mark.parametrize(("width", "height", "size"), [(4000, 60, 44), (6000, 80, 60), (1000, 20, 15), (2000, 100, 70)])
@pytest.mark.parametrize(("ground", "ink"), [("white", "black"), ("black", "white")])
def test_thin_banners(reader: TextSpotter, width: int, height: int, size: int, ground: str, ink: str) -> None:
    image = plain(width, height, ground)
    assert not reader.spot(pixels(image)).has_text  # nor is the padding text
    left, _, right, _ = write(image, "Greetings from the harbour", size, at=(width // 3, 2), ink=ink)
    result = reader.spot(pixels(image))
    assert "Greetings" in result.text and "harbour" in result.text
    assert 0 < result.area <= 1
    xs, ys = zip(*result.spots[0].polygon, strict=True)
    assert max(abs(min(xs) - left), abs(max(xs) - right)) < 0.1 * (right - left)
    assert min(ys) >= 0 and max(ys) <= height - 1


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (20_000, 1), (32_000, 3), (31, 31), (8, 100)])
def test_odd_sizes_are_looked_at(spotter: TextSpotter, size: tuple[int, int]) -> None:
    assert not spotter.spot(pixels(plain(*size, color="teal"))).has_text


def test_early_exit_stops_at_the_first_text(spotter: TextSpotter, reader: TextSpotter) -> None:
    image = plain(500, 600)
    lines = [f"Number {i} of twelve" for i in range(12)]
    for i, line in enumerate(lines):
        write(image, line, 24, at=(40, 20 + 45 * i))
    early, full = spotter.spot(pixels(image)), reader.spot(pixels(image))
    assert early.has_text and full.has_text
    assert (early.boxes, early.complete) == (1, False) and early.text in lines
    assert (full.boxes, full.complete) == (12, True) and full.text == " ".join(lines)
    assert early.candidates == full.candidates == 12
    assert 0 < early.area < full.area <= 1

    # The one box that was read is the one the detector is surest of.
    best = max(full.spots, key=lambda spot: spot.detection_score)
    assert early.spots == (best,)


def test_early_exit_is_complete_when_it_skips_nothing(spotter: TextSpotter) -> None:
    image = plain(400, 200)
    write(image, "Only one line", 36)
    assert spotter.spot(pixels(image)).complete


def test_each_box_keeps_its_own_score(reader: TextSpotter, monkeypatch: pytest.MonkeyPatch) -> None:
    image = plain(400, 300)
    boxes = [write(image, "lower line", 36, at=(40, 180)), write(image, "upper line", 36, at=(40, 40))]
    corners = np.array([[(x0, y0), (x1, y0), (x1, y1), (x0, y1)] for x0, y0, x1, y1 in boxes], np.float32)
    # The detector finds boxes from the bottom up; its own call would sort these and not their scores.
    monkeypatch.setattr(reader._detector, "postprocess_op", lambda maps, shape: (corners, [0.9, 0.5]))
    spots = reader.spot(pixels(image)).spots
    assert [(spot.text, spot.detection_score) for spot in spots] == [("upper line", 0.5), ("lower line", 0.9)]


def test_box_cap_is_reported() -> None:
    image = plain(400, 300)
    for i in range(5):
        write(image, f"Some words {i}", 24, at=(30, 20 + 50 * i))
    result = TextSpotter(OCRSettings(full_text=True, max_boxes=3)).spot(pixels(image))
    assert (result.boxes, result.candidates, result.complete) == (3, 5, False)


@pytest.mark.parametrize("with_text", [False, True])
def test_demonstration_scenes(spotter: TextSpotter, with_text: bool) -> None:
    chance = random.Random(11)
    for i in range(12):
        text = SLOGANS[i] if with_text else None
        scene = random_scene(chance)
        image = draw_scene(
            scene,
            chance,
            side=chance.choice((256, 320, 384, 512)),
            aspect=random_aspect(scene, chance),
            text=text,
            text_on_top=i % 2 == 0,
        )
        result = spotter.spot(pixels(image))
        assert result.has_text == with_text, (i, image.size, result)
        assert 0 < result.area < 0.5 if with_text else result.area == 0


@pytest.mark.parametrize("glyph", ["8", "O", "88"])
def test_what_looks_like_one_character_is_no_text(spotter: TextSpotter, glyph: str) -> None:
    image = plain(300, 300)
    write(image, glyph, 150, at=(60, 60))
    assert not spotter.spot(pixels(image)).has_text


def test_unreadable_script_needs_two_lines(reader: TextSpotter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "_recognise", lambda bgr, corners: ("", 0.4))
    image = plain(500, 300)
    write(image, "A line nobody reads", 36, at=(40, 40))
    one = reader.spot(pixels(image))
    assert (one.has_text, one.unreadable, one.candidates) == (False, 1, 1)
    write(image, "And another of them", 36, at=(40, 150))
    two = reader.spot(pixels(image))
    assert (two.has_text, two.unreadable, two.boxes, two.text, two.area) == (True, 2, 0, "", 0.0)


def test_input_is_not_changed_and_may_be_a_view(spotter: TextSpotter) -> None:
    image = plain(800, 400)
    write(image, "Every second pixel", 80)
    array = pixels(image).copy()
    assert spotter.spot(array[::2, ::2]).text == "Every second pixel"
    assert np.array_equal(array, pixels(image))


def test_models_see_blue_first(spotter: TextSpotter, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(spotter, "_detect", lambda bgr: seen.append(bgr) or [])
    spotter.spot(pixels(plain(40, 40, color="#010203")))
    assert seen[0][0, 0].tolist() == [3, 2, 1]


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((50, 50), np.uint8),
        np.zeros((50, 50, 4), np.uint8),
        np.zeros((50, 50, 3), np.float32),
        np.zeros((0, 50, 3), np.uint8),
        np.zeros((1, 32_001, 3), np.uint8),
        "http://127.0.0.1/picture.jpg",
        None,
    ],
)
def test_what_is_no_picture_is_refused(spotter: TextSpotter, picture: object) -> None:
    with pytest.raises(ValueError, match="a picture must"):
        spotter.spot(picture)


def test_engine_failure_is_never_a_picture_without_text(spotter: TextSpotter, monkeypatch: pytest.MonkeyPatch) -> None:
    clean, written = plain(300, 200), plain(300, 200)
    write(written, "Words in here", 30)

    def broken(line: object) -> None:
        raise RuntimeError("no memory for a line")

    with monkeypatch.context() as patch:
        patch.setattr(spotter, "_recogniser", broken)
        results = run_isolated(
            [pixels(clean), pixels(written), pixels(clean)], lambda items: [spotter.spot(item) for item in items]
        )
    assert [isinstance(result, ModelFailure) for result in results] == [False, True, False]
    assert (results[1].reason, results[1].detail) == (Reason.MODEL_ERROR, "RuntimeError: no memory for a line")

    with monkeypatch.context() as patch:
        patch.setattr(spotter._detector, "session", lambda batch: np.full((1, 1, *batch.shape[2:]), np.nan, np.float32))
        with pytest.raises(OCREngineError, match="not finite"):
            spotter.spot(pixels(clean))
    assert spotter.spot(pixels(written)).has_text  # the lock was given back


def test_threads_share_one_spotter(spotter: TextSpotter) -> None:
    images = []
    for i in range(4):
        image = plain(300, 200)
        write(image, f"Picture number {i}", 30)
        images.append(pixels(image))
    alone = [spotter.spot(image) for image in images]
    together = [None] * 8

    def work(i: int) -> None:
        together[i] = spotter.spot(images[i % 4])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert together == alone * 2
    assert [result.text for result in alone] == [f"Picture number {i}" for i in range(4)]


def test_spotter_can_be_weakly_referenced_and_uses_one_thread(spotter: TextSpotter) -> None:
    import cv2

    assert weakref.ref(spotter)() is spotter
    assert spotter.engine_id == engine_id(OCRSettings())
    assert cv2.getNumThreads() == 1
    for model in (spotter._detector, spotter._recogniser):
        options = model.session.session.get_session_options()
        assert (options.intra_op_num_threads, options.inter_op_num_threads) == (1, 1)


@pytest.mark.skipif(not PHOTOS.exists(), reason="the photos are not here")
def test_photos(spotter: TextSpotter) -> None:
    results = {path.stem: spotter.spot(np.asarray(Image.open(path).convert("RGB"))) for path in PHOTOS.glob("*.jpg")}
    without = {name: result for name, result in results.items() if name.startswith("notext_")}
    written = {name: result for name, result in results.items() if name.startswith("text_")}
    assert (len(without), len(written)) == (24, 13)
    assert not [name for name, result in without.items() if result.has_text]
    assert sum(result.has_text for result in written.values()) >= 12
    assert written["text_cat_meme"].text == "Wake up human!"
    assert written["text_stop_line_sign"].text == "停止線"
