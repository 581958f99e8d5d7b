"""Converts an original LLaVA checkpoint for --captioner: ``python -m beam_recap.convert_llava --help``.

It needs no network, and reads safetensors or PyTorch files without running code from them.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from beam_recap.flag import ConfigError
from beam_recap.flag_values import choice, text
from beam_recap.flag_words import refuse_bare_words, split_words
from beam_recap.models.llava_layout import DTYPES

_READERS: dict[str, Callable[[str], str]] = {
    "input": text,
    "output": text,
    "vision_tower": text,
    "dtype": choice(*DTYPES),
}
_HELP = """\
usage: python -m beam_recap.convert_llava --input=FOLDER --output=FOLDER [--vision_tower=FOLDER] [--dtype=DTYPE]

Converts a checkpoint in the original LLaVA layout (LlavaLlamaForCausalLM) to Hugging Face's, for --captioner=FOLDER.

  --input         The checkpoint: config.json, tokenizer and weights (safetensors or PyTorch files, whole or in shards).
  --output        Folder to write; it must not exist, or be empty.
  --vision_tower  Folder of the CLIP that config.json calls mm_vision_tower, in Hugging Face's layout; needed where the
                  checkpoint was saved without it.
  --dtype         bfloat16, float16, float32, or keep (default): each tensor as it is.
"""


def parse_flags(argv: Sequence[str]) -> dict[str, str]:
    """The flags' values by name.

    Raises:
      ConfigError: an unknown flag, one without a value or given twice, a value that it does not take, or none of the
        two that are required.
    """
    values, bare = split_words(argv, _READERS)
    refuse_bare_words(bare)
    for name, value in values.items():
        try:
            values[name] = _READERS[name](value)
        except ValueError as error:
            raise ConfigError(name, value, str(error)) from None
    for name in ("input", "output"):
        if name not in values:
            raise ConfigError(name, "", f"is required; write --{name}=FOLDER")
    if not Path(values["input"]).is_dir():
        raise ConfigError("input", values["input"], "is no folder; give that of the checkpoint")
    if "vision_tower" in values and not Path(values["vision_tower"]).is_dir():
        raise ConfigError("vision_tower", values["vision_tower"], "is no folder; give that of the CLIP")
    return values


def main(argv: Sequence[str]) -> int:
    """Converts; returns the exit status: 0, or 2 with one sentence on stderr."""
    if "--help" in argv or "-h" in argv:
        print(_HELP, end="")
        return 0
    try:
        flags = parse_flags(argv)
        from beam_recap.models.llava_convert import convert  # heavy: only once the flags are right

        tower = flags.get("vision_tower")
        output = Path(flags["output"])
        done = convert(Path(flags["input"]), output, Path(tower) if tower else None, flags.get("dtype", "keep"))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"wrote {output}: {done.tensors} tensors, {done.nbytes:,} bytes of {' and '.join(done.dtypes)}")
    before, after = done.rows
    print(f"vocabulary: {before} rows" + ("" if before == after else f", extended to {after} with their mean"))
    print(
        f"tokens: <image> {done.image_token_id}, padding {done.pad_token} {done.pad_token_id}, "
        f"ends {' '.join(done.end_tokens)}"
    )
    print(f"vision tower: from {done.tower}")
    return 0


def _stop(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)  # so that the unfinished folder is removed


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _stop)
    try:
        raise SystemExit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        raise SystemExit(130) from None
