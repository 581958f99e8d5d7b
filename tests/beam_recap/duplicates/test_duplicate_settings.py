"""Settings are refused when they cannot be meant."""

import math

import pytest

from beam_recap.duplicates.settings import DEFAULT_SIMILARITY, DuplicateSettings


def test_everything_is_off_by_default() -> None:
    settings = DuplicateSettings()
    assert (settings.rows, settings.images, settings.similarity) == (False, False, None)
    assert (settings.max_same_image, settings.max_same_caption) == (None, None)
    assert DEFAULT_SIMILARITY == 0.94


@pytest.mark.parametrize("similarity", [0, -0.5, 1.0001, 94, math.nan, math.inf])
def test_a_similarity_out_of_range_is_refused(similarity: float) -> None:
    with pytest.raises(ValueError, match=r"similarity is a cosine above 0 and at most 1, got "):
        DuplicateSettings(similarity=similarity)


@pytest.mark.parametrize("name", ["max_same_image", "max_same_caption"])
@pytest.mark.parametrize("limit", [0, -1, 1.5, True, "10"])
def test_a_limit_out_of_range_is_refused(name: str, limit: object) -> None:
    with pytest.raises(ValueError, match=f"{name} is a whole number of at least 1, got "):
        DuplicateSettings(**{name: limit})


def test_ends_of_the_ranges_are_taken() -> None:
    assert DuplicateSettings(similarity=1, max_same_image=1, max_same_caption=1).similarity == 1
