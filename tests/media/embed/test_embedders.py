"""The embedders keep one contract; each says what is missing and runs nothing of a stranger's."""

from __future__ import annotations

import dataclasses
import io
import json
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from segue.core.errors import DataError, MissingExtra, MissingModel, UnknownName
from segue.media.audio import write_wav
from segue.media.embed import EMBEDDERS, Embedder, Scene, make, unit
from segue.media.embed.affect import DIM, vector
from segue.media.embed.mood_words import describe_music, describe_scene, mood_words
from segue.media.embed.precomputed import read_vector
from segue.media.spectrum import RATE_HZ
from segue.media.track import TrackAnalysis, analyse_track
from tests.synthetic_audio import cadence, clicks

WEIGHTS_CLASS = {"clap": "ClapModel", "clip": "CLIPModel"}


@pytest.fixture(scope="module")
def tracks(tmp_path_factory: pytest.TempPathFactory) -> list[TrackAnalysis]:
    folder = tmp_path_factory.mktemp("music")
    write_wav(folder / "calm.wav", 0.2 * cadence(60, minor=False, bars=1), RATE_HZ)
    write_wav(folder / "busy.wav", clicks(170, 4) + cadence(60, True, 1), RATE_HZ)
    found = [analyse_track(folder / name) for name in ("calm.wav", "busy.wav")]
    return [*found, dataclasses.replace(found[0])]  # the last is a copy of the first


@pytest.fixture
def scenes() -> list[Scene]:
    axes = [[-1.0, 0.5, -0.5, -1.0, 0.0], [1.5, -1.0, 1.2, 1.0, 0.5], [-1.0, 0.5, -0.5, -1.0, 0.0]]
    pictures = [(40, 60, 200), (220, 30, 20), (40, 60, 200)]
    return [
        Scene(index=i, start_s=10.0 * i, end_s=10.0 * i + 10, axes=np.array(a), stills=(jpeg(c),))
        for i, (a, c) in enumerate(zip(axes, pictures, strict=True))
    ]


def jpeg(colour: tuple[int, int, int]) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 18), colour).save(buffer, "JPEG")
    return buffer.getvalue()


def model_folder(folder: Path, architecture: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"architectures": [architecture]}))
    for name in ("preprocessor_config.json", "tokenizer.json"):
        (folder / name).write_text("{}")
    (folder / "model.safetensors").write_bytes(b"not read by these tests")
    return folder


def precomputed_folder(folder: Path) -> Path:
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randn(2, 16, generator=generator)
    video, music = folder / "video_embs" / "film", folder / "music_embs"
    video.mkdir(parents=True)
    torch.save({"imagebind": first}, video / "segment_0.pt")
    torch.save(second, video / "segment_1.pt")
    np.save(video / "segment_2.npy", first[None].numpy())
    for name, values in (("calm", 20 * first), ("busy", 20 * second.half())):
        (music / name).mkdir(parents=True)
        torch.save({"imagebind": values, "note": "x"}, music / name / "full.pt")
    return folder


@pytest.fixture
def embedder(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Embedder:
    name = request.param
    if name == "precomputed":
        return make(name, precomputed_folder(tmp_path))
    if name in WEIGHTS_CLASS:
        monkeypatch.setitem(sys.modules, "transformers", stand_in([]))
        return make(name, model_folder(tmp_path, WEIGHTS_CLASS[name]))
    return make(name)


@pytest.mark.parametrize("embedder", sorted(EMBEDDERS), indirect=True)
def test_contract(embedder: Embedder, scenes: list[Scene], tracks: list[TrackAnalysis]) -> None:
    video = Path("film.mp4")
    seen, heard = embedder.embed_scenes(video, scenes), embedder.embed_tracks(tracks)
    assert seen.dtype == heard.dtype == np.float32
    assert seen.shape == (3, heard.shape[1])
    np.testing.assert_allclose(np.linalg.norm(seen, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(heard, axis=1), 1, atol=1e-5)
    for vectors in (seen, heard):  # a copy is the nearest neighbour, another thing is not
        assert vectors[0] @ vectors[2] == pytest.approx(1, abs=1e-5)
        assert vectors[0] @ vectors[1] < 0.999
    np.testing.assert_array_equal(embedder.embed_tracks(tracks[::-1]), heard[::-1])
    np.testing.assert_array_equal(embedder.embed_scenes(video, scenes[:1]), seen[:1])


def test_unknown_names_and_own_classes() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'affect'"):
        make("afect")
    assert make("segue.media.embed.affect:AffectEmbedder").name == "affect"


# --- affect ---------------------------------------------------------------------------------------


def test_affect_vectors_weigh_the_axes() -> None:
    generator = np.random.default_rng(0)
    axes = generator.normal(0, 1, (50, 5))
    vectors = vector(axes)
    assert vectors.shape == (50, DIM)
    weights = np.array([0.35, 0.25, 0.15, 0.15, 0.10])
    inner = (weights * axes[0] * axes[1]).sum() + 0.35**2
    lengths = [np.sqrt((weights * a**2).sum() + 0.35**2) for a in axes[:2]]
    assert vectors[0] @ vectors[1] == pytest.approx(inner / np.prod(lengths), abs=1e-6)


def test_a_neutral_scene_prefers_neutral_music() -> None:
    neutral, extreme = vector(np.zeros(5)), vector(np.full(5, 2.5))
    scene = vector(np.full(5, 0.05))
    assert scene @ neutral > scene @ extreme


def test_affect_vectors_are_clipped_and_refuse_nan() -> None:
    np.testing.assert_array_equal(vector(np.full(5, 9.0)), vector(np.full(5, 2.5)))
    with pytest.raises(DataError, match="finite"):
        vector(np.array([np.nan, 0, 0, 0, 0]))
    assert vector(np.zeros((0, 5))).shape == (0, 6)


# --- precomputed ----------------------------------------------------------------------------------


def test_precomputed_says_what_is_missing(
    tmp_path: Path, scenes: list[Scene], tracks: list[TrackAnalysis]
) -> None:
    with pytest.raises(MissingModel, match="video_embs and music_embs") as caught:
        make("precomputed", tmp_path / "nowhere")
    assert "nowhere" in str(caught.value)
    assert "affect" in str(caught.value)
    embedder = make("precomputed", precomputed_folder(tmp_path))
    (tmp_path / "video_embs" / "film" / "segment_1.pt").unlink()
    with pytest.raises(DataError, match="1 of 3 embedding files are missing"):
        embedder.embed_scenes(Path("film.mp4"), scenes)
    torch.save(torch.ones(8), tmp_path / "music_embs" / "busy" / "full.pt")
    with pytest.raises(DataError, match="8 numbers among vectors of 16"):
        embedder.embed_tracks(tracks)


def test_a_vector_must_be_one_finite_vector(tmp_path: Path) -> None:
    cases = {
        "matrix.npy": np.ones((2, 3)),
        "nan.npy": np.array([1.0, np.nan]),
        "empty.npy": np.ones(0),
        "text.npy": np.array(["a"]),
        "object.npy": np.array([{}], dtype=object),
    }
    for name, values in cases.items():
        np.save(tmp_path / name, values, allow_pickle=True)
        with pytest.raises(DataError):
            read_vector(tmp_path / name)
    torch.save({"a": torch.ones(2), "b": torch.ones(2)}, tmp_path / "two.pt")
    with pytest.raises(DataError, match="no 'imagebind'"):
        read_vector(tmp_path / "two.pt")
    torch.save({"a": torch.ones(1, 2)}, tmp_path / "one.pt")
    np.testing.assert_array_equal(read_vector(tmp_path / "one.pt"), np.ones(2))


# --- clap and clip --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(WEIGHTS_CLASS))
def test_a_missing_model_names_folder_and_files(name: str, tmp_path: Path) -> None:
    with pytest.raises(MissingModel, match="no such folder") as caught:
        make(name)
    assert f"models/{name}" in str(caught.value).replace("\\", "/")
    for word in ("config.json", "model.safetensors", "tokenizer.json", "'affect' works without"):
        assert word in str(caught.value)
    folder = model_folder(tmp_path / "half", WEIGHTS_CLASS[name])
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(MissingModel, match=r"model\.safetensors or .* missing"):
        make(name, folder)


@pytest.mark.parametrize("name", sorted(WEIGHTS_CLASS))
def test_without_transformers_the_extra_is_named(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtra, match=r"pip install 'segue\[models\]'"):
        make(name, model_folder(tmp_path, WEIGHTS_CLASS[name]))


def _code(folder: Path) -> None:
    (folder / "modeling_evil.py").write_text("raise SystemExit")


def _hidden_code(folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "x.so").write_bytes(b"")


def _json(name: str, value: Any) -> Callable[[Path], None]:
    return lambda folder: _write(folder / name, json.dumps(value))


def _write(path: Path, text: str) -> None:
    path.write_text(text)


@pytest.mark.parametrize("name", sorted(WEIGHTS_CLASS))
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_code, "code in a model folder"),
        (_hidden_code, "code in a model folder"),
        (_json("config.json", {"architectures": ["ClapModel"], "auto_map": {}}), "auto_map"),
        (_json("tokenizer.json", {"a": [{"auto_map": {"AutoTokenizer": "x.Y"}}]}), "auto_map"),
        (_json("config.json", {"text_config": {"_attn_implementation": "who/what"}}), "attn"),
        (_json("config.json", {"architectures": ["GPT2Model"]}), "GPT2Model"),
        (_json("config.json", {"architectures": ["ClapModel", "CLIPModel"]}), "of class"),
        (_json("config.json", {"architectures": "ClapModel"}), "of class"),
        (_json("config.json", {}), "of class"),
        (_json("config.json", [1]), "of class"),
        (lambda folder: _write(folder / "config.json", "{"), "not JSON"),
        (lambda folder: _write(folder / "config.json", "[" * 100_000), "not JSON"),
    ],
    ids=str,
)  # fmt: skip
def test_a_suspicious_folder_is_refused_before_anything_is_loaded(
    name: str, spoil: Callable[[Path], None], message: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    calls: list[Any] = []
    monkeypatch.setitem(sys.modules, "transformers", stand_in(calls))
    folder = model_folder(tmp_path, WEIGHTS_CLASS[name])
    spoil(folder)
    with pytest.raises(DataError, match=message):
        make(name, folder)
    assert calls == []


@pytest.mark.parametrize("name", sorted(WEIGHTS_CLASS))
def test_models_load_locally_and_from_safetensors_only(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Any] = []
    monkeypatch.setitem(sys.modules, "transformers", stand_in(calls))
    make(name, model_folder(tmp_path, WEIGHTS_CLASS[name]))
    assert {kind for kind, _, _ in calls} == {
        WEIGHTS_CLASS[name], WEIGHTS_CLASS[name].replace("Model", "Processor")
    }  # fmt: skip
    for kind, folder, options in calls:
        assert folder == str(tmp_path)
        assert options["local_files_only"] is True
        assert options["trust_remote_code"] is False
        assert options.get("use_safetensors", "Processor" in kind)


def test_clip_needs_pictures(
    tmp_path: Path, scenes: list[Scene], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", stand_in([]))
    clip = make("clip", model_folder(tmp_path, "SiglipModel"))
    for stills, message in (((), "no still"), ((b"no picture",), "not a picture")):
        scene = dataclasses.replace(scenes[0], stills=stills)
        with pytest.raises(DataError, match=message):
            clip.embed_scenes(Path("film.mp4"), [scene])


def test_moods_in_words() -> None:
    assert mood_words([0, 0, 0, 0, 0]) == ["neutral"]
    assert mood_words([2.0, 0, 0.7, 0, 0]) == ["very intense", "tense"]
    assert "sad" in describe_music([0, -2, 0, 0, 0])
    assert describe_scene([-1, 0, 0, 0, 0]) != describe_scene([1, 0, 0, 0, 0])


def test_unit_keeps_zeros() -> None:
    np.testing.assert_allclose(unit(np.array([[3.0, 4.0], [0, 0]])), [[0.6, 0.8], [0, 0]])


def stand_in(calls: list[Any]) -> types.ModuleType:
    """A module in the place of transformers: records how it is called, answers with functions of
    its inputs. It checks our side of the conversation, not the models."""
    module = types.ModuleType("transformers")

    class Loaded:
        @classmethod
        def from_pretrained(cls, folder: str, **options: Any) -> Any:
            calls.append((cls.__name__, folder, options))
            return cls()

    class Processor(Loaded):
        def tokenizer(self, texts: list[str], **options: Any) -> dict[str, Any]:
            assert options["return_tensors"] == "pt"
            rows = torch.zeros(len(texts), 16)
            for row, text in zip(rows, texts, strict=True):
                for word in text.split():
                    row[sum(map(ord, word)) % 16] += 1
            return {"rows": rows}

        def feature_extractor(self, windows: list[Any], **options: Any) -> dict[str, Any]:
            assert options["sampling_rate"] == 48000
            assert all(w.ndim == 1 and len(w) <= 480_000 for w in windows)
            spectra = [np.abs(np.fft.rfft(w))[:8000] for w in windows]
            parts = [[p.mean() for p in np.array_split(s, 16)] for s in spectra]
            return {"rows": torch.tensor(np.array(parts))}

        def image_processor(self, images: list[Any], **options: Any) -> dict[str, Any]:
            rows = [[*np.asarray(i).reshape(-1, 3).mean(axis=0), *[1.0] * 13] for i in images]
            return {"rows": torch.tensor(np.array(rows))}

    class Model(Loaded):
        def eval(self) -> Any:
            return self

        def _features(self, rows: Any) -> Any:
            assert torch.is_inference_mode_enabled()
            return types.SimpleNamespace(pooler_output=rows)

        get_text_features = get_audio_features = get_image_features = _features

    for name in ("Clap", "CLIP", "Siglip", "Siglip2"):
        setattr(module, f"{name}Processor", type(f"{name}Processor", (Processor,), {}))
        setattr(module, f"{name}Model", type(f"{name}Model", (Model,), {}))
    return module
