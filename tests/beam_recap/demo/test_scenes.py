from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from beam_recap.demo.scenes import (
    COLORS,
    SHAPES,
    Scene,
    alt_text,
    describe,
    facts,
    is_held_out,
    one_word_wrong,
    parse,
    random_scene,
    spam_text,
)

SCENES = [random_scene(random.Random(seed)) for seed in range(3000)]


def test_every_caption_reads_back_as_its_scene() -> None:
    for scene in SCENES:
        assert parse(describe(scene)) == facts(scene), describe(scene)


def test_captions_tell_scenes_apart() -> None:
    by_caption = {describe(scene): facts(scene) for scene in SCENES}
    assert len(set(by_caption.values())) == len(by_caption)


@pytest.mark.parametrize("change", [str.upper, lambda text: f"  {text.replace(' ', '  ')}\n", lambda text: text[:-1]])
def test_case_spaces_and_the_full_stop_do_not_matter(change: Callable[[str], str]) -> None:
    for scene in SCENES[:200]:
        assert parse(change(describe(scene))) == facts(scene)


@pytest.mark.parametrize(
    "caption",
    [
        "",
        "A red circle in the center on a white background.",
        "A large red circle on a white background.",
        "A large red circle at the center on a white background.",
        "A large red circle in the center.",
        "A large red circle in the center on a red background.",
        "A large teal circle in the center on a white background.",
        "A large red circle above a small blue star, with a small red star on the far right on a white background.",
        "A large red circle in the center on a white background. And more.",
    ],
)
def test_other_sentences_are_not_of_this_world(caption: str) -> None:
    assert parse(caption) is None


@pytest.mark.parametrize("kind", [1, 2, 3])
def test_objects_lie_within_the_picture_and_apart(kind: int) -> None:
    rng = random.Random(kind)
    for _ in range(500):
        scene = random_scene(rng, objects=kind)
        assert len(scene.objects) == kind
        for one in scene.objects:
            assert one.radius <= min(one.x, one.y, 1 - one.x, 1 - one.y) + 0.02
        along = [one.x if scene.layout == "row" else one.y for one in scene.objects]
        for left, right, near, far in zip(scene.objects, scene.objects[1:], along, along[1:], strict=False):
            assert far - near > (left.radius + right.radius) * 0.9


def test_one_word_wrong_is_always_wrong_and_always_a_sentence() -> None:
    rng = random.Random(5)
    for scene in SCENES:
        right = describe(scene)
        for _ in range(3):
            wrong = one_word_wrong(right, rng)
            read = parse(wrong)
            assert read is not None, wrong
            assert read != facts(scene), (right, wrong)
            assert sum(a != b for a, b in zip(right.split(), wrong.split(), strict=True)) == 1, (right, wrong)


def test_every_kind_of_word_gets_its_turn() -> None:
    caption = "A small red circle at the top left on a white background."
    rng = random.Random(0)
    changed = {
        next(old for old, new in zip(caption.split(), one_word_wrong(caption, rng).split(), strict=True) if old != new)
        for _ in range(200)
    }
    assert changed == {"small", "red", "circle", "top", "left", "white"}


def test_a_caption_of_another_world_cannot_be_made_wrong() -> None:
    with pytest.raises(ValueError, match="no word of this world"):
        one_word_wrong("IMG_2041.JPG", random.Random(0))


def test_about_one_scene_in_eight_is_held_out() -> None:
    share = sum(is_held_out(describe(scene)) for scene in SCENES) / len(SCENES)
    assert 0.10 < share < 0.15


@pytest.mark.parametrize("held_out", [True, False])
def test_scenes_come_from_the_side_that_was_asked_for(held_out: bool) -> None:
    rng = random.Random(11)
    for _ in range(150):
        assert is_held_out(describe(random_scene(rng, held_out=held_out))) is held_out


def test_chance_comes_from_the_generator_alone() -> None:
    def draw(seed: int) -> tuple[Scene, str, str, str]:
        rng = random.Random(seed)
        scene = random_scene(rng, held_out=True)
        return scene, alt_text(scene, rng), one_word_wrong(describe(scene), rng), spam_text(rng)

    assert draw(3) == draw(3)
    assert draw(3) != draw(4)


def test_numbers_of_objects_have_their_weights() -> None:
    counts = [sum(len(scene.objects) == count for scene in SCENES) / len(SCENES) for count in (1, 2, 3)]
    assert counts == pytest.approx([0.25, 0.5, 0.25], abs=0.04)


def test_an_alt_text_is_right_but_terse() -> None:
    rng = random.Random(2)
    for scene in SCENES[:500]:
        text = alt_text(scene, rng)
        assert parse(text) is None
        for one in scene.objects:
            assert f"{one.color} {one.shape}" in text
        others = {f"{color} {shape}" for color in COLORS for shape in SHAPES} - {
            f"{o.color} {o.shape}" for o in scene.objects
        }
        assert not any(other in text for other in others), text


def test_spam_says_nothing_about_a_picture() -> None:
    rng = random.Random(9)
    names = {f"{color} {shape}" for color in COLORS for shape in SHAPES}
    for _ in range(500):
        text = spam_text(rng)
        assert text.strip() and parse(text) is None
        assert not any(name in text for name in names)
