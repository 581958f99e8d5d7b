"""Models at ``gs://`` paths do what they do from their folders."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.gcs_server import GcsServer
from support.untrained_models import noise_images

from beam_recap.config import RecapConfig
from beam_recap.demo import paths
from beam_recap.demo.fit_aesthetic import pictures
from beam_recap.flag import ConfigError
from beam_recap.model_files import ModelFilesError
from beam_recap.model_refs import ModelRefs
from beam_recap.models.aesthetic_head import AestheticHead
from beam_recap.models.captioner_checkpoint import CaptionerSource
from beam_recap.models.clip_scorer import ClipScorer
from beam_recap.models.load_captioner import load_captioner
from beam_recap.models.runtime import WeightsMismatch

LLAVA, CLIP, HEAD = "gs://b/models/llava", "gs://b/models/clip", "gs://b/heads/head.safetensors"


@pytest.fixture
def stored(gcs: GcsServer) -> GcsServer:
    gcs.put_folder(paths.CAPTIONER, LLAVA)
    gcs.put_folder(paths.CLIP, CLIP)
    gcs.put(HEAD, paths.AESTHETIC_HEAD.read_bytes())
    return gcs


def config(**flags: str) -> RecapConfig:
    return RecapConfig.from_flags({"input": "/in/*.parquet", "output": "/out", **flags})


def refusal(**flags: str) -> str:
    with pytest.raises(ConfigError) as caught:
        config(**flags)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("engine", ["slots", "generate"])
def test_a_captioner_writes_the_same(stored: GcsServer, engine: str) -> None:
    images, _ = pictures(4, seed=11, held_out=True)
    here, there = (
        load_captioner(path, engine=engine, device="cpu", max_new_tokens=40) for path in (str(paths.CAPTIONER), LLAVA)
    )
    captions = there.caption(images)
    assert captions == here.caption(images) and all(caption.text for caption in captions)
    assert there.model_id == LLAVA


def test_a_clip_and_a_head_score_the_same(stored: GcsServer) -> None:
    images = noise_images(3)
    scores = [
        ClipScorer.load(path, None, device="cpu").score(images, ["a red circle", None, "x"])
        for path in (str(paths.CLIP), CLIP)
    ]
    for here, there in zip(*scores, strict=True):
        assert here.score == there.score and (here.embedding == there.embedding).all()
    heads = [AestheticHead.load(path) for path in (str(paths.AESTHETIC_HEAD), HEAD)]
    embeddings = [score.embedding for score in scores[0]]
    assert heads[0].score(embeddings) == heads[1].score(embeddings)
    assert heads[1].head_id == heads[0].head_id.replace("aesthetic.", "head.")


def test_the_weights_that_open_clip_does_not_read_stay_there(stored: GcsServer) -> None:
    stored.put(f"{CLIP}/model.safetensors", b"transformers' own")
    stored.put(f"{CLIP}/open_clip_pytorch_model.bin", b"pickled")
    scorer = ClipScorer.load(CLIP, None, device="cpu")
    assert scorer.model_id == CLIP and not stored.sent[f"{CLIP}/model.safetensors"]


def test_weights_that_do_not_fit_are_refused_by_their_path(stored: GcsServer, tmp_path: Path) -> None:
    weights = load_file(paths.CAPTIONER / "model.safetensors")
    weights["junk"] = torch.zeros(2)
    save_file(weights, tmp_path / "x.safetensors", metadata={"format": "pt"})
    stored.put(f"{LLAVA}/model.safetensors", (tmp_path / "x.safetensors").read_bytes())
    with pytest.raises(WeightsMismatch, match=rf"^--captioner={LLAVA}: the weights are not this model's: 1 unexpected"):
        load_captioner(LLAVA, device="cpu")
    with pytest.raises(ValueError, match=f"--captioner={LLAVA} is a folder: it has no revision"):
        CaptionerSource.parse(LLAVA, "0" * 40)
    with pytest.raises(ModelFilesError, match="--captioner=gs://b/none: does not exist"):
        load_captioner("gs://b/none", device="cpu")


def test_a_config_of_remote_models(stored: GcsServer) -> None:
    def make() -> RecapConfig:
        return config(preset="recap-debiased", clip_model=f"{CLIP}/", aesthetic_weights=HEAD, captioner=LLAVA)

    made = make()
    assert made.uses_demo_models == () and made.clip_model == CLIP
    assert made.digest() == make().digest()
    assert not stored.sent  # so far by metadata alone
    refs = ModelRefs.of(made)
    named = refs.provenance
    assert (named.captioner, named.clip_model) == (LLAVA, CLIP)
    assert named.aesthetic_model == AestheticHead.load(paths.AESTHETIC_HEAD).head_id.replace("aesthetic.", "head.")
    assert refs.aesthetic_head is not None and AestheticHead.load(refs.aesthetic_head).head_id == named.aesthetic_model
    stored.put(f"{LLAVA}/generation_config.json", b"{}")
    assert make().digest() != made.digest()
    assert refs.captioner is not None
    with pytest.raises(ModelFilesError, match=f"^--captioner={LLAVA}: has changed since the run began"):
        load_captioner(refs.captioner, device="cpu")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"captioner": "gs://b/heads"}, "holds no config.json; give a checkpoint folder in Hugging Face form"),
        ({"captioner": "gs://b/none"}, "does not exist; give a folder that does"),
        ({"captioner": "gs://nobucket/llava"}, "does not exist (NotFound: 404 "),
        ({"captioner": "gs://closed/llava"}, "this account has no permission to read it (Forbidden: 403 "),
        ({"captioner": "gopher://b/llava"}, "gopher:// is no file system that is installed here; give a local"),
        ({"clip_model": "gs://b/heads"}, "is no folder with an open_clip_config.json; give a folder in open_clip's"),
        ({"clip_model": "gs://closed/clip"}, "this account has no permission to read it"),
        ({"clip_model": CLIP, "clip_pretrained": "openai"}, None),
        ({"aesthetic_weights": "gs://b/none.pth"}, "does not exist; give the path of the head's weight file"),
        ({"aesthetic_weights": "gs://closed/x.pth"}, "this account has no permission to read it"),
        ({"aesthetic_weights": "gs://b/models/clip"}, "is no .pth or .safetensors file"),
    ],
)
def test_a_refusal_is_a_sentence(stored: GcsServer, flags: dict[str, str], message: str | None) -> None:
    stored.buckets.add("closed")
    stored.refuse["gs://closed"] = 403
    (flag, value), *_ = flags.items()
    if message is None:
        assert refusal(**flags) == (
            "--clip_pretrained=openai: has no meaning here: the weights come with --clip_model; leave it out"
        )
    else:
        assert refusal(**flags).startswith(f"--{flag}={value}: {message}")


def test_a_head_that_may_not_be_read_is_a_sentence_too(stored: GcsServer) -> None:
    made = config(aesthetic_weights=HEAD, clip_model=CLIP)
    stored.refuse[f"download {HEAD}"] = 403
    with pytest.raises(ConfigError, match=f"^--aesthetic_weights={HEAD}: this account has no permission"):
        ModelRefs.of(made)


def test_files_that_vanish_before_the_fingerprint(stored: GcsServer) -> None:
    made = config(captioner=LLAVA)
    stored.refuse["gs://b"] = 403
    with pytest.raises(ConfigError, match=f"^--captioner={LLAVA}: this account has no permission"):
        made.identity()


def test_a_pinned_hub_id_is_read_from_hugging_faces_own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    first, second = "1" * 40, "2" * 40
    for commit in (first, second):
        shutil.copytree(paths.CAPTIONER, tmp_path / "models--org--tiny-llava" / "snapshots" / commit)
    (tmp_path / "models--org--tiny-llava" / "snapshots" / second / "config.json").write_text('{"model_type": "llama"}')
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    images, _ = pictures(2, seed=12, held_out=True)
    model = load_captioner(f"org/tiny-llava@{first}", device="cpu", max_new_tokens=40)
    assert model.model_id == f"org/tiny-llava@{first}"
    assert model.caption(images) == load_captioner(str(paths.CAPTIONER), device="cpu", max_new_tokens=40).caption(
        images
    )
    with pytest.raises(ValueError, match="a model of type llama does not turn images into text"):
        load_captioner(f"org/tiny-llava@{second}", device="cpu")
    with pytest.raises(ValueError, match=f"--captioner=org/tiny-llava@{'3' * 40}: no readable config.json"):
        load_captioner(f"org/tiny-llava@{'3' * 40}", device="cpu")
