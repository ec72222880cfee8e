"""CLAP: music by its sound, scenes by the mood they want in words, in one space of sound and text.

Wu et al. 2023, "Large-scale contrastive language-audio pretraining" (ICASSP). The weights come from
a local folder; `laion/clap-htsat-unfused` and its relatives fit. A track is heard in up to six
ten-second windows spread over its audible part; its vector is the mean of theirs. The picture
itself is not seen: a scene is what `mood_words.py` says about its five axes, so this embedder is
finer than `affect` about music and no finer about pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segue.media.audio import read_audio
from segue.media.embed import Scene, unit
from segue.media.embed.model_folder import ModelFolder, projected
from segue.media.embed.mood_words import describe_music
from segue.media.track import TrackAnalysis

__all__ = ["ClapEmbedder"]

_RATE_HZ = 48000
_WINDOW_S = 10.0
_MOST_WINDOWS = 6


class ClapEmbedder:
    """Compare the sound of tracks with the wanted mood in words."""

    name = "clap"

    def __init__(self, folder: Path | None = None) -> None:
        """Load the model.

        Raises:
            MissingModel, MissingExtra, DataError: see `model_folder`.
        """
        checked = ModelFolder.check(self.name, folder, {"ClapModel"}, "laion/clap-htsat-unfused")
        self._processor = checked.load("ClapProcessor")
        self._model = checked.load("ClapModel", use_safetensors=True).eval()

    def embed_scenes(self, video: Path, scenes: Sequence[Scene]) -> NDArray[np.float32]:
        """Return [T, D]."""
        texts = [describe_music(scene.axes.tolist()) for scene in scenes]
        inputs = self._processor.tokenizer(texts, padding=True, return_tensors="pt")
        return unit(projected(self._model.get_text_features, inputs))

    def embed_tracks(self, tracks: Sequence[TrackAnalysis]) -> NDArray[np.float32]:
        """Return [K, D].

        Raises:
            MediaError: a file can no longer be read.
        """
        return np.stack([self._listen(track) for track in tracks])

    def _listen(self, track: TrackAnalysis) -> NDArray[np.float32]:
        windows = [
            read_audio(
                track.path, _RATE_HZ, mono=True, start_s=float(start_s), duration_s=_WINDOW_S
            ).samples[0]
            for start_s in _starts(track.active_start_s, track.active_end_s)
        ]
        inputs = self._processor.feature_extractor(
            windows, sampling_rate=_RATE_HZ, return_tensors="pt"
        )
        vectors = unit(projected(self._model.get_audio_features, inputs))
        return unit(vectors.mean(axis=0))


def _starts(start_s: float, end_s: float) -> NDArray[np.float64]:
    room_s = max(end_s - start_s - _WINDOW_S, 0)
    n = min(_MOST_WINDOWS, 1 + int(room_s // _WINDOW_S))
    return start_s + (np.linspace(0, room_s, n) if n > 1 else np.array([room_s / 2]))
