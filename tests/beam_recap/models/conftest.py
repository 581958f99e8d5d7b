from __future__ import annotations

from pathlib import Path

import pytest
from support.untrained_models import NEW_TOKENS, save_untrained_clip, save_untrained_llava

from beam_recap.models.captioner import Captioner
from beam_recap.models.clip_scorer import ClipScorer


@pytest.fixture(scope="session")
def llava_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny-llava"
    save_untrained_llava(folder)
    return folder


@pytest.fixture(scope="session")
def captioner(llava_folder: Path) -> Captioner:
    return Captioner.load(str(llava_folder), device="cpu", max_new_tokens=NEW_TOKENS, batch_size=8)


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny-clip"
    save_untrained_clip(folder)
    return folder


@pytest.fixture(scope="session")
def scorer(clip_folder: Path) -> ClipScorer:
    return ClipScorer.load(str(clip_folder), None, device="cpu", batch_size=4)
