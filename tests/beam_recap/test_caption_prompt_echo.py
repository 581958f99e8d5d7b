"""Answers that repeat the question or their chat template, and captions that do not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.captions import ANY_TEXT, GOOD

from beam_recap.caption_prompt_echo import is_prompt_echo
from beam_recap.prompts import RECAP_PROMPT


@pytest.mark.parametrize(
    "text",
    [
        RECAP_PROMPT,
        RECAP_PROMPT.upper() + " A red car.",
        "please generate a detailed caption of this image, please be as descriptive as possible",
        "Please generate a detailed caption of this image. A red car stands in front of a house.",
        "A red car. Generate a detailed caption of this image; please be as descriptive as possible!",
        "ASSISTANT: A cat on a sofa.",
        "Assistant: A cat on a sofa.",
        "A cat on a sofa. USER: What colour is it? ASSISTANT: It is white.",
        "A cat on a sofa.\nHuman: What colour is it?",
        "<|start_header_id|>assistant<|end_header_id|>\n\nA cat on a sofa.",
        "A cat on a sofa.<|eot_id|>",
        "A cat on a sofa.<|im_end|>",
        "A cat on a sofa.</s>",
        "<image>\nA cat on a sofa.",
        "[INST] A cat [/INST]",
        "A cat on a sofa. ### Assistant: A cat",
        "assistant\n\nA cat on a sofa.",  # LLaMA-3's header without its special tokens
        "A cat on a sofa.assistant\n\nThe cat is white.",
    ],
)
def test_echoes(text: str) -> None:
    assert is_prompt_echo(text, RECAP_PROMPT)


@pytest.mark.parametrize(
    "caption",
    [
        *GOOD,
        "",
        "A detailed caption of this image: a red car.",
        "The image is as descriptive as possible of life in the city.",
        'A log-in form with the labels "USER:" and "PASSWORD:".',
        "A computer user: a woman at a desk.",
        "A teaching assistant helps a student.",
        "A label with SUPERUSER: root on a server.",
        "A heart shape made of <3 signs, and [brackets] # hashes.",
    ],
)
def test_captions_that_are_none(caption: str) -> None:
    assert not is_prompt_echo(caption, RECAP_PROMPT)


@pytest.mark.parametrize(
    ("text", "prompt", "expected"),
    [
        ("Describe the image. A cat on a sofa.", "Describe the image.", True),
        ("DESCRIBE THE IMAGE\nA cat on a sofa.", "describe the image", True),
        ("Describe the image", "Describe the image.", True),
        ("Words that describe the image. A cat.", "Describe the image.", False),
        ("A photo of a cat on a sofa", "A photo of", False),  # a beginning to be continued
        ("The people you see in this image are old.", "What can you see in this image?", False),  # five words
        ("In this image there is a cat.", "What is in this image?", False),
        ("请详细描述这张图片。一只猫坐在沙发上。", "请详细描述这张图片。", True),
        ("这张图片是一只猫。", "请详细描述这张图片。", False),
        ("描述图片：一只猫", "描述图片", True),
        ("A cat on a sofa.", "", False),
        ("A cat on a sofa.", "?!", False),
        ("A cat. USER: and?", "", True),
    ],
)
def test_other_prompts(text: str, prompt: str, expected: bool) -> None:
    assert is_prompt_echo(text, prompt) is expected


LONG = "Its alt text, which may be wrong, is: {caption}. Use the names in it if they fit the image."


@pytest.mark.parametrize(
    ("text", "hint", "expected"),
    [
        ("Its alt text, which may be wrong, is: Western Kingbird. A bird.", LONG, True),
        ("A sign with alt text that may be wrong, is it?", LONG, False),
        ("A bird. ITS ALT TEXT WHICH MAY BE wrong: Kingbird.", LONG, True),
        ("A bird. Use the names in it if they fit the image.", LONG, True),
        ("A Western Kingbird on a wire.", LONG, False),
        ("A bird whose names fit the image.", LONG, False),
        ("Alt text: Western Kingbird. A bird.", "Alt text: {caption}", True),
        ("A page with the words alt text: Kingbird.", "Alt text: {caption}", False),
        ("Hint: Western Kingbird", "Hint: {caption}", True),
        ("A: the first of three signs.", "A {caption}", False),
        ('A "stop" sign.', "A {caption}", False),
        ("A bird.", "{caption}", False),
        ("A bird.", "({caption})", False),
        ("caption", "What is {caption}?", False),
        ("原标题：一只鸟", "原标题：{caption}", True),
    ],
)
def test_hints(text: str, hint: str, expected: bool) -> None:
    assert is_prompt_echo(text, RECAP_PROMPT, hint) is expected
    assert not is_prompt_echo(text, RECAP_PROMPT)


def test_the_caption_in_a_hint_may_be_repeated() -> None:
    caption = "western kingbird on a wire in the morning sun of Arizona"
    assert not is_prompt_echo(f"A {caption}, seen from below.", RECAP_PROMPT, LONG)


@given(st.text(max_size=60), ANY_TEXT)
def test_a_repeated_prompt_is_an_echo_whatever_follows(prompt: str, rest: str) -> None:
    assert is_prompt_echo(f"{RECAP_PROMPT} {rest}", RECAP_PROMPT)
    assert is_prompt_echo(rest, prompt) in (True, False)
