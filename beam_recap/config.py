"""`RecapConfig`: everything a run is told, checked before anything starts."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from beam_recap.accelerators import GPU_PRESETS, Accelerator, parse_accelerator
from beam_recap.caption_mix import CaptionMix
from beam_recap.config_checks import check_together
from beam_recap.curation_settings import CurationSettings
from beam_recap.demo import paths
from beam_recap.duplicates.settings import DuplicateSettings
from beam_recap.files import absolute
from beam_recap.fingerprints import fingerprint
from beam_recap.flag import DEMO, ConfigError, read_flags
from beam_recap.flags import FLAGS
from beam_recap.model_checks import ClipName, read_clip_name
from beam_recap.preset_values import PRESET_VALUES
from beam_recap.remote_files import RemoteError, is_remote
from beam_recap.slices import Slice, parse_slice

DEMO_OUTPUT = "beam-recap-demo"
_DEMO_PATHS = {"clip_model": paths.CLIP, "aesthetic_weights": paths.AESTHETIC_HEAD, "captioner": paths.CAPTIONER}
FILES_OF = " (files)"  # ends the names of fingerprints in an identity


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
    prefilter: tuple[str, ...]
    slice: str | None
    unit_rows: int | None
    rows_per_file: int
    schema: str
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
    more_clip_models: tuple[str, ...]
    aesthetic_weights: str | None
    aesthetic_scale: str
    aesthetic_clip_model: str | None
    aesthetic_clip_pretrained: str | None
    min_aesthetic_score: float | None
    ocr: str | None
    max_ocr_boxes: int | None
    filter_order: tuple[str, ...]
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
    clusters: str | None
    drop_duplicate_rows: bool
    drop_duplicate_images: bool
    near_duplicate_similarity: float | None
    max_same_image: int | None
    max_same_caption: int | None
    save_embeddings: bool
    output_format: tuple[str, ...]
    caption_mix: float | None
    caption_mix_seed: int
    worker_pools: str
    gpu_accelerator: str | None
    device: str
    dtype: str
    retry: str
    keep_checkpoint: bool
    verbose: bool

    @classmethod
    def from_flags(cls, given: Mapping[str, str | None] | None = None) -> RecapConfig:
        """Reads flag texts (missing or None: the default) into a config.

        Raises:
          ConfigError: a flag is unknown, malformed, out of its scale, or at odds with another.
        """
        given = {name: text for name, text in (given or {}).items() if text is not None}
        values = read_flags(FLAGS, given)
        # With a server the preset's captioner is not wanted.
        if values["caption_endpoint"] is not None and values.setdefault("captioner", None) is not None:
            remedy = "is a second captioner beside --caption_endpoint; leave one of them out"
            raise ConfigError("captioner", given["captioner"], remedy)
        values["input"] = tuple(map(absolute, values.get("input", ())))
        values.setdefault("preset", "recap" if values["input"] else "recap-debiased")
        if (gpu := GPU_PRESETS.get(values["gpu_accelerator"])) is not None:
            fitting = {"caption_batch_size": gpu.caption_batch_size, "dtype": gpu.dtype}
            # A form may give the defaults in so many words.
            values.update((name, value) for name, value in fitting.items() if values[name] in (None, "auto"))
        if values["clip_model"] is None:  # a preset cannot ask for embeddings then
            values.setdefault("near_duplicate_similarity", None)
        for name, value in PRESET_VALUES[values["preset"]].items():
            values.setdefault(name, value)
        values.setdefault("schema", values["preset"])
        if "output" not in values:
            if values["input"]:
                raise ConfigError("output", "", "is missing; give the directory that the dataset is to be written to")
            values["output"] = DEMO_OUTPUT
        values["output"] = values["output"].rstrip("/") or "/"
        for name in _DEMO_PATHS:
            if is_remote(values[name]):
                values[name] = values[name].rstrip("/")
        config = cls(**values)
        check_together(config)
        return config

    @property
    def part(self) -> Slice | None:
        """The slice of the input that is done; None: all of it."""
        return None if self.slice is None else parse_slice(self.slice)

    @property
    def accelerator(self) -> Accelerator | None:
        """The GPUs of each worker that captions."""
        return None if self.gpu_accelerator is None else parse_accelerator(self.gpu_accelerator)

    @property
    def makes_captions(self) -> bool:
        """Whether pictures are captioned, by a checkpoint or by a server."""
        return self.captioner is not None or self.caption_endpoint is not None

    @property
    def writes_webdataset(self) -> bool:
        """Whether tars with pictures are written, and so the checkpoint holds pictures."""
        return "webdataset" in self.output_format

    @property
    def mix(self) -> CaptionMix | None:
        """How both captions are mixed; None if they are not."""
        return CaptionMix.of_flags({name: getattr(self, name) for name in ("caption_mix", "caption_mix_seed")})

    @functools.cached_property
    def more_clip_names(self) -> tuple[ClipName, ...]:
        """The further CLIP models, as they are loaded."""
        return tuple(
            ClipName(str(paths.CLIP)) if model == DEMO else read_clip_name("more_clip_models", model)
            for model in self.more_clip_models
        )

    @property
    def curation(self) -> CurationSettings | None:
        """What is worked out once all rows are known; None if nothing is."""
        rules = DuplicateSettings(
            rows=self.drop_duplicate_rows,
            images=self.drop_duplicate_images,
            similarity=self.near_duplicate_similarity,
            max_same_image=self.max_same_image,
            max_same_caption=self.max_same_caption,
        )
        duplicates = None if rules == DuplicateSettings() else rules
        if duplicates is None and self.clusters is None:
            return None
        return CurationSettings(duplicates, self.clusters)

    @property
    def keeps_embeddings(self) -> bool:
        """Whether the checkpoint holds embeddings."""
        return self.save_embeddings or (self.curation is not None and self.curation.needs_embeddings)

    @property
    def uses_demo_models(self) -> tuple[str, ...]:
        """The flags whose model is the demonstration's."""
        return tuple(flag for flag in _DEMO_PATHS if getattr(self, flag) == DEMO)

    @property
    def has_only_demo_models(self) -> bool:
        """Whether every model, and whatever else is loaded, ships with the project."""
        heads = (self.aesthetic_weights, self.aesthetic_clip_model)
        models = (self.clip_model, *self.more_clip_models, *heads, self.captioner)
        others = (self.clusters, self.caption_endpoint, self.judge_endpoint)
        return set(models) <= {None, DEMO} and set(others) == {None}

    def model_path(self, flag: str) -> str | None:
        """What to load for a model's flag: a path or a name, None where it is off."""
        value: str | None = getattr(self, flag)
        return str(_DEMO_PATHS.get(flag, paths.CLIP)) if value == DEMO else value

    def identity(self) -> dict[str, Any]:
        """What decides a row's outcome, as JSON values: a checkpoint belongs to exactly one identity."""
        return self._identity

    @functools.cached_property
    def _identity(self) -> dict[str, Any]:
        # Kept, because a run asks for it many times, and it reads the models' files.
        identity = {flag.name: getattr(self, flag.name) for flag in FLAGS if flag.decides_outcome}
        identity["input"] = sorted(set(self.input))  # their order does not matter
        # What is worked out from the checkpoint may change later; what must be in it may not.
        identity["save_embeddings"] = self.keeps_embeddings
        # The same path with other weights in it is another model.
        for flag in (*_DEMO_PATHS, "aesthetic_clip_model"):
            identity[f"{flag}{FILES_OF}"] = _fingerprint(flag, self.model_path(flag))
        more = [_fingerprint("more_clip_models", name.model) for name in self.more_clip_names]
        identity[f"more_clip_models{FILES_OF}"] = more
        return json.loads(json.dumps(identity))

    def digest(self) -> str:
        """16 hexadecimal digits of the identity."""
        text = json.dumps(self.identity(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _fingerprint(flag: str, path: str | None) -> str | None:
    try:
        return None if path is None else fingerprint(path)
    except RemoteError as error:
        raise ConfigError(flag, str(path), str(error)) from error


assert [f.name for f in dataclasses.fields(RecapConfig)] == [f.name for f in FLAGS]
