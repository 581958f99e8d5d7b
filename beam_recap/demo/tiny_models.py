"""The demonstration's tiny models: real architectures, small sizes.

* a LLaVA-1.5 with a LLaMA-3-shaped decoder: ``LlavaForConditionalGeneration`` with a CLIP tower, a two-layer
  projector, grouped-query attention, LLaMA-3's special tokens and chat template, square padding with the mean colour;
* an open_clip ``CLIP`` whose vision tower has the same shape.

Both see pictures of 60 x 60 px in 6 x 6 patches. Only :mod:`beam_recap.demo.train` builds them; the pipeline loads
the saved folders as it would load any other checkpoint.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import torch

from beam_recap.demo.scenes import SLOGANS, SPAM, alt_text, describe, random_scene
from beam_recap.prompts import RECAP_PROMPT

IMAGE_SIZE = 60
PATCH_SIZE = 10
WIDTH = 128
CONTEXT_LENGTH = 48
# OpenAI CLIP's pixel statistics, as published with its weights.
PIXEL_MEAN = (0.48145466, 0.4578275, 0.40821073)
PIXEL_STD = (0.26862954, 0.26130258, 0.27577711)

BEGIN, END, EOT = "<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"
_SPECIAL = (BEGIN, END, "<|start_header_id|>", "<|end_header_id|>", EOT, "<|finetune_right_pad_id|>", "<image>")
# LLaMA-3's chat form with image content; the template itself writes the one BOS.
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' }}"
    "{% if m['content'] is string %}{{ m['content'] | trim }}{% else %}{% for c in m['content'] %}"
    "{% if c['type'] == 'image' %}{{ '<image>\n' }}{% elif c['type'] == 'text' %}{{ c['text'] | trim }}{% endif %}"
    "{% endfor %}{% endif %}{{ '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)


def make_tokenizer() -> Any:
    """A byte-level BPE tokenizer over the world's sentences, with LLaMA-3's special tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    rng = random.Random(7)
    scenes = [random_scene(rng) for _ in range(4000)]
    corpus = [RECAP_PROMPT, "system", "user", "assistant", "\n\n"] * 200
    corpus += [describe(s) for s in scenes] + [alt_text(s, rng) for s in scenes] + list(SPAM + SLOGANS) * 20
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        corpus,
        trainers.BpeTrainer(
            vocab_size=768,
            special_tokens=list(_SPECIAL),
            show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        ),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BEGIN,
        eos_token=EOT,
        pad_token="<|finetune_right_pad_id|>",  # noqa: S106 - no password
        extra_special_tokens={"image_token": "<image>"},
        padding_side="left",
        clean_up_tokenization_spaces=False,
        model_max_length=2048,
    )


def build_llava() -> tuple[Any, Any]:
    """An untrained tiny LLaVA (1.6 M parameters) and its processor."""
    from transformers import (
        CLIPVisionConfig,
        GenerationConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaImageProcessor,
        LlavaProcessor,
    )

    tokenizer = make_tokenizer()
    square = {"height": IMAGE_SIZE, "width": IMAGE_SIZE}
    processor = LlavaProcessor(
        # Bicubic (3) and do_pad as LLaVA-1.5 was trained: image_aspect_ratio "pad".
        image_processor=LlavaImageProcessor(
            size=square, crop_size=square, do_pad=True, do_center_crop=False, resample=3
        ),
        tokenizer=tokenizer,
        chat_template=CHAT_TEMPLATE,
        patch_size=PATCH_SIZE,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,  # CLIP's class token, which the "default" strategy then drops
    )
    ids = {"bos_token_id": tokenizer.bos_token_id, "pad_token_id": tokenizer.pad_token_id}
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=WIDTH,
            intermediate_size=3 * WIDTH,
            num_hidden_layers=4,
            num_attention_heads=4,
            image_size=IMAGE_SIZE,
            patch_size=PATCH_SIZE,
            projection_dim=WIDTH,
        ),
        text_config=LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=WIDTH,
            intermediate_size=3 * WIDTH,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=2048,
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
            tie_word_embeddings=True,
            eos_token_id=tokenizer.eos_token_id,
            **ids,
        ),
        image_token_index=tokenizer.image_token_id,
        image_seq_length=(IMAGE_SIZE // PATCH_SIZE) ** 2,
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
        tie_word_embeddings=True,
    )
    model = LlavaForConditionalGeneration(config)
    ends = [tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids(END)]  # LLaMA-3 ends with either
    model.generation_config = GenerationConfig(do_sample=False, max_new_tokens=128, eos_token_id=ends, **ids)
    return model, processor


def prompt_ids(processor: Any) -> list[int]:
    """Token ids of the prompt with its image tokens, as the processor makes them for one picture."""
    content = [{"type": "image"}, {"type": "text", "text": RECAP_PROMPT}]
    text = processor.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
    )
    text = text.replace("<image>", "<image>" * (IMAGE_SIZE // PATCH_SIZE) ** 2)
    return processor.tokenizer(text, add_special_tokens=False)["input_ids"]


def make_clip_tokenizer() -> Any:
    """The same BPE as open_clip's tokenizer wrapper wants it: ``<bos> text <eos>``, padded on the right."""
    from tokenizers.processors import TemplateProcessing

    tokenizer = make_tokenizer()
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{BEGIN} $A {END}",
        special_tokens=[(token, tokenizer.convert_tokens_to_ids(token)) for token in (BEGIN, END)],
    )
    tokenizer.padding_side = "right"
    tokenizer.eos_token = END
    tokenizer.model_max_length = CONTEXT_LENGTH
    return tokenizer


def build_clip(tokenizer: Any) -> tuple[Any, dict[str, Any]]:
    """An untrained tiny open_clip CLIP (1.5 M parameters) and its ``model_cfg``."""
    from open_clip.model import CLIP

    config: dict[str, Any] = {
        "embed_dim": 64,
        "quick_gelu": True,
        "vision_cfg": {
            "image_size": IMAGE_SIZE,
            "layers": 4,
            "width": WIDTH,
            "head_width": 32,
            "patch_size": PATCH_SIZE,
            "mlp_ratio": 3.0,
        },
        "text_cfg": {
            "context_length": CONTEXT_LENGTH,
            "vocab_size": len(tokenizer),
            "width": WIDTH,
            "heads": 4,
            "layers": 3,
            "hf_tokenizer_name": ".",
            # The default pooling takes the highest token id for the end of text: wrong for a vocabulary of our own.
            "pool_type": "eos",
            "eos_id": tokenizer.eos_token_id,
        },
    }
    model = CLIP(config["embed_dim"], config["vision_cfg"], config["text_cfg"], quick_gelu=True)
    return model, config


def save_clip(folder: Path, model: Any, config: dict[str, Any], tokenizer: Any) -> None:
    """Writes a folder that ``open_clip.create_model_and_transforms("local-dir:...")`` loads, weights in float16."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.half().contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, str(folder / "open_clip_model.safetensors"))
    tokenizer.save_pretrained(folder)
    preprocess = {
        "mean": list(PIXEL_MEAN),
        "std": list(PIXEL_STD),
        "interpolation": "bicubic",
        "resize_mode": "longest",
        "fill_color": 0,
    }
    text = json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}, indent=1)
    (folder / "open_clip_config.json").write_text(text + "\n")


def copy_tower_to_clip(tower: dict[str, torch.Tensor], visual: torch.nn.Module) -> None:
    """Starts an open_clip vision tower from a transformers CLIP tower of the same shape (same maths, other names)."""
    state = visual.state_dict()
    state["class_embedding"] = tower["embeddings.class_embedding"]
    state["positional_embedding"] = tower["embeddings.position_embedding.weight"]
    state["conv1.weight"] = tower["embeddings.patch_embedding.weight"]
    for kind in ("weight", "bias"):
        state[f"ln_pre.{kind}"] = tower[f"pre_layrnorm.{kind}"]
        state[f"ln_post.{kind}"] = tower[f"post_layernorm.{kind}"]
        for i in range(sum(name.endswith("attn.in_proj_weight") for name in state)):
            source, target = f"encoder.layers.{i}.", f"transformer.resblocks.{i}."
            parts = [tower[f"{source}self_attn.{x}_proj.{kind}"] for x in "qkv"]
            state[f"{target}attn.in_proj_{kind}"] = torch.cat(parts)
            state[f"{target}attn.out_proj.{kind}"] = tower[f"{source}self_attn.out_proj.{kind}"]
            for ours, theirs in (
                ("ln_1", "layer_norm1"),
                ("ln_2", "layer_norm2"),
                ("mlp.c_fc", "mlp.fc1"),
                ("mlp.c_proj", "mlp.fc2"),
            ):
                state[f"{target}{ours}.{kind}"] = tower[f"{source}{theirs}.{kind}"]
    visual.load_state_dict(state)
