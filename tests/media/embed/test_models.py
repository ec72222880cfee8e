"""CLAP, CLIP and SigLIP really run, on tiny models with random weights; strangers' code does not.

What random weights cannot show is that good weights give good music; what they show is that inputs
are prepared as the models' own library does it, and that nothing depends on chance or neighbours.
"""

from __future__ import annotations

import dataclasses
import io
import json
import pickle
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from segue.core.errors import DataError, MediaError, MissingExtra, MissingModel
from segue.media.audio import read_audio, write_wav
from segue.media.embed import Scene, make, unit
from segue.media.embed.mood_words import describe_music, describe_scene, embed_texts, mood_words
from segue.media.track import TrackAnalysis, analyse_track
from tests import tiny_models
from tests.synthetic_audio import cadence, clicks

VIDEO = Path("film.mp4")
NAME = {kind: "clap" if kind.startswith("clap") else "clip" for kind in tiny_models.KINDS}


@pytest.fixture(scope="module", autouse=True)
def quiet() -> Iterator[None]:
    transformers = pytest.importorskip("transformers", reason="needs the extra 'models'")
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    yield
    transformers.utils.logging.set_verbosity_warning()
    transformers.utils.logging.enable_progress_bar()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {kind: tiny_models.save(kind, root / kind) for kind in tiny_models.KINDS}


@pytest.fixture(scope="module")
def tracks(tmp_path_factory: pytest.TempPathFactory) -> list[TrackAnalysis]:
    folder = tmp_path_factory.mktemp("music")
    write_wav(folder / "calm.wav", 0.2 * cadence(60, minor=False, bars=1), 22050)
    write_wav(folder / "busy.wav", clicks(170, 25), 22050)  # longer than two windows
    found = [analyse_track(folder / name) for name in ("calm.wav", "busy.wav")]
    other = dataclasses.replace(found[1], axes=np.array([2.0, -1, 1.5, 2, 0.0]))
    return [found[0], other, dataclasses.replace(found[0])]  # the last is a copy of the first


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    axes = [[-1.0, 0.5, -0.5, -1.0, 0.0], [1.5, -1.0, 1.2, 1.0, 0.5], [-1.0, 0.5, -0.5, -1.0, 0.0]]
    return [
        Scene(
            index=i, start_s=10.0 * i, end_s=10.0 * i + 10, axes=np.array(a),
            stills=(still(seed), still(seed + 10)),
        )
        for i, (a, seed) in enumerate(zip(axes, (0, 1, 0), strict=True))
    ]  # fmt: skip


def still(seed: int) -> bytes:
    """A JPEG of a scene's usual size: a ramp of colour with noise."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(rng.integers(0, 255, 3), rng.integers(0, 255, 3), 240)
    pixels = np.clip(ramp + rng.normal(0, 20, (135, 240, 3)), 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.mark.parametrize("settings", ["transformers 5", "before"])
@pytest.mark.parametrize("kind", tiny_models.KINDS)
def test_contract(
    kind: str, settings: str, folders: dict[str, Path], scenes: list[Scene],
    tracks: list[TrackAnalysis], tmp_path: Path, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    folder = folders[kind]
    if settings == "before":
        folder = tiny_models.as_before_transformers_5(shutil.copytree(folder, tmp_path / kind))
    state = np.random.get_state()[1].copy()
    embedder = make(NAME[kind], folder)
    seen, heard = embedder.embed_scenes(VIDEO, scenes), embedder.embed_tracks(tracks)
    assert seen.dtype == heard.dtype == np.float32
    assert seen.shape == heard.shape == (3, 16)
    np.testing.assert_allclose(np.linalg.norm(seen, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(heard, axis=1), 1, atol=1e-5)
    for vectors in (seen, heard):  # a copy is the nearest neighbour, another thing is not
        np.testing.assert_array_equal(vectors[0], vectors[2])
        assert vectors[0] @ vectors[1] < 0.999
    np.testing.assert_array_equal(embedder.embed_tracks(tracks[::-1]), heard[::-1])
    np.testing.assert_array_equal(embedder.embed_scenes(VIDEO, scenes[:1]), seen[:1])
    np.testing.assert_array_equal(make(NAME[kind], folder).embed_tracks(tracks), heard)
    if kind != "clap-fused":  # whose library draws a number, which is thrown away
        np.testing.assert_array_equal(np.random.get_state()[1], state)
    assert "".join(capfd.readouterr()) == ""


# --- the same numbers as the models' own library --------------------------------------------------


@pytest.mark.parametrize("kind", tiny_models.KINDS)
def test_texts_are_prepared_as_by_the_models_own_processor(
    kind: str, folders: dict[str, Path], scenes: list[Scene], tracks: list[TrackAnalysis]
) -> None:
    processor, model = own(kind, folders[kind])
    embedder = make(NAME[kind], folders[kind])
    if NAME[kind] == "clap":
        texts = [describe_music(scene.axes.tolist()) for scene in scenes]
        found = embedder.embed_scenes(VIDEO, scenes)
    else:
        texts = [describe_scene(track.axes.tolist()) for track in tracks]
        found = embedder.embed_tracks(tracks)
    padding: dict[str, Any] = {"padding": True}
    if kind.startswith("siglip"):
        texts = [text.lower().replace(",", "").replace(".", "") for text in texts]
        padding = {"padding": "max_length", "max_length": 48}
    inputs = processor(text=texts, return_tensors="pt", **padding)
    if kind.startswith("siglip"):
        inputs.pop("attention_mask", None)  # trained without one
    with torch.inference_mode():
        wanted = model.get_text_features(**inputs).pooler_output.numpy()
    np.testing.assert_allclose(found, unit(wanted), atol=1e-5)


@pytest.mark.parametrize("kind", ["clip", "siglip", "siglip2"])
def test_a_scene_is_the_mean_of_its_stills(
    kind: str, folders: dict[str, Path], scenes: list[Scene]
) -> None:
    processor, model = own(kind, folders[kind])
    found = make("clip", folders[kind]).embed_scenes(VIDEO, scenes[:1])[0]
    pictures = [Image.open(io.BytesIO(data)) for data in scenes[0].stills]
    with torch.inference_mode():
        inputs = processor.image_processor(images=pictures, return_tensors="pt")
        wanted = model.get_image_features(**inputs).pooler_output.numpy()
    np.testing.assert_allclose(found, unit(unit(wanted).mean(axis=0)), atol=1e-5)


@pytest.mark.parametrize("kind", ["clap", "clap-fused"])
def test_a_track_is_the_mean_of_its_windows(
    kind: str, folders: dict[str, Path], tracks: list[TrackAnalysis]
) -> None:
    processor, model = own(kind, folders[kind])
    track = dataclasses.replace(tracks[1], active_start_s=1.0, active_end_s=23.0)
    found = make("clap", folders[kind]).embed_tracks([track])[0]
    sound = read_audio(track.path, 48000, mono=True).samples[0]
    windows = [sound[start * 48000 : (start + 10) * 48000] for start in (1, 13)]
    inputs = processor.feature_extractor(windows, sampling_rate=48000, return_tensors="pt")
    inputs["is_longer"] = torch.zeros(2, 1, dtype=torch.bool)  # none is
    with torch.inference_mode():
        wanted = model.get_audio_features(**inputs).pooler_output.numpy()
    assert found @ unit(unit(wanted).mean(axis=0)) > 0.9999  # resampled in one piece, not in two


def own(kind: str, folder: Path) -> tuple[Any, Any]:
    import transformers

    stem = {"clap": "Clap", "clip": "CLIP", "siglip": "Siglip", "siglip2": "Siglip2"}[
        kind.removesuffix("-fused")
    ]
    processor = getattr(transformers, f"{stem}Processor").from_pretrained(folder)
    return processor, getattr(transformers, f"{stem}Model").from_pretrained(folder).eval()


def test_half_precision_weights_run_as_single(folders: dict[str, Path], tmp_path: Path,
                                              scenes: list[Scene]) -> None:  # fmt: skip
    from transformers import CLIPModel

    folder = shutil.copytree(folders["clip"], tmp_path / "half")
    CLIPModel.from_pretrained(folder).half().save_pretrained(folder)
    half = make("clip", folder).embed_scenes(VIDEO, scenes)
    whole = make("clip", folders["clip"]).embed_scenes(VIDEO, scenes)
    np.testing.assert_allclose((half * whole).sum(axis=1), 1, atol=1e-3)


# --- what is missing or does not fit --------------------------------------------------------------


@pytest.mark.parametrize("name", ["clap", "clip"])
def test_a_missing_model_names_folder_and_files(
    name: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(MissingModel, match="no such folder") as caught:
        make(name)
    assert f"models/{name}" in str(caught.value).replace("\\", "/")
    for word in ("config.json", "model.safetensors", "tokenizer.json", "'affect' works without"):
        assert word in str(caught.value)
    folder = shutil.copytree(folders[name], tmp_path / "pickled")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(MissingModel, match=r"model\.safetensors or .* missing") as caught:
        make(name, folder)
    assert "pytorch_model.bin may hold code and is not loaded" in str(caught.value)


@pytest.mark.parametrize("name", ["clap", "clip"])
def test_without_transformers_the_extra_is_named(
    name: str, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtra, match=r"pip install 'segue\[models\]'"):
        make(name, folders[name])


def test_weights_that_are_not_all_there_are_refused(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(folders["clap"], tmp_path / "clap")
    weights = load_file(folder / "model.safetensors")
    lost = sorted(weights)[0]
    del weights[lost]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(DataError, match=f"1 of the weights of ClapModel.*{lost}"):
        make("clap", folder)
    (folder / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(DataError, match="ClapModel cannot be loaded: "):
        make("clap", folder)


def test_a_tokenizer_of_another_model_is_an_error_in_words(
    folders: dict[str, Path], tmp_path: Path, tracks: list[TrackAnalysis]
) -> None:
    folder = shutil.copytree(folders["clip"], tmp_path / "clip")
    words = json.loads((folder / "tokenizer.json").read_text())
    words["model"]["vocab"]["film"] = 10_000
    (folder / "tokenizer.json").write_text(json.dumps(words))
    with pytest.raises(DataError, match="CLIPModel fails, its files do not fit each other"):
        make("clip", folder).embed_tracks(tracks)


def test_clip_needs_pictures(folders: dict[str, Path], scenes: list[Scene]) -> None:
    clip = make("clip", folders["clip"])
    for stills, message in (((), "no still"), ((b"no picture",), "not a picture")):
        scene = dataclasses.replace(scenes[0], stills=stills)
        with pytest.raises(DataError, match=message):
            clip.embed_scenes(VIDEO, [scene])


def test_clap_needs_sound(folders: dict[str, Path], tracks: list[TrackAnalysis]) -> None:
    clap = make("clap", folders["clap"])
    beyond = dataclasses.replace(tracks[1], active_start_s=500.0, active_end_s=510.0)
    with pytest.raises(MediaError):
        clap.embed_tracks([beyond])
    short = dataclasses.replace(tracks[1], active_start_s=1.0, active_end_s=1.01)
    assert np.isfinite(clap.embed_tracks([short])).all()


# --- a stranger's folder --------------------------------------------------------------------------


def _file(name: str, content: bytes) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)

    return write


def _json(name: str, **changes: Any) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        value = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({**value, **changes}))

    return write


@pytest.mark.parametrize("name", ["clap", "clip"])
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_file("modeling_evil.py", b"raise SystemExit"), "code in a model folder"),
        (_file("sub/x.so", b""), "code in a model folder"),
        (_file("adapter_config.json", b"{}"), "an adapter"),
        (_json("config.json", auto_map={}), "auto_map"),
        (_json("tokenizer.json", a=[{"auto_map": {"AutoTokenizer": "x.Y"}}]), "auto_map"),
        (_json("config.json", text_config={"_attn_implementation": "who/what"}), "attn"),
        (_json("config.json", architectures=["GPT2Model"]), "GPT2Model"),
        (_json("config.json", architectures=["ClapModel", "CLIPModel"]), "of class"),
        (_json("config.json", architectures="ClapModel"), "of class"),
        (_json("config.json", architectures=None), "of class"),
        (_file("config.json", b"[1]"), "of class"),
        (_file("config.json", b"{"), "not JSON"),
        (_file("config.json", b"[" * 100_000), "not JSON"),
    ],
)  # fmt: skip
def test_a_suspicious_folder_is_refused_before_anything_is_loaded(
    name: str, spoil: Callable[[Path], None], message: str, folders: dict[str, Path],
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setitem(sys.modules, "transformers", None)  # the refusal comes before its import
    folder = shutil.copytree(folders[name], tmp_path / name)
    spoil(folder)
    with pytest.raises(DataError, match=message):
        make(name, folder)


class _Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path(_Bomb.mark),)

    mark = ""


@pytest.mark.parametrize("kind", ["clap", "siglip"])
def test_models_load_locally_and_from_safetensors_only(
    kind: str, folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import transformers

    folder = shutil.copytree(folders[kind], tmp_path / kind)
    _Bomb.mark = str(tmp_path / "exploded")
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(_Bomb()))
    calls: list[dict[str, Any]] = []
    original = transformers.PreTrainedModel.from_pretrained.__func__

    def spy(cls: type, *args: Any, **options: Any) -> Any:
        calls.append(options)
        return original(cls, *args, **options)

    monkeypatch.setattr(transformers.PreTrainedModel, "from_pretrained", classmethod(spy))
    make(NAME[kind], folder)
    assert len(calls) == 1
    assert calls[0]["local_files_only"] is True
    assert calls[0]["use_safetensors"] is True
    assert calls[0]["trust_remote_code"] is False
    assert not (tmp_path / "exploded").exists()


def test_a_harmless_remark_about_attention_is_accepted(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(folders["siglip"], tmp_path / "siglip")
    _json("config.json", _attn_implementation_autoset=True)(folder)
    assert make("clip", folder).name == "clip"


# --- words ----------------------------------------------------------------------------------------


def test_moods_in_words() -> None:
    assert mood_words([0, 0, 0, 0, 0]) == ["neutral"]
    assert mood_words([2.0, 0, 0.7, 0, 0]) == ["very intense", "tense"]
    assert "sad" in describe_music([0, -2, 0, 0, 0])
    assert describe_scene([-1, 0, 0, 0, 0]) != describe_scene([1, 0, 0, 0, 0])


def test_equal_texts_are_embedded_once() -> None:
    asked = []

    def embed(text: str) -> np.ndarray:
        asked.append(text)
        return np.array([[len(text), 1.0]], np.float32)

    vectors = embed_texts(["a", "bb", "a"], embed)
    assert asked == ["a", "bb"]
    np.testing.assert_array_equal(vectors[0], vectors[2])
    np.testing.assert_allclose(vectors[1], unit(np.array([2.0, 1.0])), atol=1e-6)
