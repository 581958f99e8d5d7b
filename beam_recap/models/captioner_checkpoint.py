"""Loads an image-to-text checkpoint strictly: the right kind, whole, pinned, and without running its code."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beam_recap.model_files import local_copy, unpinned
from beam_recap.models.captioner_processor import load_processor
from beam_recap.models.captioner_prompt import RenderedPrompt, render_prompt
from beam_recap.models.runtime import (
    WeightsMismatch,
    pick_device,
    pick_dtype,
    quiet_transformers,
    require_exact_weights,
)
from beam_recap.remote_files import is_remote

if TYPE_CHECKING:
    import torch

_LOG = logging.getLogger(__name__)

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class CaptionerSource:
    """Where a checkpoint is: a local folder, or a Hugging Face id with the commit that pins it."""

    location: str  # folder or hub id
    revision: str | None  # None for a folder
    remote: str | None = None  # the path that the folder is a copy of

    @classmethod
    def parse(cls, path_or_id: str, revision: str | None = None) -> CaptionerSource:
        """Reads a folder's path, or ``ID@REVISION`` (the revision may also be given apart).

        A remote folder is copied to this machine.

        Raises:
          ModelFilesError: a remote folder cannot be copied (`local_copy`).
          ValueError: neither a folder nor a hub id, a hub id without a commit hash, or a folder with a revision.
        """
        if is_remote(path_or_id) or Path(path_or_id).is_dir():
            if revision:
                raise ValueError(f"--captioner={unpinned(path_or_id)} is a folder: it has no revision {revision}.")
            remote = unpinned(path_or_id) if is_remote(path_or_id) else None
            return cls(str(local_copy(path_or_id, "captioner")), None, remote)
        hub_id, _, named = path_or_id.partition("@")
        if not _HUB_ID.fullmatch(hub_id) or hub_id.startswith("."):
            raise ValueError(f"--captioner={path_or_id} is neither a folder nor a Hugging Face id (ID@REVISION).")
        if named and revision and named != revision:
            raise ValueError(f"--captioner={path_or_id}: the revision is also given as {revision}.")
        if not _COMMIT.fullmatch(named or revision or ""):
            raise ValueError(
                f"--captioner={path_or_id}: give --captioner=ID@REVISION, where REVISION is the full commit hash (40 "
                "hexadecimal digits): a branch or a tag can change between two runs."
            )
        return cls(hub_id, named or revision)

    @property
    def model_id(self) -> str:
        """The folder's name or remote path, or ``ID@REVISION``."""
        if self.revision:
            return f"{self.location}@{self.revision}"
        return self.remote or Path(self.location).resolve().name

    @property
    def shown(self) -> str:
        """What the user calls it."""
        return self.model_id if self.revision else self.remote or self.location

    @property
    def arguments(self) -> dict[str, Any]:
        """What every ``from_pretrained`` call gets: never a stranger's code, and no network for a folder."""
        is_local = self.revision is None
        return {"trust_remote_code": False, "local_files_only": is_local, "revision": self.revision or "main"}


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint in memory, and how it is asked."""

    model: Any  # in evaluation mode, on its device
    processor: Any
    prompt: RenderedPrompt
    model_id: str


def open_checkpoint(
    path_or_id: str, revision: str | None, device: str, dtype: str, prompt: str, hint: str | None = None
) -> Checkpoint:
    """Loads a checkpoint in Hugging Face layout.

    Args:
      path_or_id: a folder, local or remote, or ``ID@REVISION`` of the Hugging Face hub.
      revision: the commit, where it is not part of ``path_or_id``.
      device: see `pick_device`.
      dtype: see `pick_dtype`.
      prompt: what the model is asked about every picture, in plain words.
      hint: see `render_prompt`.

    Raises:
      WeightsMismatch: the weights are not the model's.
      ValueError: no such checkpoint, not pinned, not an image-to-text model, or a prompt that cannot be rendered.
    """
    torch_device = pick_device(device)
    source = CaptionerSource.parse(str(path_or_id), revision)
    model, processor = load_checkpoint(source, torch_device, pick_dtype(dtype, torch_device))
    checkpoint = Checkpoint(model, processor, render_prompt(processor, prompt, hint), source.model_id)
    _LOG.info("loaded captioner %s on %s in %s", source.model_id, torch_device, model.dtype)
    return checkpoint


def load_checkpoint(source: CaptionerSource, device: torch.device, dtype: torch.dtype) -> tuple[Any, Any]:
    """The model (evaluation mode, on its device) and its processor.

    Raises:
      WeightsMismatch: a tensor is missing, left over or of another shape, or a weights file is not whole.
      ValueError: no image-to-text checkpoint, the original LLaVA layout, no safetensors, no whole processor.
    """
    quiet_transformers()
    _check_kind(source)
    model = _load_model(source, dtype, "meta" if device.type == "meta" else None)
    processor = load_processor(source.location, source.shown, source.arguments, model.config)
    return model.to(device).eval().requires_grad_(False), processor


def check_checkpoint(source: CaptionerSource) -> tuple[Any, Any]:
    """The model without its weights, and its processor: for another engine that loads weights less strictly.

    Needs accelerate.

    Raises:
      WeightsMismatch, ValueError: see `load_checkpoint`.
    """
    import torch

    return load_checkpoint(source, torch.device("meta"), torch.float32)


def _check_kind(source: CaptionerSource) -> None:
    from transformers import AutoConfig, AutoModelForImageTextToText, PreTrainedConfig

    try:
        raw, _ = PreTrainedConfig.get_config_dict(source.location, **source.arguments)
    except OSError as error:
        raise ValueError(f"--captioner={source.shown}: no readable config.json ({_first_line(error)}).") from error
    if not raw:
        raise ValueError(f"--captioner={source.shown}: no readable config.json.")
    model_type = str(raw.get("model_type"))
    # The original code base writes "llava" too, with other fields: a model of default sizes would come of it.
    if model_type == "llava_llama" or "mm_vision_tower" in raw or "mm_projector_type" in raw:
        raise ValueError(
            f"--captioner={source.shown}: this is the original LLaVA layout (model type {model_type}); it must be "
            "converted first: python -m beam_recap.convert_llava --help."
        )
    try:
        config = AutoConfig.from_pretrained(source.location, **source.arguments)
    except (ValueError, KeyError) as error:
        raise ValueError(
            f"--captioner={source.shown}: this version of transformers does not know the model type {model_type}."
        ) from error
    if type(config) not in AutoModelForImageTextToText._model_mapping:
        raise ValueError(f"--captioner={source.shown}: a model of type {model_type} does not turn images into text.")


def _load_model(source: CaptionerSource, dtype: torch.dtype, device_map: str | None) -> Any:
    from safetensors import SafetensorError
    from transformers import AutoModelForImageTextToText

    try:
        model, info = AutoModelForImageTextToText.from_pretrained(
            source.location,
            dtype=dtype,
            device_map=device_map,
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # so that they are reported with the others, below
            **source.arguments,
        )
    except SafetensorError as error:
        raise WeightsMismatch(f"--captioner={source.shown}: a weights file is not whole ({error}).") from error
    except OSError as error:
        raise ValueError(
            f"--captioner={source.shown}: no readable safetensors weights ({_first_line(error)})."
        ) from error
    # transformers only warns and leaves random numbers in place. An output layer that is tied to the embeddings is
    # not reported as missing, unless the embeddings are missing too.
    require_exact_weights(
        f"--captioner={source.shown}",
        missing=info["missing_keys"],
        unexpected=info["unexpected_keys"],
        misshaped=[f"{name} {list(theirs)}, not {list(ours)}" for name, theirs, ours in info["mismatched_keys"]],
    )
    if info.get("error_msgs"):
        raise WeightsMismatch(f"--captioner={source.shown}: {info['error_msgs'][0]}")
    return model


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
