"""CLAP: music by its sound, scenes by the mood they want in words, in one space of sound and text.

Wu et al. 2023, "Large-scale contrastive language-audio pretraining" (ICASSP). The weights come from
a local folder; `laion/clap-htsat-unfused` and its relatives fit. A track is heard in up to six
windows of the length that the model was trained on (ten seconds), spread over its audible part; its
vector is the mean of theirs. The picture itself is not seen: a scene is what `mood_words.py` says
about its five axes, so this embedder is finer than `affect` about music and no finer about
pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import MediaError
from segue.media.audio import read_audio
from segue.media.embed import Scene, unit
from segue.media.embed.model_folder import ModelFolder
from segue.media.embed.mood_words import describe_music, embed_texts
from segue.media.track import TrackAnalysis

__all__ = ["ClapEmbedder"]

_MOST_WINDOWS = 6


class ClapEmbedder:
    """Compare the sound of tracks with the wanted mood in words."""

    name = "clap"

    def __init__(self, folder: Path | None = None) -> None:
        """Load the model.

        Raises:
            MissingModel, MissingExtra, DataError: see `model_folder`.
        """
        self._files = ModelFolder.check(
            self.name, folder, {"ClapModel"}, "laion/clap-htsat-unfused"
        )
        self._tokenizer = self._files.load_tokenizer()
        self._listener = self._files.load("ClapFeatureExtractor")
        self._model = self._files.load_model()
        self._rate_hz = int(self._listener.sampling_rate)
        self._window_s = float(self._listener.max_length_s)

    def embed_scenes(self, video: Path, scenes: Sequence[Scene]) -> NDArray[np.float32]:
        """Return [T, D]."""
        return embed_texts([describe_music(scene.axes.tolist()) for scene in scenes], self._read)

    def embed_tracks(self, tracks: Sequence[TrackAnalysis]) -> NDArray[np.float32]:
        """Return [K, D].

        Raises:
            MediaError: a file can no longer be read.
        """
        return np.stack([self._listen(track) for track in tracks])

    def _read(self, text: str) -> NDArray[np.float32]:
        return self._files.ask(
            self._model.get_text_features,
            lambda: {"input_ids": self._tokenizer([text], return_tensors="pt")["input_ids"]},
        )

    def _listen(self, track: TrackAnalysis) -> NDArray[np.float32]:
        most = round(self._window_s * self._rate_hz)
        starts_s = _starts(track.active_start_s, track.active_end_s, self._window_s)
        windows = [
            read_audio(
                track.path, self._rate_hz, mono=True, start_s=float(s), duration_s=self._window_s
            ).samples[0, :most]  # a longer one would be cut at a random place
            for s in starts_s
        ]
        windows = [window for window in windows if len(window)]
        if not windows:
            raise MediaError("no sound where the analysis heard some", where=track.path)

        def inputs() -> Any:
            made = self._listener(windows, sampling_rate=self._rate_hz, return_tensors="pt")
            # Models with fusion mark one window at random as longer when none is; none is.
            return {**made, "is_longer": made["is_longer"] & False}

        vectors = unit(self._files.ask(self._model.get_audio_features, inputs))
        return unit(vectors.mean(axis=0))


def _starts(start_s: float, end_s: float, window_s: float) -> NDArray[np.float64]:
    room_s = max(end_s - start_s - window_s, 0)
    n = min(_MOST_WINDOWS, 1 + int(room_s // window_s))
    return start_s + (np.linspace(0, room_s, n) if n > 1 else np.array([room_s / 2]))
