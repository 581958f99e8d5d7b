"""An output that is not what its run wrote is refused, with a sentence; nothing is uploaded."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.small_outputs import KEPT, ROWS, SHARDS

from beam_recap.publish.card_checks import check_card, is_ours
from beam_recap.publish.run_files import PublishError, Run, read_run

FIRST = "data/train-00000-of-00003.parquet"


def _checked(output: Path, *include: str) -> Run:
    run = read_run(str(output), include)
    check_card(run.card, run.tables, [file.name for file in run.files])
    return run


def _summary(output: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = output / "summary.json"
    summary = json.loads(path.read_text())
    change(summary)
    path.write_text(json.dumps(summary))


def _card(output: Path, old: str, new: str) -> None:
    path = output / "README.md"
    assert path.read_text().count(old) >= 1
    path.write_text(path.read_text().replace(old, new, 1))


def _rewrite(output: Path, name: str, change: Callable[[pa.Table], pa.Table]) -> None:
    """Another file under this name, which the summary knows: only the card and the others can tell."""
    pq.write_table(change(pq.read_table(output / name)), output / name)
    data = (output / name).read_bytes()

    def tell(summary: dict[str, Any]) -> None:
        facts = next(file for file in summary["files"] if file["name"] == name)
        facts.update(
            bytes=len(data), sha256=hashlib.sha256(data).hexdigest(), rows=pq.read_metadata(output / name).num_rows
        )

    _summary(output, tell)


def test_a_run_is_read_whole(output: Path) -> None:
    run = _checked(output)
    names = [file.name for file in run.files]
    on_disk = {str(path.relative_to(output)) for path in output.rglob("*") if path.is_file()}
    assert set(names) == {name for name in on_disk if not name.startswith("_checkpoint/")}
    assert names[-1] == "README.md"
    assert len(run.tables) == SHARDS
    assert sum(table.rows for table in run.tables) == KEPT
    for file in run.files:
        data = (output / file.name).read_bytes()
        assert (file.size, file.sha256) == (len(data), hashlib.sha256(data).hexdigest())


def test_include_chooses_parts(output: Path) -> None:
    names = {file.name.split("/")[0] for file in _checked(output, "data").files}
    assert names == {"data", "README.md"}
    names = {file.name.split("/")[0] for file in _checked(output, "data", "report").files}
    assert names == {"data", "README.md", "report.html", "summary.json"}
    with pytest.raises(PublishError, match="asks for embeddings, but the run wrote none"):
        _checked(output, "data", "embeddings")


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _with_null_type(table: pa.Table) -> pa.Table:
    return table.set_column(0, "url", pa.array([None] * table.num_rows, pa.large_string()))


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "no summary": (lambda out: (out / "summary.json").unlink(), "summary.json is not there, so no run has ended here"),
    "summary is cut": (lambda out: _cut(out / "summary.json") or _cut(out / "summary.json"), "summary.json cannot be"),
    "a slice is left": (
        lambda out: _summary(out, lambda s: s.update(slices={"total": 3, "done": [1, 3]})),
        "tells of 2 of 3 slices; run --slice=2/3",
    ),
    "nothing kept": (
        lambda out: _summary(out, lambda s: s["counts"].update(kept=0, rejected=ROWS)),
        "no row was kept, and a dataset without rows cannot be loaded",
    ),
    "rows do not add up": (
        lambda out: _summary(out, lambda s: s["counts"].update(kept=KEPT + 1)),
        "50 rows are 28 [+] 23",
    ),
    "a strange name": (
        lambda out: _summary(out, lambda s: s["files"][0].update(name="data/../../secret")),
        "a file 'data/../../secret' that no run writes",
    ),
    "a file is missing": (lambda out: (out / FIRST).unlink(), f"{FIRST} is not there, but summary.json tells of it"),
    "a file is left over": (
        lambda out: shutil.copy(out / FIRST, out / "data/train-00003-of-00004.parquet"),
        "data/train-00003-of-00004.parquet is not among the files",
    ),
    "a stray folder": (
        lambda out: ((out / "embeddings").mkdir(), (out / "embeddings/x.npy").touch()),
        "embeddings/x.npy is not among the files",
    ),
    "a file is cut": (lambda out: _cut(out / FIRST), rf"{FIRST} is not the file that the run wrote: .* says bytes \d+"),
    "a bit is flipped": (lambda out: _flip(out / FIRST), f"{FIRST} is not the file that the run wrote: .* sha256"),
    "a rejected file is another": (
        lambda out: _flip(out / "rejected/part-00001-of-00003.parquet"),
        "rejected/part-00001-of-00003.parquet is not the file",
    ),
    "fewer rows": (
        lambda out: _rewrite(out, FIRST, lambda table: table.slice(1)),
        f"files in data/ hold {KEPT - 1} rows, but summary.json counts {KEPT} kept",
    ),
    "another schema": (
        lambda out: _rewrite(out, FIRST, _with_null_type),
        "train-00001-of-00003.parquet has other columns than data/train-00000-of-00003.parquet: url: string, not",
    ),
    "no report": (lambda out: (out / "report.html").unlink(), "report.html is not there"),
    "an empty report": (lambda out: (out / "report.html").write_text(""), "report.html is empty"),
    "no card": (lambda out: (out / "README.md").unlink(), "README.md is not there"),
    "a card without front matter": (
        lambda out: (out / "README.md").write_text("# Hello"),
        "README.md has no list of con",
    ),
    "front matter is no YAML": (
        lambda out: _card(out, "license: other", "license: [other"),
        "cannot be read .*README|REA",
    ),
    "another number of rows": (
        lambda out: _card(out, f"num_examples: {KEPT}", "num_examples: 7"),
        f"README.md says 7 for num_examples of train, but the files have {KEPT}",
    ),
    "another size": (lambda out: _card(out, "download_size: ", "download_size: 1"), "for download_size, but the files"),
    "another size in memory": (
        lambda out: _card(out, "num_bytes: ", "num_bytes: 1"),
        "for num_bytes of train, but the",
    ),
    "another sum": (
        lambda out: _card(out, "dataset_size: ", "dataset_size: 1"),
        "for dataset_size, but the files have",
    ),
    "another type": (
        lambda out: _card(out, "- name: url\n    dtype: string", "- name: url\n    dtype: int64"),
        "says {'name': 'url', 'dtype': 'int64'} for number 1 of the features, but the files have .*'string'",
    ),
    "another split": (lambda out: _card(out, "- split: train", "- split: test"), "for number 1 of the names of splits"),
    "a pattern that misses files": (
        lambda out: _card(out, "path: data/train-*", "path: data/train-00000-*"),
        "the default config's data_files does not name data/train-00001-of-00003.parquet",
    ),
    "a pattern that takes others": (
        lambda out: _card(out, "path: data/train-*", "path: '*/*-0000*'"),
        "the default config's data_files names rejected/part-00000-of-00003.parquet",
    ),
    "a pattern of nothing": (
        lambda out: _card(out, "path: data/train-*", "path: data/part-*"),
        r"of split train of config default \(data/part-\*\) are not among those to be published",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_not_as_it_should_be_is_refused(output: Path, case: str) -> None:
    spoil, sentence = BROKEN[case]
    spoil(output)
    with pytest.raises(PublishError, match=sentence) as refused:
        _checked(output)
    said = str(refused.value)
    assert "\n" not in said and len(said) < 600
    assert ";" in said or "no row was kept" in said  # the remedy comes last


def test_a_card_that_a_person_has_edited_is_taken(output: Path) -> None:
    _card(output, "license: other", "license: cc-by-4.0\nlanguage: en")
    _card(output, "## Licence", "## My own words\n\n## Licence")
    assert "My own words" in _checked(output).card


def test_cards_of_ours_are_known(made: Path) -> None:
    assert is_ours((made / "README.md").read_text())
    for other in (
        "",
        "# Hello",
        "---\nlicense: mit\n---\n",
        "---\ntags: beam\n---\n",
        "---\n- a\n---\n",
        "---\n[\n---\n",
    ):
        assert not is_ours(other)
