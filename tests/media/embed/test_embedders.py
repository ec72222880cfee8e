"""The embedders without a model: what their vectors mean, and what they say is missing.

Those with a model are in `test_models.py`, the contract of all in `tests/test_extension_points.py`.
"""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from segue.core.errors import DataError, MissingModel
from segue.media.audio import write_wav
from segue.media.embed import Scene, make, unit
from segue.media.embed.affect import DIM, vector
from segue.media.embed.precomputed import read_vector
from segue.media.spectrum import RATE_HZ
from segue.media.track import TrackAnalysis, analyse_track
from tests.synthetic_audio import cadence, clicks


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


def test_unit_keeps_zeros() -> None:
    np.testing.assert_allclose(unit(np.array([[3.0, 4.0], [0, 0]])), [[0.6, 0.8], [0, 0]])
