"""Prompts with strangers' captions in them, against the tokenizer itself."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support.hints import HINT, HOSTILE, IN_THE_PROMPT
from support.llava_inference import vicuna_tokenizer
from tokenizers import AddedToken, normalizers
from transformers import AutoProcessor, LlavaProcessor

from beam_recap.demo import paths
from beam_recap.models.captioner_prompt import render_prompt, special_tokens
from beam_recap.models.hinted_prompt import MAX_HINT_TOKENS, PromptWriter, WrittenPrompt
from beam_recap.prompts import RECAP_PROMPT


def processor_of(folder: Path = paths.CAPTIONER) -> Any:
    return AutoProcessor.from_pretrained(folder)


def vicuna_processor() -> Any:
    """With LLaMA-2's kind of tokenizer, which puts a space before what follows a special token."""
    tokenizer = vicuna_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    return LlavaProcessor(
        image_processor=processor_of().image_processor,
        tokenizer=tokenizer,
        patch_size=10,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )


PROCESSORS = {"llama-3": processor_of(), "vicuna": vicuna_processor()}
WRITERS = {
    name: PromptWriter(processor, render_prompt(processor, RECAP_PROMPT, HINT))
    for name, processor in PROCESSORS.items()
}
GREY = Image.new("RGB", (60, 60), (128, 128, 128))


def special_ids(processor: Any) -> set[int]:
    tokenizer = processor.tokenizer
    return {*tokenizer.all_special_ids, processor.image_token_id} - {tokenizer.unk_token_id}


def assert_harmless(name: str, written: WrittenPrompt) -> None:
    """The prompt's special tokens are those of the plain one; between them is nothing but text."""
    processor, writer = PROCESSORS[name], WRITERS[name]
    specials = special_ids(processor)
    assert [i for i in written.ids if i in specials] == [i for i in writer.plain.ids if i in specials]
    assert written.ids.count(processor.image_token_id) == written.ids.count(processor.tokenizer.bos_token_id) == 1
    assert len(written.ids) <= writer.max_tokens
    assert written.text.count("<image>") == 1


def expanded(processor: Any, text: str) -> list[int]:
    """What the checkpoint's own processor makes of the whole text."""
    rendered = render_prompt(processor, RECAP_PROMPT)
    inputs = processor(images=[GREY], text=[text], add_special_tokens=rendered.add_special_tokens)
    return [int(i) for i in inputs["input_ids"][0]]


@pytest.mark.parametrize("name", PROCESSORS)
@pytest.mark.parametrize(("caption", "shown"), IN_THE_PROMPT)
def test_a_caption_stands_in_its_sentence(name: str, caption: str, shown: str) -> None:
    written = WRITERS[name].write(caption)
    sentence = HINT.replace("{caption}", shown)
    assert written.hinted
    assert written.text == WRITERS[name].plain.text.replace(RECAP_PROMPT, f"{RECAP_PROMPT}\n{sentence}")
    assert_harmless(name, written)


@pytest.mark.parametrize("name", PROCESSORS)
@pytest.mark.parametrize("caption", [*HOSTILE, None, "a red fox"])
def test_the_tokens_are_the_processors_own(name: str, caption: str | None) -> None:
    processor, written = PROCESSORS[name], WRITERS[name].write(caption)
    theirs = expanded(processor, written.text)
    count = theirs.count(processor.image_token_id)
    assert count == 36
    start = theirs.index(processor.image_token_id)
    assert theirs[start : start + count] == [processor.image_token_id] * count
    assert tuple([*theirs[:start], *theirs[start + count - 1 :]]) == written.ids


@pytest.mark.parametrize("name", PROCESSORS)
@pytest.mark.parametrize("caption", HOSTILE)
def test_hostile_captions_are_harmless(name: str, caption: str) -> None:
    assert_harmless(name, WRITERS[name].write(caption))


TOKENS = sorted({token for processor in PROCESSORS.values() for token in special_tokens(processor)})
PIECES = st.one_of(
    st.sampled_from(TOKENS),
    st.sampled_from(TOKENS).flatmap(lambda token: st.integers(1, len(token)).map(lambda at: token[:at])),
    st.sampled_from(TOKENS).flatmap(lambda token: st.integers(1, len(token)).map(lambda at: token[at:])),
    st.sampled_from(["\n", " ", "\x00", "\u200b", "\u200d", "{{ bos_token }}", "{% for m in messages %}", "{caption}"]),
    st.text(st.characters(codec=None), max_size=30),
)


@pytest.mark.parametrize("name", PROCESSORS)
@given(pieces=st.lists(PIECES, max_size=40))
@settings(max_examples=400, deadline=None)
def test_no_caption_adds_a_special_token(name: str, pieces: list[str]) -> None:
    written = WRITERS[name].write("".join(pieces))
    assert_harmless(name, written)
    if not written.hinted:
        assert written is WRITERS[name].plain


@given(before=PIECES, after=PIECES, caption=st.lists(PIECES, max_size=6))
@settings(max_examples=300, deadline=None)
def test_nor_do_sentence_and_caption_together(before: str, after: str, caption: list[str]) -> None:
    processor = PROCESSORS["llama-3"]
    try:
        writer = PromptWriter(processor, render_prompt(processor, RECAP_PROMPT, f"{before}{{caption}}{after}"))
    except ValueError:  # it holds {caption} twice, or half a surrogate pair
        return
    written = writer.write("".join(caption))
    specials = special_ids(processor)
    assert [i for i in written.ids if i in specials] == [i for i in writer.plain.ids if i in specials]
    assert len(written.ids) <= writer.max_tokens


@pytest.mark.parametrize("half", ["\ud800", "\udcff"])
def test_bytes_that_are_no_text_are_refused(half: str) -> None:
    processor = PROCESSORS["llama-3"]
    with pytest.raises(ValueError, match="--caption_hint: it holds bytes that are no UTF-8 text"):
        render_prompt(processor, RECAP_PROMPT, f"</s>{{caption}}{half}")
    with pytest.raises(ValueError, match="--caption_prompt: it holds bytes that are no UTF-8 text"):
        render_prompt(processor, f"Describe.{half}")


def test_special_tokens_of_any_form(tmp_path: Path) -> None:
    """Only the tokenizer knows that these are no words."""
    processor = processor_of(shutil.copytree(paths.CAPTIONER, tmp_path / "llava"))
    processor.tokenizer.add_special_tokens({"additional_special_tokens": ["§end§", "stop here"]})
    writer = PromptWriter(processor, render_prompt(processor, RECAP_PROMPT, HINT))
    for caption in ("a §end§fox", "a §en§end§d§ fox", "§end§ a fox stop here", "a stop§end§ here fox"):
        written = writer.write(caption)
        assert written.text == writer.write("a fox").text and written.hinted
    assert not writer.write("§end§stop here").hinted


def test_a_token_across_the_border_of_sentence_and_caption() -> None:
    processor = PROCESSORS["llama-3"]
    writer = PromptWriter(processor, render_prompt(processor, RECAP_PROMPT, "It is an <{caption}> they say"))
    assert not writer.write("image").hinted
    assert writer.write("images").hinted
    assert writer.write("a fox").text.count("It is an <a fox> they say") == 1


@pytest.mark.parametrize("caption", ["<IMAGE>", "<Image>", "＜image＞", "ＩＭＡＧＥ>", "a <\u0131mage> b", "< IMAGE>"])
def test_a_tokenizer_that_finds_tokens_in_what_it_normalises(caption: str, tmp_path: Path) -> None:
    """The text alone does not tell: only the tokens do."""
    processor = processor_of(shutil.copytree(paths.CAPTIONER, tmp_path / "llava"))
    backend = processor.tokenizer.backend_tokenizer
    backend.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    backend.add_special_tokens([AddedToken("<image>", normalized=True, special=True)])
    assert backend.encode("<IMAGE>", add_special_tokens=False).ids == [processor.image_token_id]
    # One that the cleaning of the text does not take for a token.
    writer = PromptWriter(processor, render_prompt(processor, RECAP_PROMPT, "Look: <{caption}"))
    for text in (caption, caption.lstrip("<＜")):
        written = writer.write(text)
        assert written.ids.count(processor.image_token_id) == 1
    assert not writer.write("IMAGE>").hinted and writer.write("IMAGES>").hinted


@pytest.mark.parametrize("name", PROCESSORS)
def test_long_captions_are_cut_to_their_tokens(name: str) -> None:
    writer = WRITERS[name]
    empty = len(writer.write("x").ids) - 1
    for caption in ("zq " * 4000, "zq" * 5000, "🦊" * 500, "狐" * 500, " ".join(["🦊", "fox"] * 200)):
        written = writer.write(caption)
        assert written.hinted
        assert MAX_HINT_TOKENS // 2 < len(written.ids) - empty <= MAX_HINT_TOKENS + 1
        assert len(written.ids) <= writer.max_tokens
        assert "\ufffd" not in written.text


def test_nothing_of_a_caption_is_the_plain_prompt() -> None:
    writer = WRITERS["llama-3"]
    for caption in (None, "", " \n\t", "\x00", "<image>", "<|eot_id|><|begin_of_text|>", "\u200b"):
        assert writer.write(caption) is writer.plain
    assert writer.plain.text == render_prompt(PROCESSORS["llama-3"], RECAP_PROMPT).text
    without = PromptWriter(PROCESSORS["llama-3"], render_prompt(PROCESSORS["llama-3"], RECAP_PROMPT))
    assert not without.takes_hints and without.max_tokens == len(without.plain.ids)
    assert without.write("a fox") is without.plain


def test_threads_share_a_writer() -> None:
    captions = [f"fox number {i} " * (i % 20) for i in range(400)]
    expected = [WRITERS["llama-3"].write(caption) for caption in captions]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(WRITERS["llama-3"].write, captions)) == expected


def test_templates_see_no_caption(tmp_path: Path) -> None:
    processor = processor_of()
    rendered = render_prompt(processor, RECAP_PROMPT, HINT)
    processor.chat_template = None  # it is not asked again
    written = PromptWriter(processor, rendered).write("{{ bos_token }}{% endfor %}{{ 7 * 7 }} fox")
    assert "is: {{ bos_token }}{% endfor %}{{ 7 * 7 }} fox<|eot_id|>" in written.text


@pytest.mark.parametrize(
    ("template", "hint", "message"),
    [
        (lambda text: text, "{cap<image>tion} {caption}", "must hold {caption} once"),
        (lambda text: text.replace("c['text'] | trim", "c['text'] ~ c['text']"), "See {caption}", "does not add it"),
        (lambda text: text.replace("c['text'] | trim", "c['text'][:100]"), "See {caption}", "does not add it"),
    ],
)
def test_hints_that_cannot_be_shown(template: Any, hint: str, message: str) -> None:
    processor = processor_of()
    processor.chat_template = template(processor.chat_template)
    with pytest.raises(ValueError, match=f"^--caption_hint=.*{message}"):
        render_prompt(processor, RECAP_PROMPT, hint)


def test_a_prompt_with_a_place_of_its_own() -> None:
    with pytest.raises(ValueError, match="--caption_prompt must not"):
        render_prompt(processor_of(), "What is {caption}?", HINT)
