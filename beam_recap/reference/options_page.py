"""``docs/options.md``: every flag of every command, from the options classes that read them."""

from __future__ import annotations

from collections.abc import Sequence

from beam_recap.audit.options import AuditOptions
from beam_recap.clusters.settings import FLAGS as CLUSTER_FLAGS
from beam_recap.compare.settings import COMPARE_FLAGS
from beam_recap.flag import PRESET_VALUE, Flag
from beam_recap.flag_values import as_text
from beam_recap.flags import PRESETS
from beam_recap.flex_template import GROUP_TITLES
from beam_recap.options import RecapOptions
from beam_recap.plan.flags import PLAN_FLAGS
from beam_recap.preset_values import PRESET_VALUES
from beam_recap.publish.settings import FLAGS as PUBLISH_FLAGS
from beam_recap.reference.markdown import table

_INTRODUCTION = """# Options

Made from the code by `make reference`; a test compares. Every flag takes a value, `--name=value`. `none` switches a
threshold or a stage off where it is allowed. Flags of Apache Beam, such as `--runner`, work beside these in
`pipelines.recap`, `pipelines.audit` and `pipelines.plan`."""


def options_page() -> str:
    """The page's text."""
    recap = RecapOptions.flags
    shared = {flag.name: flag for flag in recap}
    audit = [flag for flag in AuditOptions.flags if shared.get(flag.name) != flag]
    audit_shared = [flag for flag in AuditOptions.flags if shared.get(flag.name) == flag]
    sections = [
        _INTRODUCTION,
        "## pipelines.recap",
        *(f"### {GROUP_TITLES[group]}\n\n{_flags(flags)}" for group, flags in _by_group(recap)),
        f"### What the presets set\n\n{_presets()}",
        f"## pipelines.cluster\n\n{_flags(CLUSTER_FLAGS)}",
        f"## pipelines.audit\n\n{_flags(audit)}\n\nAs in `pipelines.recap`: {_names(audit_shared)}.",
        f"## pipelines.plan\n\nBeside all flags of `pipelines.recap`:\n\n{_flags(PLAN_FLAGS)}",
        f"## pipelines.publish\n\n{_flags(PUBLISH_FLAGS)}",
        f"## pipelines.compare\n\n{_flags(COMPARE_FLAGS)}",
    ]
    return "\n\n".join(sections) + "\n"


def _by_group(flags: Sequence[Flag]) -> list[tuple[str, list[Flag]]]:
    groups = dict.fromkeys(flag.group for flag in flags)
    return [(group, [flag for flag in flags if flag.group == group]) for group in groups]


def _flags(flags: Sequence[Flag]) -> str:
    return table(("flag", "default", "meaning"), [(f"`--{flag.name}`", _default(flag), flag.help) for flag in flags])


def _default(flag: Flag) -> str:
    if flag.default is None:
        return ""
    return "by preset" if flag.default == PRESET_VALUE else f"`{flag.default}`"


def _names(flags: Sequence[Flag]) -> str:
    return ", ".join(f"`--{flag.name}`" for flag in flags)


def _presets() -> str:
    names = sorted({name for values in PRESET_VALUES.values() for name in values})
    rows = [(f"`--{name}`", *(f"`{as_text(PRESET_VALUES[preset].get(name))}`" for preset in PRESETS)) for name in names]
    return table(("flag", *(f"`{preset}`" for preset in PRESETS)), rows)
