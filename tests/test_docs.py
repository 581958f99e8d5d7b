"""What the guides say is what the code does."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
_COUNTED = re.compile(r'(?:Metrics\.(?:counter|distribution)\([\w.]+, f?|_increase\(|_note\()"([\w{}.]+)"')


def counted() -> dict[str, str]:
    """Names of all metrics, with <> for what varies, and the file that counts them."""
    found = {}
    for path in sorted((ROOT / "transforms").glob("*.py")):
        for name in _COUNTED.findall(path.read_text()):
            found[re.sub(r"\{[^}]*\}", "<>", name)] = path.name
    return found


def test_every_metric_is_explained() -> None:
    told = (ROOT / "docs/operations.md").read_text()
    explained = {re.sub(r"<\w+>", "<>", name) for name in re.findall(r"`([\w<>]+)`", told.partition("## Metrics")[2])}
    names = counted()
    assert len(names) > 30
    assert {name: path for name, path in names.items() if name not in explained} == {}


def test_flags_in_the_guide_exist() -> None:
    from apache_beam.options.pipeline_options import PipelineOptions, _BeamArgumentParser

    from beam_recap.plan.options import PlanOptions

    parser = _BeamArgumentParser(add_help=False, conflict_handler="resolve")
    for options in (*PipelineOptions.__subclasses__(), PlanOptions):
        options._add_argparse_args(parser)
    known = {name for action in parser._actions for name in action.option_strings}
    named = set(re.findall(r"(?<![\w-])--[a-z_]+", (ROOT / "docs/operations.md").read_text()))
    assert named - known == set()
