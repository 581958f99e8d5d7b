"""The prompt as the checkpoint's own chat template writes it, and the tokens that end an answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jinja2

from beam_recap.caption_hint import HINT_PLACE

# LLaMA-3's end of turn. Its base checkpoints name only <|end_of_text|> as their end.
_END_OF_TURN = "<|eot_id|>"
# What LLaVA-1.5 was trained to read, for checkpoints whose own template is missing or knows no pictures: LLaMA-3's form
# (xtuner's and LLaVA-NeXT's, without a system text) where the vocabulary has it, else Vicuna's (llava-hf's model card).
_LLAMA_3 = (
    "{begin}<|start_header_id|>user<|end_header_id|>\n\n{image}\n{prompt}<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n"
)
_VICUNA = "{begin}USER: {image}\n{prompt} ASSISTANT:"


@dataclass(frozen=True, slots=True)
class RenderedPrompt:
    """What the processor gets beside each picture."""

    text: str  # holds the image token once
    add_special_tokens: bool  # whether the tokenizer must add the begin token, because the template did not
    # The same with a hint, before and after the place of a row's original caption; None where no hint was asked for.
    around_hint: tuple[str, str] | None = None


def render_prompt(processor: Any, prompt: str, hint: str | None = None) -> RenderedPrompt:
    """Puts one picture and ``prompt`` into the chat template.

    Special tokens that are written out in ``prompt`` or ``hint`` are dropped: an ``<image>`` too many fails every row,
    and an end of turn would end it.

    Args:
      processor: the checkpoint's.
      prompt: what the model is asked, in plain words.
      hint: a sentence that follows on a line of its own where a row has an original caption; holds ``{caption}`` once.
        The template sees it with this word only, never with a caption.

    Raises:
      ValueError: an empty prompt, or one of bytes that are no text (a shell passes them as halves of surrogates); a
        chat template that gives two image tokens or two begin tokens; a hint without exactly one ``{caption}``, or a
        template that shows the hint otherwise than as a line after the prompt.
    """
    for flag, given in (("caption_prompt", prompt), ("caption_hint", hint or "")):
        if not given.isprintable() and any("\ud800" <= character <= "\udfff" for character in given):
            raise ValueError(f"--{flag}: it holds bytes that are no UTF-8 text; write it in UTF-8.")
    tokenizer = processor.tokenizer
    image_token = str(processor.image_token)
    words = without_special_tokens(prompt, special_tokens(processor)).strip()
    if not words:
        raise ValueError(f"--caption_prompt={prompt}: no words are left without its special tokens.")
    text = _render(processor, words)
    if text.count(image_token) != 1 or words not in text:
        raise ValueError(
            f"The captioner's chat template must give {image_token} once, and the prompt; it gives {text!r}."
        )
    around_hint = None if hint is None else _render_around_hint(processor, words, text, hint)
    begin = tokenizer.bos_token_id
    for add_special_tokens in (False, True):
        ids = tokenizer(text, add_special_tokens=add_special_tokens)["input_ids"]
        if begin is None or ids.count(begin) == 1:
            return RenderedPrompt(text, add_special_tokens, around_hint)
    raise ValueError(f"The captioner's prompt must begin with one {tokenizer.bos_token}; it is {text!r}.")


def _render(processor: Any, words: str) -> str:
    text = _from_template(processor, words)
    if str(processor.image_token) in text:
        return text
    tokenizer = processor.tokenizer
    form = _LLAMA_3 if _END_OF_TURN in tokenizer.get_vocab() else _VICUNA
    return form.format(begin=tokenizer.bos_token or "", image=processor.image_token, prompt=words)


def _render_around_hint(processor: Any, words: str, plain: str, hint: str) -> tuple[str, str]:
    """The whole prompt before and after the place of the caption."""
    sentence = without_special_tokens(hint, special_tokens(processor)).strip()
    if sentence.count(HINT_PLACE) != 1 or HINT_PLACE in words:
        raise ValueError(f"--caption_hint={hint}: it must hold {HINT_PLACE} once, and --caption_prompt must not.")
    text = _render(processor, f"{words}\n{sentence}")
    if text.count(HINT_PLACE) != 1 or text.replace(f"\n{sentence}", "") != plain:
        raise ValueError(f"--caption_hint={hint}: the captioner's chat template does not add it to the prompt's end.")
    before, _, after = text.partition(HINT_PLACE)
    return before, after


def _from_template(processor: Any, words: str) -> str:
    """The checkpoint's own form; empty where it has none that takes pictures."""
    content = [{"type": "image"}, {"type": "text", "text": words}]
    try:
        return processor.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
        )
    except (ValueError, TypeError, jinja2.TemplateError):  # no template, or one that takes plain text only
        return ""


def without_special_tokens(text: str, special_tokens: list[str]) -> str:
    """``text`` without any of ``special_tokens``, also where dropping one would form another."""
    before = None
    while before != text:
        before = text
        for token in special_tokens:
            text = text.replace(token, "")
    return text


def end_token_ids(model: Any, tokenizer: Any) -> list[int]:
    """Every token that ends an answer: the generation config's, the tokenizer's, and LLaMA-3's end of turn.

    Raises:
      ValueError: there is none, so that no caption would end before the limit.
    """
    configured = model.generation_config.eos_token_id
    ids = set(configured if isinstance(configured, list | tuple) else [configured])
    ids |= {tokenizer.eos_token_id, tokenizer.get_vocab().get(_END_OF_TURN)}
    ids -= {None}
    if not ids:
        raise ValueError("The captioner has no end token; add eos_token_id to its generation_config.json.")
    return sorted(int(i) for i in ids)


def special_tokens(processor: Any) -> list[str]:
    """What must not stand in a text from outside: the tokenizer's special tokens and the image token, longest first."""
    tokenizer = processor.tokenizer
    added = [str(token) for token in tokenizer.added_tokens_decoder.values() if token.special]
    # No empty one, which would never be used up.
    return sorted({*added, *tokenizer.all_special_tokens, str(processor.image_token)} - {""}, key=len, reverse=True)
