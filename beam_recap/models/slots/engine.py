"""Slots that captions are written in, filled anew as they finish. Synchronous, for one thread, without queues."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

import torch

from beam_recap.isolation import describe_error, is_device_lost, is_out_of_memory
from beam_recap.models.slots.decoder import LlamaDecoder

_LOG = logging.getLogger(__name__)

Key = TypeVar("Key")

_WARM_UP_STEPS = 3  # before a graph is captured, as PyTorch's documentation of torch.cuda.graph asks


@dataclass(frozen=True, slots=True)
class Prompt:
    """Tokens around one picture.

    Attributes:
      ids: the whole prompt, with one image token per image feature.
      image_start: where the first image token stands.
    """

    ids: tuple[int, ...]
    image_start: int


@dataclass(slots=True)
class EngineCounts:
    """What an engine has done so far."""

    prefills: int = 0
    prefilled_rows: int = 0
    steps: int = 0
    slot_steps: int = 0  # steps times slots
    live_slot_steps: int = 0  # of these, the ones that wrote a token

    def occupancy_since(self, before: EngineCounts) -> float | None:
        """The share of slot-steps since then that wrote something; None if there was no step."""
        steps = self.slot_steps - before.slot_steps
        return (self.live_slot_steps - before.live_slot_steps) / steps if steps else None


@dataclass(slots=True)
class Writing(Generic[Key]):
    """An answer in the making, or made.

    Attributes:
      key: the caller's.
      prompt_length: tokens.
      before: what the engine had done when it was begun.
      ids: new tokens, without the end token.
      ended: an end token came; not if the answer stopped at the limit.
      is_finite: all logits that it was chosen from were.
      occupancy: share of the engine's slots that wrote something meanwhile, 0 to 1; None if it took no step.
    """

    key: Key
    prompt_length: int
    before: EngineCounts
    ids: list[int] = field(default_factory=list)
    ended: bool = False
    is_finite: bool = True
    occupancy: float | None = None

    @property
    def position(self) -> int:
        """Where the newest token stands, which the next step reads."""
        return self.prompt_length + len(self.ids) - 1


class SlotEngine(Generic[Key]):
    """Captions pictures in `slots` places at once.

    Args:
      model: a transformers ``LlavaForConditionalGeneration``; its language model moves into the engine.
      end_ids: tokens that end an answer.
      slots: answers written at the same time.
      max_prompt: tokens of the longest prompt, those of the picture included.
      max_new_tokens: tokens of the longest answer.
      use_graph: on CUDA, replay one captured graph per step instead of launching each kernel.
      float8: the language model's layers multiply in 8 bits.

    Raises:
      UnsupportedModel: the model is of another kind.
      UnsupportedFloat8: the model cannot be multiplied in 8 bits.
    """

    def __init__(
        self,
        model: Any,
        end_ids: Sequence[int],
        *,
        slots: int,
        max_prompt: int,
        max_new_tokens: int,
        use_graph: bool = True,
        float8: bool = False,
    ) -> None:
        self._model = model
        self._end_ids = frozenset(end_ids)
        self._max_new_tokens = max_new_tokens
        self._decoder = LlamaDecoder(
            model.model.language_model, model.lm_head, max_prompt + max_new_tokens, float8=float8
        )
        self._use_graph = use_graph and self._decoder.device.type == "cuda"
        self.counts = EngineCounts()
        self.resize(slots)

    @property
    def slots(self) -> int:
        """Places in all."""
        return self._pools.slots

    @property
    def free(self) -> int:
        """Places that nothing is written in."""
        return len(self._free)

    @property
    def live(self) -> list[Key]:
        """Keys of what is being written."""
        return [writing.key for writing in self._writings.values()]

    def resize(self, slots: int) -> None:
        """Starts with other pools; what was being written is forgotten."""
        self._pools = self._graph = None  # freed before the new ones are allocated
        self._pools = self._decoder.new_pools(slots)
        device = self._decoder.device
        self._tokens = torch.zeros(slots, dtype=torch.int64, device=device)
        self._positions = torch.zeros(slots, dtype=torch.int64, device=device)
        self.clear()

    def clear(self) -> None:
        """Forgets what is being written."""
        self._writings: dict[int, Writing[Key]] = {}
        self._free = list(range(self._pools.slots))[::-1]

    def stage(self, pixels: torch.Tensor) -> torch.Tensor:
        """Pixels as they travel to the device quickest: in the model's dtype, and in pinned memory. For any thread."""
        pixels = pixels.to(self._decoder.dtype)
        return pixels.pin_memory() if self._decoder.device.type == "cuda" else pixels

    @torch.inference_mode()
    def admit(self, rows: Sequence[tuple[Key, Prompt, torch.Tensor]]) -> list[Writing[Key]]:
        """Reads pictures and prompts into free slots, and writes the first token of each answer.

        If it raises, nothing of these rows is in a slot, and the others are as they were.

        Args:
          rows: at most `free`: key, prompt, and pixels ``[3, H, W]`` as the model's image processor gives them, best
            as `stage` gives them.

        Returns:
          Answers that are finished already.
        """
        slots = self._free[-len(rows) :]
        at = torch.tensor(slots, device=self._decoder.device)
        last = torch.tensor([len(prompt.ids) - 1 for _, prompt, _ in rows], device=self._decoder.device)
        self._pools.clear(at)
        logits = self._decoder.prefill(self._embed(rows), last, at, self._pools)
        tokens = logits.argmax(dim=-1)
        self._tokens[at] = tokens
        self._positions[at] = last  # `step` goes on from the next
        is_finite = logits.amax(dim=-1).isfinite().tolist()
        first = tokens.tolist()
        del self._free[-len(rows) :]
        self.counts.prefills += 1
        self.counts.prefilled_rows += len(rows)
        before = replace(self.counts)
        for slot, (key, prompt, _) in zip(slots, rows, strict=True):
            self._writings[slot] = Writing(key, len(prompt.ids), before)
        return self._write(dict(zip(slots, zip(first, is_finite, strict=True), strict=True)))

    @torch.inference_mode()
    def step(self) -> list[Writing[Key]]:
        """Writes one token in each live slot.

        Returns:
          Answers that this finished.
        """
        tokens, is_finite = self._run_step().tolist()
        self.counts.steps += 1
        self.counts.slot_steps += self.slots
        self.counts.live_slot_steps += len(self._writings)
        return self._write({slot: (tokens[slot], bool(is_finite[slot])) for slot in self._writings})

    def _write(self, new: dict[int, tuple[int, bool]]) -> list[Writing[Key]]:
        finished = []
        for slot, (token, is_finite) in new.items():
            writing = self._writings[slot]
            writing.is_finite = writing.is_finite and is_finite
            writing.ended = self._is_end(writing, token)
            if not writing.ended:
                writing.ids.append(token)
            if writing.ended or not is_finite or len(writing.ids) == self._max_new_tokens:
                writing.occupancy = self.counts.occupancy_since(writing.before)
                finished.append(writing)
                del self._writings[slot]
                self._free.append(slot)
        return finished

    def _is_end(self, writing: Writing[Key], token: int) -> bool:
        """Whether a token ends an answer instead of belonging to it."""
        return token in self._end_ids

    def _embed(self, rows: Sequence[tuple[Key, Prompt, torch.Tensor]]) -> torch.Tensor:
        """Embeddings ``[N, P, hidden]`` of prompts with their pictures; short ones are filled up at the end."""
        device, dtype = self._decoder.device, self._decoder.dtype
        pixels = torch.stack([pixels.to(device, dtype, non_blocking=True) for _, _, pixels in rows])
        features = self._model.get_image_features(pixels, return_dict=True).pooler_output
        width = max(len(prompt.ids) for _, prompt, _ in rows)
        ids = [prompt.ids + prompt.ids[-1:] * (width - len(prompt.ids)) for _, prompt, _ in rows]
        embeddings = self._decoder.embedding(torch.tensor(ids, device=device))
        for row, (_, prompt, _) in enumerate(rows):
            image = features[row]
            embeddings[row, prompt.image_start : prompt.image_start + len(image)] = image
        return embeddings

    def _run_step(self) -> torch.Tensor:
        """New tokens, and 1 where their logits were finite: int64 ``[2, slots]``. It has to be read before the next."""
        if self._use_graph and self._graph is None:
            self._capture()
        if self._graph is None:
            return self._compute_step(1 + max(writing.position for writing in self._writings.values()))
        self._graph.replay()
        return self._graph_output

    def _compute_step(self, reach: int | None = None) -> torch.Tensor:
        """What `_run_step` returns; moves every slot on."""
        # A slot that is free goes on writing nonsense at its end, which nobody reads.
        self._positions.add_(1).clamp_(max=self._pools.length - 1)
        logits = self._decoder.step(self._tokens, self._positions, self._pools, reach)
        self._tokens.copy_(logits.argmax(dim=-1))
        return torch.stack((self._tokens, logits.amax(dim=-1).isfinite().long()))

    def _capture(self) -> None:
        """Captures a step, or finds that it cannot be captured. The trial steps leave no trace."""
        tokens, positions = self._tokens.clone(), self._positions.clone()
        try:
            with torch.cuda.device(self._decoder.device):
                # They write behind each answer's end, where the real step writes again before anything reads it.
                stream = torch.cuda.Stream()
                stream.wait_stream(torch.cuda.current_stream())
                with torch.cuda.stream(stream):
                    for _ in range(_WARM_UP_STEPS):
                        self._compute_step()
                torch.cuda.current_stream().wait_stream(stream)
                graph = torch.cuda.CUDAGraph()
                # Other threads of the process use the device meanwhile; that must not end the capture.
                with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                    self._graph_output = self._compute_step()
            self._graph = graph
        except Exception as error:
            if is_out_of_memory(error) or is_device_lost(error):
                raise
            self._use_graph = False
            _LOG.warning("a step cannot be captured as a CUDA graph, and is slower without: %s", describe_error(error))
        finally:
            self._tokens.copy_(tokens)
            self._positions.copy_(positions)
