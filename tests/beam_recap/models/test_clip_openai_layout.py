"""Weights in OpenAI's and LongCLIP's layout, made small: the sizes are read from the tensors."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import save_file
from support.untrained_models import noise_images

from beam_recap.models.clip_openai_layout import LONG_CONTEXT, load_openai_layout
from beam_recap.models.clip_scorer import ClipScore, ClipScorer
from beam_recap.models.runtime import WeightsMismatch

WORDS = "a small blue bird sits on a wooden fence in the morning sun "


def make_model(context: int) -> Any:
    torch.manual_seed(7)
    model = open_clip.CLIP(
        embed_dim=32,
        vision_cfg={"layers": 2, "width": 128, "head_width": 64, "patch_size": 8, "image_size": 32},
        text_cfg={"context_length": context, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 2},
        quick_gelu=True,
    ).eval()
    with torch.no_grad():
        model.positional_embedding.normal_(std=0.5)
    return model


def long_clip_features(weights: dict[str, torch.Tensor], tokens: torch.Tensor) -> torch.Tensor:
    """LongCLIP's text tower written out, as its authors have it: two tables of positions under two masks."""
    model = make_model(LONG_CONTEXT)
    own = {name: tensor for name, tensor in weights.items() if not name.startswith("positional_embedding")}
    model.load_state_dict(own, strict=False)
    first = torch.zeros(LONG_CONTEXT, 1)
    first[:20] = 1
    x = model.token_embedding(tokens)
    x = x + weights["positional_embedding"] * first + weights["positional_embedding_res"] * (1 - first)
    x = model.ln_final(model.transformer(x, attn_mask=model.attn_mask))
    return x[torch.arange(len(x)), tokens.argmax(dim=-1)] @ model.text_projection


def long_clip_weights() -> dict[str, torch.Tensor]:
    weights = dict(make_model(LONG_CONTEXT).state_dict())
    weights["positional_embedding_res"] = torch.randn(LONG_CONTEXT, 64) * 0.5
    return weights


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@torch.inference_mode()
def test_long_clip_is_as_its_authors_have_it(tmp_path: Path, suffix: str) -> None:
    weights = long_clip_weights()
    path = tmp_path / f"longclip-tiny{suffix}"
    (torch.save if suffix == ".pt" else save_file)(weights, path)
    model, transform, tokenizer = load_openai_layout(path)
    tokens = tokenizer([WORDS * 12, WORDS, "word"])
    assert tokens.shape == (3, 248)
    assert (tokens != 0).sum(dim=1).tolist() == [158, 15, 3]
    torch.testing.assert_close(model.encode_text(tokens), long_clip_features(weights, tokens), rtol=1e-4, atol=1e-5)
    picture = transform(_picture())
    assert picture.shape == (3, 32, 32)
    # What lies beyond OpenAI's 77 tokens counts.
    other = tokenizer([WORDS * 11 + "an old red lighthouse in a heavy storm at night"])
    assert not torch.allclose(model.encode_text(other), model.encode_text(tokens[:1]), atol=1e-3)


def _picture() -> Any:
    from PIL import Image

    return Image.fromarray(noise_images(1)[0])


@torch.inference_mode()
def test_openais_own_layout(tmp_path: Path) -> None:
    """Half precision, and numbers beside the weights, as the published files have them."""
    model = make_model(77)
    weights: dict[str, torch.Tensor] = {name: tensor.half() for name, tensor in model.state_dict().items()}
    weights |= {"input_resolution": torch.tensor(32), "context_length": torch.tensor(77)}
    path = tmp_path / "tiny.pt"
    torch.save(weights, path)
    loaded, transform, tokenizer = load_openai_layout(path)
    assert loaded.positional_embedding.dtype == torch.float32
    tokens = tokenizer([WORDS])
    torch.testing.assert_close(loaded.encode_text(tokens), model.encode_text(tokens), rtol=0.02, atol=0.01)
    pixels = transform(_picture())[None]
    torch.testing.assert_close(loaded.encode_image(pixels), model.encode_image(pixels), rtol=0.02, atol=0.01)
    # QuickGELU, not GELU.
    first = loaded.visual.transformer.resblocks[0].mlp.gelu
    torch.testing.assert_close(first(torch.ones(1)), torch.sigmoid(torch.tensor([1.702])))


def test_a_long_caption_is_scored_whole(tmp_path: Path) -> None:
    path = tmp_path / "longclip-tiny.pt"
    torch.save(long_clip_weights(), path)
    scorer = ClipScorer.load(str(path), None, device="cpu", batch_size=4)
    assert scorer.model_id == "longclip-tiny.pt"
    images = noise_images(3)
    whole, cut, short = scorer.score(images, [WORDS * 12, WORDS * 30, "word"])
    assert isinstance(whole, ClipScore) and isinstance(cut, ClipScore) and isinstance(short, ClipScore)
    assert (whole.caption_cut, cut.caption_cut, short.caption_cut) == (False, True, False)
    # 30 times 13 tokens, of which 246 fit beside the start and the end.
    assert cut.caption_lost == pytest.approx(1 - 246 / 390)
    assert whole.caption_lost == short.caption_lost == 0
    tokens = scorer._tokenizer._tokenizer([WORDS * 12])
    by_hand = long_clip_features(torch.load(path, weights_only=True), tokens)[0].detach().numpy()
    cosine = float(whole.embedding @ (by_hand / np.linalg.norm(by_hand)))
    assert whole.score == pytest.approx(cosine, abs=1e-5)


def _without(name: str) -> Any:
    weights = long_clip_weights()
    del weights[name]
    return weights


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (_without("ln_final.bias"), r"1 missing \(ln_final\.bias\)"),
        (_without("visual.conv1.weight"), r"not the weights of a CLIP ViT in OpenAI's layout \('visual\.conv1"),
        ({**long_clip_weights(), "extra": torch.zeros(1)}, r"1 unexpected \(extra\)"),
        ({**long_clip_weights(), "positional_embedding_res": torch.zeros(77, 64)}, r"\[248, 64\] and \[77, 64\]"),
        ({**long_clip_weights(), "ln_final.bias": torch.full((64,), torch.nan)}, "not finite"),
        ({"a": 1}, "not a plain file of tensors"),
        ([torch.zeros(1)], "not a plain file of tensors"),
    ],
    ids=["missing", "no_clip", "unexpected", "positions", "nan", "numbers", "list"],
)
def test_other_files_are_refused(tmp_path: Path, content: Any, message: str) -> None:
    path = tmp_path / "odd.pt"
    torch.save(content, path)
    with pytest.raises(WeightsMismatch, match=message):
        load_openai_layout(path)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "evil.pt"
    path.write_bytes(pickle.dumps(Path))
    with pytest.raises(WeightsMismatch, match="not a plain file of tensors"):
        load_openai_layout(path)
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\0\0\0")
    with pytest.raises(WeightsMismatch, match="not a plain file of tensors"):
        load_openai_layout(tmp_path / "cut.safetensors")
    with pytest.raises(FileNotFoundError):
        load_openai_layout(tmp_path / "absent.pt")
