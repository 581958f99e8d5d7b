"""Pictures of words: four styles, in the middle, within the picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from beam_recap.audit.draw_words import FONT_SIZE, MIN_FONT_SIZE, SIDE, DrawnWord, FontError, WordDrawer, WordProblem

COLOURS = [((255, 255, 255), 0), ((0, 0, 0), 255), ((128, 128, 128), 255), ((128, 128, 128), 0)]


@pytest.fixture(scope="module")
def drawer() -> WordDrawer:
    return WordDrawer()


def ink(picture: np.ndarray) -> np.ndarray:
    """Where a picture differs from its corner: rows and columns, int64 [N, 2]."""
    return np.argwhere((picture != picture[0, 0]).any(axis=2))


@pytest.mark.parametrize("word", ["hello", "i", "Typography", "red apple pie", ".", "j"])
def test_four_styles_in_the_middle(drawer: WordDrawer, word: str) -> None:
    drawn = drawer.draw(word)
    assert isinstance(drawn, DrawnWord)
    assert not drawn.shrunk
    shapes = []
    for picture, (background, foreground) in zip(drawn.pictures, COLOURS, strict=True):
        assert (picture.shape, picture.dtype) == ((SIDE, SIDE, 3), np.uint8)
        assert tuple(picture[0, 0]) == background
        extreme = picture.max() if foreground == 255 else picture.min()
        assert abs(int(extreme) - foreground) < 40  # thin strokes are blended with the background
        places = ink(picture)
        middle = (places.min(axis=0) + places.max(axis=0)) / 2
        assert np.abs(middle - (SIDE - 1) / 2).max() <= 1.5
        shapes.append(places.tolist())
    assert shapes[0] == shapes[1]


def test_letters_are_as_high_as_32_px_make_them(drawer: WordDrawer) -> None:
    drawn = drawer.draw("H")
    assert isinstance(drawn, DrawnWord)
    rows = ink(drawn.pictures[0])[:, 0]
    assert 20 <= rows.max() - rows.min() + 1 <= 26  # capitals are some 0.7 of a font's size


def test_a_long_word_is_drawn_smaller_until_it_is_refused(drawer: WordDrawer) -> None:
    sizes = []
    for letters in range(1, 60):
        drawn = drawer.draw("n" * letters)
        if drawn is WordProblem.TOO_LONG:
            break
        assert isinstance(drawn, DrawnWord)
        columns = ink(drawn.pictures[0])[:, 1]
        assert columns.min() >= 1
        assert columns.max() <= SIDE - 2
        assert drawn.shrunk == (drawn.size < FONT_SIZE)
        sizes.append(drawn.size)
    assert sizes == sorted(sizes, reverse=True)
    assert (sizes[0], sizes[-1]) == (FONT_SIZE, MIN_FONT_SIZE)
    assert drawer.draw("n" * 200) is WordProblem.TOO_LONG


@pytest.mark.parametrize(
    ("word", "problem"),
    [
        ("", WordProblem.BLANK),
        (" \t", WordProblem.BLANK),
        ("停止", WordProblem.NOT_IN_FONT),
        ("red 停止", WordProblem.NOT_IN_FONT),
        ("a\x00b", WordProblem.NOT_IN_FONT),
        ("a\u202eb", WordProblem.NOT_IN_FONT),
    ],
)
def test_words_that_cannot_be_drawn(drawer: WordDrawer, word: str, problem: WordProblem) -> None:
    assert drawer.draw(word) is problem


def test_the_font_in_pillow_is_named(drawer: WordDrawer) -> None:
    assert drawer.font_name == "Aileron Regular"


def test_a_font_of_the_user(tmp_path: Path) -> None:
    found = sorted(Path("/usr/share/fonts").rglob("DejaVuSans.ttf"))
    if not found:
        pytest.skip("there is no DejaVu Sans here")
    drawer = WordDrawer(str(found[0]))
    assert drawer.font_name.startswith("DejaVu Sans")
    assert isinstance(drawer.draw("café"), DrawnWord)
    own = drawer.draw("hello")
    default = WordDrawer().draw("hello")
    assert isinstance(own, DrawnWord)
    assert isinstance(default, DrawnWord)
    assert not np.array_equal(own.pictures[0], default.pictures[0])


def test_fonts_that_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "font.ttf"
    for content in (None, b"", b"no font" * 100):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(FontError, match="is no font that can be read"):
            WordDrawer(str(path))
