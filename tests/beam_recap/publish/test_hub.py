"""What is sent to the hub, and what is said when it does not take it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.hub_server import CUT, HubServer
from support.small_outputs import KEPT

from beam_recap import __version__
from beam_recap.flag import ConfigError
from beam_recap.publish import hub as publish_hub
from beam_recap.publish.hub import Published, publish
from beam_recap.publish.hub_errors import HubError
from beam_recap.publish.run_files import Run, read_run
from beam_recap.publish.settings import parse_flags

REPO = "me/birds"
FOREIGN_CARD = b"---\nlicense: mit\n---\n# Somebody's birds\n"


def _publish(output: Path, *flags: str) -> Published:
    settings = parse_flags([str(output), f"--repo_id={REPO}", *flags])
    return publish(read_run(settings.output, settings.include), settings)


def _expected(output: Path) -> dict[str, bytes]:
    """What the repository should hold: everything but the checkpoint."""
    paths = [path for path in output.rglob("*") if path.is_file() and "_checkpoint" not in path.parts]
    return {str(path.relative_to(output)): path.read_bytes() for path in paths}


def _held(hub: HubServer, branch: str = "main") -> dict[str, bytes]:
    return {path: data for path, data in hub.files(REPO, branch).items() if path != ".gitattributes"}


def test_a_new_repository_holds_the_output_and_is_private(output: Path, hub: HubServer) -> None:
    published = _publish(output)
    assert published.url == f"{hub.url}/datasets/{REPO}"
    assert _held(hub) == _expected(output)
    assert published.sent == len(_expected(output)) and published.unchanged == published.removed == 0
    assert hub.repositories[REPO].private
    # One commit: nobody has seen files without their card.
    assert hub.repositories[REPO].messages == ["initial commit", f"Publish {KEPT} rows of beam-recap {__version__}"]


def test_public_only_if_asked_for(output: Path, hub: HubServer) -> None:
    _publish(output, "--private=false", "--commit_message=my birds")
    assert not hub.repositories[REPO].private
    assert hub.repositories[REPO].messages[-1] == "my birds"
    with pytest.raises(ConfigError, match=r"^--private=true: me/birds is there and public; give --private=false, or"):
        _publish(output)


def test_what_is_there_is_not_sent_again(output: Path, hub: HubServer) -> None:
    _publish(output)
    hub.requests.clear()
    again = _publish(output)
    assert (again.sent, again.unchanged, again.removed) == (0, len(_expected(output)), 0)
    assert not hub.requests & {"put": 1, "commit": 1, "preupload": 1}.keys() and hub.requests["tree"] == 1
    (output / "README.md").write_text((output / "README.md").read_text() + "\nMore.\n")
    assert _publish(output).sent == 1
    assert _held(hub) == _expected(output)


def test_an_upload_that_broke_off_goes_on(output: Path, hub: HubServer) -> None:
    hub.faults["commit"] = [500]
    with pytest.raises(
        HubError, match=r"^the hub fails \(500 .*same command again: what has arrived is not sent again$"
    ):
        _publish(output)
    assert "README.md" not in hub.files(REPO)
    sent = hub.put_bytes
    _publish(output)
    assert _held(hub) == _expected(output)
    assert hub.put_bytes == sent  # the large files had arrived


def test_more_files_than_a_commit_takes(output: Path, hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish_hub, "_COMMIT_FILES", 3)
    seen: list[set[str]] = []
    hub.before = lambda kind: seen.append(set(_held(hub))) if kind == "commit" else None
    _publish(output)
    assert len(seen) == 3
    assert all("README.md" not in names for names in seen)  # it comes with the last commit
    assert hub.repositories[REPO].messages[-1].endswith("(3 of 3)")
    assert _held(hub) == _expected(output)


def test_what_an_earlier_publication_left_is_removed(output: Path, hub: HubServer) -> None:
    _publish(output)
    repository = hub.repositories[REPO]
    more = {"data/train-00009-of-00010.parquet": b"old", "rejected/old.parquet": b"old", "notes/mine.txt": b"kept"}
    repository.commit("main", {**hub.files(REPO), **more}, "more")
    assert _publish(output, "--include=data,rejected").removed == 4  # the report, too, is none of this publication
    held = _held(hub)
    assert held.pop("notes/mine.txt") == b"kept"
    assert held == {
        name: data for name, data in _expected(output).items() if name not in ("report.html", "summary.json")
    }


def test_others_cards_and_files_are_left_alone(output: Path, hub: HubServer) -> None:
    hub.add(REPO, {"README.md": FOREIGN_CARD})
    with pytest.raises(ConfigError, match=r"^--overwrite_card=false: the README.md of me/birds is not one that this"):
        _publish(output)
    assert _held(hub) == {"README.md": FOREIGN_CARD}
    _publish(output, "--overwrite_card=true")
    assert _held(hub) == _expected(output)

    hub.add(REPO, {"README.md": FOREIGN_CARD, "data/theirs.parquet": b"x"})
    for flags in (["--overwrite_card=true"], []):
        with pytest.raises(ConfigError):
            _publish(output, *flags)
    assert _held(hub) == {"README.md": FOREIGN_CARD, "data/theirs.parquet": b"x"}
    hub.add(REPO, {"data/theirs.parquet": b"x"})
    with pytest.raises(ConfigError, match=r"^--repo_id=me/birds: holds data/theirs.parquet, which is not of this run"):
        _publish(output)


def test_a_branch_of_its_own(output: Path, hub: HubServer) -> None:
    published = _publish(output, "--revision=v2")
    assert published.url.endswith("/datasets/me/birds/tree/v2")
    assert _held(hub, "v2") == _expected(output)
    assert _held(hub, "main") == {}
    assert _publish(output, "--revision=v2").sent == 0


def test_somebody_else_commits_meanwhile(output: Path, hub: HubServer) -> None:
    hub.add(REPO)

    def intrude(kind: str) -> None:
        if kind == "preupload":
            hub.repositories[REPO].commit("main", {"README.md": b"theirs"}, "theirs")

    hub.before = intrude
    with pytest.raises(
        HubError, match=r"^me/birds has changed meanwhile \(412 .*\); see who else writes to it, then run"
    ):
        _publish(output)
    assert _held(hub) == {"README.md": b"theirs"}


def test_a_file_that_changes_on_its_way_is_not_committed(output: Path, hub: HubServer) -> None:
    settings = parse_flags([str(output), f"--repo_id={REPO}"])
    run = read_run(settings.output, ())
    for name in ("rejected/part-00000-of-00003.parquet", "report.html"):
        before = (output / name).read_bytes()
        (output / name).write_bytes(before[:-1] + b"?")
        with pytest.raises(HubError, match=f"^{name} was changed while it was being uploaded"):
            publish(run, settings)
        (output / name).write_bytes(before)
    assert _held(hub) == {}


def test_passing_faults_are_overcome(output: Path, hub: HubServer) -> None:
    hub.faults = {"preupload": [503], "batch": [500], "put": [500, 429, CUT]}
    _publish(output)
    assert _held(hub) == _expected(output)


def test_files_from_a_bucket(output: Path, hub: HubServer, gcs, made: Path) -> None:
    gcs.put_folder(made, "gs://bucket/runs/out")
    run: Run = read_run("gs://bucket/runs/out", ())
    assert len(run.files) == len(_expected(made))
    settings = parse_flags(["gs://bucket/runs/out/", f"--repo_id={REPO}"])
    publish(run, settings)
    assert _held(hub) == _expected(made)
    assert json.loads(hub.files(REPO)["summary.json"])["counts"]["kept"] == KEPT
