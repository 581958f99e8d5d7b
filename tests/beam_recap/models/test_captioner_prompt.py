from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support.untrained_models import NEW_TOKENS, noise_images
from transformers import AutoProcessor

from beam_recap.models.captioner import Captioner
from beam_recap.models.captioner_prompt import render_prompt, without_special_tokens
from beam_recap.prompts import RECAP_PROMPT


def test_special_tokens_in_the_prompt_are_dropped(llava_folder: Path, captioner: Captioner) -> None:
    prompt = "<image>" + RECAP_PROMPT.replace("caption", "cap<|eot_id|>tion").replace(
        "Please be", "Please <im<image>age>be"
    )
    other = Captioner.load(str(llava_folder), device="cpu", prompt=prompt, max_new_tokens=NEW_TOKENS)
    assert other._prompt == captioner._prompt
    with pytest.raises(ValueError, match="no words are left"):
        Captioner.load(str(llava_folder), device="cpu", prompt=" <image> ")
    assert without_special_tokens("a<b<b>>c", ["<b>"]) == "ac"


def test_another_prompt_is_asked(llava_folder: Path, captioner: Captioner) -> None:
    other = Captioner.load(str(llava_folder), device="cpu", prompt="Name the background.", max_new_tokens=NEW_TOKENS)
    assert other._prompt.text == captioner._prompt.text.replace(RECAP_PROMPT, "Name the background.")
    assert other.caption(noise_images(4)) != captioner.caption(noise_images(4))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda template: template.replace("<image>", "<image><image>"), "must give <image> once"),
        (lambda template: "{{ bos_token }}" + template, "must begin with one"),
        (lambda template: template.replace("{{ bos_token }}", ""), "must begin with one"),
    ],
)
def test_templates_that_would_spoil_every_caption(
    llava_folder: Path, tmp_path: Path, change: Callable[[str], str], message: str
) -> None:
    folder = shutil.copytree(llava_folder, tmp_path / "llava")
    path = folder / "chat_template.jinja"
    path.write_text(change(path.read_text()))
    with pytest.raises(ValueError, match=message):
        Captioner.load(str(folder), device="cpu")


@pytest.mark.parametrize(
    "change",
    [
        lambda template: "",
        lambda template: template.replace("<image>", "picture"),
        lambda template: "{% for m in messages %}{{ m['content'] + '<|eot_id|>' }}{% endfor %}",
    ],
    ids=["missing", "no picture", "text only"],
)
def test_a_template_without_pictures_gives_way_to_llama_3s_form(
    llava_folder: Path, captioner: Captioner, tmp_path: Path, change: Callable[[str], str]
) -> None:
    folder = shutil.copytree(llava_folder, tmp_path / "llava")
    path = folder / "chat_template.jinja"
    path.write_text(change(path.read_text()))
    assert Captioner.load(str(folder), device="cpu")._prompt.text == captioner._prompt.text


def test_a_vocabulary_without_llama_3s_tokens_gets_vicunas_form(llava_folder: Path) -> None:
    processor = AutoProcessor.from_pretrained(llava_folder)
    processor.chat_template = None
    vocabulary = processor.tokenizer.get_vocab()
    vocabulary.pop("<|eot_id|>")
    processor.tokenizer.get_vocab = lambda: vocabulary
    prompt = render_prompt(processor, "What is it?")
    assert prompt.text == "<|begin_of_text|>USER: <image>\nWhat is it? ASSISTANT:"
    assert not prompt.add_special_tokens


def test_a_tokenizer_that_adds_the_begin_token_adds_no_second(
    llava_folder: Path, captioner: Captioner, tmp_path: Path
) -> None:
    from tokenizers.processors import TemplateProcessing

    images = noise_images(3)
    for keep_in_template in (True, False):
        folder = shutil.copytree(llava_folder, tmp_path / f"llava{keep_in_template}")
        processor = AutoProcessor.from_pretrained(folder)
        begin = processor.tokenizer.bos_token
        processor.tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
            single=f"{begin} $A", special_tokens=[(begin, processor.tokenizer.bos_token_id)]
        )
        if not keep_in_template:
            processor.chat_template = processor.chat_template.replace("{{ bos_token }}", "")
        processor.save_pretrained(folder)
        other = Captioner.load(str(folder), device="cpu", max_new_tokens=NEW_TOKENS)
        assert other._prompt.add_special_tokens is not keep_in_template
        assert other.caption(images) == captioner.caption(images)


def test_settings_that_older_processors_lack_come_from_the_model(
    llava_folder: Path, captioner: Captioner, tmp_path: Path
) -> None:
    folder = shutil.copytree(llava_folder, tmp_path / "llava")
    path = folder / "processor_config.json"
    settings = json.loads(path.read_text())
    for name in ("patch_size", "num_additional_image_tokens", "vision_feature_select_strategy"):
        del settings[name]
    path.write_text(json.dumps(settings))
    images = noise_images(3)
    assert Captioner.load(str(folder), device="cpu", max_new_tokens=NEW_TOKENS).caption(images) == captioner.caption(
        images
    )
