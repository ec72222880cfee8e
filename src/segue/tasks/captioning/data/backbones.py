"""Rows of features from models in local folders: CLIP or SigLIP for pictures, CLAP for sound.

Pictures: one from the middle of each window, at 240 columns. Sound: ten seconds around the middle
of each window, the length that CLAP was trained on; where the film is shorter, what there is. The
vectors are as the model gives them, scaled to length sqrt(D), so that a number's spread is about 1.

Letters: `S` rows (windows), `D` numbers of a row.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import DataError, MissingModel, UsageError
from segue.core.files import cache_dir
from segue.core.names import unknown
from segue.media.embed import Scene, unit

__all__ = ["PictureBackbone", "SoundBackbone", "kind_of"]

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

_PICTURE_CLASSES = {"CLIPModel", "SiglipModel", "Siglip2Model"}
_SOUND_CLASSES = {"ClapModel"}
_NAMES = ("clap", "clip")
_AT_ONCE = 16


def kind_of(backbone: str) -> tuple[str, Path]:
    """Return `clip` or `clap`, and the folder, of a backbone.

    Args:
        backbone: `clip` or `clap`, for the model in its folder of the cache, or another folder.

    Raises:
        UnknownName: it is no name of a backbone, and no folder.
        MissingModel, DataError: the folder holds no model, or another one.
    """
    if backbone in _NAMES:
        return backbone, cache_dir() / "models" / backbone
    folder = Path(backbone).expanduser()
    if not folder.is_dir():
        raise unknown("backbone, and there is no such folder,", backbone, _NAMES)
    try:
        names = json.loads((folder / "config.json").read_bytes())["architectures"]
        found = set(map(str, names))
    except OSError:
        raise MissingModel("no config.json, so no model", where=folder) from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise DataError("does not say what model it is", where=folder / "config.json") from None
    for kind, classes in (("clip", _PICTURE_CLASSES), ("clap", _SOUND_CLASSES)):
        if found & classes:
            return kind, folder
    raise UsageError(
        f"a model of class {', '.join(sorted(found)) or 'none'} gives no features here",
        where=folder,
        advice=f"Known are {', '.join(sorted(_PICTURE_CLASSES | _SOUND_CLASSES))}",
    )


class PictureBackbone:
    """Pictures by CLIP or SigLIP.

    Args:
        folder: of the model.

    Raises:
        MissingModel, MissingExtra, DataError: see `media.embed.model_folder`.
    """

    def __init__(self, folder: Path) -> None:
        from segue.media.embed.clip import ClipEmbedder

        self._embedder = ClipEmbedder(folder)

    def rows(self, video: Path, limits_s: Doubles) -> Floats:
        """Return [S, D] of the windows between the limits [S + 1].

        Raises:
            MediaError: the film cannot be read.
        """
        from segue.media.video import thumbnails

        middles = (limits_s[:-1] + limits_s[1:]) / 2
        found = []
        for first in range(0, len(middles), _AT_ONCE):
            times = [float(t) for t in middles[first : first + _AT_ONCE]]
            scenes = [
                Scene(index=first + n, start_s=t, end_s=t, axes=np.zeros(5), stills=(still,))
                for n, (t, still) in enumerate(zip(times, thumbnails(video, times), strict=True))
            ]
            found.append(self._embedder.embed_scenes(video, scenes))
        return _spread(np.concatenate(found))


class SoundBackbone:
    """Sound by CLAP.

    Args:
        folder: of the model.

    Raises:
        MissingModel, MissingExtra, DataError: see `media.embed.model_folder`.
    """

    def __init__(self, folder: Path) -> None:
        from segue.media.embed.model_folder import ModelFolder

        self._files = ModelFolder.check("clap", folder, _SOUND_CLASSES, "laion/clap-htsat-unfused")
        self._listener = self._files.load("ClapFeatureExtractor")
        self._model = self._files.load_model()

    def rows(self, video: Path, limits_s: Doubles) -> Floats | None:
        """Return [S, D] of the windows between the limits [S + 1]; None without any sound.

        Raises:
            MediaError: the sound cannot be decoded.
        """
        from segue.media.audio import stream_audio

        rate_hz = int(self._listener.sampling_rate)
        length = round(float(self._listener.max_length_s) * rate_hz)
        parts = [block[0] for block in stream_audio(video, rate_hz, 1)]
        sound = np.concatenate([np.zeros(0, np.float32), *parts])
        if not len(sound):
            return None
        found = []
        for middle_s in (limits_s[:-1] + limits_s[1:]) / 2:
            first = round(middle_s * rate_hz) - length // 2
            first = max(min(first, len(sound) - length), 0)
            found.append(self._hear(sound[first : first + length], rate_hz))
        return _spread(np.concatenate(found))

    def _hear(self, window: Floats, rate_hz: int) -> Floats:
        def inputs() -> Any:
            made = self._listener([window], sampling_rate=rate_hz, return_tensors="pt")
            # models with fusion mark one window at random as longer when none is; none is
            return {**made, "is_longer": made["is_longer"] & False}

        return self._files.ask(self._model.get_audio_features, inputs)


def _spread(vectors: Floats) -> Floats:
    return np.asarray(unit(vectors) * np.sqrt(vectors.shape[1]), dtype=np.float32)
