"""Which tensors a converted LLaVA has, by comparison with the model that transformers builds from its config."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch

from beam_recap.models import llava_layout as layout
from beam_recap.models.llava_layout import OriginalSettings, UnfitError
from beam_recap.models.llava_weights import NewTensor, StoredTensor, first_line, read_tensors
from beam_recap.models.runtime import require_exact_weights

_ROWS_AT_ONCE = 8192


def by_new_name(tensors: Sequence[StoredTensor], rename: Callable[[str], str | None]) -> dict[str, StoredTensor]:
    """Stored tensors by their names in the new checkpoint, without those that are left out (``rename`` gives None).

    Raises:
      UnfitError: two tensors of one name, or a dtype that weights do not have.
    """
    found: dict[str, StoredTensor] = {}
    for tensor in tensors:
        name = rename(tensor.name)
        if name is not None and tensor.dtype is None:
            raise UnfitError(f"{tensor.name} is neither float32 nor float16 nor bfloat16; it may be quantised")
        if name is not None and found.setdefault(name, tensor) is not tensor:
            raise UnfitError(f"{tensor.name} and {found[name].name} are the same tensor")
    return found


def require_equal(output_layer: StoredTensor, embeddings: StoredTensor | None) -> None:
    """Raises `UnfitError` where the two differ, although the config says that they are one tensor."""
    if embeddings is None:
        return  # reported as missing, later
    first, second = read_tensors([output_layer, embeddings])
    if not torch.equal(first, second):
        raise UnfitError(
            f"{output_layer.name} is not {embeddings.name}, but tie_word_embeddings says that they are the same"
        )


def plan(
    settings: OriginalSettings, config: Any, found: dict[str, StoredTensor], source: str, dtype: str
) -> list[NewTensor]:
    """Every tensor of the new checkpoint.

    Args:
      settings: the original's.
      config: the ``LlavaConfig`` of the new checkpoint.
      found: from `by_new_name`.
      source: the original's name in messages.
      dtype: one of `layout.DTYPES`.

    Raises:
      WeightsMismatch: a tensor is missing, left over, or of another shape than the model's.
    """
    expected = _expected_shapes(config)
    rows, new_rows = settings.text["vocab_size"], config.text_config.vocab_size
    width = config.text_config.hidden_size
    made: dict[str, Callable[[torch.Tensor | None], torch.Tensor]] = {}
    if settings.projector == layout.LINEAR:
        # A second layer that changes nothing: exact in every dtype, since all but one product of a sum is zero.
        made = {
            layout.PROJECTOR_2 + "weight": lambda _: torch.eye(width),
            layout.PROJECTOR_2 + "bias": lambda _: torch.zeros(width),
        }
    extended = {layout.EMBEDDINGS, layout.OUTPUT_LAYER} & set(expected) if new_rows > rows else set()
    shapes = {
        name: (rows, *shape[1:]) if name in extended else shape for name, shape in expected.items() if name not in made
    }
    require_exact_weights(
        source,
        missing=shapes.keys() - found.keys(),
        unexpected=(found[name].name for name in found.keys() - shapes.keys()),
        misshaped=(
            f"{found[name].name} {list(found[name].shape)}, not {list(shape)}"
            for name, shape in shapes.items()
            if name in found and found[name].shape != shape
        ),
    )
    main = found[layout.EMBEDDINGS].dtype if dtype == "keep" else getattr(torch, dtype)
    tensors = [
        NewTensor(
            name,
            expected[name],
            tensor.dtype if dtype == "keep" else main,
            tensor,
            partial(_with_mean_rows, rows=new_rows) if name in extended else _unchanged,
        )
        for name, tensor in found.items()
    ]
    return tensors + [NewTensor(name, expected[name], main, None, make) for name, make in made.items()]


def _expected_shapes(config: Any) -> dict[str, tuple[int, ...]]:
    from transformers import LlavaForConditionalGeneration

    try:
        with torch.device("meta"):
            model = LlavaForConditionalGeneration(config)
    except Exception as error:  # whatever a stranger's numbers make of a constructor
        raise UnfitError(f"its config.json makes no model ({first_line(error)})") from None
    tensors = {layout.published_name(name): tuple(value.shape) for name, value in model.state_dict().items()}
    if config.tie_word_embeddings:
        tensors.pop(layout.OUTPUT_LAYER, None)
    return tensors


def _unchanged(value: torch.Tensor | None) -> torch.Tensor:
    assert value is not None
    return value


def _with_mean_rows(value: torch.Tensor | None, rows: int) -> torch.Tensor:
    """Adds rows that hold the mean of the old ones.

    A new token's logit is then the mean logit, which is never the largest: no new token is ever written, where a row
    of zeros would win over logits that are all negative.
    """
    assert value is not None
    mean = torch.zeros(value.shape[1], dtype=torch.float64)
    for part in value.split(_ROWS_AT_ONCE):
        mean += part.double().sum(dim=0)
    extended = value.new_empty((rows, value.shape[1]))
    extended[: len(value)] = value
    extended[len(value) :] = (mean / len(value)).to(value.dtype)
    return extended
