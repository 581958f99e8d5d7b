"""Looks at the flags that name models, before anything is loaded: what cannot be one is a sentence."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from beam_recap.files import join
from beam_recap.flag import DEMO, ConfigError
from beam_recap.names import CLIP_FILES
from beam_recap.remote_files import RemoteError, exists, is_remote, list_files

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}")


class ClipName(NamedTuple):
    """A CLIP model as it is loaded: a folder, a file, or an open_clip name with the tag of its weights."""

    model: str
    pretrained: str | None = None

    @property
    def shown(self) -> str:
        """What it is called in the output: ``NAME/TAG``, a remote path, or a folder's or file's own name."""
        if self.pretrained is not None:
            return f"{self.model}/{self.pretrained}"
        return self.model if is_remote(self.model) else Path(self.model).resolve().name


def column_part(model: str) -> str:
    """A model's name in names of columns: its last part, or NAME_TAG, in small letters, digits and underscores."""
    name = model.removesuffix(".pt").removesuffix(".safetensors")
    last = "/".join(name.split("/")[-2:]) if "://" not in name else name.rsplit("/", 1)[-1]
    return re.sub(r"[^a-z0-9]+", "_", last.lower()).strip("_")


def check_clip(flag: str, model: str, pretrained_flag: str, pretrained: str | None) -> None:
    """Raises ConfigError for what is neither a folder, nor a file of weights, nor a name with a tag."""
    has_own_weights = model != DEMO and ("/" in model or Path(model).is_dir())
    if has_own_weights and model.endswith(CLIP_FILES):
        if not has_file(flag, model):
            raise ConfigError(flag, model, "does not exist; give the path of CLIP's weights")
    elif has_own_weights and not has_file(flag, model, "open_clip_config.json"):
        remedy = "is no folder with an open_clip_config.json; give a folder in open_clip's layout or a model name"
        raise ConfigError(flag, model, remedy)
    if not has_own_weights and model != DEMO and pretrained is None:
        remedy = f"names no weights; add --{pretrained_flag}, for example --{pretrained_flag}=openai"
        raise ConfigError(flag, model, remedy)
    if (has_own_weights or model == DEMO) and pretrained is not None:
        remedy = f"has no meaning here: the weights come with --{flag}; leave it out"
        raise ConfigError(pretrained_flag, pretrained, remedy)


def read_clip_name(flag: str, text: str) -> ClipName:
    """A model of a list: ``NAME/TAG``, a folder, or a file of weights.

    Raises:
      ConfigError: it is none of these.
    """
    if is_remote(text) or text.startswith((".", "/")) or Path(text).exists():
        # Without a slash it would be taken for a name.
        path = text if "/" in text else f"./{text}"
        check_clip(flag, path, flag, None)
        return ClipName(path)
    name, _, tag = text.rpartition("/")
    if not name or not tag:
        remedy = "names no model; give NAME/TAG such as ViT-L-14/openai, a folder, or a file of weights"
        raise ConfigError(flag, text, remedy)
    return ClipName(name, tag)


def check_head(path: str) -> None:
    """Raises ConfigError for what is no file of an aesthetic head."""
    if not path.endswith((".pth", ".safetensors")):
        remedy = "is no .pth or .safetensors file; give the head's weight file, or none"
        raise ConfigError("aesthetic_weights", path, remedy)
    if not has_file("aesthetic_weights", path):
        remedy = "does not exist; give the path of the head's weight file, or none"
        raise ConfigError("aesthetic_weights", path, remedy)


def check_captioner(captioner: str) -> None:
    """Raises ConfigError for what is neither a checkpoint's folder nor a pinned hub id."""
    if is_remote(captioner) or Path(captioner).is_dir():
        if not has_file("captioner", captioner, "config.json"):
            remedy = "holds no config.json; give a checkpoint folder in Hugging Face form"
            raise ConfigError("captioner", captioner, remedy)
    elif captioner.startswith((".", "/", "~")):
        raise ConfigError("captioner", captioner, "does not exist; give a checkpoint folder or ID@REVISION")
    elif not _HUB_ID.fullmatch(captioner):
        remedy = (
            "is neither a folder nor a pinned hub id; give a checkpoint folder, or ID@REVISION with the full commit"
        )
        raise ConfigError("captioner", captioner, remedy)


def has_file(flag: str, place: str, name: str | None = None) -> bool:
    """Whether there is a file ``place``, or ``name`` in the folder ``place``, which may be local or remote.

    Raises:
      ConfigError: it cannot be known.
    """
    path = place if name is None else join(place, name)
    if not is_remote(place):
        return Path(path).is_file()
    try:
        if exists(path):
            return True
        if name is not None and not list_files(place):
            raise RemoteError("does not exist; give a folder that does")
    except RemoteError as error:
        raise ConfigError(flag, place, str(error)) from error
    return False
