"""Settings of `prepare`. The defaults are the original's where it had the choice."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from segue.core.config import Config

__all__ = ["CaptionFormat", "PrepareConfig"]

CaptionFormat = Literal["auto", "csv", "activitynet", "msrvtt", "vatex", "jsonl"]
"""What a caption file is; `auto` looks into it."""


class PrepareConfig(Config):
    """How caption files and feature folders become a prepared folder."""

    format: CaptionFormat = "auto"
    """What the caption files are: `csv` (with a header video_id, caption, start, end, duration),
    `activitynet` (JSON: video -> duration, timestamps, sentences), `msrvtt`, `vatex`, `jsonl` (a
    line each: video, start, end, duration, sentence)."""
    files: dict[str, str] = Field(default_factory=dict)
    """Split -> name of its file in the source folder, as in --set
    files.train=train.json.gz. Default: the files whose names tell a split."""
    prefer: Literal["csv", "json"] = "csv"
    """Which file is taken where a split is there as both (the original learns from CSV, which
    lacks the videos that are gone)."""
    name: str = ""
    """Name of the data set in tables; empty: the name of the source."""
    strict: bool = False
    """Stop at the first caption or feature file that cannot be used, instead of counting it."""

    min_count: int = Field(1, ge=1)
    """Words that occur less often in the training captions have no number of their own (the
    original: 1)."""
    impossible_segments: Literal["drop", "keep"] = "drop"
    """What happens to captions of segments that no row of features can belong to: an end before the
    start, or a start after the end of the video. The original keeps them, with a row of zeros."""
    available: Path | None = None
    """A text file with a video a line; captions of other videos are left out. Default: all."""
    word_vectors: Path | None = None
    """A text file of word vectors, as GloVe's: a word and its numbers on each line, .gz allowed.
    Default: none, and a model learns its own."""

    fusion: Literal["sum", "concatenate"] = "sum"
    """How the picture and the flow features of I3D become one row (the original: sum)."""
    plain_names: Literal["audio", "visual"] = "audio"
    """What a file holds that is named after its video alone, `<id>.npy`: VGGish's features are
    published so, and those of many picture models, too."""
    visual_width: int | None = Field(None, ge=1)
    """Numbers of a row of one visual file; others are left out. Default: the most frequent."""
    audio_width: int | None = Field(None, ge=1)
    """Numbers of a row of audio features; others are left out. Default: the most frequent."""
    missing_features: Literal["keep", "drop"] = "keep"
    """What happens to captions of videos with neither visual nor audio features: the original keeps
    them, with a row of zeros."""

    validation_share: float = Field(0.1, ge=0, lt=1)
    """Share of the videos kept for choosing, where the source is not split."""
    test_share: float = Field(0.1, ge=0, lt=1)
    """Share of the videos kept for the final test, where the source is not split."""
    seed: int = Field(0, ge=0)
    """Seed of that split."""

    @model_validator(mode="after")
    def _something_to_learn_from(self) -> Self:
        if self.validation_share + self.test_share >= 1:
            raise ValueError("validation_share and test_share leave nothing to learn from")
        return self
