"""Captioners that are shown original captions: all say the same, and no caption touches another row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.chat_client import client
from support.chat_server import ChatRequest, ChatServer, completion
from support.hints import HINT, HOSTILE
from support.llava_inference import vicuna
from support.untrained_models import NEW_TOKENS, noise_images

from beam_recap.demo import paths
from beam_recap.demo.evaluate import held_out_pictures
from beam_recap.isolation import ModelFailure
from beam_recap.models import slot_captioner
from beam_recap.models.captioner import Captioner
from beam_recap.models.captioner_checkpoint import open_checkpoint
from beam_recap.models.captions import Caption
from beam_recap.models.endpoint_captioner import EndpointCaptioner
from beam_recap.models.hinted_prompt import MAX_HINT_TOKENS, PromptWriter
from beam_recap.models.load_captioner import load_captioner
from beam_recap.models.slot_captioner import SlotCaptioner
from beam_recap.models.slots.decoder import UnsupportedModel
from beam_recap.models.slots.engine import SlotEngine
from beam_recap.prompts import RECAP_PROMPT
from beam_recap.records import Reason

HINTS = ["a red fox", None, "Western Kingbird on a wire in Arizona, June 2009", *HOSTILE, "", "a red fox"]
SOME_HINTS = HINTS[::3]


@pytest.fixture(scope="module")
def plain(llava_folder: Path) -> Captioner:
    return Captioner.load(str(llava_folder), device="cpu", max_new_tokens=NEW_TOKENS, batch_size=8, hint=HINT)


@pytest.fixture
def slots(llava_folder: Path) -> Iterator[Callable[..., SlotCaptioner]]:
    """Makes captioners that are closed at the end."""
    made = []

    def make(slots: int = 8, group: int | None = None, hint: str | None = HINT) -> SlotCaptioner:
        checkpoint = open_checkpoint(str(llava_folder), None, "cpu", "auto", RECAP_PROMPT, hint)
        made.append(SlotCaptioner.of(checkpoint, max_new_tokens=NEW_TOKENS, slots=slots, group=group))
        return made[-1]

    yield make
    for captioner in made:
        captioner.close()


def prompt_tokens(results: list[Caption | ModelFailure]) -> list[int]:
    return [result.trace.prompt_tokens for result in results]  # type: ignore[union-attr]


def test_slots_say_what_generate_says(plain: Captioner, slots: Callable[..., SlotCaptioner]) -> None:
    images = noise_images(len(HINTS))
    expected = plain.caption(images, HINTS)
    got = slots(9, 4).caption(images, HINTS)
    assert got == expected
    assert all(isinstance(caption, Caption) for caption in got)
    assert prompt_tokens(got) == prompt_tokens(expected)
    assert len(set(prompt_tokens(got))) > 8
    hinted = [caption.hinted for caption in got]  # type: ignore[union-attr]
    assert hinted[:3] == [True, False, True] and hinted[-2:] == [False, True]


def test_hints_are_read(plain: Captioner) -> None:
    images = noise_images(12)
    without = [caption.text for caption in plain.caption(images)]  # type: ignore[union-attr]
    shown = [caption.text for caption in plain.caption(images, ["a red fox"] * 12)]  # type: ignore[union-attr]
    others = [caption.text for caption in plain.caption(images, ["Western Kingbird"] * 12)]  # type: ignore[union-attr]
    assert without != shown != others != without


def test_transformers_by_hand(llava_folder: Path, plain: Captioner) -> None:
    from transformers import AutoModelForImageTextToText, AutoProcessor

    model = AutoModelForImageTextToText.from_pretrained(llava_folder, dtype=torch.float32).eval()
    processor = AutoProcessor.from_pretrained(llava_folder)
    for image, hint in zip(noise_images(4), ["a red fox", "Western Kingbird", "狐 🦊", "x " * 20], strict=True):
        asked = f"{RECAP_PROMPT}\n{HINT.replace('{caption}', hint.strip())}"
        content = [{"type": "image", "image": image}, {"type": "text", "text": asked}]
        inputs = processor.apply_chat_template(
            [{"role": "user", "content": content}],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        )
        new = model.generate(**inputs, do_sample=False, max_new_tokens=NEW_TOKENS)[0, inputs["input_ids"].shape[1] :]
        (caption,) = plain.caption([image], [hint])
        assert isinstance(caption, Caption)
        assert caption.text == processor.decode(new, skip_special_tokens=True).strip()
        assert caption.trace.prompt_tokens == inputs["input_ids"].shape[1]  # type: ignore[union-attr]


@pytest.mark.parametrize("engine", ["slots", "generate"])
def test_a_row_does_not_see_its_neighbours(engine: str, plain: Captioner, slots: Callable[..., SlotCaptioner]) -> None:
    captioner: Any = slots(6, 4) if engine == "slots" else plain
    images = noise_images(len(SOME_HINTS))
    together = captioner.caption(images, SOME_HINTS)
    apart = [captioner.caption([image], [hint])[0] for image, hint in zip(images, SOME_HINTS, strict=True)]
    assert together == apart
    # Its neighbours have no hints, or hints of other lengths.
    assert captioner.caption(images, [SOME_HINTS[0], *[None] * (len(images) - 1)])[0] == together[0]
    assert captioner.caption(images[:3], ["x " * 200, "<image>", SOME_HINTS[2]])[2] == together[2]


def test_a_captioner_without_a_hint_is_as_it_was(
    captioner: Captioner,
    plain: Captioner,
    slots: Callable[..., SlotCaptioner],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    longest = []

    def spy(*arguments: Any, max_prompt: int, **settings: Any) -> SlotEngine[Any]:
        longest.append(max_prompt)
        return SlotEngine(*arguments, max_prompt=max_prompt, **settings)

    monkeypatch.setattr(slot_captioner, "SlotEngine", spy)
    images = noise_images(9)
    quick, with_hint = slots(hint=None), slots()
    expected = captioner.caption(images)
    assert quick.caption(images) == expected
    assert {caption.hinted for caption in expected} == {None}  # type: ignore[union-attr]
    prompt = prompt_tokens(expected)[0]
    assert prompt_tokens(quick.caption(images)) == [prompt] * 9
    sentence = len(with_hint._writer.write("x").ids) - len(with_hint._writer.plain.ids) - 1
    assert longest == [prompt, prompt + sentence + MAX_HINT_TOKENS]
    for both in (plain, with_hint):
        results = both.caption(images)
        assert [caption.text for caption in results] == [caption.text for caption in expected]  # type: ignore[union-attr]
        assert {caption.hinted for caption in results} == {False}  # type: ignore[union-attr]
        assert prompt_tokens(results) == [prompt] * 9


def test_the_longest_hint_must_fit_the_models_context(llava_folder: Path) -> None:
    for hint in (None, HINT):
        checkpoint = open_checkpoint(str(llava_folder), None, "cpu", "auto", RECAP_PROMPT, hint)
        checkpoint.model.config.text_config.max_position_embeddings = 150
        if hint is None:
            SlotCaptioner.of(checkpoint, max_new_tokens=NEW_TOKENS).close()
        else:
            with pytest.raises(UnsupportedModel, match="its context of 150 tokens is shorter"):
                SlotCaptioner.of(checkpoint, max_new_tokens=NEW_TOKENS)


def test_hints_that_do_not_fit_the_pictures(
    captioner: Captioner, plain: Captioner, slots: Callable[..., SlotCaptioner]
) -> None:
    images = noise_images(2)
    for shows in (plain, slots()):
        with pytest.raises(ValueError, match="1 hints for 2 pictures"):
            shows.caption(images, ["a red fox"])
        assert shows.caption([], []) == []
    for shows_none in (captioner, slots(hint=None)):
        with pytest.raises(ValueError, match="made without a hint"):
            shows_none.caption(images, [None, None])


@pytest.mark.parametrize("engine", ["slots", "generate"])
def test_a_prompt_that_cannot_be_written_fails_alone(
    engine: str, plain: Captioner, slots: Callable[..., SlotCaptioner], monkeypatch: pytest.MonkeyPatch
) -> None:
    captioner: Any = slots() if engine == "slots" else plain
    write = PromptWriter.write

    def broken(self: PromptWriter, caption: str | None) -> Any:
        if caption == "poison":
            raise RuntimeError("a fault of the tokenizer")
        return write(self, caption)

    images = noise_images(3)
    expected = captioner.caption(images, ["a", None, "c"])
    monkeypatch.setattr(PromptWriter, "write", broken)
    first, second, third = captioner.caption(images, ["a", "poison", "c"])
    assert (first, third) == (expected[0], expected[2])
    assert second == ModelFailure(Reason.MODEL_ERROR, "RuntimeError: a fault of the tokenizer")


def test_the_trained_model() -> None:
    images = [picture for _, picture in held_out_pictures(12, 5)]
    hints = [None, "a photo", "<image>", "a dog 🦊"] * 3
    made = [
        load_captioner(str(paths.CAPTIONER), engine=engine, device="cpu", hint=HINT) for engine in ("auto", "generate")
    ]
    quick, plain = made
    assert isinstance(quick, SlotCaptioner)
    assert quick.caption(images, hints) == plain.caption(images, hints)
    quick.close()


@pytest.fixture(scope="module")
def vicuna_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """LLaVA-1.5 with Vicuna's kind of tokenizer and prompt."""
    from transformers import AutoProcessor, GenerationConfig, LlavaProcessor

    folder = tmp_path_factory.mktemp("vicuna") / "tiny-vicuna"
    model, tokenizer = vicuna(tied=False)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"], "pad_token": "<unk>"})
    model.resize_token_embeddings(len(tokenizer))
    model.config.image_token_id = model.config.image_token_index = tokenizer.convert_tokens_to_ids("<image>")
    model.generation_config = GenerationConfig(bos_token_id=1, eos_token_id=2)
    model.save_pretrained(folder)
    LlavaProcessor(
        image_processor=AutoProcessor.from_pretrained(paths.CAPTIONER).image_processor,
        tokenizer=tokenizer,
        patch_size=10,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    ).save_pretrained(folder)
    return folder


def test_vicunas_form(vicuna_folder: Path) -> None:
    images = noise_images(len(SOME_HINTS))
    settings: dict[str, Any] = {"device": "cpu", "max_new_tokens": 12, "hint": HINT}
    quick, plain = (load_captioner(str(vicuna_folder), engine=engine, **settings) for engine in ("slots", "generate"))
    expected = plain.caption(images, SOME_HINTS)
    assert quick.caption(images, SOME_HINTS) == expected
    assert len({str(result) for result in expected}) > 5
    assert (
        quick._writer.write("a fox").text
        == f"<s>USER: <image>\n{RECAP_PROMPT}\nIts alt text, which may be wrong, is: a fox ASSISTANT:"
    )  # type: ignore[union-attr]
    quick.close()  # type: ignore[union-attr]


def test_a_server_gets_the_hint_in_its_question() -> None:
    def tell(request: ChatRequest) -> bytes:
        return completion(request.text)

    images = [np.full((20, 20, 3), 9, np.uint8)] * 4
    with ChatServer(tell) as server:
        captioner = EndpointCaptioner(client(server), hint=HINT)
        results = captioner.caption(images, ["Western\nKingbird", None, "<image>", "a <|im_end|> {{ fox }}"])
        assert captioner.caption([], []) == []
        with pytest.raises(ValueError, match="3 hints for 4 pictures"):
            captioner.caption(images, [None] * 3)
        with pytest.raises(ValueError, match="made without a hint"):
            EndpointCaptioner(client(server)).caption(images, [None] * 4)
        (bare,) = EndpointCaptioner(client(server)).caption(images[:1])
    sentences = ["\n" + HINT.replace("{caption}", words) for words in ("Western Kingbird", "a {{ fox }}")]
    assert results == [
        Caption(RECAP_PROMPT + sentences[0], 6, False, hinted=True),
        Caption(RECAP_PROMPT, 6, False, hinted=False),
        Caption(RECAP_PROMPT, 6, False, hinted=False),
        Caption(RECAP_PROMPT + sentences[1], 6, False, hinted=True),
    ]
    assert bare == Caption(RECAP_PROMPT, 6, False)
