"""The command line that gives a config again."""

from __future__ import annotations

import shlex

from beam_recap.config import DEMO_OUTPUT, RecapConfig
from beam_recap.flag_values import as_text
from beam_recap.flags import FLAGS

_PROGRAM = "python -m pipelines.recap"


def command_line(config: RecapConfig) -> str:
    """The program with every flag that differs from its default, as ``--flag=value``, quoted for a shell."""
    shown = {"preset": config.preset}
    if config.input:
        shown["input"] = ",".join(config.input)
    if config.input or config.output != DEMO_OUTPUT:
        shown["output"] = config.output
    defaults = RecapConfig.from_flags(shown)
    for flag in FLAGS:
        value = getattr(config, flag.name)
        if value != getattr(defaults, flag.name):
            shown[flag.name] = as_text(value)
    # The preset first, in the order of --help otherwise.
    names = sorted(shown, key=["preset", *(flag.name for flag in FLAGS)].index)
    return " ".join([_PROGRAM, *(f"--{name}={shlex.quote(shown[name])}" for name in names)])
