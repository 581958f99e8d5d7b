"""Captions by 8-bit matrix products. A CPU computes them as a GPU does, slowly."""

from __future__ import annotations

import pytest
import torch

from beam_recap.demo import paths
from beam_recap.demo.evaluate import held_out_pictures
from beam_recap.models import captioner_checkpoint
from beam_recap.models.captions import Caption
from beam_recap.models.load_captioner import load_captioner
from beam_recap.models.slot_captioner import SlotCaptioner
from beam_recap.models.slots import decoder, float8
from beam_recap.models.slots.float8 import Float8Linear

PICTURES = 48


def test_captions_of_the_trained_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """They stay the same, word for word, though every product of the layers is another one."""
    products = 0
    forward = Float8Linear.forward

    def counted(self: Float8Linear, x: torch.Tensor) -> torch.Tensor:
        nonlocal products
        products += 1
        return forward(self, x)

    monkeypatch.setattr(Float8Linear, "forward", counted)
    images = [picture for _, picture in held_out_pictures(PICTURES, 33)]
    exact = load_captioner(str(paths.CAPTIONER), device="cpu")
    small = load_captioner(str(paths.CAPTIONER), device="cpu", quantization="fp8")
    assert isinstance(exact, SlotCaptioner) and isinstance(small, SlotCaptioner)
    products = 0
    expected = exact.caption(images)
    assert products == 0
    got = small.caption(images)
    steps = small._scheduler._engine.counts.steps + small._scheduler._engine.counts.prefills
    assert products == 4 * 4 * (steps - 1)  # four in each of four layers; one reading was of the grey picture
    assert all(isinstance(caption, Caption) for caption in got)
    same = sum(a == b for a, b in zip(got, expected, strict=True))
    assert same >= 0.95 * PICTURES
    # Alone or among others: a picture's caption is the same.
    assert small.caption(images[:3]) == got[:3]
    exact.close()
    small.close()


def test_weights_take_half_the_memory() -> None:
    layer = Float8Linear(torch.nn.Linear(64, 48, bias=False, dtype=torch.bfloat16))
    assert layer._weight.nbytes == 64 * 48
    assert layer._weight.dtype == torch.float8_e4m3fn


@pytest.mark.parametrize(
    ("engine", "message"),
    [
        ("generate", r"--caption_quantization=fp8 is not for --caption_engine=generate; use slots\."),
        (
            "auto",
            r"--caption_quantization=fp8: llava cannot run in slots: its language model is a llama, .*; use none\.",
        ),
    ],
    ids=["generate", "auto"],
)
def test_where_there_are_no_slots(monkeypatch: pytest.MonkeyPatch, engine: str, message: str) -> None:
    monkeypatch.setattr(decoder, "SUPPORTED", frozenset({"mistral"}))
    with pytest.raises(ValueError, match=message):
        load_captioner(str(paths.CAPTIONER), device="cpu", engine=engine, quantization="fp8")


def test_layers_of_odd_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(float8, "_ALIGNMENT", 48)  # 8 x 16 is none of it
    with pytest.raises(ValueError, match=r"=fp8: llava: a layer's sizes 256 x 128 are no multiples of 48; use none\."):
        load_captioner(str(paths.CAPTIONER), device="cpu", quantization="fp8")


def test_a_gpu_that_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the device is asked; that of a CPU is given out for a GPU's."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA A100")
    checkpoint = captioner_checkpoint.open_checkpoint(str(paths.CAPTIONER), None, "cpu", "auto", "Describe.")
    monkeypatch.setattr(type(checkpoint.model), "device", property(lambda self: torch.device("cuda")))
    with pytest.raises(ValueError, match=r"the GPU \(NVIDIA A100, compute capability 8\.0\) has no 8-bit"):
        SlotCaptioner.of(checkpoint, max_new_tokens=8, slots=2, float8=True)
