from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from beam_recap.isolation import ModelFailure
from beam_recap.models.aesthetic_head import AestheticHead
from beam_recap.models.runtime import WeightsMismatch
from beam_recap.records import Reason

PUBLISHED = Path(__file__).parents[3] / ".." / "shared" / "data" / "weights" / "aesthetic"
WIDTHS = (1024, 128, 64, 16, 1)
LINEAR, RELU = (0, 2, 4, 6, 7), (0, 3, 6, 9, 11)


def random_head(layers: tuple[int, ...], inputs: int = 768) -> dict[str, torch.Tensor]:
    torch.manual_seed(5)
    state = {}
    for number, width in zip(layers, WIDTHS, strict=True):
        state[f"layers.{number}.weight"] = torch.randn(width, inputs) / inputs**0.5
        state[f"layers.{number}.bias"] = torch.randn(width)
        inputs = width
    return state


def published_module(*, relu: bool) -> torch.nn.Sequential:
    """The published classes' layers, in their order."""
    widths, inputs, layers = WIDTHS, 768, []
    for i, width in enumerate(widths):
        layers.append(torch.nn.Linear(inputs, width))
        inputs = width
        if relu and i < 4:
            layers.append(torch.nn.ReLU())
        if i < 3:
            layers.append(torch.nn.Dropout(0.2))
    return torch.nn.Sequential(*layers).eval()


def unit_vectors(count: int, width: int = 768) -> list[np.ndarray]:
    vectors = np.random.default_rng(0).normal(size=(count, width))
    return list((vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32))


@pytest.mark.parametrize(("layers", "relu"), [(LINEAR, False), (RELU, True)])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_scores_equal_those_of_the_published_layers(
    tmp_path: Path, layers: tuple[int, ...], relu: bool, suffix: str
) -> None:
    state, path = random_head(layers), tmp_path / f"head{suffix}"
    torch.save(state, path) if suffix == ".pth" else save_file(state, path)
    module = published_module(relu=relu)
    module.load_state_dict({name.removeprefix("layers."): tensor for name, tensor in state.items()})
    embeddings = unit_vectors(6)
    head = AestheticHead.load(path)
    expected = module.double()(torch.from_numpy(np.stack(embeddings)).double()).squeeze(1).tolist()
    assert head.score(embeddings) == pytest.approx(expected, abs=1e-6)
    assert head.input_dim == 768
    assert head.head_id == f"{path.name}@{hashlib.sha256(path.read_bytes()).hexdigest()[:12]}"
    assert head.scale is None


def test_relu_and_linear_heads_differ(tmp_path: Path) -> None:
    linear, relu = random_head(LINEAR), random_head(RELU)
    torch.save(linear, tmp_path / "linear.pth")
    torch.save(relu, tmp_path / "relu.pth")
    embeddings = unit_vectors(3)
    assert AestheticHead.load(tmp_path / "linear.pth").score(embeddings) != pytest.approx(
        AestheticHead.load(tmp_path / "relu.pth").score(embeddings), abs=1e-3
    )


def test_embeddings_are_normalised_and_a_zero_vector_stays_zero(tmp_path: Path) -> None:
    torch.save(random_head(LINEAR), tmp_path / "head.pth")
    head = AestheticHead.load(tmp_path / "head.pth")
    (vector,) = unit_vectors(1)
    unit, long, zero = head.score([vector, vector * 10, vector * 0])
    assert unit == pytest.approx(long, abs=1e-6)
    assert isinstance(zero, float) and zero != pytest.approx(unit, abs=1e-3)


def test_a_non_finite_embedding_fails_alone(tmp_path: Path) -> None:
    torch.save(random_head(LINEAR), tmp_path / "head.pth")
    head = AestheticHead.load(tmp_path / "head.pth")
    good, bad = unit_vectors(2)
    bad[3] = np.nan
    alone = head.score([good])
    assert head.score([bad, good])[1:] == alone
    failure = head.score([bad, good])[0]
    assert isinstance(failure, ModelFailure) and failure.reason is Reason.NON_FINITE
    assert head.score([]) == []


def test_an_embedding_of_another_clip_model_is_an_error(tmp_path: Path) -> None:
    torch.save(random_head(LINEAR), tmp_path / "head.pth")
    with pytest.raises(ValueError, match=r"768 numbers.*\[512\].*CLIP model that the head was trained on"):
        AestheticHead.load(tmp_path / "head.pth").score(unit_vectors(1, 512))


def test_one_layer_needs_safetensors_with_a_scale(tmp_path: Path) -> None:
    state = {"layers.0.weight": torch.full((1, 64), 2.0), "layers.0.bias": torch.tensor([1.0])}
    save_file(state, tmp_path / "mine.safetensors", metadata={"scale": "1-10"})
    head = AestheticHead.load(tmp_path / "mine.safetensors")
    assert (head.input_dim, head.scale) == (64, "1-10")
    assert head.score([np.eye(64, dtype=np.float32)[0]]) == [3.0]
    save_file(state, tmp_path / "bare.safetensors")
    torch.save(state, tmp_path / "bare.pth")
    for name in ("bare.safetensors", "bare.pth"):
        with pytest.raises(ValueError, match="scale"):
            AestheticHead.load(tmp_path / name)


@pytest.mark.parametrize("width", [512, 768])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_v1_heads_are_read_where_v1_is_asked_for(tmp_path: Path, width: int, suffix: str) -> None:
    linear = torch.nn.Linear(width, 1)
    path = tmp_path / f"v1{suffix}"
    (torch.save if suffix == ".pth" else save_file)(dict(linear.state_dict()), path)
    head = AestheticHead.load(path, "v1")
    embeddings = unit_vectors(5, width)
    expected = linear(torch.from_numpy(np.stack(embeddings)))[:, 0].tolist()
    assert head.score(embeddings) == pytest.approx(expected, abs=1e-6)
    assert (head.scale, head.input_dim) == ("V1", width)
    with pytest.raises(ValueError, match=r"V1 head.*another scale.*--aesthetic_scale=v1"):
        AestheticHead.load(path)


def test_no_other_head_is_taken_for_v1(tmp_path: Path) -> None:
    torch.save(random_head(LINEAR), tmp_path / "v2.pth")
    with pytest.raises(ValueError, match=r"v2\.pth: this is no V1 head .*--aesthetic_scale=v2"):
        AestheticHead.load(tmp_path / "v2.pth", "v1")
    with pytest.raises(ValueError, match="version must be one of v2, v1, not 'V1'"):
        AestheticHead.load(tmp_path / "v2.pth", "V1")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda s: s.pop("layers.4.bias"), "1 missing .layers.4.bias"),
        (lambda s: s.update({"layers.9.bias": torch.zeros(1)}), "1 unexpected .layers.9.bias"),
        (lambda s: s.update({"layers.4.bias": torch.zeros(65)}), r"1 wrong shape .layers.4.bias \[65\], not \[64\]"),
        (lambda s: s.update({"layers.0.weight": torch.zeros(1024)}), "wrong shape .layers.0.weight"),
        (lambda s: s.update({"layers.7.weight": torch.full((1, 16), float("inf"))}), "not finite"),
        (lambda s: s.clear(), "10 missing"),
    ],
)
def test_other_tensors_are_refused(tmp_path: Path, spoil: Callable[[dict], object], message: str) -> None:
    state = random_head(LINEAR)
    spoil(state)
    torch.save(state, tmp_path / "head.pth")
    with pytest.raises(WeightsMismatch, match=message):
        AestheticHead.load(tmp_path / "head.pth")


class _Bomb:
    def __reduce__(self) -> tuple:
        return (Path.touch, (Path(self.target),))

    def __init__(self, target: Path):
        self.target = target


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    torch.save({"layers.0.weight": _Bomb(tmp_path / "ran")}, tmp_path / "bomb.pth")
    (tmp_path / "text.pth").write_text("no tensors")
    (tmp_path / "text.safetensors").write_text("no tensors")
    torch.save([1, 2], tmp_path / "list.pth")
    for name in ("bomb.pth", "text.pth", "text.safetensors", "list.pth"):
        with pytest.raises(WeightsMismatch):
            AestheticHead.load(tmp_path / name)
    assert not (tmp_path / "ran").exists()


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "head.bin").write_bytes(b"")
    with pytest.raises(ValueError, match=r"\.pth or \.safetensors"):
        AestheticHead.load(tmp_path / "head.bin")
    with pytest.raises(FileNotFoundError):
        AestheticHead.load(tmp_path / "absent.pth")
    with (tmp_path / "huge.pth").open("wb") as file:
        file.truncate(65 << 20)
    with pytest.raises(WeightsMismatch, match="larger than 64 MiB"):
        AestheticHead.load(tmp_path / "huge.pth")


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="the published weights are not here")
def test_golden_values_of_the_published_heads() -> None:
    head = AestheticHead.load(PUBLISHED / "sac+logos+ava1-l14-linearMSE.pth")
    embeddings = [np.load(PUBLISHED / "vit_l_14_embeddings" / f"rating{i}.npy").reshape(-1) for i in range(10)]
    golden = [1.6555, 2.3593, 3.0698, 3.6725, 4.2380, 4.7010, 5.0731, 5.3654, 5.5767, 5.7468]
    assert head.score(embeddings) == pytest.approx(golden, abs=1e-4)
    assert head.head_id == "sac+logos+ava1-l14-linearMSE.pth@21dd590f3ccd"
    old = "sa_0_4_vit_l_14_linear.pth"
    with pytest.raises(ValueError, match="V1 head"):
        AestheticHead.load(PUBLISHED / old)
    golden = [-2.4579, -0.1379, 1.8951, 3.5849, 5.0997, 6.4701, 7.7870, 9.0480, 10.2264, 11.3044]
    assert AestheticHead.load(PUBLISHED / old, "v1").score(embeddings) == pytest.approx(golden, abs=1e-4)
