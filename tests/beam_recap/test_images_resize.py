"""Sizes: which pictures are refused for theirs, and which one each resize mode gives."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest
from PIL import Image
from support.pictures import decoded, draw_photo, encode, reason_of

from beam_recap.images import DecodeSettings
from beam_recap.images.geometry import plan_reduction, plan_resize
from beam_recap.names import RESIZE_MODES
from beam_recap.records import Reason


@pytest.fixture(autouse=True)
def no_warnings() -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


# Worked out by hand from img2dataset 1.47's resizer, for a size of 100.
SIZES = [
    # mode, stored, only if bigger, result
    ("keep_ratio_largest", (400, 200), True, (100, 50)),
    ("keep_ratio_largest", (90, 60), True, (90, 60)),
    ("keep_ratio_largest", (90, 60), False, (100, 67)),
    ("keep_ratio_largest", (100, 60), True, (100, 60)),
    ("keep_ratio", (400, 200), True, (200, 100)),
    ("keep_ratio", (200, 401), True, (100, 200)),  # 200.5, rounded to even
    ("keep_ratio", (400, 100), True, (400, 100)),  # the shorter side is not bigger
    ("keep_ratio", (400, 90), True, (400, 90)),
    ("keep_ratio", (90, 60), False, (150, 100)),
    ("center_crop", (400, 200), True, (100, 100)),
    ("center_crop", (200, 400), True, (100, 100)),
    ("center_crop", (400, 100), True, (400, 100)),  # not bigger, so not cropped
    ("center_crop", (400, 100), False, (100, 100)),
    ("center_crop", (90, 60), True, (90, 60)),
    ("center_crop", (90, 60), False, (100, 100)),
    ("border", (400, 200), True, (100, 100)),
    ("border", (90, 60), True, (90, 60)),  # not bigger, so no margins
    ("border", (90, 60), False, (100, 100)),
    ("no", (400, 200), True, (400, 200)),
    ("no", (90, 60), False, (90, 60)),
]


@pytest.mark.parametrize("image_format", ["JPEG", "PNG"])
@pytest.mark.parametrize(("mode", "size", "only_if_bigger", "expected"), SIZES)
def test_resize_modes(
    mode: str, size: tuple[int, int], only_if_bigger: bool, expected: tuple[int, int], image_format: str
) -> None:
    settings = {"resize_mode": mode, "image_size": 100, "resize_only_if_bigger": only_if_bigger}
    result = decoded(encode(draw_photo(*size), image_format), **settings)
    assert result.image.shape == (expected[1], expected[0], 3)
    assert (result.width, result.height) == size


def test_every_mode_is_tried() -> None:
    assert {row[0] for row in SIZES} == set(RESIZE_MODES)


def test_center_crop_takes_the_middle() -> None:
    image = Image.new("RGB", (402, 200), (0, 0, 0))
    image.paste((255, 0, 0), (101, 0, 301, 200))
    for data in (encode(image), encode(image, "JPEG", quality=95)):
        pixels = decoded(data, resize_mode="center_crop", image_size=100).image
        assert (np.abs(pixels[:, 2:98].astype(int) - (255, 0, 0)) < 10).all()


def test_border_is_white_and_in_the_middle() -> None:
    image = Image.new("RGB", (200, 98), (0, 0, 200))
    for data in (encode(image), encode(image, "JPEG", quality=95)):
        pixels = decoded(data, resize_mode="border", image_size=100).image.astype(int)
        assert (pixels[:25] == 255).all()  # 100 - 49 = 51 rows: 25 above, 26 below
        assert (pixels[74:] == 255).all()
        assert (np.abs(pixels[25:74] - (0, 0, 200)) < 10).all()


@pytest.mark.parametrize("mode", ["keep_ratio", "center_crop"])
def test_nothing_is_enlarged_beyond_the_most_pixels(mode: str) -> None:
    """A line of 2000 x 1 px would become one of 2 million x 1000."""
    data = encode(draw_photo(2000, 1))
    settings = {"min_image_size": 1, "image_size": 1000, "resize_mode": mode}
    assert decoded(data, **settings).image.shape == (1, 2000, 3)
    assert reason_of(data, resize_only_if_bigger=False, **settings) == Reason.TOO_MANY_PIXELS


def test_enlarging_is_bicubic() -> None:
    photo = draw_photo(90, 60)
    pixels = decoded(encode(photo), image_size=200, resize_only_if_bigger=False).image
    expected = np.asarray(photo.resize((200, 133), Image.Resampling.BICUBIC))
    assert np.abs(pixels.astype(int) - expected).max() <= 2


@pytest.mark.parametrize(
    ("stored", "resized", "reduction"),
    [
        ((671, 671), (336, 336), 1),
        ((1343, 1343), (336, 336), 1),
        ((1344, 1344), (336, 336), 2),
        ((2688, 2688), (336, 336), 4),
        ((5376, 5376), (336, 336), 8),
        ((50_000, 50_000), (336, 336), 8),
        ((5376, 1343), (336, 336), 1),  # both sides must have twice the final size
        ((90, 60), (200, 133), 1),
        ((64, 1), (1, 1), 1),
    ],
)
def test_reductions_leave_twice_the_final_size(
    stored: tuple[int, int], resized: tuple[int, int], reduction: int
) -> None:
    assert plan_reduction(stored, resized) == reduction


def test_no_size_comes_out_empty() -> None:
    assert plan_resize(10_000, 1, DecodeSettings(image_size=64)).resized == (64, 1)


@pytest.mark.parametrize(
    ("size", "image_size", "expected"),
    [
        ((640, 427), 336, (336, 224)),
        ((427, 640), 336, (224, 336)),
        ((300, 200), 336, (300, 200)),
        ((336, 336), 336, (336, 336)),
        ((4000, 40), 100, (100, 1)),
    ],
)
def test_shrinks_and_never_enlarges(size: tuple[int, int], image_size: int, expected: tuple[int, int]) -> None:
    for image_format in ("JPEG", "PNG"):
        result = decoded(encode(draw_photo(*size), image_format), image_size=image_size)
        assert result.image.shape == (expected[1], expected[0], 3)
        assert (result.width, result.height) == size


@pytest.mark.parametrize("size", [(1201, 903), (1630, 1207), (401, 333)])
@pytest.mark.parametrize("progressive", [False, True])
def test_shrinking_is_like_bicubic_from_the_full_size(size: tuple[int, int], progressive: bool) -> None:
    data = encode(draw_photo(*size), "JPEG", quality=90, progressive=progressive)
    result = decoded(data, image_size=200).image
    full = Image.open(io.BytesIO(data)).resize((result.shape[1], result.shape[0]), Image.Resampling.BICUBIC)
    error = np.mean((result.astype(float) - np.asarray(full)) ** 2)
    assert error < 255**2 / 10 ** (40 / 10)  # PSNR above 40 dB
    # Not shifted by a part of a pixel either.
    assert abs((result.astype(float) - np.asarray(full)).mean()) < 0.5


@pytest.mark.parametrize(
    ("size", "settings", "reason"),
    [
        ((31, 100), {}, Reason.TOO_SMALL),
        ((100, 31), {}, Reason.TOO_SMALL),
        ((1, 1), {}, Reason.TOO_SMALL),
        ((100, 100), {"max_pixels": 9999}, Reason.TOO_MANY_PIXELS),
        ((100, 100), {"max_image_area": 9999.5}, Reason.AREA_TOO_LARGE),
        ((400, 100), {"max_aspect_ratio": 3.9}, Reason.TOO_ELONGATED),
        ((100, 400), {"max_aspect_ratio": 3.9}, Reason.TOO_ELONGATED),
    ],
)
@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "GIF", "AVIF"])
def test_sizes_that_are_refused(
    size: tuple[int, int], settings: dict[str, object], reason: Reason, image_format: str
) -> None:
    assert reason_of(encode(draw_photo(*size), image_format), **settings) == reason


def test_sizes_at_the_limits() -> None:
    data = encode(draw_photo(400, 100))
    assert (
        decoded(
            data, max_aspect_ratio=4.0, max_pixels=40_000, max_image_area=40_000, min_image_size=100, image_size=400
        ).width
        == 400
    )


def test_checks_come_in_their_order() -> None:
    data = encode(draw_photo(200, 40))
    limits = {"max_pixels": 100, "min_image_size": 41, "max_image_area": 200, "max_aspect_ratio": 2.0}
    reasons = []
    while limits:
        reasons.append(reason_of(data, **limits))
        del limits[next(iter(limits))]
    assert reasons == [Reason.TOO_MANY_PIXELS, Reason.TOO_SMALL, Reason.AREA_TOO_LARGE, Reason.TOO_ELONGATED]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_pixels", 0),
        ("max_pixels", True),
        ("min_image_size", 0),
        ("image_size", 1.5),
        ("max_image_area", 0.5),
        ("max_image_area", "9"),
        ("max_aspect_ratio", 0.5),
        ("max_aspect_ratio", np.nan),
        ("max_aspect_ratio", True),
        ("resize_mode", "largest"),
        ("resize_only_if_bigger", 1),
        ("read_exif", None),
        ("formats", ()),
        ("formats", ("jpeg", "bmp")),
        ("formats", "jpeg"),
    ],
)
def test_settings_are_checked(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field):
        DecodeSettings(**{field: value})  # type: ignore[arg-type]
