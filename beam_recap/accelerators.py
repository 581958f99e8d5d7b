"""GPUs of Dataflow's workers: which machines have which, and settings that fit their memory.

Beam hands an accelerator's text on as it is; a wrong one ends a job only after its workers have been waited for.
Source of the pairs: Compute Engine's documentation, "GPU machine types", and Dataflow's, "Use GPUs".
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_SIZED = {f"{size}g": size for size in (1, 2, 4, 8)}
_MACHINES: dict[str, dict[str, int]] = {
    "nvidia-l4": {f"g2-standard-{cpus}": {24: 2, 48: 4, 96: 8}.get(cpus, 1) for cpus in (4, 8, 12, 16, 24, 32, 48, 96)},
    "nvidia-tesla-a100": {**{f"a2-highgpu-{name}": gpus for name, gpus in _SIZED.items()}, "a2-megagpu-16g": 16},
    "nvidia-a100-80gb": {f"a2-ultragpu-{name}": gpus for name, gpus in _SIZED.items()},
    "nvidia-h100-80gb": {f"a3-highgpu-{name}": gpus for name, gpus in _SIZED.items()},
    "nvidia-h100-mega-80gb": {"a3-megagpu-8g": 8},
}
# These are added to any N1 machine, in these numbers.
_ADDED_TO_N1 = {
    "nvidia-tesla-t4": (1, 2, 4),
    "nvidia-tesla-p4": (1, 2, 4),
    "nvidia-tesla-p100": (1, 2, 4),
    "nvidia-tesla-v100": (1, 2, 4, 8),
}
_FORM = re.compile(
    r"type:(?P<type>[a-z0-9-]+);count:(?P<count>[1-9]\d?)"
    r"(?P<driver>;install-nvidia-driver(:[A-Za-z0-9.]+)?)?(;use_nvidia_mps)?"
)


@dataclass(frozen=True, slots=True)
class Accelerator:
    """GPUs of each worker."""

    type: str  # Compute Engine's name
    count: int
    text: str  # as Dataflow reads it


@dataclass(frozen=True, slots=True)
class AcceleratorPreset:
    """A GPU with a machine around it and settings of an 8B captioner in bfloat16 that fit its memory."""

    accelerator: str
    machine_type: str
    gpu_memory_gb: int
    caption_batch_size: int
    dtype: str = "bfloat16"


def _with_driver(kind: str) -> str:
    return f"type:{kind};count:1;install-nvidia-driver"


# The weights of LLaVA-1.5 with LLaMA-3-8B are 17 GB in bfloat16, ViT-L/14's 1; a caption being written needs 0.13 MB of
# keys and values a token, about 0.1 GB (`tests/beam_recap/test_accelerators.py` adds it up).
GPU_PRESETS = {
    "l4": AcceleratorPreset(_with_driver("nvidia-l4"), "g2-standard-12", 24, 16),
    "a100": AcceleratorPreset(_with_driver("nvidia-tesla-a100"), "a2-highgpu-1g", 40, 64),
    "a100-80gb": AcceleratorPreset(_with_driver("nvidia-a100-80gb"), "a2-ultragpu-1g", 80, 128),
    "h100": AcceleratorPreset(_with_driver("nvidia-h100-80gb"), "a3-highgpu-1g", 80, 128),
}


def parse_accelerator(text: str) -> Accelerator:
    """Reads a preset's name, or ``type:TYPE;count:N[;install-nvidia-driver[:VERSION]][;use_nvidia_mps]``.

    Raises:
      ValueError: it is none, or no GPU that Dataflow has; the message ends a sentence that begins with the text.
    """
    text = GPU_PRESETS[text.lower()].accelerator if text.lower() in GPU_PRESETS else text
    form = _FORM.fullmatch(text)
    if form is None:
        example = "type:nvidia-l4;count:1;install-nvidia-driver"
        raise ValueError(f"is no accelerator; give {', '.join(GPU_PRESETS)}, or a text such as {example}")
    known = [*_MACHINES, *_ADDED_TO_N1]
    if form["type"] not in known:
        raise ValueError(f"names a GPU that Dataflow does not have; give one of {', '.join(known)}")
    if not form["driver"]:
        raise ValueError("asks for no driver, so that workers could not use the GPU; add ;install-nvidia-driver")
    return Accelerator(form["type"], int(form["count"]), text)


def accelerator_name(text: str) -> str:
    """A preset's name in lower case, or Dataflow's text as it is. Raises what `parse_accelerator` raises."""
    found = parse_accelerator(text)
    return text.lower() if text.lower() in GPU_PRESETS else found.text


def machine_problem(accelerator: Accelerator, machine_type: str) -> str | None:
    """Why a machine cannot have these GPUs, as a sentence's end; None if it can."""
    if accelerator.type in _ADDED_TO_N1:
        counts = _ADDED_TO_N1[accelerator.type]
        if not machine_type.startswith("n1-"):
            return f"cannot have {accelerator.type}, which goes with N1 machines; give for example n1-standard-8"
        if accelerator.count not in counts:
            listed = ", ".join(map(str, counts))
            return f"cannot have {accelerator.count} {accelerator.type}; give a count of {listed}"
        return None
    machines = _MACHINES[accelerator.type]
    if machine_type not in machines:
        return f"has no {accelerator.type}; give one of {', '.join(machines)}"
    if machines[machine_type] != accelerator.count:
        count = machines[machine_type]
        return f"has {count} {accelerator.type}, not {accelerator.count}; give count:{count}"
    return None


def default_machine(accelerator: Accelerator) -> str | None:
    """A machine for these GPUs, where there is a preset for one; None: the user has to name it."""
    for preset in GPU_PRESETS.values():
        if parse_accelerator(preset.accelerator).type == accelerator.type and accelerator.count == 1:
            return preset.machine_type
    return None
