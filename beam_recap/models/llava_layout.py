"""The original LLaVA layout and Hugging Face's: which setting and which tensor of one is which of the other.

Pure mapping, without a file or a tensor. The original is what https://github.com/haotian-liu/LLaVA saves
(``LlavaLlamaForCausalLM``); the other is that of the published llava-hf checkpoints, which every version of
transformers with LLaVA reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

DTYPES = ("bfloat16", "float16", "float32", "keep")  # to write tensors in; "keep": each as it is
MLP, LINEAR = "mlp2x_gelu", "linear"

# Published configurations of OpenAI's towers, all with "quick_gelu": for checkpoints that hold the tower's weights but
# not its shape, and against a --vision_tower that is another one.
OPENAI_TOWERS: dict[str, dict[str, Any]] = {
    name: {
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": width // 64,
        "image_size": image_size,
        "patch_size": patch_size,
        "hidden_act": "quick_gelu",
    }
    for name, width, layers, image_size, patch_size in (
        ("clip-vit-base-patch32", 768, 12, 224, 32),
        ("clip-vit-base-patch16", 768, 12, 224, 16),
        ("clip-vit-large-patch14", 1024, 24, 224, 14),
        ("clip-vit-large-patch14-336", 1024, 24, 336, 14),
    )
}

# Beginnings of names, the first that fits counts: original, published by llava-hf.
_TOWER = "vision_tower.vision_model."
_RENAMED = (
    ("model.vision_tower.vision_tower.vision_model.", _TOWER),
    ("model.mm_projector.0.", "multi_modal_projector.linear_1."),
    ("model.mm_projector.2.", "multi_modal_projector.linear_2."),
    ("model.mm_projector.", "multi_modal_projector.linear_1."),  # a projector of one layer has no number
    ("lm_head.", "language_model.lm_head."),
    ("model.", "language_model.model."),
)
# The module tree of transformers 5, which has no "vision_model." in between; 4.x had.
_MODULES = (
    ("model.vision_tower.vision_model.", _TOWER),
    ("model.vision_tower.", _TOWER),
    ("model.multi_modal_projector.", "multi_modal_projector."),
    ("model.language_model.", "language_model.model."),
    ("lm_head.", "language_model.lm_head."),
)
# Computed tables that older versions saved, and LLaVA-NeXT's line separator, which only its "unpad" merging reads.
_DROPPED = (".inv_freq", ".position_ids", "model.image_newline")
# The rest of a whole CLIP: its text half and what makes embeddings comparable.
_NOT_THE_TOWER = ("text_model.", "visual_projection.", "text_projection.", "logit_scale")

EMBEDDINGS = "language_model.model.embed_tokens.weight"
OUTPUT_LAYER = "language_model.lm_head.weight"
PROJECTOR_2 = "multi_modal_projector.linear_2."

_TEXT_SIZES = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
_TEXT_OTHERS = (
    *("num_key_value_heads", "head_dim", "hidden_act", "max_position_embeddings", "initializer_range", "rms_norm_eps"),
    *("rope_theta", "rope_scaling", "rope_parameters", "attention_bias", "attention_dropout", "mlp_bias"),
    *("pretraining_tp", "tie_word_embeddings"),
)
_TOWER_SIZES = (
    *("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "image_size", "patch_size"),
)
_TOWER_OTHERS = ("hidden_act", "layer_norm_eps", "num_channels", "projection_dim", "attention_dropout")
# Far above any model: a config must not make a model that fills the memory before its weights are looked at.
_MOST_LAYERS, _LARGEST_SIZE = 1000, 2**22


class UnfitError(ValueError):
    """A checkpoint that cannot be converted: what is wrong, to be read after the name of its folder."""


@dataclass(frozen=True, slots=True)
class OriginalSettings:
    """What an original ``config.json`` says, in Hugging Face's words."""

    text: dict[str, Any]  # of LlamaConfig
    tower: str  # mm_vision_tower: a hub id, or a path on the machine of the training
    tower_was_trained: bool
    projector: str  # MLP or LINEAR
    feature_layer: int  # of the tower's layers; -2: the last but one
    feature_strategy: str  # "default": patches only, "full": with the class token
    pads_to_square: bool
    end_ids: tuple[int, ...]

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> OriginalSettings:
        """Reads a config.

        Raises:
          UnfitError: another layout or language model, or something that Hugging Face's LLaVA cannot express.
        """
        _check_kind(raw)
        projector = raw.get("mm_projector_type", LINEAR)  # the original's own default
        if projector not in (MLP, LINEAR):
            raise UnfitError(f"mm_projector_type is {projector!r}; only {MLP} and {LINEAR} can be converted")
        layer = raw.get("mm_vision_select_layer")
        if not _is_integer(layer):
            raise UnfitError(f"mm_vision_select_layer is {layer!r}, not a whole number")
        feature = raw.get("mm_vision_select_feature", "patch")
        if feature not in ("patch", "cls_patch"):
            raise UnfitError(f"mm_vision_select_feature is {feature!r}, neither patch nor cls_patch")
        tower = raw.get("mm_vision_tower")
        if not isinstance(tower, str) or not tower:
            raise UnfitError(f"mm_vision_tower is {tower!r}, not a name")
        return cls(
            text=_sizes(raw, _TEXT_SIZES, _TEXT_OTHERS),
            tower=tower,
            tower_was_trained=raw.get("unfreeze_mm_vision_tower") is True,
            projector=projector,
            feature_layer=layer,
            feature_strategy="default" if feature == "patch" else "full",
            pads_to_square=raw.get("image_aspect_ratio") == "pad",
            end_ids=end_ids(raw),
        )

    @property
    def tower_name(self) -> str:
        """The last part of `tower`."""
        return self.tower.rstrip("/").rsplit("/", 1)[-1]

    @property
    def projector_activation(self) -> str:
        """Of a projector of one layer: none, so that a second layer that changes nothing expresses it exactly."""
        return "gelu" if self.projector == MLP else "linear"

    def check_tower(self, tower: Mapping[str, Any]) -> None:
        """Raises `UnfitError` where ``tower``, from `tower_settings`, is not the one that the model was trained with.

        Two towers of one width fit the same projector: nothing else would show it.
        """
        for name, value in OPENAI_TOWERS.get(self.tower_name, {}).items():
            if tower.get(name, value) != value:
                raise UnfitError(f"its {name} is {tower[name]}, but {self.tower} (mm_vision_tower) has {value}")
        layers = tower["num_hidden_layers"]
        if not -layers - 1 <= self.feature_layer <= layers:
            raise UnfitError(f"it has {layers} layers, and mm_vision_select_layer is {self.feature_layer}")


def tower_settings(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of ``CLIPVisionConfig`` from the config of a CLIP or of its vision half.

    Raises:
      UnfitError: another kind of model, or sizes that are missing or out of range.
    """
    kind = raw.get("model_type")
    if kind == "clip" and isinstance(raw.get("vision_config"), Mapping):
        raw = raw["vision_config"]
    elif kind != "clip_vision_model":
        raise UnfitError(f"it is a model of type {kind!r}, not a CLIP")
    settings = _sizes(raw, _TOWER_SIZES, _TOWER_OTHERS)
    if settings["image_size"] < settings["patch_size"]:
        raise UnfitError(f"its image_size is {settings['image_size']}, less than its patch_size")
    return settings


def converted_name(name: str) -> str | None:
    """Of an original checkpoint's tensor; None for those that are left out. Unknown names come out unknown."""
    return None if name.endswith(_DROPPED) else _renamed(name, _RENAMED)


def converted_tower_name(name: str) -> str | None:
    """Of a CLIP's tensor, with or without ``vision_model.`` before it; None for those outside of the tower."""
    if name.endswith(_DROPPED) or name.startswith(_NOT_THE_TOWER):
        return None
    return _TOWER + name.removeprefix("vision_model.")


def published_name(module_name: str) -> str:
    """Of a tensor of transformers' module tree: the name under which llava-hf's checkpoints hold it."""
    return _renamed(module_name, _MODULES)


def is_of_tower(name: str) -> bool:
    """Whether a converted name is one of the vision tower's."""
    return name.startswith(_TOWER)


def end_ids(raw: Mapping[str, Any]) -> tuple[int, ...]:
    """``eos_token_id`` of a config, which may be one number, several or none."""
    value = raw.get("eos_token_id")
    return tuple(i for i in (value if isinstance(value, list) else [value]) if _is_integer(i))


def _renamed(name: str, table: tuple[tuple[str, str], ...]) -> str:
    return next((new + name.removeprefix(old) for old, new in table if name.startswith(old)), name)


def _check_kind(raw: Mapping[str, Any]) -> None:
    kind = raw.get("model_type")
    if kind == "llava" and "text_config" in raw:
        raise UnfitError("it is in Hugging Face's layout already")
    architectures = raw.get("architectures") or ["LlavaLlamaForCausalLM"]
    if kind not in ("llava_llama", "llava") or architectures != ["LlavaLlamaForCausalLM"]:
        raise UnfitError(
            f"it is a {kind!r} ({architectures}), not the original LLaVA with a LLaMA (LlavaLlamaForCausalLM)"
        )
    ratio, merge = raw.get("image_aspect_ratio"), raw.get("mm_patch_merge_type")
    if "anyres" in str(ratio) or "unpad" in f"{ratio} {merge}":
        raise UnfitError(
            f"image_aspect_ratio is {ratio!r} and mm_patch_merge_type {merge!r}: it is a LLaVA-NeXT, which is another "
            "architecture; use a checkpoint of it in Hugging Face's layout"
        )
    if ratio not in (None, "square", "pad"):
        raise UnfitError(f"image_aspect_ratio is {ratio!r}, neither pad nor square")
    if raw.get("mm_use_im_start_end"):
        raise UnfitError(
            "mm_use_im_start_end is set: its prompts put <im_start> and <im_end> around the picture, which is not "
            "supported"
        )
    if raw.get("s2"):
        raise UnfitError("s2 is set: it sees pictures at several scales, which Hugging Face's LLaVA cannot express")
    if raw.get("quantization_config"):
        raise UnfitError("quantization_config is set: only weights that are not quantised can be converted")


def _sizes(raw: Mapping[str, Any], required: tuple[str, ...], others: tuple[str, ...]) -> dict[str, Any]:
    for name in required:
        value = raw.get(name)
        most = _MOST_LAYERS if name == "num_hidden_layers" else _LARGEST_SIZE
        if not _is_integer(value) or not 1 <= value <= most:
            raise UnfitError(f"{name} is {value!r}, not a whole number from 1 to {most}")
    return {name: raw[name] for name in (*required, *others) if raw.get(name) is not None}


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
