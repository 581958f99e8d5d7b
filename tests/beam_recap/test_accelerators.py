from __future__ import annotations

import pytest

from beam_recap.accelerators import (
    GPU_PRESETS,
    Accelerator,
    accelerator_name,
    default_machine,
    machine_problem,
    parse_accelerator,
)
from beam_recap.config import RecapConfig

L4 = "type:nvidia-l4;count:1;install-nvidia-driver"


@pytest.mark.parametrize(
    ("text", "accelerator"),
    [
        (L4, Accelerator("nvidia-l4", 1, L4)),
        ("L4", Accelerator("nvidia-l4", 1, L4)),
        (f"{L4}:5xx;use_nvidia_mps", Accelerator("nvidia-l4", 1, f"{L4}:5xx;use_nvidia_mps")),
        (
            "type:nvidia-tesla-t4;count:4;install-nvidia-driver",
            Accelerator("nvidia-tesla-t4", 4, "type:nvidia-tesla-t4;count:4;install-nvidia-driver"),
        ),
    ],
)
def test_read(text: str, accelerator: Accelerator) -> None:
    assert parse_accelerator(text) == accelerator


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("nonsense", "is no accelerator; give l4, a100, a100-80gb, h100, or a text such as type:"),
        ("nvidia-l4", "is no accelerator"),
        ("type:nvidia-l4", "is no accelerator"),
        ("type:nvidia-l4;count:0;install-nvidia-driver", "is no accelerator"),
        ("type:nvidia-l4;count:1;install_nvidia_driver", "is no accelerator"),
        ("count:1;type:nvidia-l4;install-nvidia-driver", "is no accelerator"),
        (f"{L4};", "is no accelerator"),
        (f"{L4}\n", "is no accelerator"),
        (
            "type:nvidia-l5;count:1;install-nvidia-driver",
            "names a GPU that Dataflow does not have; give one of nvidia-l4",
        ),
        ("type:nvidia-l4;count:1", "asks for no driver"),
    ],
)
def test_refused(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_accelerator(text)


@pytest.mark.parametrize(
    ("text", "machine", "problem"),
    [
        ("l4", "g2-standard-12", None),
        ("l4", "g2-standard-24", "has 2 nvidia-l4, not 1; give count:2"),
        ("l4", "n1-standard-8", "has no nvidia-l4; give one of g2-standard-4, "),
        ("l4", "a2-highgpu-1g", "has no nvidia-l4"),
        ("a100", "a2-highgpu-1g", None),
        ("a100", "a2-ultragpu-1g", "has no nvidia-tesla-a100"),
        ("a100-80gb", "a2-ultragpu-1g", None),
        ("h100", "a3-highgpu-8g", "has 8 nvidia-h100-80gb, not 1"),
        ("type:nvidia-h100-80gb;count:8;install-nvidia-driver", "a3-highgpu-8g", None),
        ("type:nvidia-tesla-t4;count:1;install-nvidia-driver", "n1-custom-8-32768", None),
        ("type:nvidia-tesla-t4;count:3;install-nvidia-driver", "n1-standard-8", "cannot have 3 nvidia-tesla-t4; give"),
        ("type:nvidia-tesla-t4;count:1;install-nvidia-driver", "g2-standard-4", "cannot have nvidia-tesla-t4, which"),
    ],
)
def test_machines(text: str, machine: str, problem: str | None) -> None:
    found = machine_problem(parse_accelerator(text), machine)
    assert found is None if problem is None else str(found).startswith(problem)


@pytest.mark.parametrize("name", GPU_PRESETS)
def test_a_preset_fits_its_gpus_memory(name: str) -> None:
    preset = GPU_PRESETS[name]
    accelerator = parse_accelerator(name)
    assert machine_problem(accelerator, preset.machine_type) is None
    assert default_machine(accelerator) == preset.machine_type
    # LLaVA-1.5 with LLaMA-3-8B: 8.36e9 parameters in 2 bytes; per token keys and values of 32 layers of 8 heads of 128
    # numbers; 576 tokens of a picture, the prompt and 128 new ones. ViT-L/14 in float16.
    weights_gb = 8.36 * 2 + 0.43 * 2
    slots_gb = preset.caption_batch_size * (576 + 64 + 128) * 32 * 8 * 128 * 2 * 2 / 1e9
    working_gb = 3  # CUDA itself, and reading a group of prompts
    assert weights_gb + slots_gb + working_gb < preset.gpu_memory_gb


def test_a_preset_sets_what_was_not_given() -> None:
    flags = {"input": "/in/a.tar", "output": "/out"}
    config = RecapConfig.from_flags({**flags, "gpu_accelerator": "L4"})
    assert (config.gpu_accelerator, config.caption_batch_size, config.dtype) == ("l4", 16, "bfloat16")
    config = RecapConfig.from_flags({**flags, "gpu_accelerator": "h100", "caption_batch_size": "8", "dtype": "float16"})
    assert (config.caption_batch_size, config.dtype) == (8, "float16")
    config = RecapConfig.from_flags({**flags, "gpu_accelerator": L4})
    assert (config.gpu_accelerator, config.caption_batch_size, config.dtype) == (L4, None, "auto")


def test_names() -> None:
    assert accelerator_name("A100-80GB") == "a100-80gb"
    assert accelerator_name(L4) == L4
