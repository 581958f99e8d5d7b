"""Weights in files: which tensors a folder holds, and writing them under other names with little memory.

Nothing is unpickled, and a tensor's numbers are read only when its shard is written: the files are mapped into
memory, so that at most one written shard is held, whatever the model's size.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import torch

from beam_recap.models.llava_layout import UnfitError

SHARD_BYTES = 4 * 10**9
_ROWS_AT_ONCE = 8192
_MAX_JSON_BYTES = 16 * 2**20
# Those of weights that are not quantised; safetensors' names.
_DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
# In the order in which transformers prefers them.
_FILES = ("model.safetensors", "pytorch_model.bin")


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor in a file, unread."""

    name: str
    path: Path
    shape: tuple[int, ...]
    dtype: torch.dtype | None  # None where it is none of the three that weights have here


@dataclass(frozen=True, slots=True)
class NewTensor:
    """A tensor to be written: read from ``stored`` and passed through ``change``, or made by it where there is none."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    stored: StoredTensor | None
    change: Callable[[torch.Tensor | None], torch.Tensor]

    @property
    def nbytes(self) -> int:
        return torch.Size(self.shape).numel() * self.dtype.itemsize


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object of at most 16 MiB.

    Raises:
      UnfitError: no such file, too large, or something else.
    """
    try:
        if path.stat().st_size > _MAX_JSON_BYTES:
            raise UnfitError(f"{path.name} is larger than {_MAX_JSON_BYTES} bytes")
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise UnfitError(f"there is no {path.name}") from None
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, UnfitError):
            raise
        raise UnfitError(f"{path.name} is not readable JSON ({first_line(error)})") from None
    if not isinstance(value, dict):
        raise UnfitError(f"{path.name} is not a JSON object")
    return value


def list_tensors(folder: Path) -> list[StoredTensor]:
    """Every tensor of a folder's safetensors, or else of its PyTorch files, by file.

    Raises:
      UnfitError: no weights, files that are missing, broken or hold more than plain tensors, an index that disagrees.
    """
    for name in _FILES:
        index = folder / f"{name}.index.json"
        if index.is_file():
            return _list_indexed(folder, index)
        if (folder / name).is_file():
            return _list_file(folder / name)
    raise UnfitError(f"there are no weights: neither {_FILES[0]} nor {_FILES[1]}, whole or with an index")


def _list_indexed(folder: Path, index: Path) -> list[StoredTensor]:
    listed = read_json(index).get("weight_map")
    if not isinstance(listed, dict) or not all(isinstance(file, str) for file in listed.values()):
        raise UnfitError(f"{index.name} has no weight_map")
    files = sorted(set(listed.values()))
    for file in files:
        if Path(file).name != file or not file.endswith((".safetensors", ".bin")):
            raise UnfitError(f"{index.name} names {file!r}, which is no weights file beside it")
        if not (folder / file).is_file():
            raise UnfitError(f"{file} is missing, which {index.name} names")
    found = [tensor for file in files for tensor in _list_file(folder / file)]
    if {tensor.name: tensor.path.name for tensor in found} != listed or len(found) != len(listed):
        raise UnfitError(f"its weights files do not hold what {index.name} says")
    return found


def _list_file(path: Path) -> list[StoredTensor]:
    with _open(path) as weights:
        return [StoredTensor(name, path, *weights.describe(name)) for name in weights.names()]


@contextmanager
def _open(path: Path) -> Iterator[_Safetensors | _PyTorchFile]:
    if path.suffix == ".bin":
        yield _PyTorchFile(path)
        return
    from safetensors import SafetensorError, safe_open

    try:
        file = safe_open(path, framework="pt")
    except (OSError, SafetensorError) as error:
        raise UnfitError(f"{path.name} is not whole safetensors ({first_line(error)})") from None
    with file:
        yield _Safetensors(file)


class _Safetensors:
    def __init__(self, file: Any):
        self._file = file

    def names(self) -> list[str]:
        return list(self._file.keys())

    def describe(self, name: str) -> tuple[tuple[int, ...], torch.dtype | None]:
        part = self._file.get_slice(name)
        return tuple(part.get_shape()), _DTYPES.get(part.get_dtype())

    def read(self, name: str) -> torch.Tensor:
        tensor: torch.Tensor = self._file.get_tensor(name)
        return tensor


class _PyTorchFile:
    def __init__(self, path: Path):
        try:
            # weights_only: plain tensors and containers; anything that would have to run code is an error.
            state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except Exception:  # whatever a broken or hostile file makes of the reader
            raise UnfitError(
                f"{path.name} is not a whole file of PyTorch 1.6 or later with tensors alone, which could be read "
                "without running code from it"
            ) from None
        if not isinstance(state, dict) or not all(
            isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in state.items()
        ):
            raise UnfitError(f"{path.name} is not a dictionary of tensors")
        self._state = state

    def names(self) -> list[str]:
        return sorted(self._state)

    def describe(self, name: str) -> tuple[tuple[int, ...], torch.dtype | None]:
        value = self._state[name]
        is_plain = value.layout == torch.strided and value.dtype in _DTYPES.values()
        return tuple(value.shape), value.dtype if is_plain else None

    def read(self, name: str) -> torch.Tensor:
        # A copy: two names may share one memory, which safetensors does not write.
        tensor: torch.Tensor = self._state[name].detach().clone()
        return tensor


def read_tensors(tensors: Sequence[StoredTensor]) -> Iterator[torch.Tensor]:
    """Their numbers, in order; neighbours of one file share its opening."""
    for path, group in groupby(tensors, key=lambda tensor: tensor.path):
        with _open(path) as weights:
            for tensor in group:
                yield weights.read(tensor.name)


def write_shards(folder: Path, tensors: Sequence[NewTensor], shard_bytes: int) -> None:
    """Writes ``model.safetensors``, or shards of at most ``shard_bytes`` (or one larger tensor) with their index."""
    shards: list[list[NewTensor]] = [[]]
    for tensor in tensors:
        if shards[-1] and sum(other.nbytes for other in shards[-1]) + tensor.nbytes > shard_bytes:
            shards.append([])
        shards[-1].append(tensor)
    places = {}
    for number, shard in enumerate(shards, 1):
        whole = len(shards) == 1
        file = "model.safetensors" if whole else f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        _write_shard(folder / file, shard)
        places |= {tensor.name: file for tensor in shard}
    if len(shards) > 1:
        index = {"metadata": {"total_size": sum(t.nbytes for t in tensors)}, "weight_map": dict(sorted(places.items()))}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")


def _write_shard(path: Path, shard: Sequence[NewTensor]) -> None:
    # A function of its own: its tensors are freed before the next shard's are read.
    from safetensors.torch import save_file

    path.touch()
    mode = path.stat().st_mode
    values = read_tensors([tensor.stored for tensor in shard if tensor.stored is not None])
    made = {tensor.name: _make(tensor, next(values) if tensor.stored is not None else None) for tensor in shard}
    save_file(made, path, metadata={"format": "pt"})
    path.chmod(mode)  # safetensors replaces the file by one that only its owner may read


def _make(tensor: NewTensor, value: torch.Tensor | None) -> torch.Tensor:
    changed = tensor.change(value)
    made = changed.to(tensor.dtype).contiguous()
    if tensor.dtype == torch.float16 and _has_infinity(made) and not _has_infinity(changed):
        raise ValueError(f"--dtype=float16: {tensor.name} has numbers too large for it; give --dtype=bfloat16.")
    return made


def _has_infinity(value: torch.Tensor) -> bool:
    return any(bool(part.isinf().any()) for part in value.split(_ROWS_AT_ONCE))  # in parts, for the memory of the test


def first_line(error: BaseException) -> str:
    """What an error says, in one line."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
