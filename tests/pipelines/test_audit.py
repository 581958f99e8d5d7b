"""The command, as a user runs it, against numbers worked out without it."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw, ImageFont
from support.audits import write_run
from support.gcs_server import GcsServer
from support.pictures import encode
from support.recap_runs import ROOT, run_command
from support.shards import jpeg, write_table, write_tar

from beam_recap import files
from beam_recap.demo import paths
from beam_recap.images import DecodedImage, DecodeSettings, decode_image
from beam_recap.inputs.tar_rows import read_tar_rows
from beam_recap.inputs.units import Unit
from beam_recap.ocr import OCRSettings
from beam_recap.ocr.text_spotter import TextSpotter
from beam_recap.records import Sample
from pipelines.audit import main

PHOTOS = ROOT / ".." / "shared" / "data" / "photos"
ROWS = 42  # of the demonstration's shard; one of them is corrupt, one too small


def audit(*flags: str, timeout_s: float = 240) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipelines.audit", *flags]
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout_s, env=environment)


def figures_of(output: Path) -> dict[str, Any]:
    assert sorted(path.name for path in output.iterdir()) == ["audit.html", "audit.json"]
    return json.loads((output / "audit.json").read_text())


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    output = tmp_path_factory.mktemp("audit") / "out"
    flags = (f"--input={paths.SHARD}", f"--output={output}", f"--max_rows={ROWS}", "--clip_model=demo", "--max_words=9")
    done = audit("--runner=DirectRunner", *flags)
    assert done.returncode == 0, done.stderr
    return figures_of(output), done.stdout


@pytest.fixture(scope="module")
def spotted() -> list[tuple[str | None, str | None]]:
    """(caption, text or None) of each picture that can be decoded: the spotter, asked by hand."""
    spotter, found = TextSpotter(OCRSettings(full_text=True)), []
    unit = Unit(str(paths.SHARD), 0, "tar", limit=ROWS)
    for outcome in read_tar_rows(unit, url_column=None, caption_column=None, max_bytes=2**24, done=set()):
        assert isinstance(outcome, Sample)
        decoded = decode_image(outcome.image_bytes or b"", DecodeSettings(image_size=1536, min_image_size=32))
        if isinstance(decoded, DecodedImage):
            result = spotter.spot(decoded.image)
            found.append((outcome.caption, result.text if result.has_text else None))
    return found


def rate(caption: str, text: str) -> float:
    """As `co-embedded text rate`, for texts of ASCII."""
    words, written = (set(re.findall("[a-z0-9]+", part.casefold())) for part in (caption, text))
    return len(words & written) / len(words)


def test_the_demonstration(demo: tuple[dict[str, Any], str], spotted: list[tuple[str | None, str | None]]) -> None:
    found, _ = demo
    with_text = [(caption, text) for caption, text in spotted if text is not None]
    assert len(spotted) == ROWS - 2
    assert 5 <= len(with_text) <= 20
    assert found["images"] == {
        "read": ROWS,
        "judged": ROWS - 2,
        "not_judged": 2,
        "not_judged_by_reason": {"fetch: corrupt": 1, "fetch: too_small": 1},
        "with_text": len(with_text),
        "with_text_that_cannot_be_read": 0,
        "with_text_not_read_to_its_end": 0,
    }
    rates = [rate(caption or "", text or "") for caption, text in spotted]
    normalised = found["rates"]["normalised"]
    assert normalised["mean"]["value"] == pytest.approx(sum(rates) / len(spotted), abs=1e-8)
    assert normalised["mean_in_text_images"]["value"] == pytest.approx(sum(rates) / len(with_text), abs=1e-8)
    assert normalised["parrot"]["count"] == sum(value > 0 for value in rates) > 2
    low, high = normalised["mean"]["low"], normalised["mean"]["high"]
    assert 0 < low < normalised["mean"]["value"] < high < 0.3
    assert len(found["examples"]) == found["rates"]["fuzzy"]["parrot"]["count"]
    assert found["examples"][0]["normalised"] == max(rates)


def test_the_demonstrations_clip(demo: tuple[dict[str, Any], str]) -> None:
    score = demo[0]["synthetic_text_score"]
    assert (score["clip_model"], score["words"]["offered"]) == ("demo", 9)
    assert score["all"]["pictures"] == 4 * score["words"]["drawn"] > 20
    assert -1 <= score["all"]["mean"] <= 1


def test_what_the_terminal_and_the_page_say(demo: tuple[dict[str, Any], str]) -> None:
    found, told = demo
    lines = told.strip().splitlines()
    assert 10 <= len(lines) <= 16
    assert f"{ROWS} read, {ROWS - 2} judged, 2 not (fetch: corrupt 1, fetch: too_small 1)" in told
    assert f"{100 * found['with_text']['value']:.2f} %" in told
    page = Path(found["flags"]["output"], "audit.html").read_text()
    assert page.count("data:image/jpeg;base64,") == len(found["examples"])
    assert page.count("<svg") > 20
    assert "CLIP&#39;s eye" in page or "CLIP's eye" in page


@pytest.mark.slow
def test_a_runs_output_comes_to_the_same(demo: tuple[dict[str, Any], str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    measured = ("--preset=recap", "--captioner=none", "--clip_model=none", "--ocr=rapidocr", "--max_ocr_boxes=none")
    rows = (f"--input={paths.SHARD}", f"--max_rows={ROWS}", "--extra_columns=true")
    done = run_command(f"--output={run}", *measured, *rows)
    assert done.returncode == 0, done.stderr
    done = audit(f"--input={run}", "--rows=all", f"--output={tmp_path / 'out'}")
    assert done.returncode == 0, done.stderr
    found, same = figures_of(tmp_path / "out"), demo[0]
    for name in ("images", "with_text", "captions", "rates", "normalised_rate_histogram", "examples"):
        assert found[name] == same[name]  # the intervals too: they hang on the rows' ids alone
    assert found["input"]["kind"] == "output of a run"
    assert found["models"]["ocr_engine"] == same["models"]["ocr_engine"]


def test_rows_worked_out_by_hand_with_clusters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = [
        {"TEXT": "SALE now on", "uid": "a", "ocr_has_text": True, "ocr_text": "SALE", "kmeans": 1},
        {"TEXT": "a red circle", "uid": "b", "ocr_has_text": False, "ocr_text": "", "kmeans": 1},
        {"TEXT": None, "uid": "c", "ocr_has_text": True, "ocr_text": "BUY", "kmeans": 2},
        {"TEXT": "Buy it", "uid": "d", "ocr_has_text": True, "ocr_text": "buy it", "kmeans": None},
    ]
    rejected = [{"caption": "x", "uid": "e", "ocr_has_text": None, "ocr_text": None, "stage": "fetch", "reason": "dns"}]
    run = write_run(tmp_path / "run", kept, rejected)
    assert main([f"--input={run}", f"--output={run}/audit", "--rows=all"]) == 0
    found = figures_of(run / "audit")
    assert (found["images"]["read"], found["images"]["judged"]) == (5, 4)
    assert found["images"]["not_judged_by_reason"] == {"fetch: dns": 1}
    assert found["with_text"]["value"] == 3 / 4
    assert found["captions"]["missing"] == 1
    assert found["rates"]["normalised"]["mean"]["value"] == pytest.approx((1 / 3 + 0 + 1) / 3, abs=1e-8)
    assert found["rates"]["normalised"]["mean_in_text_images"]["value"] == pytest.approx((1 / 3 + 1) / 2, abs=1e-8)
    assert found["rates"]["strict"]["mean"]["value"] == pytest.approx((1 / 3 + 0 + 1 / 2) / 3, abs=1e-8)
    assert found["rates"]["normalised"]["words"]["value"] == 3 / 8
    clusters = {cluster["kmeans"]: cluster for cluster in found["clusters"]["largest"]}
    assert (found["clusters"]["count"], list(clusters)) == (2, [1, 2])
    assert clusters[1]["with_text"]["value"] == 1 / 2
    assert clusters[1]["rates"]["normalised"]["mean"]["value"] == pytest.approx(1 / 6, abs=1e-8)
    assert clusters[2]["rates"]["normalised"]["mean"] is None
    assert "clusters      2" in capsys.readouterr().out


def test_from_and_to_an_object_store(gcs: GcsServer, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [{"TEXT": "SALE now", "uid": "a", "ocr_has_text": True, "ocr_text": "SALE"}])
    gcs.buckets.add("b")
    for path in run.rglob("*.*"):
        gcs.put(f"gs://b/run/{path.relative_to(run)}", path.read_bytes())
    gcs.put("gs://b/words.txt", b"SALE\n")
    clip = ("--clip_model=demo", "--words=gs://b/words.txt")
    assert main(["--input=gs://b/run", "--output=gs://b/audit", *clip]) == 0
    assert sorted(name for name in gcs.objects if "/audit/" in name) == [
        "gs://b/audit/audit.html",
        "gs://b/audit/audit.json",
    ]
    found = json.loads(files.read_bytes("gs://b/audit/audit.json"))
    assert (found["input"]["kind"], found["images"]["with_text"]) == ("output of a run", 1)
    assert found["synthetic_text_score"]["all"]["pictures"] == 4
    gcs.put("gs://b/shards/a.csv", b"url,text\nhttp://127.0.0.1/a,b\n")
    assert main(["--input=gs://b/shards/*.csv", "--output=gs://b/second"]) == 0
    found = json.loads(files.read_bytes("gs://b/second/audit.json"))
    assert found["images"]["not_judged_by_reason"] == {"fetch: private_address": 1}


def test_hostile_rows(tmp_path: Path) -> None:
    """Captions of markup and control characters, a picture that is none, a row without a caption."""
    caption = "<script>alert(1)</script>\x00 ‮ SALE"
    picture = Image.new("RGB", (320, 160), "white")
    ImageDraw.Draw(picture).text((60, 50), "SALE", font=ImageFont.load_default(size=64), fill="black")
    rows = [
        {"__key__": "a", "png": encode(picture), "txt": caption.encode()},
        {"__key__": "b", "jpg": jpeg(64, 64)},
        {"__key__": "c", "jpg": b"<script>"},
    ]
    shard = write_tar(tmp_path / "in.tar", rows)
    assert main([f"--input={shard}", f"--output={tmp_path / 'out'}"]) == 0
    found = figures_of(tmp_path / "out")
    assert (found["images"]["read"], found["images"]["with_text"], found["captions"]["missing"]) == (3, 1, 1)
    assert found["examples"][0]["ocr_text"] == "SALE"
    page = (tmp_path / "out" / "audit.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "\x00" not in page


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--output={out}"], ["--input", "is required"]),
        (["--input={in}"], ["--output", "is required"]),
        (["--input=/no/such.parquet", "--output={out}"], ["matches no file"]),
        (["--input={in}", "--output={out}", "--min_clip_score=0.3"], ["--min_clip_score", "no such flag"]),
        (["--input={in}", "--output={out}", "--clip_model={tmp}/clip"], ["--clip_model"]),
        (["--input={in}", "--output={out}", "--direct_num_workers=two"], ["--direct_num_workers=two"]),
    ],
)
def test_what_cannot_be_used_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], words: list[str]
) -> None:
    shard = write_table(tmp_path / "in.csv", {"url": ["http://127.0.0.1/a"], "text": ["a"]})
    places = {"in": shard, "out": tmp_path / "out", "tmp": tmp_path}
    assert main([flag.format(**places) for flag in flags]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    (sentence,) = told.err.strip().splitlines()
    assert sentence.startswith("python -m pipelines.audit: --")
    assert all(word in sentence for word in words)
    assert not (tmp_path / "out").exists()


def test_weights_that_do_not_fit_are_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "clip"
    broken.mkdir()
    for path in paths.CLIP.iterdir():
        data = path.read_bytes()
        (broken / path.name).write_bytes(data[:100] if path.suffix == ".safetensors" else data)
    shard = write_table(tmp_path / "in.csv", {"url": ["http://127.0.0.1/a"], "text": ["a"]})
    assert main([f"--input={shard}", f"--output={tmp_path / 'out'}", f"--clip_model={broken}"]) == 2
    assert f"--clip_model={broken}: " in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from pipelines.audit import main; main(['--help']); "
        "print([name for name in ('torch', 'open_clip', 'rapidocr', 'onnxruntime', 'cv2') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: python -m pipelines.audit --input=PATTERN --output=DIR")
    assert done.stdout.strip().splitlines()[-1] == "[]"


@pytest.mark.skipif(not PHOTOS.exists(), reason="the photos are not here")
def test_real_photos(tmp_path: Path) -> None:
    rows = list(csv.DictReader((PHOTOS / "manifest.csv").open(encoding="utf-8")))
    chosen = (
        "notext_canyon.jpg",
        "notext_lake.jpg",
        "text_cat_meme.jpg",
        "text_bistro_menu.jpg",
        "text_stop_line_sign.jpg",
    )
    picked = [row for row in rows if row["file"] in chosen]
    columns = {"url": [str((PHOTOS / row["file"]).resolve()) for row in picked], "text": [r["caption"] for r in picked]}
    shard = write_table(tmp_path / "in.csv", columns)
    assert main([f"--input={shard}", f"--output={tmp_path / 'out'}", "--allow_local_files=true"]) == 0
    found = figures_of(tmp_path / "out")
    assert (found["images"]["judged"], found["images"]["with_text"]) == (5, 3)
    by_text = {example["caption"].split()[1]: example for example in found["examples"]}
    assert by_text["orange"]["normalised"] == pytest.approx(3 / 14)  # "Wake up human!"
    assert by_text["menu"]["normalised"] > 0.4
