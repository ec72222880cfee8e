"""CLIP or SigLIP: scenes by their pictures, music by its mood in words, in one space.

Radford et al. 2021, "Learning transferable visual models from natural language supervision" (ICML);
Zhai et al. 2023, "Sigmoid loss for language image pre-training" (ICCV). The weights come from a
local folder; `openai/clip-vit-large-patch14` or `google/siglip-base-patch16-224` and their
relatives fit. A scene is the mean of its stills; a track is what `mood_words.py` says about its
five axes, so this embedder sees people and places that `affect` does not, and hears nothing more.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import DataError
from segue.media.embed import Scene, unit
from segue.media.embed.model_folder import ModelFolder
from segue.media.embed.mood_words import describe_scene, embed_texts
from segue.media.track import TrackAnalysis

__all__ = ["ClipEmbedder"]

_CLASSES = {
    "CLIPModel": "CLIPImageProcessor",
    "SiglipModel": "SiglipImageProcessor",
    "Siglip2Model": "Siglip2ImageProcessor",
}
_NO_PUNCTUATION = str.maketrans("", "", ".,")
_MOST_STILLS = 8


class ClipEmbedder:
    """Compare the stills of scenes with the mood of tracks in words."""

    name = "clip"

    def __init__(self, folder: Path | None = None) -> None:
        """Load the model.

        Raises:
            MissingModel, MissingExtra, DataError: see `model_folder`.
        """
        example = "openai/clip-vit-large-patch14 or google/siglip-base-patch16-224"
        self._files = ModelFolder.check(self.name, folder, _CLASSES, example)
        self._tokenizer = self._files.load_tokenizer()
        # The same pixels on every machine: with pillow even where torchvision is installed.
        processor = _CLASSES[self._files.model_class]
        self._viewer = self._files.load(f"{processor}Pil", processor)
        self._model = self._files.load_model()

    def embed_scenes(self, video: Path, scenes: Sequence[Scene]) -> NDArray[np.float32]:
        """Return [T, D].

        Raises:
            DataError: a scene has no still, or one that is not a picture.
        """
        return np.stack([self._look(scene, video) for scene in scenes])

    def embed_tracks(self, tracks: Sequence[TrackAnalysis]) -> NDArray[np.float32]:
        """Return [K, D]."""
        return embed_texts([describe_scene(track.axes.tolist()) for track in tracks], self._read)

    def _read(self, text: str) -> NDArray[np.float32]:
        options: dict[str, Any] = {"truncation": True}
        options["max_length"] = self._model.config.text_config.max_position_embeddings
        if self._files.model_class != "CLIPModel":
            # SigLIP was trained on plain lower-case texts that are padded to their full length,
            # with the padding seen.
            text = text.lower().translate(_NO_PUNCTUATION)
            options |= {"padding": "max_length", "padding_side": "right"}
        return self._files.ask(
            self._model.get_text_features,
            lambda: {
                "input_ids": self._tokenizer([text], return_tensors="pt", **options)["input_ids"]
            },
        )

    def _look(self, scene: Scene, video: Path) -> NDArray[np.float32]:
        from PIL import Image

        if not scene.stills:
            raise DataError(f"segment {scene.index} has no still to look at", where=video)
        picked = np.unique(np.linspace(0, len(scene.stills) - 1, _MOST_STILLS).round().astype(int))
        try:
            pictures = [Image.open(io.BytesIO(scene.stills[i])).convert("RGB") for i in picked]
        except OSError as error:
            raise DataError(
                f"a still of segment {scene.index} is not a picture ({error})", where=video
            ) from None
        vectors = unit(
            self._files.ask(
                self._model.get_image_features,
                lambda: self._viewer(images=pictures, return_tensors="pt"),
            )
        )
        return unit(vectors.mean(axis=0))
