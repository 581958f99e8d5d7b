"""vLLM's offline engine: whether it is there, how it is started, and the little of it that a captioner uses.

vLLM is imported only when an engine is started. The engine lives in processes of its own, which end with this one.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from beam_recap.isolation import FatalModelError, is_device_lost

if TYPE_CHECKING:
    import torch

_FLAG = "--caption_engine=vllm"
# vLLM wants a share of the whole GPU, not of what is free: the CLIP and OCR models are there too.
_GPU_SHARE = 0.85
_MAX_ERROR_CHARS = 400
_VISIBLE = "CUDA_VISIBLE_DEVICES"


class Engine(Protocol):
    """What a captioner needs. All of it is called by one thread at a time."""

    def generate(self, prompts: Sequence[dict[str, Any]]) -> Sequence[Any]:
        """One finished vLLM ``RequestOutput`` per prompt (a ``TokensPrompt``), in order."""

    def is_idle(self) -> bool:
        """Whether nothing is left of what was asked; otherwise it would come with the next answers."""

    def close(self) -> None:
        """Ends it and gives its memory back."""


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """How an engine is started.

    Attributes:
      location: a folder or a hub id.
      revision: the commit of a hub id; None for a folder.
      transformers_names: the vision tower's tensors are called as transformers 5 saves them.
      device: where it runs.
      dtype: of weights and activations.
      max_tokens: of the longest prompt with its caption, those of the picture included.
      max_new_tokens: longest caption.
      rows: captions written at once, at most.
      end_ids: tokens that end a caption.
    """

    location: str
    revision: str | None
    transformers_names: bool
    device: torch.device
    dtype: torch.dtype
    max_tokens: int
    max_new_tokens: int
    rows: int
    end_ids: tuple[int, ...]


def require_vllm() -> None:
    """Raises ValueError where vLLM, or accelerate, by which its checkpoints are checked, is not installed."""
    for name, module in (("vLLM", "vllm"), ("accelerate", "accelerate")):
        if importlib.util.find_spec(module) is None:
            raise ValueError(
                f"{_FLAG}: {name} is not installed here; install it as the README says, or use --caption_engine=auto."
            )


def start_engine(settings: EngineSettings) -> OfflineEngine:
    """Loads the weights and reserves memory; takes a minute or more.

    Raises:
      ValueError: vLLM is not installed, is built for another device, or cannot load the checkpoint.
      FatalModelError: the device is gone.
    """
    require_vllm()
    _set_environment()
    try:
        from vllm import LLM, SamplingParams
        from vllm.platforms import current_platform
    except Exception as error:  # it needs libraries of exact versions
        raise ValueError(f"{_FLAG}: vLLM cannot be imported: {_in_one_line(error)}") from error
    built_for = str(current_platform.device_type)
    if built_for != settings.device.type:
        raise ValueError(
            f"{_FLAG}: this vLLM runs on {built_for or 'no device'} here, not on {settings.device}; install another "
            "one, or use another --device."
        )
    try:
        with _first_visible(settings.device):
            llm = LLM(**engine_arguments(settings))
        return OfflineEngine(llm, SamplingParams(**sampling_arguments(settings)))
    except Exception as error:
        if is_device_lost(error):
            raise FatalModelError(_in_one_line(error)) from error
        raise ValueError(f"{_FLAG}: vLLM cannot run {settings.location}: {_in_one_line(error)}") from error


def engine_arguments(settings: EngineSettings) -> dict[str, Any]:
    """Keyword arguments of ``vllm.LLM``."""
    arguments: dict[str, Any] = {
        "model": settings.location,
        "revision": settings.revision,
        "tokenizer_revision": settings.revision,
        "trust_remote_code": False,
        "load_format": "safetensors",
        # Of vLLM's own LLaVA the tower's tensors are called otherwise; transformers' modules know their own names.
        "model_impl": "transformers" if settings.transformers_names else "auto",
        "dtype": str(settings.dtype).removeprefix("torch."),
        "max_model_len": settings.max_tokens,
        "max_num_seqs": settings.rows,
        "limit_mm_per_prompt": {"image": 1},
        "generation_config": "vllm",  # not the checkpoint's sampling settings
        # Every picture is a new one: there is nothing to find again.
        "enable_prefix_caching": False,
        "mm_processor_cache_gb": 0,
        "disable_log_stats": False,  # or requests carry no times
        "use_tqdm_on_load": False,
        "enforce_eager": settings.device.type == "cpu",  # compiling takes longer than a CPU's work is worth
    }
    if settings.device.type == "cuda":
        arguments["gpu_memory_utilization"] = _gpu_share(settings.device)
    return arguments


def sampling_arguments(settings: EngineSettings) -> dict[str, Any]:
    """Keyword arguments of ``vllm.SamplingParams``: greedy."""
    return {
        "temperature": 0.0,
        "max_tokens": settings.max_new_tokens,
        "stop_token_ids": list(settings.end_ids),
        "detokenize": False,  # the captioner does it
        "logprobs": 0,  # of the chosen tokens alone: they tell whether logits were finite
    }


class OfflineEngine:
    """A running ``vllm.LLM`` and how it samples."""

    def __init__(self, llm: Any, sampling: Any) -> None:
        self._llm = llm
        self._sampling = sampling
        self._finalizer = weakref.finalize(self, _shut_down, llm)

    def generate(self, prompts: Sequence[dict[str, Any]]) -> Sequence[Any]:
        """See `Engine`."""
        outputs: list[Any] = self._llm.generate(list(prompts), self._sampling, use_tqdm=False)
        return outputs

    def is_idle(self) -> bool:
        """See `Engine`."""
        return not self._llm.llm_engine.has_unfinished_requests()

    def close(self) -> None:
        """See `Engine`."""
        self._finalizer()


def _set_environment() -> None:
    """Read when vLLM is imported, and inherited by its processes; what the user has set stays."""
    for variable, value in (
        ("VLLM_NO_USAGE_STATS", "1"),
        ("DO_NOT_TRACK", "1"),
        ("VLLM_LOGGING_LEVEL", "ERROR"),
        # In this process it would replace parts of transformers that other models here use.
        ("VLLM_ENABLE_V1_MULTIPROCESSING", "1"),
        ("VLLM_WORKER_MULTIPROC_METHOD", "spawn"),  # a fork of a worker's threads can hang
        ("VLLM_CPU_KVCACHE_SPACE", "1"),  # GiB; on a CPU vLLM would take most of the machine's memory
    ):
        os.environ.setdefault(variable, value)


def _gpu_share(device: torch.device) -> float:
    import torch

    torch.cuda.empty_cache()  # what this process keeps for later counts as taken
    free, total = torch.cuda.mem_get_info(device)
    return round(_GPU_SHARE * free / total, 3)


@contextlib.contextmanager
def _first_visible(device: torch.device) -> Iterator[None]:
    """Lets processes that start meanwhile see one GPU only, because vLLM takes the first that it sees."""
    if device.type != "cuda" or not device.index:
        yield
        return
    before = os.environ.get(_VISIBLE)
    visible = before.split(",") if before else [str(number) for number in range(device.index + 1)]
    os.environ[_VISIBLE] = visible[device.index]
    try:
        yield
    finally:
        if before is None:
            del os.environ[_VISIBLE]
        else:
            os.environ[_VISIBLE] = before


def _shut_down(llm: Any) -> None:
    core = getattr(getattr(llm, "llm_engine", None), "engine_core", None)
    if core is not None:
        core.shutdown()


def _in_one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:_MAX_ERROR_CHARS]
