"""CLIP: cosine of image and caption, and the image embedding that the aesthetic head and the clusters read."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from beam_recap.isolation import ModelFailure, is_out_of_memory, run_isolated
from beam_recap.models.clip_checkpoint import load_clip
from beam_recap.models.clip_text import CaptionTokenizer
from beam_recap.models.runtime import pick_device, pick_dtype
from beam_recap.records import Reason

if TYPE_CHECKING:
    import torch

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CaptionScore:
    """How well a caption fits an image."""

    score: float  # cosine in [-1, 1]; not scaled, not clipped
    lost: float  # the share of the caption's tokens that did not fit CLIP's context, [0, 1]

    @property
    def cut(self) -> bool:
        """Whether some of the caption did not fit."""
        return self.lost > 0


@dataclass(frozen=True, slots=True)
class ClipScore:
    """What CLIP says of one image and its caption."""

    score: float | None  # cosine in [-1, 1]; not scaled, not clipped; None without a caption
    caption_lost: float | None  # the share of its tokens that did not fit CLIP's context; None without a caption
    embedding: np.ndarray  # of the image: float32 [D], unit length

    @property
    def caption_cut(self) -> bool | None:
        """Whether some of the caption did not fit; None without a caption."""
        return None if self.caption_lost is None else self.caption_lost > 0


class ClipScorer:
    """An open_clip model that scores. Make one with `load`; threads may share it."""

    def __init__(
        self,
        model: Any,
        transform: Any,
        tokenizer: CaptionTokenizer,
        *,
        model_id: str,
        dtype: torch.dtype,
        batch_size: int,
    ):
        """
        Args:
          model: an open_clip model in evaluation mode.
          transform: open_clip's transform of a PIL image to float32 ``[3, S, S]``.
          tokenizer: the model's tokenizer.
          model_id: its name in the results.
          dtype: of the towers.
          batch_size: images or captions in one forward pass.
        """
        self._model = model
        self._transform = transform
        self._tokenizer = tokenizer
        self._model_id = model_id
        self._dtype = dtype
        self._batch_size = batch_size
        self._full_size = batch_size  # every forward pass has this many rows; less after the memory ran out
        self._lock = threading.Lock()

    @classmethod
    def load(
        cls, model: str, pretrained: str | None, device: str = "auto", dtype: str = "auto", batch_size: int = 32
    ) -> ClipScorer:
        """Loads a model by open_clip's name and pretrained tag, from a folder, or from one file.

        Args:
          model: an open_clip architecture (``"ViT-L-14"``), a folder with open_clip_config.json and safetensors, or a
            file in OpenAI's or LongCLIP's layout (`load_openai_layout`).
          pretrained: an open_clip tag (``"openai"``); None for a folder.
          device: see `pick_device`.
          dtype: of the towers, see `pick_dtype`; but ``"auto"`` is float16 on CUDA, in which openai/CLIP computed the
            scores that LAION and DataComp publish. Cosines are taken in higher precision in any case.
          batch_size: images or captions in one forward pass, at least 1.

        Raises:
          FileNotFoundError: no such folder, or one without its files.
          WeightsMismatch: the weights are not the model's.
          ValueError: unknown names, a name without a tag (its weights would be random), or a folder with a tag.
        """
        if batch_size < 1:
            raise ValueError(f"CLIP's batch_size must be at least 1, not {batch_size}.")
        torch_device = pick_device(device)
        if dtype == "auto" and torch_device.type == "cuda":
            dtype = "float16"
        torch_dtype = pick_dtype(dtype, torch_device)
        loaded = load_clip(model, pretrained, torch_device, torch_dtype)
        _LOG.info("loaded CLIP %s on %s in %s", loaded.model_id, torch_device, torch_dtype)
        return cls(
            loaded.model,
            loaded.transform,
            CaptionTokenizer(loaded.tokenizer),
            model_id=loaded.model_id,
            dtype=torch_dtype,
            batch_size=batch_size,
        )

    @property
    def model_id(self) -> str:
        """``MODEL/PRETRAINED``, or the folder's name."""
        return self._model_id

    @property
    def batch_size(self) -> int:
        """Images or captions in one forward pass."""
        return self._batch_size

    @property
    def transform(self) -> Any:
        """open_clip's transform of a PIL image to float32 ``[3, S, S]``."""
        return self._transform

    @property
    def logit_scale(self) -> float:
        """The factor of cosines in the model's own softmax: about 100 in OpenAI's models."""
        return float(self._model.logit_scale.exp())

    def embedding_dim(self) -> int:
        """Numbers in an image embedding, found by embedding one grey image."""
        import torch
        from PIL import Image

        pixels = self._transform(Image.new("RGB", (64, 64), "grey"))[None]
        with self._lock, torch.inference_mode():
            return int(self._model.encode_image(pixels.to(self._device, self._dtype)).shape[-1])

    def score(self, images: Sequence[np.ndarray], captions: Sequence[str | None]) -> list[ClipScore | ModelFailure]:
        """Embeds the images and scores each against its own caption.

        Args:
          images: RGB, uint8 ``[H, W, 3]``, of any size; or what `prepare_image` makes of them, float32 ``[3, S, S]``.
          captions: one per image; None where there is none.

        Raises:
          FatalModelError: the device is gone.
        """
        rows = list(zip(images, captions, strict=True))
        return self._in_batches(rows, self._score_batch)

    def embed(self, images: Sequence[np.ndarray]) -> list[np.ndarray | ModelFailure]:
        """Embeds images: float32 ``[D]`` of unit length each.

        Args:
          images: RGB, uint8 ``[H, W, 3]``, of any size.

        Raises:
          FatalModelError: the device is gone.
        """
        scores = self.score(images, [None] * len(images))
        return [score if isinstance(score, ModelFailure) else score.embedding for score in scores]

    def score_captions(
        self, embeddings: Sequence[np.ndarray], captions: Sequence[str]
    ) -> list[CaptionScore | ModelFailure]:
        """Scores captions against images that `score` has embedded before.

        Args:
          embeddings: float32 ``[D]``, unit length.
          captions: one per embedding.

        Raises:
          FatalModelError: the device is gone.
        """
        rows = list(zip(embeddings, captions, strict=True))
        return self._in_batches(rows, self._score_captions_batch)

    def _in_batches(self, rows: Sequence[Any], run: Any) -> list[Any]:
        results: list[Any] = []
        for start in range(0, len(rows), self._batch_size):
            with self._lock:
                results += run_isolated(rows[start : start + self._batch_size], run)
        return results

    def _score_batch(self, rows: Sequence[tuple[np.ndarray, str | None]]) -> list[ClipScore | ModelFailure]:
        image_rows = self._embed_images([image for image, _ in rows])
        captions = [caption for _, caption in rows if caption is not None]
        text_rows, lost = self._embed_captions(captions)
        texts = iter(zip(text_rows, lost, strict=True))
        results: list[ClipScore | ModelFailure] = []
        for embedding, (_, caption) in zip(image_rows, rows, strict=True):
            score, share = None, None
            if caption is not None:
                text, share = next(texts)
                score = _cosine(embedding, text)
            if not np.isfinite(embedding).all():
                results.append(ModelFailure(Reason.NON_FINITE, "the image embedding is not finite"))
            elif score is not None and not np.isfinite(score):
                results.append(ModelFailure(Reason.NON_FINITE, "the caption's embedding is not finite"))
            else:
                results.append(ClipScore(score, share, embedding))
        return results

    def _score_captions_batch(self, rows: Sequence[tuple[np.ndarray, str]]) -> list[CaptionScore | ModelFailure]:
        text_rows, lost = self._embed_captions([caption for _, caption in rows])
        results: list[CaptionScore | ModelFailure] = []
        for (embedding, _), text, share in zip(rows, text_rows, lost, strict=True):
            score = _cosine(embedding, text)
            if np.isfinite(score):
                results.append(CaptionScore(score, share))
            else:
                results.append(ModelFailure(Reason.NON_FINITE, "the cosine is not finite"))
        return results

    def _embed_images(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Unit vectors, float32 ``[B, D]``."""
        import torch

        prepared = [
            torch.from_numpy(image) if image.dtype == np.float32 else prepare_image(self._transform, image)
            for image in images
        ]
        pixels = torch.stack(prepared)
        return self._at_one_shape(pixels.to(self._device, self._dtype), self._model.encode_image)

    def _embed_captions(self, captions: Sequence[str]) -> tuple[np.ndarray, list[float]]:
        """Unit vectors, float32 ``[B, D]``, and the share of each caption that was cut off."""

        if not captions:
            return np.empty((0, 0), np.float32), []
        tokens, lost = self._tokenizer(captions)
        return self._at_one_shape(tokens.to(self._device), self._model.encode_text), lost

    def _at_one_shape(self, rows: torch.Tensor, encode: Callable[[torch.Tensor], torch.Tensor]) -> np.ndarray:
        """Unit vectors, float32 ``[B, D]``, of a batch filled up to the full size.

        Libraries choose their kernels by shape, and the last digits with them. At one shape a row's numbers do not
        depend on how many rows came with it, so that any split of the work gives the same bytes.
        """
        import torch

        while True:
            missing = max(self._full_size - len(rows), 0)
            filled = torch.cat([rows, rows.new_zeros(missing, *rows.shape[1:])]) if missing else rows
            try:
                with torch.inference_mode():
                    return _unit(encode(filled))[: len(rows)]
            except Exception as error:
                if is_out_of_memory(error):
                    self._full_size = max(1, len(filled) // 2)
                if not missing or not is_out_of_memory(error):
                    raise

    @property
    def _device(self) -> torch.device:
        device: torch.device = next(self._model.parameters()).device
        return device


def prepare_image(transform: Any, image: np.ndarray) -> torch.Tensor:
    """CLIP's input, float32 ``[3, S, S]``, of a picture.

    Args:
      transform: the model's.
      image: RGB, uint8 ``[H, W, 3]``, of any size.

    Raises:
      ValueError: it is none.
    """
    from PIL import Image

    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"an image must be uint8 [H, W, 3], not {image.dtype} {list(image.shape)}")
    prepared: torch.Tensor = transform(Image.fromarray(image))
    return prepared


def _unit(features: torch.Tensor) -> np.ndarray:
    """Rows scaled to unit length in float32; a zero row becomes NaN, since it has no direction."""
    features = features.float()
    unit: np.ndarray = (features / features.norm(dim=-1, keepdim=True)).cpu().numpy()
    return unit


def _cosine(image: np.ndarray, text: np.ndarray) -> float:
    """The dot product of unit vectors, in float64: the same for one row as for many."""
    return float(np.dot(image.astype(np.float64), text.astype(np.float64)))
