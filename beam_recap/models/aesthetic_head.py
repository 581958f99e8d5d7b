"""Aesthetic heads: a small regression from a CLIP image embedding to a score.

Layouts that are read, recognised by their exact tensor names and shapes (D is the embedding's length):

* SAC+LOGOS+AVA1, "V2" (christophschuhmann/improved-aesthetic-predictor, ``*-linearMSE.pth``, D = 768):
  ``layers.{0,2,4,6,7}``, D -> 1024 -> 128 -> 64 -> 16 -> 1. Between its layers there is only dropout, so it is one
  affine map; it is collapsed in float64.
* the same with ReLU (``*-reluMSE.pth``): ``layers.{0,3,6,9,11}``.
* one layer, ``layers.0``, D -> 1: only as safetensors whose metadata names the ``scale`` of its scores.
* "V1" (LAION-AI/aesthetic-predictor, ``sa_0_4_vit_*_linear.pth``): ``weight``, ``bias``, D -> 1. Its scores are on
  another scale (laion-aesthetic is V1 > 7, text-debiased is V2 > 4.5), so it is read only where V1 is asked for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from beam_recap.isolation import ModelFailure
from beam_recap.model_files import MAX_HEAD_BYTES, local_copy
from beam_recap.models.runtime import WeightsMismatch, require_exact_weights
from beam_recap.records import Reason

_HIDDEN = (1024, 128, 64, 16)
_LINEAR_LAYERS = (0, 2, 4, 6, 7)
_RELU_LAYERS = (0, 3, 6, 9, 11)

VERSIONS = ("v2", "v1")
_V1_NAMES = {"weight", "bias"}

_Affine = tuple[np.ndarray, np.ndarray]  # weight float64 [out, in], bias float64 [out]


class AestheticHead:
    """Scores CLIP image embeddings. Make one with `load`."""

    def __init__(self, head_id: str, layers: Sequence[_Affine], *, scale: str | None = None):
        """
        Args:
          head_id: file name and the start of the file's digest.
          layers: affine maps with a ReLU between each two.
          scale: what the weights' metadata says about the scale of the scores.
        """
        self._head_id = head_id
        self._layers = list(layers)
        self._scale = scale

    @classmethod
    def load(cls, path: str | Path, version: str = "v2") -> AestheticHead:
        """Reads a ``.pth`` (nothing in it is executed) or ``.safetensors`` file, local or remote (`local_copy`).

        Args:
          path: the file.
          version: the scale that is asked for, one of `VERSIONS`: V1 heads belong to ``"v1"``, all others to ``"v2"``.

        Raises:
          ModelFilesError: a remote file cannot be copied.
          FileNotFoundError: there is no such file.
          WeightsMismatch: the tensors are none of the known layouts, or not finite.
          ValueError: another kind of file, a head of the other version, or a one-layer head without a scale.
        """
        if version not in VERSIONS:
            raise ValueError(f"version must be one of {', '.join(VERSIONS)}, not {version!r}")
        path = local_copy(str(path), "aesthetic_weights", max_bytes=MAX_HEAD_BYTES)
        if path.suffix not in (".pth", ".safetensors"):
            raise ValueError(f"aesthetic head {path.name}: it must be a .pth or .safetensors file.")
        if path.stat().st_size > MAX_HEAD_BYTES:
            raise WeightsMismatch(f"aesthetic head {path.name}: larger than {MAX_HEAD_BYTES >> 20} MiB, so not a head.")
        tensors, metadata = _read_pth(path) if path.suffix == ".pth" else _read_safetensors(path)
        source = f"aesthetic head {path.name}"
        _check_version(source, set(tensors), version)
        if version == "v1":
            tensors, metadata = {f"layers.0.{name}": tensor for name, tensor in tensors.items()}, {"scale": "V1"}
        layers, is_relu = _layers_of(source, tensors, metadata)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
        return cls(f"{path.name}@{digest}", layers if is_relu else [_collapse(layers)], scale=metadata.get("scale"))

    @property
    def head_id(self) -> str:
        """File name and the first 12 hexadecimal digits of the file's sha256, as ``name@digest``."""
        return self._head_id

    @property
    def input_dim(self) -> int:
        """Length of the embeddings that it scores."""
        return int(self._layers[0][0].shape[1])

    @property
    def scale(self) -> str | None:
        """What the weights' metadata says about the scale of the scores; None for the published heads."""
        return self._scale

    def score(self, embeddings: Sequence[np.ndarray]) -> list[float | ModelFailure]:
        """The score of each embedding (on the head's scale; 1-10 for SAC+LOGOS+AVA1).

        Args:
          embeddings: float vectors ``[D]``; normalised here (a zero vector stays zero).

        Raises:
          ValueError: an embedding has another length: it comes from another CLIP model than the head's.
        """
        for embedding in embeddings:
            if np.shape(embedding) != (self.input_dim,):
                raise ValueError(
                    f"The aesthetic head {self.head_id} scores embeddings of {self.input_dim} numbers, the CLIP "
                    f"model's have the shape {list(np.shape(embedding))}: use the CLIP model that the head was "
                    "trained on."
                )
        return [self._score_one(np.asarray(embedding, np.float64)) for embedding in embeddings]

    def _score_one(self, embedding: np.ndarray) -> float | ModelFailure:
        if not np.isfinite(embedding).all():
            return ModelFailure(Reason.NON_FINITE, "the image embedding is not finite")
        hidden = embedding / (np.linalg.norm(embedding) or 1.0)
        for i, (weight, bias) in enumerate(self._layers):
            hidden = weight @ (np.maximum(hidden, 0.0) if i else hidden) + bias
        score = float(hidden[0])
        return score if np.isfinite(score) else ModelFailure(Reason.NON_FINITE, "the aesthetic score is not finite")


def _read_pth(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    import pickle

    import torch

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise WeightsMismatch(f"aesthetic head {path.name}: not a plain file of tensors.") from error
    if not isinstance(state, Mapping) or not all(isinstance(tensor, torch.Tensor) for tensor in state.values()):
        raise WeightsMismatch(f"aesthetic head {path.name}: not a plain file of tensors.")
    return {str(name): tensor.double().numpy() for name, tensor in state.items()}, {}


def _read_safetensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            tensors = {name: file.get_tensor(name).astype(np.float64) for name in file.keys()}  # noqa: SIM118
            return tensors, file.metadata() or {}
    except SafetensorError as error:
        raise WeightsMismatch(f"aesthetic head {path.name}: not a safetensors file.") from error


def _layers_of(
    source: str, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]
) -> tuple[list[_Affine], bool]:
    """The layers in order, and whether there are ReLUs between them."""
    one_layer = set(tensors) == _names((0,))
    if one_layer and "scale" not in metadata:
        raise ValueError(f"{source}: a one-layer head must be safetensors with a `scale` in its metadata.")
    is_relu = "layers.9.weight" in tensors or "layers.11.weight" in tensors
    numbers = (0,) if one_layer else _RELU_LAYERS if is_relu else _LINEAR_LAYERS
    first = tensors.get("layers.0.weight")
    width = first.shape[1] if first is not None and first.ndim == 2 and first.shape[1] else 768
    widths = (width, 1) if one_layer else (width, *_HIDDEN, 1)
    shapes = {}
    for number, inputs, outputs in zip(numbers, widths[:-1], widths[1:], strict=True):
        shapes[f"layers.{number}.weight"], shapes[f"layers.{number}.bias"] = (outputs, inputs), (outputs,)
    require_exact_weights(
        source,
        missing=shapes.keys() - tensors.keys(),
        unexpected=tensors.keys() - shapes.keys(),
        misshaped=[
            f"{name} {list(tensors[name].shape)}, not {list(shape)}"
            for name, shape in shapes.items()
            if name in tensors and tensors[name].shape != shape
        ],
    )
    if not all(np.isfinite(tensor).all() for tensor in tensors.values()):
        raise WeightsMismatch(f"{source}: the weights are not finite.")
    return [(tensors[f"layers.{number}.weight"], tensors[f"layers.{number}.bias"]) for number in numbers], is_relu


def _check_version(source: str, names: set[str], version: str) -> None:
    is_v1 = names == _V1_NAMES
    if is_v1 and version != "v1":
        raise ValueError(
            f"{source}: this is a V1 head (LAION-AI/aesthetic-predictor), whose scores are on another scale than the "
            "V2 thresholds; use sac+logos+ava1-l14-linearMSE.pth, or --aesthetic_scale=v1 and a threshold of its own."
        )
    if version == "v1" and not is_v1:
        raise ValueError(
            f"{source}: this is no V1 head (weight, bias), and --aesthetic_scale is v1; use a V1 head such as "
            "sa_0_4_vit_l_14_linear.pth, or --aesthetic_scale=v2."
        )


def _names(numbers: Sequence[int]) -> set[str]:
    return {f"layers.{number}.{kind}" for number in numbers for kind in ("weight", "bias")}


def _collapse(layers: Sequence[_Affine]) -> _Affine:
    """The one affine map that affine maps in a row amount to."""
    weight, bias = layers[0]
    for next_weight, next_bias in layers[1:]:
        weight, bias = next_weight @ weight, next_weight @ bias + next_bias
    return weight, bias
