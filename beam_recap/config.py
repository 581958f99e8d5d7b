"""`RecapConfig`: everything a run is told, checked before anything starts."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from beam_recap.demo import paths
from beam_recap.files import absolute, join
from beam_recap.fingerprints import fingerprint
from beam_recap.flag import DEMO, PRESET_VALUE, ConfigError
from beam_recap.flags import FLAGS
from beam_recap.remote_files import RemoteError, exists, is_remote, list_files

DEMO_OUTPUT = "beam-recap-demo"
# LAION text-debiased 100M: CLIP > 0.3, aesthetic (V2 scale) > 4.5, no visible text. Source: its dataset card.
_DEBIASED_FILTERS = {"min_clip_score": 0.3, "min_aesthetic_score": 4.5, "aesthetic_weights": DEMO, "ocr": "rapidocr"}
_DEMO_PATHS = {"clip_model": paths.CLIP, "aesthetic_weights": paths.AESTHETIC_HEAD, "captioner": paths.CAPTIONER}
FILES_OF = " (files)"  # ends the names of fingerprints in an identity
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}")
_PRESET_VALUES: dict[str, dict[str, Any]] = {
    "recap": {
        "min_clip_score": None,
        "min_aesthetic_score": None,
        "aesthetic_weights": None,
        "ocr": None,
        "captioner": DEMO,
    },
    "text-debiased": {**_DEBIASED_FILTERS, "captioner": None},
    "recap-debiased": {**_DEBIASED_FILTERS, "captioner": DEMO},
}


@dataclass(frozen=True, kw_only=True)
class RecapConfig:
    """One field per flag of :data:`beam_recap.flags.FLAGS`, in its order. ``None`` means off, or no limit.

    An empty ``input`` means the embedded demonstration.
    """

    input: tuple[str, ...]
    output: str
    preset: str
    max_rows: int | None
    url_column: str | None
    caption_column: str | None
    verify_hash: str | None
    unit_rows: int
    rows_per_file: int
    extra_columns: bool
    fetch_concurrency: int
    fetch_timeout_s: float
    fetch_retries: int
    fetch_max_bytes: int
    fetch_connect_timeout_s: float
    fetch_max_redirects: int
    fetch_ahead_rows: int
    fetch_ahead_bytes: int
    connections_per_host: int
    host_requests_per_s: float | None
    user_agent_token: str
    contact: str
    disallowed_header_directives: tuple[str, ...]
    robots_txt: str
    fetch_ports: tuple[int, ...]
    allow_private_hosts: bool
    allow_local_files: bool
    verify_tls: bool
    image_size: int
    resize_mode: str
    resize_only_if_bigger: bool
    image_formats: tuple[str, ...]
    max_pixels: int
    min_image_size: int
    max_image_area: float | None
    max_aspect_ratio: float | None
    clip_model: str | None
    clip_pretrained: str | None
    min_clip_score: float | None
    clip_batch_size: int
    aesthetic_weights: str | None
    min_aesthetic_score: float | None
    ocr: str | None
    max_ocr_boxes: int | None
    captioner: str | None
    caption_endpoint: str | None
    caption_endpoint_model: str | None
    caption_endpoint_key: str | None
    caption_endpoint_requests: int
    caption_prompt: str
    caption_hint: str | None
    caption_max_new_tokens: int
    caption_engine: str
    caption_batch_size: int | None
    caption_quantization: str | None
    captioner_copies: int | None
    reject_captions: tuple[str, ...]
    judge_endpoint: str | None
    judge_endpoint_model: str | None
    judge_endpoint_key: str | None
    judge_sample: float
    device: str
    dtype: str
    retry: str
    keep_checkpoint: bool

    @classmethod
    def from_flags(cls, given: Mapping[str, str | None] | None = None) -> RecapConfig:
        """Reads flag texts (missing or None: the default) into a config.

        Raises:
          ConfigError: a flag is unknown, malformed, out of its scale, or at odds with another.
        """
        given = {name: text for name, text in (given or {}).items() if text is not None}
        if unknown := set(given) - {flag.name for flag in FLAGS}:
            raise ConfigError(min(unknown), given[min(unknown)], "no such flag")
        values: dict[str, Any] = {}
        for flag in FLAGS:
            text = given.get(flag.name, flag.default)
            if text is None or text == PRESET_VALUE:
                continue
            try:
                values[flag.name] = flag.parse(text)
            except ValueError as error:
                raise ConfigError(flag.name, text, str(error)) from None
        # With a server the preset's captioner is not wanted.
        if values["caption_endpoint"] is not None and values.setdefault("captioner", None) is not None:
            remedy = "is a second captioner beside --caption_endpoint; leave one of them out"
            raise ConfigError("captioner", given["captioner"], remedy)
        values["input"] = tuple(map(absolute, values.get("input", ())))
        values.setdefault("preset", "recap" if values["input"] else "recap-debiased")
        for name, value in _PRESET_VALUES[values["preset"]].items():
            values.setdefault(name, value)
        if "output" not in values:
            if values["input"]:
                raise ConfigError("output", "", "is missing; give the directory that the dataset is to be written to")
            values["output"] = DEMO_OUTPUT
        values["output"] = values["output"].rstrip("/") or "/"
        for name in _DEMO_PATHS:
            if is_remote(values[name]):
                values[name] = values[name].rstrip("/")
        config = cls(**values)
        config._check()
        return config

    def _check(self) -> None:
        if self.allow_local_files and any("://" in pattern for pattern in self.input):
            remedy = "is for local input only: rows of a remote table must not name files of this machine; leave it out"
            raise ConfigError("allow_local_files", "true", remedy)
        if self.clip_model is not None:
            self._check_clip(self.clip_model)
        else:
            for name in ("clip_pretrained", "min_clip_score", "aesthetic_weights"):
                if (value := getattr(self, name)) is not None:
                    raise ConfigError(name, value, f"needs a CLIP model; give --clip_model, or --{name}=none")
        if self.aesthetic_weights is None and self.min_aesthetic_score is not None:
            remedy = "needs a head; give --aesthetic_weights, or --min_aesthetic_score=none"
            raise ConfigError("min_aesthetic_score", self.min_aesthetic_score, remedy)
        if self.aesthetic_weights == DEMO and self.clip_model not in (DEMO, None):
            remedy = "fits only the demonstration's CLIP; give the path of the head for your --clip_model, or none"
            raise ConfigError("aesthetic_weights", DEMO, remedy)
        if self.aesthetic_weights not in (None, DEMO):
            _check_head(str(self.aesthetic_weights))
        self._check_endpoint("caption_endpoint")
        self._check_endpoint("judge_endpoint")
        if self.captioner not in (None, DEMO):
            _check_captioner(str(self.captioner))
        if self.device not in ("auto", "cpu", "cuda") and not (
            self.device.startswith("cuda:") and self.device[5:].isdigit()
        ):
            raise ConfigError("device", self.device, "is unknown; give auto, cpu, cuda or cuda:N")

    def _check_endpoint(self, flag: str) -> None:
        url, model = getattr(self, flag), getattr(self, f"{flag}_model")
        if url is not None and model is None:
            raise ConfigError(flag, url, f"needs the model's name; give --{flag}_model")
        for name in (f"{flag}_model", f"{flag}_key"):
            if url is None and (value := getattr(self, name)) is not None:
                raise ConfigError(name, value, f"needs --{flag}, the server's URL")

    def _check_clip(self, model: str) -> None:
        is_folder = model != DEMO and ("/" in model or Path(model).is_dir())
        if is_folder and not _has_file("clip_model", model, "open_clip_config.json"):
            remedy = "is no folder with an open_clip_config.json; give a folder in open_clip's layout or a model name"
            raise ConfigError("clip_model", model, remedy)
        if not is_folder and model != DEMO and self.clip_pretrained is None:
            remedy = "names no weights; add --clip_pretrained, for example --clip_pretrained=openai"
            raise ConfigError("clip_model", model, remedy)
        if (is_folder or model == DEMO) and self.clip_pretrained is not None:
            remedy = "has no meaning here: the weights come with --clip_model; leave it out"
            raise ConfigError("clip_pretrained", self.clip_pretrained, remedy)

    @property
    def makes_captions(self) -> bool:
        """Whether pictures are captioned, by a checkpoint or by a server."""
        return self.captioner is not None or self.caption_endpoint is not None

    @property
    def uses_demo_models(self) -> tuple[str, ...]:
        """The flags whose model is the demonstration's."""
        return tuple(flag for flag in _DEMO_PATHS if getattr(self, flag) == DEMO)

    def model_path(self, flag: str) -> str | None:
        """What to load for a model's flag: a path or a name, None where it is off."""
        value: str | None = getattr(self, flag)
        return str(_DEMO_PATHS[flag]) if value == DEMO else value

    def identity(self) -> dict[str, Any]:
        """What decides a row's outcome, as JSON values: a checkpoint belongs to exactly one identity."""
        return self._identity

    @functools.cached_property
    def _identity(self) -> dict[str, Any]:
        # Kept, because a run asks for it many times, and it reads the models' files.
        identity = {flag.name: getattr(self, flag.name) for flag in FLAGS if flag.decides_outcome}
        for flag in _DEMO_PATHS:
            path = self.model_path(flag)
            # The same path with other weights in it is another model.
            try:
                identity[f"{flag}{FILES_OF}"] = None if path is None else fingerprint(path)
            except RemoteError as error:
                raise ConfigError(flag, str(path), str(error)) from error
        return json.loads(json.dumps(identity))

    def digest(self) -> str:
        """16 hexadecimal digits of the identity."""
        text = json.dumps(self.identity(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _check_head(path: str) -> None:
    if not path.endswith((".pth", ".safetensors")):
        raise ConfigError("aesthetic_weights", path, "is no .pth or .safetensors file; give the head's weight file")
    if not _has_file("aesthetic_weights", path):
        raise ConfigError("aesthetic_weights", path, "does not exist; give the path of the head's weight file")


def _check_captioner(captioner: str) -> None:
    if is_remote(captioner) or Path(captioner).is_dir():
        if not _has_file("captioner", captioner, "config.json"):
            remedy = "holds no config.json; give a checkpoint folder in Hugging Face form"
            raise ConfigError("captioner", captioner, remedy)
    elif captioner.startswith((".", "/", "~")):
        raise ConfigError("captioner", captioner, "does not exist; give a checkpoint folder or ID@REVISION")
    elif not _HUB_ID.fullmatch(captioner):
        remedy = (
            "is neither a folder nor a pinned hub id; give a checkpoint folder, or ID@REVISION with the full commit"
        )
        raise ConfigError("captioner", captioner, remedy)


def _has_file(flag: str, place: str, name: str | None = None) -> bool:
    """Whether there is a file ``place``, or ``name`` in the folder ``place``, which may be local or remote."""
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


assert [f.name for f in dataclasses.fields(RecapConfig)] == [f.name for f in FLAGS]
