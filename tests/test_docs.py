"""What the guides say is what the code does."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest
from apache_beam.options.pipeline_options import PipelineOptions, _BeamArgumentParser

from beam_recap import convert_llava
from beam_recap.flag import Flag
from beam_recap.options import RecapOptions
from beam_recap.plan.options import PlanOptions
from beam_recap.records import Reason, Stage
from beam_recap.reference import options_page, reasons_page

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
_COUNTED = re.compile(r'(?:Metrics\.(?:counter|distribution)\([\w.]+, f?|_increase\(|_note\()"([\w{}.]+)"')
_LINK = re.compile(r"(?<!\!)\[[^\]]+\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
# Commands whose flags are their own: of other tools, and of the benchmarks.
_OTHER_COMMAND = re.compile(r"`[^`]*(?:\buv |\bdocker |\bgcloud |tests[./]benchmarks|beam_recap\.demo)[^`]*`")


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


def known_flags() -> set[str]:
    """Of every command of ours, and of Beam."""
    parser = _BeamArgumentParser(add_help=False, conflict_handler="resolve")
    for options in (*PipelineOptions.__subclasses__(), PlanOptions):
        options._add_argparse_args(parser)
    names = {name for action in parser._actions for name in action.option_strings}
    modules = [*ROOT.glob("beam_recap/**/*flags.py"), *ROOT.glob("beam_recap/*/settings.py")]
    for path in modules:
        module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
        lists = [value for value in vars(module).values() if isinstance(value, tuple)]
        names |= {f"--{flag.name}" for flags in lists for flag in flags if isinstance(flag, Flag)}
    names |= {f"--{name}" for name in convert_llava._READERS}
    return names | {"--help", "--name"}


def flags_named(page: Path) -> set[str]:
    """Ours have no hyphens; what stands in blocks of bash is for other tools."""
    text = re.sub(r"^```bash\n.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    text = _OTHER_COMMAND.sub("", text)
    return set(re.findall(r"(?<![\w-])--[a-z][a-z0-9_]*(?![\w-])", text))


@pytest.fixture(scope="module")
def known() -> set[str]:
    return known_flags()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_flags_in_the_guides_exist(page: Path, known: set[str]) -> None:
    assert flags_named(page) - known == set()


def test_pages_made_from_the_code_are_up_to_date() -> None:
    assert (ROOT / "docs/options.md").read_text() == options_page(), "run `make reference`"
    assert (ROOT / "docs/reasons.md").read_text() == reasons_page(), "run `make reference`"


def test_every_reason_and_stage_has_a_line() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", (ROOT / "docs/reasons.md").read_text(), re.MULTILINE)
    assert [name for name, _ in rows] == [*map(str, Stage), *map(str, Reason)]
    for name, cells in rows[len(Stage) :]:
        meaning, is_transient, remedy = cells.split(" | ")
        assert meaning and remedy, name
        assert is_transient == ("yes" if Reason(name).is_transient else ""), name


def test_every_flag_has_a_line() -> None:
    page = (ROOT / "docs/options.md").read_text()
    section = page.split("\n## pipelines.recap\n")[1].split("\n## ")[0].split("\n### What the presets set")[0]
    rows = dict(re.findall(r"^\| `--(\w+)` \| (?:`[^`]*`|by preset)? ?\| (.*) \|$", section, re.MULTILINE))
    assert set(rows) == {flag.name for flag in RecapOptions.flags}
    assert all(rows.values())


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in ("".join(found) for found in _LINK.findall(page.read_text())):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_guide_can_be_found_from_the_readme() -> None:
    links = {"".join(found).partition("#")[0] for found in _LINK.findall((ROOT / "README.md").read_text())}
    assert {f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")} - links == set()
