"""What a command may say on standard error: lines of this project, and of nobody else."""

from __future__ import annotations

import re

_OURS = (
    r"",
    r"loaded (CLIP|captioner) \S+ on \S+ in torch\.\w+",
    r"The demonstration's tiny models know only coloured shapes; .*",
    r"Writing \S+ to \S+ \(config [0-9a-f]{16}, attempt \d+\)\.",
    r"Phase: [a-z ()]+\.",
    r"[\d,]+ (rows done so far|of (about )?[\d,]+ rows done \(\d+ %\)).*",
    r"stage +rows in +rejected +rows out +ms/row +top reasons",
    r"[a-z_]+( +[\d,]+){3}.*",
    r"Done: [\d,]+ rows, [\d,]+ kept.*\.",
    r"This run took .*\.",
    r"Written:",
    r"  \S+( +[\d,]+ files?, .+)?",
    r"python -m pipelines\.\w+: .*",
)


def strangers(said: str) -> list[str]:
    """Lines that are not ours."""
    return [line for line in said.splitlines() if not any(re.fullmatch(ours, line.rstrip()) for ours in _OURS)]
